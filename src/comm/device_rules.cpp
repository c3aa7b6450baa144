#include "comm/device_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace cifar {

int gpu_index(const Seat& seat, int gpus, bool may_share) {
  if (may_share) return seat.local_rank % gpus;
  if (gpus == 1) return 0;
  if (seat.local_size > gpus) {
    throw Error(ExitCode::kUsage, "--device cuda",
                fmt::format("{} ranks on {} with {} GPUs", seat.local_size, seat.host, gpus),
                "a GPU for each rank (Slurm: --gpus-per-node or --gres=gpu:N as large as "
                "--ntasks-per-node; mpirun: -np), or --comm mpi to share");
  }
  return seat.local_rank;
}

void refuse_mixture(const std::vector<RankGpu>& ranks) {
  const auto text = [](const RankGpu& rank) {
    return (rank.uuid.empty() ? "no GPU on " : "a GPU on ") + rank.host;
  };
  for (const RankGpu& rank : ranks) {
    if (rank.uuid.empty() == ranks.front().uuid.empty()) continue;
    throw Error(ExitCode::kUsage, "--device auto", text(ranks.front()) + ", " + text(rank),
                "GPUs on all hosts, or --device cpu");
  }
}

void refuse_duplicates(const std::vector<RankGpu>& ranks) {
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const auto same = [&](const RankGpu& one) {
      return one.host == ranks[rank].host && one.uuid == ranks[rank].uuid;
    };
    const auto first = std::find_if(ranks.begin(), ranks.end(), same) - ranks.begin();
    if (static_cast<size_t>(first) == rank) continue;
    throw Error(
        ExitCode::kUsage, "--device cuda",
        fmt::format("ranks {} and {} have the same GPU of {}", first, rank, ranks[rank].host),
        "a GPU for each rank (Slurm: --gpus-per-task=1 under srun, or --gpus-per-node or "
        "--gres=gpu:N as large as --ntasks-per-node; mpirun: -np), or --comm mpi to share");
  }
}

std::string communicator_for(const std::string& comm, bool on_gpu, int ranks) {
  if (comm == "nccl" && !on_gpu) {
    throw Error(ExitCode::kUsage, "--comm nccl", "no GPU", "--comm mpi on the CPU");
  }
  if (comm != "auto") return comm;
  if (ranks == 1) return "self";
  return on_gpu ? "nccl" : "mpi";
}

void refuse_missing_gpu(bool cuda_build, const char* visible) {
  if (!cuda_build) {
    throw Error(ExitCode::kUsage, "--device cuda", "a CPU-only build",
                "a build with the CUDA toolkit");
  }
  if (visible != nullptr && *visible == '\0') {
    throw Error(ExitCode::kUsage, "--device cuda", "CUDA_VISIBLE_DEVICES is empty",
                "GPUs given to the job (Slurm: --gpus-per-node, --gpus-per-task or --gres=gpu:N), "
                "or the variable unset");
  }
  throw Error(
      ExitCode::kUsage, "--device cuda", "no GPU is visible",
      "a GPU and its driver (see nvidia-smi; under Slurm, GPUs asked for by --gpus-per-node, "
      "--gpus-per-task or --gres=gpu:N)");
}

}  // namespace cifar
