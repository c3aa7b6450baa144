// Who started a process: the variables that real launchers set, in the process trees that they
// make.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/launch.h"

namespace cifar {
namespace {

using testing::HasSubstr;
using Variables = std::vector<std::string>;
using Lineage = std::vector<Process>;

Process process(const std::string& name, const Variables& variables = {}) {
  Process made;
  made.name = name;
  made.variables = variables;
  return made;
}

Process of_root(const std::string& name) {
  Process made;
  made.name = name;
  return made;
}

const Variables kTorchrun = {"RANK=1", "LOCAL_RANK=1", "WORLD_SIZE=2", "TORCHELASTIC_RUN_ID=none",
                             "MASTER_ADDR=127.0.0.1"};
const Variables kMpich = {"PMI_SIZE=2", "PMI_RANK=0", "PMI_FD=9", "MPI_LOCALNRANKS=2"};
const Variables kIntel = {"PMI_SIZE=2", "PMI_RANK=0", "MPI_LOCALNRANKS=2", "I_MPI_HYDRA_UUID=a13c"};
const Variables kMpirun = {"OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=1", "PMIX_RANK=1",
                           "PMIX_NAMESPACE=145"};
const Variables kSrunTask = {"SLURM_STEP_NUM_TASKS=2", "SLURM_PROCID=1"};

Variables operator+(Variables a, const Variables& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Lineage started_by(const std::string& launcher, const Variables& variables) {
  return {process("cifar-ddp", variables), process(launcher), process("bash"), of_root("sshd")};
}

Lineage exported_in_a_shell(const Variables& variables) {
  return {process("cifar-ddp", variables), process("bash"), process("sshd"), of_root("systemd")};
}

void expect_refused(const Lineage& lineage, const std::string& launcher) {
  const auto launch = launch_of_several(lineage);
  ASSERT_TRUE(launch);
  EXPECT_EQ(launch->launcher, launcher);
  EXPECT_EQ(launch->size, 2);
  EXPECT_FALSE(launch->lingers);
}

void expect_lingering(const Lineage& lineage, const std::string& sign) {
  const auto launch = launch_of_several(lineage);
  ASSERT_TRUE(launch);
  EXPECT_TRUE(launch->lingers);
  EXPECT_THAT(launch->note(), HasSubstr(sign));
  EXPECT_FALSE(started_for_mpi(lineage));
}

TEST(Launch, ForeignLaunchersAreNamed) {
  expect_refused(started_by("python3.11", kTorchrun), "torchrun");
  expect_refused(started_by("hydra_pmi_proxy", kMpich), "mpiexec of MPICH");
  expect_refused(started_by("hydra_pmi_proxy", kIntel), "mpiexec of Intel MPI");
  expect_refused(started_by("slurmstepd", kSrunTask), "srun");
}

TEST(Launch, SaysWhatWasFoundAndWhatToDo) {
  const auto torchrun = launch_of_several(started_by("python3.11", kTorchrun));
  EXPECT_EQ(torchrun->found(), "2 processes that know nothing of each other (WORLD_SIZE=2)");
  EXPECT_THAT(torchrun->remedy, HasSubstr("mpirun -np 2"));
  EXPECT_FALSE(torchrun->first);
  const auto srun = launch_of_several(started_by("slurmstepd", kSrunTask));
  EXPECT_THAT(srun->remedy, HasSubstr("--mpi=pmix"));
  EXPECT_THAT(srun->remedy, HasSubstr("CIFAR_LAUNCHER=mpirun"));
  EXPECT_TRUE(launch_of_several(started_by("hydra_pmi_proxy", kMpich))->first);
}

TEST(Launch, WhatAShellExportsLingers) {
  expect_lingering(exported_in_a_shell(kTorchrun), "WORLD_SIZE=2");
  expect_lingering(exported_in_a_shell(kMpich), "PMI_SIZE=2");
  expect_lingering(exported_in_a_shell(kMpirun), "OMPI_COMM_WORLD_SIZE=2");
  expect_lingering(exported_in_a_shell(kSrunTask), "SLURM_STEP_NUM_TASKS=2");
}

TEST(Launch, ScriptsAndToolsInBetweenChangeNothing) {
  Lineage given = started_by("python3.11", kTorchrun), exported = exported_in_a_shell(kTorchrun);
  for (const char* name : {"env", "timeout", "bash"}) {
    given.insert(given.begin() + 1, process(name, kTorchrun));
    exported.insert(exported.begin() + 1, process(name, kTorchrun));
  }
  expect_refused(given, "torchrun");
  expect_lingering(exported, "WORLD_SIZE=2");
}

TEST(Launch, ALauncherThatFindsTheSameNumbersSetInItsShellIsStillSeen) {
  const Variables exported = {"RANK=1", "WORLD_SIZE=2"};
  expect_refused({process("cifar-ddp", kTorchrun), process("python3.11", exported),
                  process("bash", exported), process("bash")},
                 "torchrun");
}

TEST(Launch, ADaemonOfRootIsALauncherALoginIsNot) {
  expect_refused({process("cifar-ddp", kSrunTask), of_root("slurmstepd"), of_root("systemd")},
                 "srun");
  expect_lingering({process("cifar-ddp", kTorchrun), process("bash", kTorchrun), of_root("sshd"),
                    of_root("systemd")},
                   "WORLD_SIZE=2");
  expect_lingering(
      {process("cifar-ddp", kTorchrun), of_root("sudo"), process("bash"), of_root("login")},
      "WORLD_SIZE=2");
}

TEST(Launch, WhatSudoPassesOnWasGiven) {
  expect_refused({process("cifar-ddp", kTorchrun), of_root("sudo"), process("bash", kTorchrun),
                  process("python3.11"), process("bash")},
                 "torchrun");
}

TEST(Launch, AContainerThatIsOneOfSeveralIsNotAlone) {
  const Variables pod = {"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=trainer-0"};
  expect_refused({process("cifar-ddp", pod), process("sh", pod)}, "a launcher of PyTorch");
}

TEST(Launch, OneProcessIsWelcome) {
  EXPECT_FALSE(launch_of_several(started_by("bash", {})));
  EXPECT_FALSE(launch_of_several(
      started_by("python3.11", {"RANK=0", "WORLD_SIZE=1", "TORCHELASTIC_RUN_ID=none"})));
  EXPECT_FALSE(launch_of_several(started_by("python3.11", {"WORLD_SIZE=8"})));  // anybody's
  EXPECT_FALSE(launch_of_several(started_by("slurmstepd", {"SLURM_NTASKS=4", "SLURM_PROCID=0"})));
  EXPECT_FALSE(launch_of_several(started_by(
      "mpirun", Variables{"OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0"} + kSrunTask)));
}

TEST(Launch, AnMpirunOfOneMayBeOneOfSeveral) {
  const Variables one = {"OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0", "PMIX_RANK=0"};
  expect_refused({process("cifar-ddp", one + kTorchrun), process("mpirun", kTorchrun),
                  process("python3.11"), process("bash")},
                 "torchrun");
  EXPECT_FALSE(launch_of_several(
      {process("cifar-ddp", one + kTorchrun), process("mpirun", kTorchrun), process("bash")}));
}

TEST(Launch, ACommandTypedInATaskRunsAlone) {
  Lineage typed = {process("cifar-ddp", kSrunTask + Variables{"SLURM_PTY_PORT=4711"}),
                   process("bash", kSrunTask + Variables{"SLURM_PTY_PORT=4711"}),
                   of_root("slurmstepd")};
  expect_refused(typed, "srun");  // of a script
  typed[0].group = 2;             // of an interactive shell, in group 0
  EXPECT_TRUE(launch_of_several(typed)->lingers);
}

TEST(Launch, MpiIsAskedWhereItMayKnow) {
  EXPECT_TRUE(started_for_mpi(started_by("mpirun", kMpirun)));
  EXPECT_TRUE(started_for_mpi(started_by("orted", kMpirun)));
  EXPECT_TRUE(started_for_mpi(started_by("slurmstepd", kSrunTask + Variables{"PMIX_RANK=1"})));
  EXPECT_TRUE(started_for_mpi(started_by("hydra_pmi_proxy", kMpich)));
  EXPECT_FALSE(started_for_mpi(started_by("slurmstepd", kSrunTask + Variables{"PMI_RANK=1"})));
  EXPECT_FALSE(started_for_mpi(started_by("slurmstepd", kSrunTask)));
  EXPECT_FALSE(started_for_mpi(started_by("python3.11", kTorchrun)));
  EXPECT_FALSE(started_for_mpi(exported_in_a_shell(kMpirun)));
}

TEST(Lineage, BeginsWithThisProcess) {
  const auto line = lineage();
  ASSERT_GE(line.size(), 2u);
  EXPECT_EQ(line[0].name, "unit_tests");
  EXPECT_EQ(line[0].id, getpid());
  EXPECT_EQ(line[1].id, getppid());
  EXPECT_EQ(line[0].variable("PATH").value_or(""), getenv("PATH"));
  EXPECT_FALSE(line[0].variable("PAT"));
}

}  // namespace
}  // namespace cifar
