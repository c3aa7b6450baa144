#include "base/launch.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace cifar {
namespace {

// How a launcher's variables are called. Null: `size`, it has none for it; `more`, a further one
// that tells it from others, there is none; `remedy`, Open MPI's mpirun.
struct Signs {
  const char *launcher, *size, *rank, *more, *remedy;
};

constexpr Signs kOpenMpi = {"mpirun of another Open MPI", "OMPI_COMM_WORLD_SIZE",
                            "OMPI_COMM_WORLD_RANK", "PMIX_NAMESPACE",
                            "mpirun of the Open MPI that cifar-ddp --version names"};
constexpr Signs kPmix = {"a launcher with PMIx", nullptr, "PMIX_RANK", "PMIX_NAMESPACE", nullptr};
constexpr Signs kPmi = {"a launcher with PMI", "PMI_SIZE", "PMI_RANK", nullptr, nullptr};
constexpr Signs kSrun = {"srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", nullptr,
                         "srun --mpi=pmix, or mpirun in the job (CIFAR_LAUNCHER=mpirun for "
                         "launch/slurm.sbatch)"};
// The first that fits names the launcher.
constexpr std::array kAll = {
    kOpenMpi,
    kSrun,
    kPmix,
    Signs{"mpiexec of Intel MPI", "PMI_SIZE", "PMI_RANK", "I_MPI_HYDRA_UUID", nullptr},
    Signs{"mpiexec of MPICH", "PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS", nullptr},
    kPmi,
    Signs{"torchrun", "WORLD_SIZE", "RANK", "TORCHELASTIC_RUN_ID", nullptr},
    Signs{"a launcher of PyTorch", "WORLD_SIZE", "RANK", "MASTER_ADDR", nullptr}};

constexpr std::array kShells = {"ash",    "bash",      "busybox",      "csh",         "dash",
                                "fish",   "ksh",       "mksh",         "sh",          "tcsh",
                                "zsh",    "login",     "sshd",         "su",          "sudo",
                                "screen", "tmux",      "sshd-session", "init",        "systemd",
                                "tini",   "dumb-init", "docker-init",  "tmux: server"};

bool is_shell(const Process& process) {
  return std::ranges::count(kShells, process.name) > 0;
}

std::optional<int> number(const Process& process, const char* variable) {
  const std::string text = process.variable(variable).value_or("");
  int value = 0;
  const auto end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return value;
}

bool same_values(const Signs& signs, const Process& a, const Process& b) {
  return std::ranges::all_of(
      std::array{signs.size, signs.rank, signs.more}, [&](const char* variable) {
        return variable == nullptr || a.variable(variable) == b.variable(variable);
      });
}

// What a process of another user was started with is not to be seen: it may have set the variables,
// unless one above it had them already. Where all have them, they are those of a container.
bool linger(const Signs& signs, const std::vector<Process>& lineage) {
  bool unseen = false;  // above the last that had them, one that may have set them
  for (size_t k = 1; k < lineage.size(); ++k) {
    if (!lineage[k].variables) {
      unseen |= !is_shell(lineage[k]);
    } else if (same_values(signs, lineage[k], lineage[0])) {
      unseen = false;
    } else {
      return !unseen && is_shell(lineage[k]);
    }
  }
  return !unseen && !lineage.back().variables;
}

// srun --pty bash: the terminal is one task's, whose shell gives each command that a person types
// a process group of its own.
bool typed_in_a_task(const std::vector<Process>& lineage) {
  return lineage.size() > 1 && lineage[0].variable("SLURM_PTY_PORT") && is_shell(lineage[1]) &&
         lineage[0].group != lineage[1].group;
}

bool is_given(const Signs& signs, const std::vector<Process>& lineage) {
  return !lineage.empty() && number(lineage[0], signs.rank) && !linger(signs, lineage);
}

std::optional<Launch> read(const Signs& signs, const std::vector<Process>& lineage) {
  const Process& self = lineage[0];
  const auto rank = number(self, signs.rank);
  if (!rank || (signs.more != nullptr && !self.variable(signs.more))) return std::nullopt;
  const int size = signs.size == nullptr ? *rank + 1 : number(self, signs.size).value_or(0);
  if (size < 2) return std::nullopt;
  const char* sign = signs.size == nullptr ? signs.rank : signs.size;
  const bool typed = sign == kSrun.size && typed_in_a_task(lineage);
  const std::string n = std::to_string(size);
  return Launch{signs.launcher,
                size,
                *rank == (signs.size == nullptr ? 1 : 0),
                std::string(sign) + "=" + *self.variable(sign),
                signs.remedy ? signs.remedy : "mpirun -np " + n + " (or launch/local -n " + n + ")",
                typed || linger(signs, lineage)};
}

}  // namespace

std::string Launch::found() const {
  return std::to_string(size) + " processes that know nothing of each other (" + sign + ")";
}

std::string Launch::note() const {
  return sign + " is set, but no launcher set it for this process: it runs alone";
}

bool started_for_mpi(const std::vector<Process>& lineage) {
  // Slurm's own PMI is not for Open MPI, which ends the process when it sees no more than that.
  return is_given(kOpenMpi, lineage) || is_given(kPmix, lineage) ||
         (is_given(kPmi, lineage) && !is_given(kSrun, lineage));
}

std::optional<Launch> launch_of_several(const std::vector<Process>& lineage) {
  if (lineage.empty()) return std::nullopt;
  // mpirun with one process may be what others started several of. But its own variables are PMIx's
  // as well, and with srun it starts its daemons, one a node.
  const bool by_mpirun = is_given(kOpenMpi, lineage);
  std::optional<Launch> lingering;
  for (const Signs& signs : kAll) {
    if (by_mpirun && (signs.rank == kPmix.rank || signs.rank == kSrun.rank)) continue;
    const auto launch = read(signs, lineage);
    if (!launch) continue;
    if (!launch->lingers) return launch;
    if (!lingering && !by_mpirun) lingering = launch;
  }
  return lingering;
}

}  // namespace cifar
