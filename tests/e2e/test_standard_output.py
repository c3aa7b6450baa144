"""Standard output that fails: an error at the end, with all work done; a closed pipe is none."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import threading

import pytest
import torch

from cifar_ddp import (BIG_BATCH, ENVIRONMENT, SMALL, checkpoint_path, checkpoint_steps, command,
                       load, metrics, run, start, train, train_arguments, wait_for_file)
from failing import ALWAYS, failing, rule

FAILURE = 1
FLAGS = ["--layers", SMALL, *BIG_BATCH, "--epochs", 2]  # checkpoints of steps 10 and 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    return run_dir, train(run_dir, *FLAGS).weights


VERBS = {
    "version": lambda run_dir: ["--version"],
    "help": lambda run_dir: ["--help"],
    "doctor": lambda run_dir: ["doctor", "--device", "cpu"],
    "inspect": lambda run_dir: ["inspect"],
    "inspect-json": lambda run_dir: ["inspect", "--checkpoint", run_dir, "--json"],
    "evaluate": lambda run_dir: ["evaluate", "--checkpoint", run_dir, "--json", "--device", "cpu"],
    "report": lambda run_dir: ["report", run_dir, "--output", run_dir.parent / "page.html"],
}
each_verb = pytest.mark.parametrize("verb", VERBS)


def write_to(output, arguments, **options):
    """Runs with standard output there: the exit code and what it says on standard error."""
    done = subprocess.run(command(*arguments), stdin=subprocess.DEVNULL, stdout=output,
                          stderr=subprocess.PIPE, text=True, timeout=120,
                          **{"env": ENVIRONMENT} | options)
    return done.returncode, done.stderr


def assert_told(errors, reason="No space left on device"):
    line, = errors.splitlines()
    assert line.startswith(f"cifar-ddp: error: standard output: {reason}; expected room"), errors


def assert_whole(run_dir, whole):
    assert checkpoint_steps(run_dir) == [10, 20]
    weights, expected = load(run_dir, 20)["model"], load(whole[0], 20)["model"]
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    assert len(metrics(run_dir)) == 3
    assert (run_dir / "report.html").exists()


# --- a disk that is full


@each_verb
def test_a_failed_write_is_an_error(whole, verb):
    with open("/dev/full", "w") as full:
        code, errors = write_to(full, VERBS[verb](whole[0]))
    assert_told(errors)
    assert code == FAILURE


def test_a_training_goes_on_to_its_end(tmp_path, whole):
    with open("/dev/full", "w") as full:
        code, errors = write_to(full, train_arguments(tmp_path / "run", *FLAGS))
    assert_told(errors)
    assert code == FAILURE
    assert_whole(tmp_path / "run", whole)


def test_lines_come_when_there_is_room_again(tmp_path, whole):
    env = ENVIRONMENT | failing(rule("write", errno.ENOSPC, "*/log.txt", first=3, last=5))
    with open(tmp_path / "log.txt", "w") as log:
        code, errors = write_to(log, train_arguments(tmp_path / "run", *FLAGS), env=env)
    assert (code, errors) == (0, "")
    untimed = [re.sub(r"\d+ images/s.*", "", line) for line in
               (tmp_path / "log.txt").read_text().replace(str(tmp_path / "run"), "DIR").splitlines()]
    assert untimed[-1] == f"weights {whole[1]}"
    assert [line.split()[0] for line in untimed] == [
        "SYNTHETIC", "recipe", "1", "run", "epoch", "checkpoint", "epoch", "test", "checkpoint", "weights"]


def test_short_and_broken_off_writes(tmp_path):
    rules = (rule("write", "short", "*/log.txt", last=9),
             rule("write", errno.EINTR, "*/log.txt", first=10, last=12))
    with open(tmp_path / "log.txt", "w") as log:
        assert write_to(log, ["--help"], env=ENVIRONMENT | failing(*rules)) == (0, "")
    assert (tmp_path / "log.txt").read_text() == run("--help").out


def test_a_stop_keeps_its_code(tmp_path):
    env = ENVIRONMENT | failing(rule("write", errno.ENOSPC, "*/log.txt", first=4, last=ALWAYS))
    with open(tmp_path / "log.txt", "w") as log:
        process = start(*train_arguments(tmp_path / "run", "--layers", SMALL, "--checkpoint-every", 1),
                        stdout=log, env=env)
        wait_for_file(checkpoint_path(tmp_path / "run", 2), process)
        process.send_signal(signal.SIGUSR1)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert "cifar-ddp: warning: standard output: No space left on device" in errors


# --- a reader that is gone


@each_verb
def test_a_closed_pipe_is_quiet(whole, verb):
    reading, writing = os.pipe()
    os.close(reading)
    assert write_to(writing, VERBS[verb](whole[0])) == (0, "")
    os.close(writing)


def test_a_closed_pipe_does_not_end_a_training(tmp_path, whole):
    process = start(*train_arguments(tmp_path / "run", *FLAGS))
    assert process.stdout.readline().startswith("SYNTHETIC")
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert_whole(tmp_path / "run", whole)


def test_a_terminal_that_is_gone_does_not_end_a_training(tmp_path, whole):
    main, terminal = os.openpty()
    process = start(*train_arguments(tmp_path / "run", *FLAGS), stdout=terminal,
                    start_new_session=True)
    os.close(terminal)
    assert os.read(main, 1)
    os.close(main)
    _, errors = process.communicate(timeout=60)
    assert_told(errors, "Input/output error")
    assert process.returncode == FAILURE
    assert_whole(tmp_path / "run", whole)


def test_a_pipe_that_asks_not_to_wait(tmp_path):
    """Its owner has set so for itself, as Node.js and ssh do; both ends of a description share it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    fcntl.fcntl(writing, 1031, 4096)  # F_SETPIPE_SZ
    texts = []

    def read():
        with open(reading) as pipe:
            texts.append(pipe.read())

    expected = run("--help").out
    assert len(expected) > 4096
    reader = threading.Thread(target=read)
    process = start("--help", stdout=writing)
    os.close(writing)
    reader.start()
    assert process.wait(timeout=60) == 0
    reader.join()
    assert texts == [expected]


# --- no standard output at all


def test_without_standard_streams_no_file_gets_their_place(tmp_path, whole):
    words = command(*train_arguments(tmp_path / "run", *FLAGS))
    done = subprocess.run(["bash", "-c", '"$@" <&- >&- 2>&-', "bash", *words], env=ENVIRONMENT,
                          timeout=120)
    assert done.returncode == 0
    assert_whole(tmp_path / "run", whole)
