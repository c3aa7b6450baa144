// roofline: how near the training step comes to what one core can do. Prints the FMA peak and the
// memory bandwidth of this machine, then for each layer of a recipe the time of forward and
// backward an image, GFLOP/s and share of the peak, then the rest of the step, then images a
// second.
//
//   roofline [--json FILE] [flags of cifar-ddp: --config, --batch-size, --kernels, --data, ...]
//
// GFLOP/s are dense-equivalent: two operations a multiply-add, forward once, backward twice (once
// for the first layer, which needs no gradient of the images). What is skipped because it is zero,
// or saved by Winograd's method, counts all the same, so that the share can pass 100%.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "base/memory.h"
#include "bench/machine_peak.h"
#include "config/load.h"
#include "data/batches.h"
#include "data/synthetic.h"
#include "kernels/conv_block.h"
#include "train/state.h"
#include "train/step.h"

namespace cifar {
namespace {

constexpr int kRepetitions = 30;
constexpr double kLearningRate = 0.001;
constexpr int64_t kWarmUpSteps = 20;  // real gradients and activations, not those of the first step

// CPU time of this process, which runs one thread: what others on the machine do disturbs it
// little.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds_of(const std::function<void()>& work) {
  const double start = cpu_seconds();
  work();
  return cpu_seconds() - start;
}

// The smallest of many times: what the work takes when nobody disturbs it.
struct Fastest {
  double seconds = std::numeric_limits<double>::infinity();
  void take(double more) { seconds = std::min(seconds, more); }
};

struct LayerTime {
  std::string text;
  double multiply_adds = 0;
  bool first = false;
  Fastest forward, backward;

  double flop() const { return 2 * multiply_adds * (first ? 2 : 3); }
};

// One forward and backward pass, step by step of the network.
void time_pass(Network& network, const torch::Tensor& images, const Pass& pass,
               std::vector<LayerTime>& times) {
  std::vector<torch::Tensor> inputs, outputs;
  torch::Tensor next = images;
  for (size_t i = 0; i < times.size(); ++i) {
    inputs.push_back(next.detach().requires_grad_(i > 0));
    times[i].forward.take(
        seconds_of([&] { outputs.push_back(network.steps()[i].forward(inputs.back(), pass)); }));
    next = outputs.back();
  }
  torch::Tensor gradient = torch::softmax(next.detach(), 1) / static_cast<double>(images.size(0));
  for (size_t i = times.size(); i-- > 0;) {
    if (!outputs[i].requires_grad()) break;
    times[i].backward.take(seconds_of([&] { outputs[i].backward(gradient); }));
    gradient = inputs[i].grad();
  }
}

class Roofline {
 public:
  Roofline(const Config& config, const World& world)
      : config_(config),
        dataset_(config.data.path.empty() || config.data.path == "synthetic"
                     ? make_synthetic()
                     : open_cifar10(config.data.path)),
        comm_(make_communicator("self", world, config.run.timeout)),
        state_(config, torch::kCPU),
        batches_(std::make_shared<ResidentSet>(dataset_.train, torch::kCPU), config.augmentation,
                 true, static_cast<uint64_t>(config.train.seed)),
        timer_(torch::kCPU),
        meter_(state_.flat),
        step_(config.train, state_, batches_, *comm_, timer_, meter_, /*longest_plan=*/1,
              /*graphs=*/false) {
    std::vector<int32_t> order(static_cast<size_t>(kTrainImages));
    std::iota(order.begin(), order.end(), 0);
    batches_.set_order(order, 0);
    shard_ =
        std::max<int64_t>(1, config.train.batch_size / std::max<int64_t>(1, config.train.shards));
    for (const Network::Step& step : state_.network->steps()) {
      LayerTime time;
      time.multiply_adds = static_cast<double>(step.multiply_adds());
      time.text = step.text;
      time.first = layers_.empty();
      layers_.push_back(time);
    }
  }

  // Steps as in training, and single layers on one shard of it.
  void run() {
    for (int64_t i = 0; i < kWarmUpSteps; ++i) train_a_step();
    for (int i = 0; i < kRepetitions; ++i) {
      whole_.take(seconds_of([&] { train_a_step(); }));
      const Batch given = batches_.get(next_, shard_);
      constexpr uint64_t kNoStep = uint64_t{1} << 32;  // numbers that step_ does not reach
      const Pass pass{true, &values_, given.samples, kNoStep + static_cast<uint64_t>(i),
                      Gradients::kWrite};
      // Twice: the first packs the weights, which a step does once for all its shards.
      for (int time = 0; time < 2; ++time) time_pass(*state_.network, given.images, pass, layers_);
    }
  }

  nlohmann::json report() const {
    const auto images = static_cast<double>(config_.train.batch_size);
    const auto in_shard = static_cast<double>(shard_);
    const double peak = fma_peak();
    nlohmann::json all = {
        {"instruction_set", instruction_set()},   {"fma_peak_gflops", peak},
        {"read_bandwidth_gbs", read_bandwidth()}, {"kernels", config_.train.kernels},
        {"batch_size", config_.train.batch_size}, {"shards", config_.train.shards},
        {"layers", nlohmann::json::array()}};
    double layers = 0, flop = 0;
    for (const LayerTime& layer : layers_) {
      const double time = layer.forward.seconds + layer.backward.seconds;
      all["layers"].push_back({{"layer", layer.text},
                               {"forward_us", 1e6 * layer.forward.seconds / in_shard},
                               {"backward_us", 1e6 * layer.backward.seconds / in_shard},
                               {"gflops", 1e-9 * layer.flop() * in_shard / time},
                               {"share", 1e-9 * layer.flop() * in_shard / time / peak}});
      layers += time / in_shard;
      flop += layer.flop();
    }
    const double rate = images / whole_.seconds;
    all["rest_us"] = 1e6 * (1 / rate - layers);
    all["step_us"] = 1e6 / rate;
    all["gflops"] = 1e-9 * flop * rate;
    all["share"] = 1e-9 * flop * rate / peak;
    all["images_per_second"] = rate;
    return all;
  }

 private:
  void train_a_step() {
    const int64_t batch = config_.train.batch_size;
    if (next_ + 2 * batch > kTrainImages) next_ = 0;
    values_ = {next_, state_.updates() + 1, /*epoch=*/0, static_cast<uint64_t>(config_.train.seed)};
    step_.plan({{{next_, batch}, values_, std::vector(state_.groups.size(), kLearningRate)}});
    step_.run({});
    next_ += batch;
  }

  Config config_;
  Dataset dataset_;
  std::unique_ptr<Communicator> comm_;
  TrainState state_;
  Batches batches_;
  PhaseTimer timer_;
  Meter meter_;
  StepValues values_;
  TrainStep step_;
  std::vector<LayerTime> layers_;
  Fastest whole_;
  int64_t next_ = 0;   // sample
  int64_t shard_ = 1;  // samples of one
};

void print(const nlohmann::json& all) {
  const auto number = [](const nlohmann::json& value) { return value.get<double>(); };
  fmt::print("{}, one core: {:.1f} GFLOP/s of multiply-adds, {:.1f} GB/s read from memory\n",
             all["instruction_set"].get<std::string>(), number(all["fma_peak_gflops"]),
             number(all["read_bandwidth_gbs"]));
  fmt::print("batch {} in {} shards, kernels {}, CPU time in us an image, the fastest of {}\n\n",
             all["batch_size"].get<int64_t>(), all["shards"].get<int64_t>(),
             all["kernels"].get<std::string>(), kRepetitions);
  fmt::print("{:<40} {:>8} {:>8} {:>8} {:>6}\n", "", "forward", "backward", "GFLOP/s", "peak");
  for (const auto& layer : all["layers"]) {
    fmt::print("{:<40} {:>8.1f} {:>8.1f} {:>8.1f} {:>5.0f}%\n", layer["layer"].get<std::string>(),
               number(layer["forward_us"]), number(layer["backward_us"]), number(layer["gflops"]),
               100 * number(layer["share"]));
  }
  fmt::print("{:<40} {:>8.1f}\n", "rest of the step", number(all["rest_us"]));
  fmt::print("{:<40} {:>8.1f} {:>17.1f} {:>5.0f}%\n", "step", number(all["step_us"]),
             number(all["gflops"]), 100 * number(all["share"]));
  fmt::print("{:<40} {:>8.0f}\n", "images/s", number(all["images_per_second"]));
}

// Takes `--json FILE` out of the arguments; the rest are the program's own.
std::string take_json(std::vector<const char*>& arguments) {
  for (size_t i = 1; i + 1 < arguments.size(); ++i) {
    if (std::string_view(arguments[i]) != "--json") continue;
    const std::string file = arguments[i + 1];
    arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(i),
                    arguments.begin() + static_cast<std::ptrdiff_t>(i) + 2);
    return file;
  }
  return {};
}

}  // namespace
}  // namespace cifar

int main(int argc, char** argv) {
  try {
    cifar::keep_freed_memory();
    const cifar::World world(&argc, &argv);
    at::set_num_threads(1);
    std::vector<const char*> arguments(argv, argv + argc);
    const std::string file = cifar::take_json(arguments);
    arguments.insert(arguments.begin() + 1, "train");
    const auto line =
        cifar::parse_command_line(static_cast<int>(arguments.size()), arguments.data());
    cifar::Roofline roofline(line.config, world);
    roofline.run();
    const nlohmann::json report = roofline.report();
    cifar::print(report);
    if (!file.empty()) std::ofstream(file) << report.dump(2) << "\n";
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "roofline: error: {}\n", error.what());
    return 2;
  }
}
