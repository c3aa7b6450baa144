"""A rank that dies, stops or is cut off: the job says which, at which step and operation, ends with 6
within the deadline and ten seconds, and leaves no process behind."""

import os
import re
import signal
import time

import pytest

from cifar_ddp import PROGRAM, SMALL, Result, assert_error, start, train_arguments
from hosts import Hosts
from processes import SLACK, assert_gone, job_of, rank_process, read

PEER_LOST = 6
DEADLINE = 3  # seconds
MARGIN = 10  # what the program promises to need on top

ARGUMENTS = ["--layers", SMALL, "--batch-size", 50, "--epochs", 100, "--keep", 1,
             "--checkpoint-every", 20, "--timeout", DEADLINE]


def arguments(run_dir):
    return train_arguments(run_dir, *ARGUMENTS)


def finish(process):
    out, err = process.communicate(timeout=DEADLINE + MARGIN + SLACK)
    return Result(process.returncode, out, err)


def assert_lost(result, rank, ranks, host=".+"):
    assert_error(result, PEER_LOST)
    assert re.search(
        rf"error: (all-reduce|exchange|broadcast|barrier) of step \d+: rank {rank} \(host {host}\) "
        rf"did not arrive within {DEADLINE} s; expected all {ranks} ranks \(--timeout\)",
        result.err), result.err


def in_the_middle(run_dir, process):
    """Waits for any checkpoint: only the newest is kept."""
    while not list(run_dir.glob("checkpoints/*.pt")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_stopped_rank_is_named(tmp_path, rank):
    run_dir = tmp_path / "run"
    with start(*arguments(run_dir), ranks=3) as process:
        in_the_middle(run_dir, process)
        os.kill(rank_process(process, rank), signal.SIGSTOP)
        result = finish(process)
    assert_lost(result, rank, ranks=3)
    assert_gone(job_of(run_dir))


def test_a_killed_rank_ends_the_job(tmp_path):
    """mpirun sees it at once, ends the others, and says itself which rank it was; its exit code is
    128 + 9. The others have not waited for their deadline and say nothing."""
    run_dir = tmp_path / "run"
    with start(*arguments(run_dir), ranks=3) as process:
        in_the_middle(run_dir, process)
        os.kill(rank_process(process, 1), signal.SIGKILL)
        result = finish(process)
    assert result.code == 128 + signal.SIGKILL, result.err
    assert re.search(r"process rank 1 .* exited on signal 9", result.err), result.err
    assert "cifar-ddp: error: " not in result.err
    assert_gone(job_of(run_dir))


# --- Two hosts


def start_on(hosts, run_dir):
    """One rank on each host."""
    pair = ",".join(f"{hosts.address(name)}:1" for name in hosts.NAMES)
    return hosts.start("mpirun", "-np", 2, "--host", pair, PROGRAM, *arguments(run_dir))


@pytest.fixture
def hosts(tmp_path):
    made = Hosts()
    try:
        made.make()
        made.reach_without_ssh(tmp_path)
        yield made
    finally:
        made.remove()


@pytest.mark.parametrize("networks", [["data"], ["data", "control"]])
def test_a_host_that_is_cut_off_is_named(tmp_path, hosts, networks):
    """With its control network up, mpirun ends both ranks. Without, neither it nor its daemon on the
    other host hears of the other's end: see src/comm/launcher.h."""
    run_dir = tmp_path / "run"
    with start_on(hosts, run_dir) as process:
        in_the_middle(run_dir, process)
        hosts.cut(*networks)
        result = finish(process)
    assert_lost(result, rank=1, ranks=2, host="node-b")
    assert_gone(hosts.processes)


def test_a_host_that_is_cut_off_at_the_start(tmp_path, hosts):
    """In MPI's own start, which does not say whom it waits for."""
    run_dir = tmp_path / "run"
    with start_on(hosts, run_dir) as process:
        while sum(b"OMPI_COMM_WORLD_RANK=" in read(pid, "environ") for pid in job_of(run_dir)()) < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        hosts.cut("data", "control")
        result = finish(process)
    assert_error(result, PEER_LOST, f"within {DEADLINE} s", "ranks (--timeout)")
    assert_gone(hosts.processes)
