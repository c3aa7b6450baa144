#include "parallel/bucket_size.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "parallel/buckets.h"

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace cifar {
namespace {

constexpr int64_t kSmallest = 16 * 1024;  // bytes; below it latency is all
constexpr int kWarmUps = 2, kRepeats = 5;
constexpr double kGain = 0.9;  // less is within what such measurements scatter

void wait_for([[maybe_unused]] torch::Device device) {
#if CIFAR_HAS_CUDA
  if (device.is_cuda()) c10::cuda::device_synchronize();
#endif
}

double median_seconds(Communicator& comm, const torch::Tensor& tensor) {
  std::vector<double> seconds;
  for (int i = 0; i < kWarmUps + kRepeats; ++i) {
    comm.barrier();
    const auto start = std::chrono::steady_clock::now();
    comm.all_reduce_sum(tensor);
    wait_for(tensor.device());
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (i >= kWarmUps) seconds.push_back(elapsed.count());
  }
  std::ranges::nth_element(seconds, seconds.begin() + kRepeats / 2);
  return seconds[kRepeats / 2];
}

// Bytes of each bucket, as it is sent: what lies behind the gradients goes in float32.
std::vector<int64_t> pieces_of(const FlatState& state, int64_t bucket_bytes, int64_t element) {
  const auto wide = static_cast<int64_t>(state.reduced().element_size());
  std::vector<int64_t> pieces;
  for (const Bucket& bucket : buckets_of(state, bucket_bytes / element, element != wide)) {
    const bool is_rest = bucket.elements.first >= state.gradients().numel();
    pieces.push_back(bucket.elements.count * (is_rest ? wide : element));
  }
  return pieces;
}

}  // namespace

std::vector<SumTime> measure_sums(Communicator& comm, const torch::Tensor& tensor) {
  const auto element = static_cast<int64_t>(tensor.element_size());
  const int64_t bytes = tensor.numel() * element;
  tensor.zero_();
  std::vector<SumTime> times;
  for (int64_t size = kSmallest; size < bytes; size *= 4) {
    times.push_back({size, median_seconds(comm, tensor.narrow(0, 0, size / element))});
  }
  times.push_back({bytes, median_seconds(comm, tensor)});
  // The mean over the ranks, so that all decide alike.
  const torch::Tensor sums = torch::empty({static_cast<int64_t>(times.size())}, torch::kFloat64);
  auto* sum = sums.mutable_data_ptr<double>();
  for (size_t i = 0; i < times.size(); ++i) sum[i] = times[i].seconds;
  comm.all_reduce_sum(sums);
  for (size_t i = 0; i < times.size(); ++i) times[i].seconds = sum[i] / comm.size();
  return times;
}

double seconds_of(const std::vector<SumTime>& times, int64_t bytes) {
  const auto above = std::ranges::lower_bound(times, bytes, {}, &SumTime::bytes);
  if (above == times.begin()) return times.front().seconds;
  const auto share = [&](int64_t part, int64_t whole) {
    return static_cast<double>(part) / static_cast<double>(whole);
  };
  if (above == times.end()) return times.back().seconds * share(bytes, times.back().bytes);
  const SumTime& below = *(above - 1);
  return below.seconds +
         (above->seconds - below.seconds) * share(bytes - below.bytes, above->bytes - below.bytes);
}

double delay_of(const std::vector<SumTime>& times, const std::vector<int64_t>& pieces) {
  const int64_t whole = std::accumulate(pieces.begin(), pieces.end(), int64_t{0});
  double seconds = seconds_of(times, pieces.back());
  if (pieces.size() == 1) return seconds;
  for (const int64_t piece : pieces) seconds += seconds_of(times, piece);
  return seconds - seconds_of(times, whole);
}

int64_t best_bucket_kib(const std::vector<SumTime>& times, const FlatState& state,
                        torch::ScalarType type) {
  constexpr int64_t kKib = 1024;
  const auto element = static_cast<int64_t>(c10::elementSize(type));
  const auto delay = [&](int64_t kib) {
    return delay_of(times, pieces_of(state, kib * kKib, element));
  };
  int64_t best = (state.reduced().numel() * element + kKib - 1) / kKib;
  double least = delay(best);
  for (int64_t kib = best / 2; kib * kKib >= kSmallest; kib /= 2) {
    const double found = delay(kib);
    if (found > kGain * least) continue;
    best = kib;
    least = found;
  }
  return best;
}

}  // namespace cifar
