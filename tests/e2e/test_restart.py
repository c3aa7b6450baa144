"""launch/local --restarts: after which ends it starts again, how, and that the training then has the
bits of one that nobody disturbed. First with a script in the program's place, then the program."""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from cifar_ddp import (ENVIRONMENT, PROGRAM, RICH, checkpoint_path, checkpoint_steps, train,
                       train_arguments)
from launch_copy import copy_launch, write_script

# Start number K (from 0) ends on each rank as word K of the file plan says: an exit code, or the
# name of a signal for rank 1; a word "5+6" first makes a checkpoint of step 5.
FAKE = """
    echo "$CIFAR_RESTART_COUNT $OMPI_COMM_WORLD_SIZE $*" >> starts-$OMPI_COMM_WORLD_RANK
    echo $$ >> pids
    read -ra plan < plan
    end=${plan[$CIFAR_RESTART_COUNT]}
    folder=$(sed 's/.*--run-dir \\([^ ]*\\).*/\\1/' <<< "$*")/checkpoints
    if [[ $end == *+* ]]; then
      mkdir -p "$folder"
      : > "$folder/step-0000000${end%+*}.pt"
      end=${end#*+}
    fi
    [[ $end != hang ]] || sleep 60 || true
    [[ $end != [0-9]* ]] || exit "$end"
    ((OMPI_COMM_WORLD_RANK != 1)) || kill -"$end" $$
    sleep 60
    """


class Job:
    """A launch/local in a folder of its own, with the script or the program."""

    def __init__(self, folder, program=None):
        self.folder = folder
        self.tree = copy_launch(folder)
        (self.tree / "build").mkdir()
        if program:
            (self.tree / "build" / "cifar-ddp").symlink_to(program)
        else:
            write_script(self.tree / "build" / "cifar-ddp", FAKE)

    def plan(self, *words):
        (self.folder / "plan").write_text(" ".join(words) + "\n")

    def start(self, *arguments):
        return subprocess.Popen(
            [str(word) for word in (self.tree / "launch" / "local", *arguments)], cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=ENVIRONMENT)

    def run(self, *arguments):
        """Exit code, output, and the lines of launch/local without its name."""
        with self.start(*arguments) as process:
            output, messages = process.communicate(timeout=100)
        return process.returncode, output, self.told(messages)

    @staticmethod
    def told(messages):
        return [line.removeprefix("launch/local: ") for line in messages.splitlines()
                if line.startswith("launch/local: ")]

    def starts(self, rank=0):
        """What each start saw: its number, its ranks, its arguments."""
        path = self.folder / f"starts-{rank}"
        return [line.split(" ", 2) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path)


# --- after what


@pytest.mark.parametrize("end, why", [
    ("6", "code 6, a rank was lost or late"),
    ("75", "code 75, stopped by another's signal"),
    ("KILL", "rank 1 was killed by signal 9 (KILL)"),
    ("SEGV", "rank 1 was killed by signal 11 (SEGV)"),
])
def test_it_starts_again(job, end, why):
    job.plan(end, "0")
    code, _, told = job.run("-n", 2, "--restarts", 3, "--seed", 1)
    assert code == 0
    assert [(count, ranks) for count, ranks, _ in job.starts()] == [("0", "2"), ("1", "2")]
    told[0] = told[0].replace("a rank was killed", "rank 1 was killed")  # mpirun does not always say which
    assert told == [why, "restart 1 of 3 in 1 s, ranks: 2, from the beginning: no checkpoint yet"]


@pytest.mark.parametrize("code, why", [
    (1, "not known to be mended by a restart"), (2, "arguments or configuration"),
    (3, "the data set"), (4, "a file of the run cannot be read or written"), (5, "diverged"),
    (7, "replicas differ")])
def test_it_does_not_after_what_a_restart_cannot_mend(job, code, why):
    job.plan(str(code), "0")
    ended, _, told = job.run("-n", 1, "--restarts", 3)
    assert ended == code
    assert len(job.starts()) == 1
    assert len(told) == 1
    assert f"code {code}" in told[0] and why in told[0]


@pytest.mark.parametrize("end, code", [("6", 6), ("KILL", 6), ("75", 75)])
def test_it_gives_up_in_the_end(job, end, code):
    job.plan(end, end, "0")
    ended, _, told = job.run("-n", 2, "--restarts", 1)
    assert ended == code
    assert len(job.starts()) == 2
    assert told[-1] == "all 1 restarts are used up"


def test_it_starts_again_when_mpirun_is_killed(job):
    """And nobody is left, not even a stopped rank."""
    job.plan("hang", "0")
    with job.start("-n", 2, "--restarts", 1) as process:
        pids = wait_for_lines(job.folder / "pids", 2)
        os.kill(int(pids[0]), signal.SIGSTOP)
        os.kill(parent_of(pids[0]), signal.SIGKILL)
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 0
    assert Job.told(messages)[0] == "mpirun was killed by signal 9 (KILL)"
    assert not any(alive(pid) for pid in pids)


def parent_of(pid):
    return int(re.search(r"^PPid:\s(\d+)", pathlib.Path("/proc", pid, "status").read_text(),
                         re.MULTILINE).group(1))


def alive(pid):
    """A zombie that nobody fetched yet is not."""
    try:
        return "\nState:\tZ" not in pathlib.Path("/proc", pid, "status").read_text()
    except OSError:
        return False


def wait_for_lines(path, count):
    while not path.exists() or len(path.read_text().split()) < count:
        time.sleep(0.01)
    return path.read_text().split()


# --- the user's own signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_back_off_is_no_restart(job, number):
    job.plan("6", "6", "6", "0")
    with job.start("-n", 1, "--restarts", 9) as process:
        for line in process.stderr:
            if "restart 2 of 9 in 2 s" in line:
                break
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == 75
    assert len(job.starts()) == 2


def test_a_stopped_start_is_no_restart(tmp_path):
    job = Job(tmp_path, PROGRAM)
    arguments = train_arguments(tmp_path / "run", *RICH, "--epochs", 30, "--checkpoint-every", 20)
    with job.start("-n", 2, "--restarts", 9, *arguments) as process:
        while not checkpoint_path(tmp_path / "run", 20).exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        output, messages = process.communicate(timeout=60)
    assert process.returncode == 75, messages
    assert re.search(r"^stopped at step \d+; go on with", output, re.MULTILINE)


# --- how


def test_the_back_off_doubles_until_there_is_progress(job):
    job.plan("6", "6", "5+6", "6", "6+6", "0")
    code, _, told = job.run("-n", 1, "--restarts", 9, "--run-dir", "run")
    assert code == 0
    steps = [re.search(r"in (\d+) s, ranks: 1, from (\S+)", line).groups() for line in told
             if line.startswith("restart")]
    five, six = (f"run/checkpoints/step-0000000{step}.pt" for step in (5, 6))
    assert steps == [("1", "the"), ("2", "the"), ("1", five), ("2", five), ("1", six)]


def test_it_shrinks_when_a_rank_was_lost(job):
    job.plan("KILL", "75", "6", "6", "0")
    code, _, _ = job.run("-n", 3, "--restarts", 9, "--shrink")
    assert code == 0
    assert [ranks for _, ranks, _ in job.starts()] == ["3", "2", "2", "1", "1"]


def test_it_chooses_a_run_directory(job):
    job.plan("6", "0")
    code, _, _ = job.run("-n", 1, "--restarts", 1, "train", "--config", "configs/mine.toml")
    assert code == 0
    first, second = [arguments for _, _, arguments in job.starts()]
    assert first == second
    assert re.fullmatch(r"train --config configs/mine.toml "
                        r"--run-dir runs/mine-\d{8}-\d{6} --resume auto", first)


def test_it_heeds_the_resume_of_the_arguments_until_the_run_has_a_checkpoint(job):
    job.plan("6", "5+6", "0")
    code, _, _ = job.run("-n", 1, "--restarts", 2, "--run-dir=run", "--resume", "old.pt")
    assert code == 0
    own = "--run-dir=run --resume old.pt --run-dir run"
    assert [arguments for _, _, arguments in job.starts()] == [own, own, own + " --resume auto"]


@pytest.mark.parametrize("arguments, message", [
    (["--restarts", "0"], "--restarts: found '0'"),
    (["--restarts"], "--restarts: found ''"),
    (["--shrink"], "--shrink: found no --restarts"),
    (["--restarts", "1", "evaluate"], "--restarts: found verb 'evaluate'; expected train"),
    (["--restarts", "1", "--resume", "old.pt"], "--restarts: found --resume alone"),
])
def test_it_rejects(job, arguments, message):
    job.plan("0")
    code, _, told = job.run("-n", 1, *arguments)
    assert code == 2
    assert told[0].startswith(f"error: {message}")
    assert not job.starts()


# --- the program

ORDERED = [*RICH, "--reduction", "ordered", "--shards", 4, "--max-steps", 30, "--checkpoint-every", 5]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return train(tmp_path_factory.mktemp("undisturbed") / "run", *ORDERED).weights


@pytest.mark.parametrize("fault, resumes", [
    ("kill@2:1", []),  # config.toml is there and no checkpoint
    ("kill@23:0", ["resumed at step 20"]),
    ("kill@30:2", ["resumed at step 25"]),
])
def test_a_lost_rank_costs_no_bit(tmp_path, undisturbed, fault, resumes):
    """On one rank fewer, too."""
    arguments = train_arguments(tmp_path / "run", *ORDERED, "--fault", fault)
    code, output, told = Job(tmp_path, PROGRAM).run("-n", 3, "--restarts", 3, "--shrink", *arguments)
    assert code == 0, told
    lines = output.splitlines()
    assert [line for line in lines if line.startswith("resumed")] == resumes
    assert [line for line in lines if " ranks (mpi) " in line][1].startswith("2 ranks")
    assert lines[-1] == f"weights {undisturbed}"
    assert checkpoint_steps(tmp_path / "run") == [20, 25, 30]


def test_a_stopped_rank_is_late_and_costs_no_bit(tmp_path, undisturbed):
    arguments = train_arguments(tmp_path / "run", *ORDERED, "--fault", "stop@12:1", "--timeout", 3)
    code, output, told = Job(tmp_path, PROGRAM).run("-n", 2, "--restarts", 1, *arguments)
    assert code == 0, told
    assert told[0] == "code 6, a rank was lost or late"
    assert output.splitlines()[-1] == f"weights {undisturbed}"


def test_a_nan_is_not_mended(tmp_path):
    arguments = train_arguments(tmp_path / "run", *ORDERED, "--fault", "nan@7:1")
    code, _, told = Job(tmp_path, PROGRAM).run("-n", 2, "--restarts", 3, *arguments)
    assert code == 5
    assert len(told) == 1
