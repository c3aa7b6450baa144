"""The scripts work from wherever they are started: through a symbolic link, from another folder, from a
clone with a space in its name, without HOME and with CDPATH."""

import os
import pathlib
import pwd
import shutil
import subprocess

import pytest

from launch_copy import ROOT, copy_launch, write_script

SCRIPTS = ["launch/fetch-cifar10", "launch/local", "launch/quickstart", "launch/repeat", "launch/setup",
           "launch/sweep", "tests/run", "tests/gpu/run", ".ci/run", "cluster/slurm/up", "cluster/slurm/down"]
HOME = pwd.getpwuid(os.getuid()).pw_dir


def test_all_scripts_are_here():
    folders = ("launch", "tests", "tests/gpu", ".ci", "cluster/slurm")
    found = {f"{folder}/{path.name}" for folder in folders for path in (ROOT / folder).iterdir()
             if path.is_file() and os.access(path, os.X_OK) and path.suffix != ".sbatch"}
    assert found == set(SCRIPTS)


def copy_scripts(folder):
    """A clone with all scripts, whose program prints its arguments."""
    tree = copy_launch(folder)
    for name in SCRIPTS:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if not (tree / name).exists():
            shutil.copy(ROOT / name, tree / name)
    shutil.copy(ROOT / "cluster/slurm/common.sh", tree / "cluster/slurm/common.sh")
    (tree / "configs").mkdir()
    (tree / "configs/one.toml").write_text("")
    write_script(tree / "build/cifar-ddp", 'echo "program: $*"\n')
    (tree / "build/CMakeCache.txt").write_text("")
    return tree


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "with a space").mkdir()
    return copy_scripts(tmp_path / "with a space")


def link_to(path, folder):
    """A link to a relative link to the script."""
    (folder / "links").mkdir(exist_ok=True)
    (folder / "links" / "first").symlink_to(os.path.relpath(path, folder / "links"))
    (folder / "links" / "second").symlink_to(folder / "links" / "first")
    return folder / "links" / "second"


def folder_link_to(path, folder):
    """Through a link to the script's folder."""
    (folder / "linked").symlink_to(path.parent)
    return folder / "linked" / path.name


def itself(path, folder):
    return path


def relative(path, folder):
    return os.path.relpath(path, folder)


WAYS = [itself, relative, link_to, folder_link_to]


@pytest.fixture
def start(tree, tmp_path):
    """Starts a script in one of WAYS from tmp_path."""
    def start(name, way, *arguments, **environment):
        kept = {key: value for key, value in os.environ.items()
                if key not in ("HOME", "XDG_CACHE_HOME", "CIFAR10_DIR") and not key.startswith("SLURM")}
        done = subprocess.run(
            [way(tree / name, tmp_path), *arguments], cwd=tmp_path, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=50, env=kept | {
                "CDPATH": f"{tree}:/", "PATH": f"{tmp_path}/tools:{os.environ['PATH']}", **environment})
        assert done.returncode == 0, done.stderr
        return done.stdout
    return start


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_help(start, name, way):
    assert start(name, way, "--help").startswith("usage: ")


def test_setup_finds_the_home_that_the_environment_does_not_name(start):
    assert f"\n  {HOME}/.cache/cifar-ddp/torch-" in start("launch/setup", itself, "--help")


@pytest.mark.parametrize("way", WAYS)
def test_local(start, way):
    printed = start("launch/local", way, "-n", "2", "--", "a b")
    assert printed == "program: a b\n" * 2


@pytest.mark.parametrize("way", WAYS)
def test_repeat(start, way):
    assert start("launch/repeat", way, "-n", "2", "one.toml", "--runs", "3").count(
        "program: repeat --config one.toml") == 2


@pytest.mark.parametrize("way", WAYS)
def test_sweep(start, tree, tmp_path, way):
    printed = start("launch/sweep", way, "--runs", "my runs", tree / "configs")
    assert f"program: train --config {tree}/configs/one.toml --seed 42" in printed
    assert printed.endswith("program: report my runs\n")


@pytest.mark.parametrize("way", WAYS)
def test_sweep_tells_its_jobs_where_the_clone_is(start, tree, tmp_path, way):
    write_script(tmp_path / "tools/sbatch", f'echo "$CIFAR_ROOT|$CIFAR_RUNS|$*" >>"{tmp_path}/jobs"; echo 7\n')
    start("launch/sweep", way, "--slurm", os.path.relpath(tree / "configs", tmp_path))
    array = (tmp_path / "jobs").read_text().splitlines()[0]
    assert array.startswith(f"{tree}|{tmp_path}/runs/configs|")
    assert array.endswith(f"{tree}/launch/slurm-array.sbatch {tree}/configs --seed 42")


@pytest.mark.parametrize("way", WAYS)
def test_quickstart(start, tree, way):
    write_script(tree / "launch/setup", "")
    write_script(tree / "launch/fetch-cifar10", 'echo "$1/data"\n')
    assert start("launch/quickstart", way, "--epochs", "1") == \
        f"program: --epochs 1 --data {HOME}/.cache/cifar-ddp/cifar10/data\n"


@pytest.mark.parametrize("way", WAYS)
def test_tests_run(start, tree, tmp_path, way):
    write_script(tree / "launch/setup", "")
    write_script(tmp_path / "tools/ctest", 'echo "ctest: $*"\n')
    assert f"ctest: --test-dir {tree}/build " in start("tests/run", way)


@pytest.mark.parametrize("script, arguments", [("slurm.sbatch", []), ("slurm-array.sbatch", ["configs"])])
def test_slurm_script_in_a_clone_with_a_space(tree, tmp_path, script, arguments):
    """Slurm copies the script, so it does not lie in the clone."""
    spool = shutil.copy(tree / "launch" / script, tmp_path / "slurm_script")
    write_script(tmp_path / "tools/srun", 'while [[ $1 == -* ]]; do shift; done; exec "$@"\n')
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    done = subprocess.run(["bash", spool, *arguments], cwd=tree, capture_output=True, text=True, env=environment | {
        "PATH": f"{tmp_path}/tools:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "1",
        "SLURM_JOB_NODELIST": "n1", "SLURM_SUBMIT_DIR": str(tree), "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    log = pathlib.Path(tree / "slurm-7_1-restart-0.log").read_text()
    assert "program: doctor" in log and "program: train" in log
