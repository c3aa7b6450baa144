"""Several processes that know nothing of each other are refused, each a whole training: torchrun, other
MPIs, srun without PMIx. The same variables in a shell stop nobody."""

import pathlib
import subprocess
import sys

import pytest

from cifar_ddp import ENVIRONMENT, PROGRAM, SMALL, Result, assert_error, run, train_arguments

TORCHRUN = pathlib.Path(sys.executable).with_name("torchrun")
USAGE = 2

# What launchers set for rank 0 of two; this test is the launcher.
MPICH = {"PMI_SIZE": "2", "PMI_RANK": "0", "PMI_FD": "9", "MPI_LOCALRANKID": "0",
         "MPI_LOCALNRANKS": "2"}
INTEL = MPICH | {"I_MPI_HYDRA_UUID": "a13c0000"}
SRUN = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}
SRUN_PMI2 = SRUN | {"PMI_RANK": "0", "PMI_SIZE": "2"}
TORCH = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
         "TORCHELASTIC_RUN_ID": "none"}
# Of an mpirun that has ended: MPI would look for it, and end the program.
MPIRUN = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0",
          "PMIX_NAMESPACE": "1457455105", "PMIX_SERVER_URI41": "1457455104.0;tcp4://127.0.0.1:9",
          "PMIX_SERVER_URI2": "1457455104.0;tcp4://127.0.0.1:9"}


def training(run_dir):
    return train_arguments(run_dir, "--layers", SMALL, "--batch-size", 100, "--max-steps", 1)


def run_in_a_shell(variables, *arguments):
    """That has exported the variables, and is still there."""
    words = " ".join(f"export {name}='{value}';" for name, value in variables.items())
    done = subprocess.run(["bash", "-c", words + ' "$@"; exit $?', "bash", PROGRAM,
                           *map(str, arguments)], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("variables, launcher, remedy", [
    (MPICH, "mpiexec of MPICH", "mpirun -np 2"), (INTEL, "mpiexec of Intel MPI", "mpirun -np 2"),
    (TORCH, "torchrun", "mpirun -np 2"), (SRUN, "srun", "--mpi=pmix"),
    (SRUN_PMI2, "srun", "CIFAR_LAUNCHER=mpirun")])
def test_one_of_several_is_refused(tmp_path, variables, launcher, remedy):
    run_dir = tmp_path / "run"
    result = run(*training(run_dir), env=variables)
    assert_error(result, USAGE, launcher, "2 processes that know nothing of each other", remedy)
    assert not run_dir.exists()


@pytest.mark.parametrize("verb", ["doctor", "evaluate", "repeat", "report"])
def test_by_every_verb(tmp_path, verb):
    assert_error(run(verb, env=TORCH, cwd=tmp_path), USAGE, "torchrun")


@pytest.mark.parametrize("variables", [MPICH, TORCH, SRUN, SRUN_PMI2, MPIRUN])
def test_variables_that_linger_in_a_shell_stop_nobody(tmp_path, variables):
    run_dir = tmp_path / "run"
    result = run_in_a_shell(variables, *training(run_dir))
    assert result.code == 0, result.err
    assert result.weights
    warnings = [line for line in result.err.splitlines() if "warning: " in line]
    assert len(warnings) == 1 and "it runs alone" in warnings[0], result.err


def test_the_variables_of_an_allocation_are_no_reason():
    result = run("doctor", "--device", "cpu", env={"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"})
    assert result.code == 0, result.err
    assert result.err == ""


def test_mpirun_with_one_rank_may_be_one_of_several():
    """Its daemons are srun's tasks, one a node; but torchrun starts several of it."""
    def doctor(variables):
        done = subprocess.run(["mpirun", "-np", "1", PROGRAM, "doctor", "--device", "cpu"],
                              env=ENVIRONMENT | variables, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
        return Result(done.returncode, done.stdout, done.stderr)

    alone = doctor(SRUN)
    assert alone.code == 0, alone.err
    assert "ready to train" in alone.out
    assert_error(doctor(TORCH), USAGE, "torchrun")


@pytest.mark.skipif(not TORCHRUN.exists(), reason="there is no torchrun here")
def test_the_real_torchrun(tmp_path):
    run_dir = tmp_path / "run"
    done = subprocess.run([TORCHRUN, "--nproc_per_node=2", "--no-python", PROGRAM,
                           *map(str, training(run_dir))], env=ENVIRONMENT,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "torchrun: 2 processes that know nothing of each other" in done.stderr, done.stderr
    assert "exitcode  : 2" in done.stderr, done.stderr
    assert not run_dir.exists()


def test_the_refusal_is_told_once():
    """By rank 0."""
    other = run("doctor", env=TORCH | {"RANK": "1"})
    assert (other.code, other.err) == (USAGE, "")
