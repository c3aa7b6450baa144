#include "parallel/replicas.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/hash.h"

namespace cifar {
namespace {

constexpr size_t kNamed = 4;  // tensors that an error names; the rest are counted

constexpr int64_t kDigits = 32;  // of a hash, as text

// uint8 [ranks, tensors, kDigits]: every rank's hash of every tensor.
torch::Tensor all_hashes(const std::vector<ReplicaTensor>& tensors, Communicator& comm) {
  const auto count = static_cast<int64_t>(tensors.size());
  auto hashes = torch::zeros({comm.size(), count, kDigits}, torch::kUInt8);
  auto* mine = hashes[comm.rank()].data_ptr<uint8_t>();
  for (const ReplicaTensor& each : tensors) {
    const auto values = each.tensor.detach().cpu().contiguous();
    const auto* bytes = static_cast<const char*>(values.const_data_ptr());
    mine = std::ranges::copy(hash_of({bytes, values.nbytes()}), mine).out;
  }
  comm.all_reduce_sum(hashes);  // the others hold zeros in a rank's row
  return hashes;
}

// The ranks whose hash of tensor `index` is not that of most ranks; all ranks when none has most.
std::vector<int> minority(const torch::Tensor& hashes, int64_t index) {
  const auto ranks = static_cast<int>(hashes.size(0));
  std::map<std::string_view, int> votes;
  const auto hash_on = [&](int rank) {
    const auto* digits =
        hashes.const_data_ptr<uint8_t>() + (rank * hashes.size(1) + index) * kDigits;
    return std::string_view(reinterpret_cast<const char*>(digits), kDigits);
  };
  for (int rank = 0; rank < ranks; ++rank) ++votes[hash_on(rank)];
  std::vector<int> odd;
  for (int rank = 0; rank < ranks; ++rank) {
    if (2 * votes[hash_on(rank)] <= ranks) odd.push_back(rank);
  }
  return odd;
}

std::string describe(const std::vector<int>& odd, int ranks) {
  if (static_cast<int>(odd.size()) == ranks) return "no hash is that of most ranks";
  return fmt::format("rank{} {} differ{} from the other {}", odd.size() == 1 ? "" : "s",
                     fmt::join(odd, ", "), odd.size() == 1 ? "s" : "", ranks - odd.size());
}

}  // namespace

void check_replicas(const std::vector<ReplicaTensor>& tensors, Communicator& comm) {
  if (comm.size() == 1) return;
  const torch::Tensor hashes = all_hashes(tensors, comm);
  std::vector<std::string> different;
  std::vector<int> odd;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto ranks = minority(hashes, static_cast<int64_t>(i));
    if (ranks.empty()) continue;
    different.push_back(tensors[i].name);
    odd.insert(odd.end(), ranks.begin(), ranks.end());
  }
  if (different.empty()) return;
  std::sort(odd.begin(), odd.end());
  odd.erase(std::unique(odd.begin(), odd.end()), odd.end());
  const size_t rest = different.size() - std::min(different.size(), kNamed);
  different.resize(different.size() - rest);
  throw Error(ExitCode::kReplicasDiffer, fmt::format("replicas at step {}", comm.step()),
              fmt::format("{} in {}{}", describe(odd, comm.size()), fmt::join(different, ", "),
                          rest > 0 ? fmt::format(" and {} more tensors", rest) : ""),
              "the same bits on every rank; the last checkpoint is sound");
}

}  // namespace cifar
