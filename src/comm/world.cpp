#include "comm/world.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/cpu_quota.h"
#include "base/error.h"
#include "base/exit_guard.h"
#include "base/launch.h"
#include "base/log.h"
#include "comm/launcher.h"
#include "comm/roll_call.h"

namespace cifar {
namespace {

constexpr int kTextBytes = 256;
constexpr double kAbortSeconds = 5;
constexpr double kSilenceSeconds = 3;   // of the other ranks, when rank 0 tells an error of all
constexpr double kPatienceSeconds = 5;  // with a rank that is stopped in its last moments

// One process of several that know nothing of each other. Many launchers end the others when they
// see one fail.
void refuse_to_run_alone(const Launch& launch) {
  if (!launch.first) {
    std::this_thread::sleep_for(std::chrono::duration<double>(kSilenceSeconds));
    std::_Exit(static_cast<int>(ExitCode::kUsage));
  }
  throw Error(ExitCode::kUsage, launch.launcher, launch.found(), launch.remedy);
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

// Of a rank that is not in an MPI_Comm_rank yet, or not any more; -1: unknown.
int rank_of(const Process& process) {
  const auto rank = process.variable("OMPI_COMM_WORLD_RANK");
  const auto other = rank ? rank : process.variable("PMIX_RANK");
  return other ? std::atoi(other->c_str()) : -1;
}

// "rank 1 (process 4711 is stopped)"; of those on this host. Empty: none is.
std::string stopped_ranks() {
  std::string text;
  for (const Process& process : siblings()) {
    if ((process.state != 'T' && process.state != 't') || rank_of(process) < 0) continue;
    text += fmt::format("{}rank {} (process {} is stopped)", text.empty() ? "" : ", ",
                        rank_of(process), process.id);
  }
  return text;
}

// Calls of MPI that take as long as they like do not say whom they wait for.
LastDeed tell_of(const char* what, double seconds, const World& world) {
  return [what, seconds, host = world.host()] {
    const std::string stopped = stopped_ranks();
    const std::string found = stopped.empty()
                                  ? fmt::format("not done within {} s", seconds)
                                  : fmt::format("{} did not arrive within {} s", stopped, seconds);
    print_error(fmt::format("{}: {}; expected all ranks (--timeout)", what, found),
                fmt::format("world.cpp, on {}", host));
    see_launcher_off();
  };
}

// One rank tells, and its end is that of the others.
double until_its_turn(const Process& self) {
  return kSilenceSeconds * std::clamp(rank_of(self), 0, 2);
}

void check(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  throw Error(ExitCode::kPeerLost, call, mpi_error_text(status), "all ranks to answer");
}

std::vector<std::string> gather_over(const World& world, MPI_Comm comm, int size, double timeout,
                                     const std::string& text) {
  const auto mine = torch::zeros({kTextBytes}, torch::kInt8);
  const auto all = torch::zeros({size, kTextBytes}, torch::kInt8);
  text.copy(static_cast<char*>(mine.data_ptr()), kTextBytes - 1);
  const Operation operation = next_operation(world, "gather");
  MPI_Request request = MPI_REQUEST_NULL;
  try {
    start(world, operation, timeout, [&] {
      return MPI_Iallgather(mine.data_ptr(), kTextBytes, MPI_CHAR, all.data_ptr(), kTextBytes,
                            MPI_CHAR, comm, &request);
    });
    Deadline deadline(timeout);
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

World::World(int* argc, char*** argv, double timeout) : timeout_(timeout) {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  host_ = name;
  cpu_set_t mask;
  CPU_ZERO(&mask);
  sched_getaffinity(0, sizeof(mask), &mask);
  cpus_ = to_text(mask);
  const std::vector<Process> ancestors = lineage();
  if (started_for_mpi(ancestors)) {
    mpi_ = std::make_unique<Mpi>();
    connect(argc, argv);
  }
  const auto launch = size_ == 1 ? launch_of_several(ancestors) : std::nullopt;
  if (launch && !launch->lingers) refuse_to_run_alone(*launch);
  if (launch) note_ = launch->note();
  hosts_ = gather(host_);
  count_cores(std::max(1, CPU_COUNT(&mask)));
}

void World::count_cores(int cpus) {
  // How many ranks of this host have the same, this one among them.
  const auto sharers = [this](const std::string& text) {
    if (!mpi_) return 1;
    const auto all = gather_over(*this, mpi_->node, local_size_, timeout_, text);
    return static_cast<int>(std::count(all.begin(), all.end(), all[local_rank_]));
  };
  cores_ = std::max(1, cpus / sharers(cpus_));
  const auto quota = cpu_quota();
  const std::string file = quota ? quota->file : "";
  // The end of a path names its group.
  const int of_quota = sharers(file.substr(file.size() - std::min<size_t>(file.size(), 200)));
  if (!quota || cores_of_quota(*quota, of_quota) >= cores_) return;
  cores_ = cores_of_quota(*quota, of_quota);
  quota_ = fmt::format("{:.3g} of {}", quota->cpus, quota->file);
}

void World::connect(int* argc, char*** argv) {
  // Without it ranks of one host copy each other's memory by process_vm_readv, which containers
  // forbid ("Read -1, expected ..., errno = 1"); where it is allowed, it is slower than shared
  // memory. The threads that there are by now (Signals has one) never read the environment.
  setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", /*overwrite=*/0);
  // Fewer, larger pieces than by itself (tests/bench/README.md has the times).
  setenv("OMPI_MCA_btl_vader_max_send_size", "131072", /*overwrite=*/0);
  const Process self = read_process(getpid()).value_or(Process{});
  const ExitGuard guard(timeout_ + until_its_turn(self), static_cast<int>(ExitCode::kPeerLost),
                        tell_of("start of MPI", timeout_, *this));
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
  if (size_ > 1) {
    const double turn = kSilenceSeconds * std::min(rank_, 2);
    guard_to_the_end(timeout_ + turn, kPatienceSeconds, static_cast<int>(ExitCode::kPeerLost),
                     tell_of("end of MPI", timeout_, *this));
  }
  for (MPI_Comm* comm : {&mpi_->node, &mpi_->roll, &mpi_->all}) MPI_Comm_free(comm);
  MPI_Finalize();
}

std::vector<std::string> World::gather(const std::string& text) const {
  if (!mpi_) return {text.substr(0, kTextBytes - 1)};
  return gather_over(*this, mpi_->all, size_, timeout_, text);
}

std::string World::context(const std::string& where) const {
  return size_ == 1 ? where : fmt::format("{}, rank {} on {}", where, rank_, host_);
}

void World::abort(int code) {
  const ExitGuard guard(kAbortSeconds, code);
  int begun = 0, over = 0;
  MPI_Initialized(&begun);
  MPI_Finalized(&over);
  if (begun && !over) {
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
