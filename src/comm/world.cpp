#include "comm/world.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "comm/mpi_handle.h"

namespace cifar {
namespace {

constexpr int kTextBytes = 256;

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

// The affinity mask as text, "0,1,": equal masks, equal texts.
std::string affinity() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  sched_getaffinity(0, sizeof(mask), &mask);
  std::string text;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &mask)) text += std::to_string(cpu) + ",";
  }
  return text;
}

std::vector<std::string> gather_over(MPI_Comm comm, const std::string& text) {
  int size = 0;
  MPI_Comm_size(comm, &size);
  char mine[kTextBytes] = {};
  text.copy(mine, kTextBytes - 1);
  std::vector<char> all(static_cast<size_t>(size) * kTextBytes);
  check_mpi(MPI_Allgather(mine, kTextBytes, MPI_CHAR, all.data(), kTextBytes, MPI_CHAR, comm),
            "MPI_Allgather");
  std::vector<std::string> texts;
  for (int rank = 0; rank < size; ++rank) texts.emplace_back(all.data() + rank * kTextBytes);
  return texts;
}

}  // namespace

World::World(int* argc, char*** argv) {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  host_ = name;
  const std::string mask = affinity();
  cores_ = std::max<int>(1, static_cast<int>(std::count(mask.begin(), mask.end(), ',')));
  if (!started_by_launcher()) {
    refuse_plain_srun();
    return;
  }
  int provided = 0;
  // Autograd's threads start collectives of CUDA tensors, one at a time.
  MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &provided);
  mpi_ = std::make_unique<Mpi>();
  MPI_Comm_dup(MPI_COMM_WORLD, &mpi_->all);
  MPI_Comm_set_errhandler(mpi_->all, MPI_ERRORS_RETURN);
  MPI_Comm_rank(mpi_->all, &rank_);
  MPI_Comm_size(mpi_->all, &size_);
  MPI_Comm_split_type(mpi_->all, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &mpi_->node);
  MPI_Comm_rank(mpi_->node, &local_rank_);
  MPI_Comm_size(mpi_->node, &local_size_);
  const auto masks = gather_over(mpi_->node, mask);
  const auto sharers = std::count(masks.begin(), masks.end(), masks[local_rank_]);
  cores_ = std::max<int>(1, cores_ / static_cast<int>(sharers));
}

World::~World() {
  if (!mpi_) return;
  MPI_Comm_free(&mpi_->node);
  MPI_Comm_free(&mpi_->all);
  MPI_Finalize();
}

std::vector<std::string> World::gather(const std::string& text) const {
  if (!mpi_) return {text.substr(0, kTextBytes - 1)};
  return gather_over(mpi_->all, text);
}

void World::abort(int code) const {
  if (mpi_) MPI_Abort(MPI_COMM_WORLD, code);
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
