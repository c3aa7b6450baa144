"""The deadline holds from the first moment to the last: a rank that is stopped before MPI knows it, or
when all is done, ends the job with 6 as one in the middle does. tests/e2e/test_lost_peer.py has those."""

import os
import re
import signal
import time

import pytest

from cifar_ddp import BIG_BATCH, SMALL, Result, assert_error, start, train_arguments
from processes import assert_gone, job_of, rank_process

PEER_LOST = 6
DEADLINE = 6  # seconds
MARGIN = 10  # what the program promises to need on top
SLACK = 30  # for a machine that does other things as well


def arguments(run_dir):
    return train_arguments(run_dir, "--layers", SMALL, *BIG_BATCH, "--epochs", 1,
                           "--timeout", DEADLINE)


def finish(process):
    out, err = process.communicate(timeout=DEADLINE + MARGIN + SLACK)
    return Result(process.returncode, out, err)


def wait_for_birth(process, rank):
    while not (pid := rank_process(process, rank)):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    return pid


def assert_ended(result, run_dir, *parts):
    assert_error(result, PEER_LOST, f"within {DEADLINE} s", "ranks (--timeout)", *parts)
    assert_gone(job_of(run_dir))


@pytest.mark.parametrize("rank, seconds", [(0, 0), (1, 0.1), (0, 0.3), (1, 0.6)])
def test_a_rank_that_is_stopped_at_its_start(tmp_path, rank, seconds):
    """Before MPI begins, in it, or in the first collectives, as the machine is fast."""
    run_dir = tmp_path / "run"
    with start(*arguments(run_dir), ranks=2) as process:
        pid = wait_for_birth(process, rank)
        time.sleep(seconds)
        os.kill(pid, signal.SIGSTOP)
        result = finish(process)
    assert_ended(result, run_dir, f"rank {rank} ")
    if seconds == 0:
        assert re.search(rf"start of MPI: rank {rank} \(process {pid} is stopped\) did not arrive",
                         result.err), result.err


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_stopped_when_the_report_is_written(tmp_path, rank):
    run_dir = tmp_path / "run"
    with start(*arguments(run_dir), ranks=2) as process:
        pid = wait_for_birth(process, rank)
        while not (run_dir / "report.html").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.001)
        os.kill(pid, signal.SIGSTOP)
        result = finish(process)
    assert_ended(result, run_dir, f"rank {rank} ")


@pytest.mark.parametrize("rank, seconds", [(0, 0), (1, 0), (1, 0.05)])
def test_a_rank_that_is_stopped_after_the_last_line(tmp_path, rank, seconds):
    """It may just have made it to its end; tests/unit/base_exit_guard_test.cpp has the last moments."""
    run_dir = tmp_path / "run"
    with start(*arguments(run_dir), ranks=2) as process:
        pid = wait_for_birth(process, rank)
        while not process.stdout.readline().startswith("weights "):
            assert process.poll() is None, process.stderr.read()
        time.sleep(seconds)
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            pass
        result = finish(process)
    if result.code == 0:
        assert not result.err
        assert_gone(job_of(run_dir))
    else:
        assert_ended(result, run_dir)


def test_the_deadline_may_be_the_recipes(tmp_path):
    run_dir, recipe = tmp_path / "run", tmp_path / "recipe.toml"
    recipe.write_text(f"run.timeout = {DEADLINE}\n")
    words = arguments(run_dir)
    with start(*words[:words.index("--timeout")], "--config", recipe, ranks=2) as process:
        os.kill(wait_for_birth(process, 1), signal.SIGSTOP)
        result = finish(process)
    assert_ended(result, run_dir, "rank 1 ")


def test_an_error_of_the_command_line_is_told_once():
    with start("train", "--no-such-flag", ranks=2) as process:
        assert_error(finish(process), 2, "--no-such-flag")
