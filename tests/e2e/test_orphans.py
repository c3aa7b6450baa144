"""Nobody is left behind: when a terminal closes, a message cannot be written, or a part of a job is
killed, the ranks stop with a checkpoint and nothing of the job stays: no process, no folder, no
shared memory."""

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import subprocess
import termios
import time

import pytest

from cifar_ddp import (ENVIRONMENT, PROGRAM, SMALL, checkpoint_steps, command, heed_interrupts,
                       train_arguments, wait_for_file)
from launch_copy import copy_launch, write_script
from processes import SLACK, assert_gone, children, job_of, rank_process, shared_memory

STOPPED, PEER_LOST = 75, 6
WITHIN = 10 + SLACK  # seconds: what is promised, on a machine that does other things as well
STEPS_OF_AN_EPOCH = 4500  # no epoch ends, so a checkpoint that is there was asked for
TRAINING = ["--layers", SMALL, "--batch-size", 45000 // STEPS_OF_AN_EPOCH, "--epochs", 1000,
            "--timeout", 60]


class Job:
    """A training on two ranks under launch/local, launch/sweep or mpirun; every path that it is
    given lies in one folder, so that its processes can be told."""

    def __init__(self, folder):
        self.folder, self.run_dir = folder, folder / "run"
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self.tree = copy_launch(folder)
        (self.tree / "build").mkdir()
        (self.tree / "build" / "cifar-ddp").symlink_to(PROGRAM)
        self.process = None

    def start(self, *words, **options):
        self.process = subprocess.Popen(
            [str(word) for word in words], **{
                "cwd": self.tree, "env": ENVIRONMENT | {"TMPDIR": str(self.temporary)},
                "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                "stderr": subprocess.PIPE, "preexec_fn": heed_interrupts,
                "start_new_session": True} | options)
        return self

    def local_words(self, *options):
        return [self.tree / "launch" / "local", "-n", 2, *options, "--",
                *train_arguments(self.run_dir, *TRAINING)]

    def local(self, *options, **popen_options):
        return self.start(*self.local_words(*options), **popen_options)

    def trains(self):
        """Waits until it does; then its mpirun, its ranks and their shared memory are known."""
        wait_for_file(self.run_dir / "run.json", self.process)
        self.memory = set()
        while len(self.memory) != 2:
            assert self.process.poll() is None
            time.sleep(0.05)
            for self.mpirun in job_of(self.folder)():
                self.ranks = children(self.mpirun, "cifar-ddp")
                if len(self.ranks) == 2:
                    self.memory = set().union(*map(shared_memory, self.ranks))
                    break
        time.sleep(1)  # the first steps
        return self

    def signal(self, number, *pids):
        for pid in pids or [self.process.pid]:
            os.kill(pid, number)

    def ends(self, code):
        self.process.wait(WITHIN)
        assert self.process.returncode == code

    def leaves(self, checkpoint):
        """No process, no file that is temporary; and a checkpoint or none."""
        assert_gone(job_of(self.folder), WITHIN)
        assert list(self.temporary.iterdir()) == []
        assert not any(path.exists() for path in self.memory)
        steps = checkpoint_steps(self.run_dir)
        assert len(steps) == checkpoint
        assert all(step % STEPS_OF_AN_EPOCH for step in steps)

    def end(self):
        for pid in job_of(self.folder)():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait()


@pytest.fixture
def jobs(tmp_path):
    """Makes jobs, and ends what the test left of them."""
    made = []

    def make():
        made.append(Job(tmp_path / str(len(made))))
        return made[-1]

    yield make
    for job in made:
        job.end()


@pytest.fixture
def job(jobs):
    return jobs()


# --- a terminal that closes, and messages that nobody can read


def in_a_terminal(job, *words):
    """Starts it as the first process of a terminal; returns what closes the terminal."""
    master, slave = pty.openpty()

    def take_terminal():
        heed_interrupts()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    job.start(*words, stdin=slave, stdout=slave, stderr=slave, preexec_fn=take_terminal)
    os.close(slave)
    return lambda: os.close(master)


@pytest.mark.parametrize("options", [[], ["--restarts", 2]])
def test_a_closed_terminal_stops_with_a_checkpoint(job, options):
    close = in_a_terminal(job, *job.local_words(*options))
    job.trains()
    close()
    job.ends(STOPPED)
    job.leaves(checkpoint=1)


def test_a_closed_terminal_stops_what_is_behind_a_pipe(job):
    words = " ".join(f"'{word}'" for word in job.local_words())
    close = in_a_terminal(job, "bash", "-c", f"{words} 2>&1 | tee '{job.folder}/log'; true")
    job.trains()
    close()
    job.leaves(checkpoint=1)


@pytest.mark.parametrize("options", [[], ["--restarts", 2]])
def test_a_full_disk_does_not_keep_it_from_stopping(job, options):
    with open("/dev/full", "w") as full:
        job.local(*options, stderr=full).trains()
    job.signal(signal.SIGHUP)
    job.ends(STOPPED)
    job.leaves(checkpoint=1)


# --- signals


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2])
def test_it_stops_with_a_checkpoint_on(job, number):
    job.local().trains().signal(number)
    job.ends(STOPPED)
    job.leaves(checkpoint=1)


def test_a_repeated_notice_does_not_end_it_at_once(job):
    """The kernel and a shell both tell of a closed terminal; a batch system repeats its own."""
    job.local().trains()
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR1):
        job.signal(number)
        time.sleep(0.1)
    job.ends(STOPPED)
    job.leaves(checkpoint=1)


def test_it_goes_on_when_nobody_reads_any_more(job):
    job.local().trains().signal(signal.SIGPIPE)
    time.sleep(2)
    assert job.process.poll() is None
    assert children(job.mpirun, "cifar-ddp") == job.ranks
    job.signal(signal.SIGTERM)
    job.ends(STOPPED)
    job.leaves(checkpoint=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_mpirun_is_a_stop(job, number):
    job.local().trains()
    job.signal(number, job.mpirun)
    job.ends(STOPPED)
    job.leaves(checkpoint=1)


# --- kills


def test_a_killed_launch_local_leaves_nothing(job):
    job.local().trains().signal(signal.SIGKILL)
    job.ends(-signal.SIGKILL)
    job.leaves(checkpoint=1)


def test_a_killed_launch_local_leaves_no_hanging_rank(job):
    """A stopped rank answers nothing, and the others wait for it."""
    job.local().trains()
    job.signal(signal.SIGSTOP, job.ranks[1])
    job.signal(signal.SIGKILL)
    job.ends(-signal.SIGKILL)
    job.leaves(checkpoint=0)


def test_ranks_whose_mpirun_is_killed_write_a_checkpoint(job):
    job.local().trains()
    job.signal(signal.SIGKILL, job.mpirun)
    job.ends(PEER_LOST)
    job.leaves(checkpoint=1)


@pytest.mark.parametrize("number, stopped", [(signal.SIGKILL, True), (signal.SIGQUIT, False)])
def test_so_do_those_of_a_plain_mpirun(job, number, stopped):
    """A stopped one is continued for it. The session folder is mpirun's own affair."""
    job.start(*command(*train_arguments(job.run_dir, *TRAINING), ranks=2)).trains()
    if stopped:
        job.signal(signal.SIGSTOP, job.ranks[1])
    job.signal(number, job.mpirun)
    job.ends(-number)
    assert_gone(job_of(job.folder), WITHIN)
    assert not any(path.exists() for path in job.memory)
    assert len(checkpoint_steps(job.run_dir)) == 1


def test_an_impatient_ctrl_c_leaves_no_rank(job):
    """A repeated one ends mpirun before its ranks."""
    job.start(*command(*train_arguments(job.run_dir, *TRAINING), ranks=2)).trains()
    for _ in range(3):
        if job.process.poll() is None:
            job.signal(signal.SIGINT)
        time.sleep(0.1)
    job.process.wait(WITHIN)
    assert_gone(job_of(job.folder), WITHIN)
    assert not any(path.exists() for path in job.memory)


@pytest.mark.parametrize("whole", [False, True])
def test_shared_memory_of_the_killed_is_removed_and_no_others(jobs, whole):
    """Also when launch/local itself is among the killed."""
    healthy, job = jobs(), jobs()
    healthy.local().trains()
    job.local().trains()
    job.signal(signal.SIGKILL, *([job.process.pid] if whole else []), job.mpirun, *job.ranks)
    job.ends(-signal.SIGKILL if whole else PEER_LOST)
    job.leaves(checkpoint=0)
    assert all(path.exists() for path in healthy.memory)
    healthy.signal(signal.SIGTERM)
    healthy.ends(STOPPED)
    healthy.leaves(checkpoint=1)


def test_no_restart_adds_to_the_shared_memory(job):
    job.local("--restarts", 3).trains()
    for _ in range(2):
        before = job.memory
        job.signal(signal.SIGKILL, job.mpirun, *job.ranks)
        assert_gone(lambda: [pid for pid in job.ranks if pid in job_of(job.folder)()])
        job.trains()
        assert not any(path.exists() for path in before)
    job.signal(signal.SIGTERM)
    job.process.wait(WITHIN)
    assert_gone(job_of(job.folder), WITHIN)
    assert list(job.temporary.iterdir()) == []


# --- launch/sweep


@pytest.fixture
def sweep(job):
    """A sweep of one recipe, as words."""
    job.run_dir = job.tree / "runs" / "one" / "small-seed-42"
    (job.tree / "one").mkdir()
    (job.tree / "one" / "small.toml").touch()
    return [job.tree / "launch" / "sweep", "-n", 2, "one", "--data", "synthetic", "--device", "cpu",
            "--threads", 1, *TRAINING]


def test_a_closed_terminal_stops_a_sweep(job, sweep):
    close = in_a_terminal(job, *sweep)
    job.trains()
    close()
    job.ends(STOPPED)
    job.leaves(checkpoint=1)


def test_a_full_disk_does_not_keep_a_sweep_from_stopping(job, sweep):
    with open("/dev/full", "w") as full:
        job.start(*sweep, stderr=full).trains()
    job.signal(signal.SIGUSR1)
    job.ends(STOPPED)
    job.leaves(checkpoint=1)


def test_a_killed_sweep_leaves_nothing(job, sweep):
    job.start(*sweep).trains().signal(signal.SIGKILL)
    job.ends(-signal.SIGKILL)
    job.leaves(checkpoint=1)


# --- launch/slurm.sbatch, with scripts in Slurm's place


@pytest.fixture
def batch(job):
    """Starts the script as Slurm would, with mpirun as its launcher."""
    tools = job.folder / "bin"
    write_script(tools / "mpirun", f'exec {shutil.which("mpirun")} -n 2 "$@"\n')
    write_script(tools / "scontrol", f"""
        [[ $1 != show ]] || echo JobState=RUNNING
        [[ $1 != requeue ]] || echo "$2" >>{job.folder}/requeued
        """)
    variables = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(job.tree), "SLURM_NTASKS": "2",
                 "SLURM_JOB_NODELIST": "here", "CIFAR_LAUNCHER": "mpirun",
                 "CIFAR_RUN_DIR": str(job.run_dir), "TMPDIR": str(job.temporary),
                 "PATH": f"{tools}:{os.environ['PATH']}"}
    return lambda **options: job.start(
        job.tree / "launch" / "slurm.sbatch", "--data", "synthetic", "--device", "cpu",
        "--threads", 1, *TRAINING, env=ENVIRONMENT | variables, **options)


def test_a_full_disk_does_not_keep_a_batch_job_from_stopping(job, batch):
    with open("/dev/full", "w") as full:
        batch(stdout=full, stderr=full).trains()
    job.signal(signal.SIGUSR1)
    job.ends(STOPPED)
    job.leaves(checkpoint=1)
    assert (job.folder / "requeued").read_text() == "7\n"


def test_a_batch_job_removes_what_a_killed_mpirun_leaves(job, batch):
    batch().trains()
    job.signal(signal.SIGKILL, job.mpirun, *job.ranks)
    job.ends(128 + signal.SIGKILL)
    job.leaves(checkpoint=0)
    assert (job.folder / "requeued").read_text() == "7\n"
