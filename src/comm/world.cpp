#include "comm/world.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "comm/exit_guard.h"
#include "comm/launcher.h"
#include "comm/roll_call.h"

namespace cifar {
namespace {

constexpr int kTextBytes = 256;
constexpr double kStartSeconds = 300;
constexpr double kAbortSeconds = 5;
constexpr double kSilenceSeconds = 3;  // of the other ranks, when rank 0 tells an error of all

bool has(const char* variable) {
  return std::getenv(variable) != nullptr;
}

// mpirun sets the first, PMIx (srun --mpi=pmix) the second, PMI-1 and PMI-2 the third.
bool started_by_launcher() {
  return has("OMPI_COMM_WORLD_SIZE") || has("PMIX_RANK") || has("PMI_RANK");
}

void refuse_plain_srun() {
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  if (tasks == nullptr || std::atoi(tasks) < 2) return;
  throw Error(ExitCode::kUsage, "srun",
              std::string(tasks) + " tasks that know nothing of each other", "srun --mpi=pmix");
}

// "0-3,8": equal masks, equal texts.
std::string to_text(const cpu_set_t& mask) {
  std::string text;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &mask)) continue;
    const int first = cpu;
    while (cpu + 1 < CPU_SETSIZE && CPU_ISSET(cpu + 1, &mask)) ++cpu;
    if (!text.empty()) text += ",";
    text += first == cpu ? std::to_string(cpu) : fmt::format("{}-{}", first, cpu);
  }
  return text;
}

// For calls of MPI that take as long as they like: there is no telling whom they wait for.
ExitGuard all_ranks_within(const char* what) {
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (rank == nullptr) rank = std::getenv("PMIX_RANK");
  const bool first = rank == nullptr || std::atoi(rank) == 0;
  return {kStartSeconds + (first ? 0 : kSilenceSeconds), static_cast<int>(ExitCode::kPeerLost),
          fmt::format("{}: not done within {} s; expected all ranks", what, kStartSeconds)};
}

void check(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  throw Error(ExitCode::kPeerLost, call, mpi_error_text(status), "all ranks to answer");
}

std::vector<std::string> gather_over(const World& world, MPI_Comm comm, int size,
                                     const std::string& text) {
  const auto mine = torch::zeros({kTextBytes}, torch::kInt8);
  const auto all = torch::zeros({size, kTextBytes}, torch::kInt8);
  text.copy(static_cast<char*>(mine.data_ptr()), kTextBytes - 1);
  const Operation operation = next_operation(world, "gather");
  MPI_Request request = MPI_REQUEST_NULL;
  try {
    start(world, operation, kStartSeconds, [&] {
      return MPI_Iallgather(mine.data_ptr(), kTextBytes, MPI_CHAR, all.data_ptr(), kTextBytes,
                            MPI_CHAR, comm, &request);
    });
    Deadline deadline(kStartSeconds);
    await(world, request, operation, deadline);
  } catch (const PeerLost&) {
    world.mpi()->abandoned.insert(world.mpi()->abandoned.end(), {mine, all});
    throw;
  }
  std::vector<std::string> texts;
  for (int rank = 0; rank < size; ++rank) {
    texts.emplace_back(static_cast<const char*>(all.const_data_ptr()) + rank * kTextBytes);
  }
  return texts;
}

}  // namespace

World::World(int* argc, char*** argv) {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  host_ = name;
  cpu_set_t mask;
  CPU_ZERO(&mask);
  sched_getaffinity(0, sizeof(mask), &mask);
  cores_ = std::max(1, CPU_COUNT(&mask));
  cpus_ = to_text(mask);
  if (!started_by_launcher()) {
    refuse_plain_srun();
    return;
  }
  mpi_ = std::make_unique<Mpi>();
  connect(argc, argv);
  hosts_ = gather(host_);
  const auto masks = gather_over(*this, mpi_->node, local_size_, cpus_);
  const auto sharers = std::count(masks.begin(), masks.end(), masks[local_rank_]);
  cores_ = std::max<int>(1, cores_ / static_cast<int>(sharers));
}

void World::connect(int* argc, char*** argv) {
  // Without it ranks of one host copy each other's memory by process_vm_readv, which containers
  // forbid ("Read -1, expected ..., errno = 1"); where it is allowed, an all-reduce of half a
  // megabyte took four times as long as through shared memory. The threads that there are by now
  // (Signals has one) never read the environment.
  setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", /*overwrite=*/0);
  // Four times what it takes by itself: fewer, larger pieces (tests/bench/README.md has the times).
  setenv("OMPI_MCA_btl_vader_max_send_size", "131072", /*overwrite=*/0);
  const ExitGuard guard = all_ranks_within("start of MPI");
  int provided = 0;
  // Autograd's threads start collectives of CUDA tensors, one at a time.
  MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &provided);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);  // duplicates inherit it
  check(MPI_Comm_dup(MPI_COMM_WORLD, &mpi_->all), "MPI_Comm_dup");
  check(MPI_Comm_dup(MPI_COMM_WORLD, &mpi_->roll), "MPI_Comm_dup");
  MPI_Comm_rank(mpi_->all, &rank_);
  MPI_Comm_size(mpi_->all, &size_);
  check(MPI_Comm_split_type(mpi_->all, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &mpi_->node),
        "MPI_Comm_split_type");
  MPI_Comm_rank(mpi_->node, &local_rank_);
  MPI_Comm_size(mpi_->node, &local_size_);
}

World::~World() {
  if (!mpi_) return;
  const ExitGuard guard = all_ranks_within("end of MPI");
  for (MPI_Comm* comm : {&mpi_->node, &mpi_->roll, &mpi_->all}) MPI_Comm_free(comm);
  MPI_Finalize();
}

std::vector<std::string> World::gather(const std::string& text) const {
  if (!mpi_) return {text.substr(0, kTextBytes - 1)};
  return gather_over(*this, mpi_->all, size_, text);
}

std::string World::context(const std::string& where) const {
  return size_ == 1 ? where : fmt::format("{}, rank {} on {}", where, rank_, host_);
}

void World::abort(int code) const {
  const ExitGuard guard(kAbortSeconds, code);
  if (mpi_) {
    see_launcher_off();
    MPI_Abort(MPI_COMM_WORLD, code);
  }
  std::_Exit(code);
}

std::string mpi_version() {
  int major = 0, minor = 0, length = 0;
  char library[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  MPI_Get_version(&major, &minor);
  MPI_Get_library_version(library, &length);
  const std::string_view text(library, length);
  return "MPI " + std::to_string(major) + "." + std::to_string(minor) + ", " +
         std::string(text.substr(0, text.find(',')));
}

}  // namespace cifar
