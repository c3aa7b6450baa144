// What a network says of every image of a split, plainly or averaged over views of it. No image is
// dropped. The split is cut into fixed blocks, so that the result is the same bits whichever ranks
// computed them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "config/config.h"
#include "data/batches.h"
#include "model/network.h"
#include "train/precision.h"
#include "train/replay.h"

namespace cifar {

// Loss and probability are of the averaged logits where there are several views.
struct Prediction {
  int64_t label = 0;
  int64_t guess = 0;       // the class with the largest logit
  double probability = 0;  // of the guess
  double loss = 0;         // cross-entropy, without label smoothing

  bool right() const { return guess == label; }
};

// Test-time augmentation: a weighted mean of the logits of several views of an image.
//   none    the image
//   mirror  it and its mirror image, 1/2 each
//   shift   it and its mirror image, 1/4 each; the window moved by (-1, -1) and by (+1, +1) pixels
//           over the image, reflected at the edges, and the mirror images of these, 1/8 each
// (KellerJordan/cifar10-airbench). With `uncertain` below 1 this share of the images has the
// further views, rounded to a whole number of them: those whose plain guess has the lowest
// probability, of equal ones the first (hiverge/cifar10-speedrun: 0.2). The others stay plain.
struct TestTimeAugmentation {
  TestTimeAugmentation() = default;
  explicit TestTimeAugmentation(const TrainConfig& config)
      : views(config.tta), uncertain(config.tta_uncertain) {}

  // "", " with tta mirror" or " with tta shift for the least sure 20 %".
  std::string text() const;

  std::string views = "none";
  double uncertain = 1;
};

// Asks a network about the images of a split, once or again and again while it is trained. On a GPU
// what it does to a block of images is captured as a CUDA graph and replayed (train/replay.h).
class Predictor {
 public:
  // About the first `samples` samples of the order of `batches`. `how`: "sharded", the blocks are
  // divided over the ranks; "rank0", rank 0 computes them all while the others wait. With `graphs`
  // false a GPU's work is launched piece by piece, to the same results.
  Predictor(Network& network, Batches& batches, int64_t samples, const std::string& how,
            const Precision& precision, Communicator& comm, const TestTimeAugmentation& tta = {},
            bool graphs = false);

  // In the order of the samples. Every rank calls it and gets all. Views are computed one after
  // another, in the memory of one.
  std::vector<Prediction> predict();

 private:
  torch::Tensor rows(const torch::Tensor& samples, size_t view);
  void ask(int64_t count, const Placement& view);

  Network& network_;
  Batches& batches_;
  int64_t samples_;
  bool alone_;  // rank 0 computes everything
  Precision precision_;
  Communicator& comm_;
  TestTimeAugmentation tta_;
  Replay replay_;
  torch::Tensor block_;    // int32 [images]: the samples of the block in work
  torch::Tensor answers_;  // float32 [images, kClasses + 1]: its logits and labels
};

// Images of class i that were taken for class j.
struct Confusion {
  explicit Confusion(const std::vector<Prediction>& predictions);

  int64_t samples(int64_t label) const;
  int64_t right(int64_t label) const { return counts[label][label]; }
  // 0 for a class without images.
  double accuracy(int64_t label) const;
  // What images of this class are wrongly taken for most often; -1: nothing.
  int64_t most_frequent_mistake(int64_t label) const;

  std::array<std::array<int64_t, kClasses>, kClasses> counts = {};
};

// Places of the wrong predictions that have the highest probabilities, the surest first, of equal
// ones the first; at most `most`.
std::vector<size_t> confident_mistakes(const std::vector<Prediction>& predictions, size_t most);

}  // namespace cifar
