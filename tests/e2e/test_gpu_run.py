"""tests/gpu/run on machines with and without a GPU, played by shell scripts."""

import os
import pathlib
import shutil
import subprocess

import pytest

from launch_copy import write_script

RUN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "gpu" / "run"

PROGRAM = """
    case $1 in
      --version) echo "cifar-ddp 0 (LibTorch 2.11.0, CUDA 13.0)" && exit ;;
      doctor) echo ready && exit ;;
    esac
    if [[ $1 == repeat ]]; then
      echo "run 1/1"
      echo "$(basename "$3" .toml): 94.01 % right ($*)"
      echo "results.json" && exit
    fi
    while (($#)); do [[ $1 != --run-dir ]] || folder=$2; shift; done
    mkdir -p "$folder"
    for epoch in 1 2 3; do
      echo '{"epoch":'$epoch',"step":9,"images_per_second":5432'$epoch'.75,"seconds_data":1}'
    done >"$folder/metrics.jsonl"
    echo '{"epoch":20,"step":9,"test_loss":1.5,"test_accuracy":0.7125}' >>"$folder/metrics.jsonl"
    echo weights 0123
    """

TESTS = """
    echo '[ RUN      ] Kernel.Sums'
    echo '[       OK ] Kernel.Sums (12 ms)'
    echo '[  SKIPPED ] Step.Runs/cuda (3 ms)'
    echo '[  PASSED  ] 1 test.'
    echo '[  SKIPPED ] Step.Runs/cuda'
    """

FAILING = """
    echo '[  FAILED  ] Kernel.Sums/cuda, where GetParam() = 1 (12 ms)'
    echo '[  FAILED  ] Kernel.Sums/cuda, where GetParam() = 1'
    exit 1
    """


@pytest.fixture
def machine(tmp_path):
    """A tree with tests/gpu/run and stand-ins; returns a function that starts it."""
    tree = tmp_path / "tree"
    (tree / "tests" / "gpu").mkdir(parents=True)
    shutil.copy(RUN, tree / "tests" / "gpu" / "run")
    write_script(tree / "launch" / "setup", "true")
    shutil.copy(RUN.parents[2] / "launch" / "repeat", tree / "launch" / "repeat")
    write_script(tree / "build" / "cifar-ddp", PROGRAM)
    for program in ("gpu_tests", "unit_tests", "mpi_tests"):
        write_script(tree / "build" / program, TESTS)
    write_script(tmp_path / "bin" / "nvidia-smi", "echo 'NVIDIA H100, 580.0, 81559 MiB'")
    write_script(tmp_path / "bin" / "mpirun", 'shift 2; "$@"')

    def start(*arguments, **environment):
        settings = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", **environment}
        return subprocess.run([tree / "tests" / "gpu" / "run", *arguments], capture_output=True,
                              text=True, env=settings, timeout=60, check=False)

    start.tree = tree
    start.bin = tmp_path / "bin"
    return start


def test_without_a_gpu_it_says_so_and_succeeds(machine):
    write_script(machine.bin / "nvidia-smi", "exit 9")
    done = machine()
    assert done.returncode == 0
    assert "skipped: no GPU here" in done.stdout
    assert not (machine.tree / "build" / "gpu-results.md").exists()


def test_the_table_has_the_card_the_checks_and_the_rates(machine):
    done = machine(CIFAR10_DIR="/data")
    assert done.returncode == 0, done.stderr
    table = (machine.tree / "build" / "gpu-results.md").read_text().splitlines()
    assert "| card, driver, memory | NVIDIA H100, 580.0, 81559 MiB |" in table
    assert table.count("| Kernel.Sums | OK, 12 ms |") == 3
    assert table.count("| Step.Runs/cuda | SKIPPED, 3 ms |") == 3
    assert [line for line in table if "54323" in line] == [
        f"| {precision} | 54323.75 | 54323.75 | yes |" for precision in ("fp32", "tf32", "bf16", "fp16")]
    claims = [line for line in table if "94.01" in line]
    assert [line.split(":")[0] for line in claims] == ["| article", "| article", "| 94", "| 94"]
    assert "--precision fp16 --runs 20" in claims[2]


def test_without_data_nothing_is_claimed(machine, tmp_path):
    done = machine("--output", str(tmp_path / "a" / "b.md"), CIFAR10_DIR="")
    assert done.returncode == 0, done.stderr
    assert "CIFAR10_DIR is not set" in (tmp_path / "a" / "b.md").read_text()


def test_a_failed_check_is_in_the_table_and_in_the_exit_code(machine):
    write_script(machine.tree / "build" / "unit_tests", FAILING)
    done = machine(CIFAR10_DIR="")
    assert done.returncode == 1
    table = (machine.tree / "build" / "gpu-results.md").read_text()
    assert "| Kernel.Sums/cuda | FAILED, 12 ms |" in table
    assert "| fp32 | 54323.75 | 54323.75 | yes |" in table


def test_a_build_without_cuda_is_an_error_beside_a_gpu(machine):
    write_script(machine.tree / "build" / "cifar-ddp", "echo 'cifar-ddp 0 (CPU only: ...)'")
    done = machine()
    assert done.returncode == 1
    assert "expected the CUDA toolkit" in done.stderr
