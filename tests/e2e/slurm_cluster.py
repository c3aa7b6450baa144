"""What the tests under Slurm share: a cluster of their own, and jobs in a folder of their own."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

from cifar_ddp import ENVIRONMENT, PROGRAM, Result
from launch_copy import ROOT, copy_launch, write_script

SCRIPTS = ROOT / "cluster" / "slurm"
MINUTES = 4  # that a job may take on a busy machine

# In the program's place, the program. The first SLOW_STARTS starts of a training are slow: they do not
# end before what the test does to them.
SLOWED = f"""
    if [[ $1 == train ]] && ((${{SLURM_RESTART_COUNT:-0}} < ${{SLOW_STARTS:-0}})); then
      export CIFAR_RESTART_COUNT=0
      set -- "$@" --fault "$SLOWED_BY"
    fi
    exec {PROGRAM} "$@"
    """


def slowed_by(steps, seconds=0.3):
    return ",".join(f"delay={seconds}@{step}:0" for step in range(1, steps + 1))


def why_not_here():
    """Why no cluster can be started on this machine; empty if one can."""
    if os.geteuid() != 0:
        return "only root can start Slurm's services"
    path = os.environ["PATH"] + ":/usr/sbin"
    missing = [tool for tool in ("munged", "slurmctld", "slurmd") if not shutil.which(tool, path=path)]
    return f"not installed: {', '.join(missing)}" if missing else ""


def free_ports(count):
    """The first of so many free ports in a row, below those that connections get by themselves."""
    for first in range(17000 + os.getpid() % 10000, 32000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as one:
                    one.bind(("", port))
            return first
        except OSError:
            continue
    raise AssertionError("no free ports")


class Cluster:
    def __init__(self):
        self.folder = pathlib.Path(f"/run/cifar-ddp-slurm-test-{os.getpid()}")
        self.port = free_ports(3)
        self.environment = None

    def call(self, script, *arguments):
        done = subprocess.run([SCRIPTS / script, "--dir", self.folder, *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout

    def up(self):
        variables = dict(re.findall(r"(\w+)=(\S+)", self.call("up", "--port", str(self.port))))
        self.environment = ENVIRONMENT | variables

    def down(self):
        self.call("down")

    def logs(self):
        return "".join(f"--- {path}\n{path.read_text()[-3000:]}" for path in
                       sorted(self.folder.glob("log/*")))

    def ask(self, *command):
        done = subprocess.run([str(word) for word in command], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout.strip()

    def kill(self, service):
        os.kill(int((self.folder / "pids" / service).read_text()), signal.SIGKILL)

    def processes(self):
        """Of the services, and of those that look after jobs."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                text = (process / "cmdline").read_bytes()
                files = [os.readlink(file) for file in (process / "fd").iterdir()]
            except OSError:
                continue
            if str(self.folder) in text.decode(errors="replace") or any(
                    name.startswith(f"{self.folder}/") for name in files):
                found.append((process.name, text))
        return found


class Folder:
    """A clone in which only launch/ and the program are."""

    def __init__(self, cluster, folder, program=SLOWED):
        self.cluster = cluster
        self.root = copy_launch(folder)
        write_script(self.root / "build" / "cifar-ddp", program)

    def submit(self, *words, script="slurm.sbatch", **environment):
        """`words`: options of sbatch and, behind a "--", arguments of the script."""
        words = [str(word) for word in words]
        split = words.index("--") if "--" in words else len(words)
        options, arguments = words[:split], words[split + 1:]
        done = subprocess.run(
            ["sbatch", "--parsable", *options, f"launch/{script}", *arguments], cwd=self.root,
            env=self.cluster.environment | {name: str(value) for name, value in environment.items()},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return Job(self, done.stdout.strip())


class Job:
    def __init__(self, folder, name):
        self.folder, self.name, self.cluster = folder, name, folder.cluster
        self.run_dir = folder.root / "runs" / f"slurm-{name}"

    def field(self, field):
        text = self.cluster.ask("scontrol", "show", "job", self.name)
        return re.search(rf"\b{field}=(\S+)", text).group(1)

    def wait(self, *states):
        """Until the job is in one of these states; ends the test when it cannot come there."""
        until = time.monotonic() + 60 * MINUTES
        while (state := self.field("JobState")) not in states:
            ended = {"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "OUT_OF_MEMORY"}
            assert state not in ended and time.monotonic() < until, self.tell(state)
            time.sleep(0.3)
        return state

    def wait_for_checkpoint(self):
        until = time.monotonic() + 60 * MINUTES
        while not list(self.run_dir.glob("checkpoints/*.pt")):
            assert time.monotonic() < until, self.tell("no checkpoint")
            time.sleep(0.1)

    def completed(self):
        self.wait("COMPLETED", "FAILED")
        assert self.field("JobState") == "COMPLETED", self.tell("not completed")
        return self

    def failed(self):
        self.wait("COMPLETED", "FAILED")
        assert self.field("JobState") == "FAILED", self.tell("not failed")
        return self

    @property
    def restarts(self):
        return int(self.field("Restarts"))

    @property
    def story(self):
        """What the script says of all its starts."""
        return (self.folder.root / f"slurm-{self.name}.out").read_text()

    def log(self, restart=0):
        """What the program printed in one start."""
        return (self.folder.root / f"slurm-{self.name}-restart-{restart}.log").read_text()

    @property
    def weights(self):
        return Result(0, self.log(self.restarts).strip(), self.story).weights

    def tell(self, what):
        files = sorted(self.folder.root.glob(f"slurm-{self.name}*"))
        return f"job {self.name}: {what}\n" + "".join(
            f"--- {path.name}\n{path.read_text()[-3000:]}" for path in files)
