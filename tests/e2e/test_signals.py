"""Asked to stop, a training finishes the step, writes a checkpoint and exits with 75; resumed, it
has the bits of a run that nobody stopped."""

import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from cifar_ddp import (ENVIRONMENT, RICH, checkpoint_path, checkpoint_steps, command, load, resume,
                       start, train, train_arguments, untimed, wait_for_file)

STOPPED = 75
FLAGS = [*RICH, "--epochs", 30]  # minutes of short steps

# A step of some seconds that needs little memory.
SLOW = ["--layers", "conv 32 stride 4, conv 256 kernel 7, conv 256 kernel 7, pool average all, "
        "flatten, linear 10", "--batch-size", 200]


def finish(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("ranks, number", [
    (1, signal.SIGINT), (1, signal.SIGTERM), (1, signal.SIGUSR1), (1, signal.SIGHUP),
    (2, signal.SIGUSR1)])
def test_stop_and_go_on(tmp_path, ranks, number):
    run_dir = tmp_path / "run"
    with start(*train_arguments(run_dir, *FLAGS, "--checkpoint-every", 20), ranks=ranks) as process:
        wait_for_file(checkpoint_path(run_dir, 40), process)
        process.send_signal(number)
        code, out, err = finish(process)
    assert code == STOPPED, err
    step, where = re.search(r"stopped at step (\d+); go on with --run-dir (.+) --resume auto",
                            out).groups()
    step = int(step)
    assert where == str(run_dir)
    assert out.splitlines()[-1].startswith("weights ")
    assert checkpoint_steps(run_dir)[-1] == step
    assert load(run_dir, step)["position"]["step"] == step

    further = ["--max-steps", step + 10]
    whole = train(tmp_path / "whole", *FLAGS, *further, ranks=ranks)
    again = resume(run_dir, *further, ranks=ranks)
    assert f"resumed at step {step}" in again.lines
    assert again.weights == whole.weights
    assert untimed(run_dir) == untimed(tmp_path / "whole")


def wait_for_training(process):
    for line in process.stdout:
        if line.startswith("run directory "):
            break
    time.sleep(0.5)  # the first step begins


def test_the_second_ctrl_c_ends_at_once(tmp_path):
    with start(*train_arguments(tmp_path / "run", *SLOW)) as process:
        wait_for_training(process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)  # else the two would be one
        process.send_signal(signal.SIGINT)
        code, out, err = finish(process)
    assert code == 128 + signal.SIGINT, err
    assert "weights" not in out
    assert checkpoint_steps(tmp_path / "run") == []


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_second_notice_of_a_launcher_does_not(tmp_path, number):
    """It may come twice, from mpirun or srun and from the batch system."""
    with start(*train_arguments(tmp_path / "run", *SLOW)) as process:
        wait_for_training(process)
        process.send_signal(number)
        time.sleep(0.2)
        process.send_signal(number)
        code, _, err = finish(process)
    assert code == STOPPED, err
    assert len(checkpoint_steps(tmp_path / "run")) == 1


def test_nohup_outlives_its_terminal(tmp_path):
    run_dir = tmp_path / "run"
    with subprocess.Popen(["nohup", *command(*train_arguments(run_dir, *FLAGS, "--max-steps", 60,
                                                              "--checkpoint-every", 20))],
                          env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        wait_for_file(checkpoint_path(run_dir, 20), process)
        process.send_signal(signal.SIGHUP)
        code, out, err = finish(process)
    assert code == 0, err
    assert checkpoint_steps(run_dir)[-1] == 60


def test_a_closed_terminal_stops_with_a_checkpoint(tmp_path):
    """The program is the terminal's first process, as after `exec`: writing to it fails from then on."""
    run_dir = tmp_path / "run"
    process, terminal = pty.fork()
    if process == 0:
        words = command(*train_arguments(run_dir, *FLAGS, "--checkpoint-every", 20))
        os.execve(words[0], words, ENVIRONMENT)
    until = time.monotonic() + 100
    while not checkpoint_path(run_dir, 20).exists():
        assert time.monotonic() < until
        if select.select([terminal], [], [], 0.01)[0]:
            os.read(terminal, 10000)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == STOPPED
    step = checkpoint_steps(run_dir)[-1]
    assert load(run_dir, step)["position"]["step"] == step


@pytest.mark.parametrize("ranks, seconds", [(1, 0), (1, 0.1), (1, 0.3), (2, 0.1), (2, 0.5)])
def test_ctrl_c_during_start_up_ends_the_program(tmp_path, ranks, seconds):
    with start(*train_arguments(tmp_path / "run", *SLOW), ranks=ranks) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        code, _, _ = finish(process)
    # Before the program took the signals over, the system ended it; a fast machine trains already.
    assert code in (128 + signal.SIGINT, -signal.SIGINT, STOPPED) if ranks == 1 else code != 0
