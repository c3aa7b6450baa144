// All settings of a run, as plain structs. The values here are the ones that switch a feature off;
// configs/article.toml, compiled in, is laid over them, then the recipe file, then the flags.
// config/options.cpp holds the one table of TOML keys, flags, help and checks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cifar {

struct DataConfig {
  std::string path;  // folder of the binary files (or its parent), or "synthetic"
  int64_t split_seed = 0;
  int64_t validation_size = 0;  // images of the 50,000 that are held out
};

struct ModelConfig {
  std::vector<std::string> layers;  // see model/layer.h for the grammar
};

// In this order: crop, flip, normalise, jitter, cutout. See data/augment.h.
struct AugmentationConfig {
  std::string flip = "none";             // none | random | alternating
  int64_t crop_padding = 0;              // pad by so many pixels, crop 32x32 at random
  std::string padding_mode = "black";    // black | reflect (at most 31 pixels)
  int64_t cutout = 0;                    // side of a square that is set to the mean colour; 0: none
  double brightness = 0;                 // jitter: normalised values + [-brightness, brightness),
  double contrast = 0;                   // then times [1 - contrast, 1 + contrast)
  std::vector<double> mean = {0, 0, 0};  // of red, green, blue, in [0, 1]; subtracted
  std::vector<double> std = {1, 1, 1};   // the result is divided by it
};

struct OptimizerConfig {
  std::string name;                             // adam | adamw | sgd | muon
  std::vector<std::string> parameters = {"*"};  // globs; see optim/claims.h
  double learning_rate = 0;
  double until_epoch = 0;   // end of its schedule, no updates from then on; 0: the run's end
  double weight_decay = 0;  // L2 for adam and sgd, decoupled for adamw
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double momentum = 0;
  bool nesterov = false;
  int64_t newton_schulz_steps = 5;         // muon
  std::string newton_schulz = "by-shape";  // muon: by-shape | padded | divided, see optim/muon.h
  int64_t normalise_every = 0;  // muon: steps between two scalings of the weights; 0: none
  std::string scale_learning_rate = "none";  // none | linear | sqrt in batch / reference_batch_size
  int64_t reference_batch_size = 64;
};

struct ScheduleConfig {
  std::string name = "constant";  // constant | step | linear | cosine | one-cycle
  double warmup_epochs = 0;       // linear from 0, over the first steps
  double step_epochs = 5;         // step: multiply by step_factor every so many epochs
  double step_factor = 0.1;
  double final_factor = 0;  // linear, cosine, one-cycle: last rate as a fraction of learning_rate
  double one_cycle_start_factor = 0.04;  // one-cycle: first rate as a fraction of learning_rate
  double one_cycle_peak = 0.3;  // one-cycle: the fraction of all steps at which the rate peaks
};

struct TrainConfig {
  int64_t epochs = 0;
  int64_t batch_size = 0;             // global, over all ranks
  int64_t batch_size_per_rank = 0;    // the other way to say it; 0: not given
  bool drop_last = false;             // leave out the last batch of an epoch when it is short
  int64_t seed = 0;                   // initial weights, shuffling, augmentation, dropout
  int64_t shards = 0;                 // of the global batch; 0: one a rank
  std::string reduction = "ordered";  // ordered | overlapped
  std::string reduction_precision = "fp32";  // fp32 | bf16 | fp16: of gradients on their way
  int64_t bucket_kib = 0;          // overlapped: gradients summed at once; 0: measured at the start
  int64_t threads = 0;             // of each rank; 0: its share of the cores
  std::string precision = "fp32";  // fp32 | tf32 | bf16 | fp16
  std::string kernels = "auto";    // auto | libtorch: convolutions on the CPU in fp32
  double label_smoothing = 0;      // in [0, 1); of the train loss, as torch's cross_entropy has it
  std::string loss_reduction = "mean";  // mean | sum: what the gradient is of; metrics stay means
  std::string validation = "sharded";   // sharded | rank0
  std::string tta = "none";             // none | mirror | shift, see train/predictions.h
  double tta_uncertain = 1;  // the share of the images, least sure first, that tta is for
  std::string init_from;     // file of the weights to begin with; empty: drawn by seed
};

struct RunConfig {
  std::string directory;         // empty: runs/NAME-DATE-TIME
  std::string resume;            // empty | auto | a checkpoint file | a run directory
  int64_t max_steps = 0;         // this invocation ends after so many steps of the run; 0: no limit
  int64_t checkpoint_every = 0;  // steps; 0: at each epoch's end only
  double checkpoint_minutes = 0;       // 0: likewise
  int64_t check_replicas_every = 100;  // steps; 0: before each checkpoint only
  int64_t keep = 3;                    // checkpoints kept; 0: all
  std::string device = "auto";         // auto | cpu | cuda
  std::string comm = "auto";           // auto | self | mpi | nccl
  bool cuda_graphs = true;             // a GPU's step is captured and replayed
  int64_t profile = 0;                 // steps of which rank 0 makes a table and a trace
  double timeout = 300;                // seconds that a collective may take
  std::string fault;                   // test builds: what is to break, see train/faults.h
};

// What the other verbs are asked for.
struct EvaluateConfig {
  std::string checkpoint;      // a checkpoint file, a run directory or a state dict of Python's
  std::string split = "test";  // test | val | train
  bool json = false;           // instead of text
  std::string contact_sheet;   // the file to write it to; empty: none
  std::string output;          // the page of a report, the JSON of repeat; empty: as they say
  int64_t runs = 10;           // repeat: how often
  double target = 0.94;        // repeat: accuracy that runs are to reach
  std::string commit;          // repeat: recorded with the results
};

struct Config {
  DataConfig data;
  ModelConfig model;
  AugmentationConfig augmentation;
  OptimizerConfig optimizer;
  std::vector<OptimizerConfig> optimizers;  // of [[optimizer]]; if any, in optimizer's place
  ScheduleConfig schedule;
  TrainConfig train;
  RunConfig run;
  EvaluateConfig evaluate;
  std::string recipe = "article";  // the name of the recipe file, without folder and ending
};

}  // namespace cifar
