"""What the tests of the whole program share: to run it, alone or under mpirun, and to read what it
wrote. The program is the one that CIFAR_DDP names, or build/cifar-ddp."""

import ctypes
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("CIFAR_DDP", ROOT / "build" / "cifar-ddp"))
CIFAR10_DIR = os.environ.get("CIFAR10_DIR")

needs_cifar10 = pytest.mark.skipif(
    not CIFAR10_DIR, reason="CIFAR10_DIR is not set: this test needs the real CIFAR-10")

# A network of 5,500 parameters, for tests of what does not depend on the network; with BIG_BATCH an
# epoch of the 45,000 images is ten steps and half a second.
SMALL = "conv 8 kernel 4 stride 4 padding 0, relu, flatten, linear 10"
BIG_BATCH = ("--batch-size", 4500)

# Everything that has a state or draws random numbers.
RICH = ["--layers", "conv 8 kernel 4 stride 4, batch-norm, relu, dropout 0.3, pool average 2, "
        "flatten, dropout 0.2, linear 10",
        "--flip", "random", "--crop-padding", 4, "--optimizer", "sgd", "--learning-rate", 0.05,
        "--momentum", 0.9, "--nesterov", "--weight-decay", 5e-4,
        "--schedule", "cosine", "--warmup-epochs", 0.5]

# One thread a rank. CIFAR10_DIR is left out so that a test says itself which data it means. The
# rest: more ranks than cores, and a container's root.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "CIFAR10_DIR"} | {
    "OMP_NUM_THREADS": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


@dataclasses.dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self):
        return self.out.splitlines()

    @property
    def weights(self):
        """The hash on the last line."""
        assert self.lines, self.err
        match = re.fullmatch(r"weights ([0-9a-f]{32})", self.lines[-1])
        assert match, self.out + self.err
        return match.group(1)


def command(*arguments, ranks=1):
    """One rank runs without mpirun."""
    launcher = [] if ranks == 1 else ["mpirun", "-np", ranks]
    return [str(word) for word in (*launcher, PROGRAM, *arguments)]


def train_arguments(run_dir, *arguments):
    """Of a training on synthetic images on the CPU; later flags win over earlier ones."""
    return ["train", "--data", "synthetic", "--device", "cpu", "--threads", 1,
            "--run-dir", run_dir, *arguments]


def run(*arguments, ranks=1, env=None, **options):
    done = subprocess.run(command(*arguments, ranks=ranks), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120,
                          env=ENVIRONMENT | (env or {}), **options)
    return Result(done.returncode, done.stdout, done.stderr)


def train(run_dir, *arguments, ranks=1, code=0, **options):
    """A training that must end with `code`."""
    result = run(*train_arguments(run_dir, *arguments), ranks=ranks, **options)
    assert result.code == code, result.out + result.err
    return result


def resume(run_dir, *arguments, ranks=1, where="auto"):
    """No setting of the recipe is repeated."""
    result = run("--run-dir", run_dir, "--resume", where, "--device", "cpu", "--threads", 1,
                 *arguments, ranks=ranks)
    assert result.code == 0, result.err
    return result


def start(*arguments, ranks=1, **options):
    """A job that goes on beside the test."""
    # A shell that starts the tests in the background has Ctrl-C ignored.
    return subprocess.Popen(command(*arguments, ranks=ranks), stdin=subprocess.DEVNULL, text=True,
                            preexec_fn=heed_interrupts,
                            **{"env": ENVIRONMENT, "stdout": subprocess.PIPE,
                               "stderr": subprocess.PIPE} | options)


def heed_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def heed_permissions():
    """For preexec_fn: root heeds the permissions of files, without the capabilities that pass them by."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; others may not, nor need it


def wait_for_file(path, process):
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def assert_error(result, code, *parts):
    """The job ended with `code` and with one error line, which says what `parts` say."""
    lines = [line for line in result.err.splitlines() if "cifar-ddp: error: " in line]
    assert len(lines) == 1, result.err
    assert lines[0].startswith("cifar-ddp: error: ")
    for part in (*parts, "; expected "):
        assert str(part) in lines[0]
    assert result.code == code, result.err


def metrics(run_dir):
    """The objects of metrics.jsonl."""
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def untimed(run_dir):
    """metrics.jsonl without what the clock says."""
    return [{key: value for key, value in line.items()
             if not key.startswith("seconds") and key != "images_per_second"}
            for line in metrics(run_dir)]


def checkpoint_path(run_dir, step):
    return run_dir / "checkpoints" / f"step-{step:08}.pt"


def checkpoint_steps(run_dir):
    """The steps whose checkpoints are in the run directory; nothing else may be there."""
    names = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert all(re.fullmatch(r"step-\d{8}\.pt", name) for name in names), names
    return [int(name[5:13]) for name in names]


def load(run_dir, step):
    """A checkpoint, as anybody reads it in Python."""
    return torch.load(checkpoint_path(run_dir, step), weights_only=True)
