"""launch/setup and launch/quickstart; that all scripts are clean and explain themselves."""

import os
import pathlib
import re
import shutil

import pytest

from launch_copy import ROOT, copy_launch, error_line, forget_public_sources, run, write_script


@pytest.fixture
def tree(tmp_path):
    return copy_launch(tmp_path)


# --- all scripts


def scripts():
    folders = (".ci", "launch", "cluster", "tests")
    files = [path for folder in folders for path in ROOT.glob(f"{folder}/**/*")
             if path.is_file() and os.access(path, os.X_OK)]
    return sorted(str(path.relative_to(ROOT)) for path in files
                  if re.match(rb"#!.*\b(ba)?sh\b", path.read_bytes()[:80]))


@pytest.mark.parametrize("script", [name for name in scripts()
                                    if re.match(r"launch/|cluster/|tests/run|\.ci/run", name)])
def test_help_explains(script):
    result = run(ROOT / script, "--help")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: ")
    assert result.stderr == ""


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_has_no_complaints():
    # What a script sources is looked for below the source path.
    result = run("shellcheck", "--external-sources", "--check-sourced", "--source-path", ROOT,
                 *[ROOT / name for name in scripts()])
    assert result.returncode == 0, result.stdout


# --- containers


@pytest.mark.parametrize("recipe, work, copied", [
    ("Dockerfile", r"^RUN (.*)$", r"^COPY (?!--from)(\S+) "),
    ("cifar-ddp.def", r"^    (\S*launch/setup.*|rm .*|apt.*|pip.*)$", r"^    (\S+) /opt/cifar-ddp/\1$"),
])
def test_containers_leave_the_work_to_setup(recipe, work, copied):
    text = (ROOT / "cluster" / "container" / recipe).read_text()
    commands = re.findall(work, text, re.MULTILINE)
    assert len(commands) >= 3
    assert all(re.fullmatch(r"(\S*launch/setup( --\w+)?)?( && )?(rm -rf /var/lib/apt/lists/\*)?", one)
               for one in commands), commands
    sources = re.findall(copied, text, re.MULTILINE)
    assert {"CMakeLists.txt", "configs", "launch", "src"} <= set(sources)
    assert all((ROOT / source).exists() for source in sources)


# --- setup


def test_setup_is_idempotent():
    first, second = (run(ROOT / "launch" / "setup", "--print-prefix") for _ in range(2))
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout
    assert second.stderr == ""
    prefix = pathlib.Path(second.stdout.strip())
    assert (prefix / "include/torch/csrc/api/include/torch/torch.h").is_file()


def test_setup_builds_once(tree):
    (tree / "CMakeLists.txt").write_text("""
        cmake_minimum_required(VERSION 3.25)
        project(toy C)
        option(CIFAR_TESTS "" ON)
        find_path(TORCH torch/csrc/api/include/torch/torch.h PATH_SUFFIXES include REQUIRED)
        add_executable(cifar-ddp main.c)
        set_target_properties(cifar-ddp PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
        """)
    (tree / "main.c").write_text("int main(void) { return 42; }\n")
    first = run(tree / "launch" / "setup")
    assert first.returncode == 0, first.stderr
    assert run(tree / "build" / "cifar-ddp").returncode == 42
    again = run(tree / "launch" / "setup")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    (tree / "main.c").write_text("no C at all\n")
    broken = run(tree / "launch" / "setup")
    assert broken.returncode == 1
    assert "the build failed" in error_line(broken)


@pytest.fixture
def tools_without_cmake(tmp_path):
    """A folder for PATH with this machine's commands but cmake, apt-get and sudo."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in os.listdir("/usr/bin"):
        if name not in ("cmake", "apt-get", "sudo", "id"):
            (folder / name).symlink_to(f"/usr/bin/{name}")
    return folder


def test_setup_names_what_is_missing(tree, tools_without_cmake):
    result = run(tree / "launch" / "setup", PATH=str(tools_without_cmake))
    assert result.returncode == 1
    assert "missing on this system: cmake;" in error_line(result)


def test_setup_without_root_prints_the_command(tree, tools_without_cmake):
    write_script(tools_without_cmake / "apt-get", "exit 99\n")
    write_script(tools_without_cmake / "id", "echo 1000\n")
    result = run(tree / "launch" / "setup", PATH=str(tools_without_cmake))
    assert result.returncode == 1
    assert "run as root: apt-get update && apt-get install -y" in error_line(result)
    assert result.stderr.endswith(" cmake\n")


def test_setup_installs_what_is_missing(tree, tools_without_cmake, tmp_path):
    write_script(tools_without_cmake / "apt-get", f'echo "$DEBIAN_FRONTEND $*" >>{tmp_path}/log\n')
    write_script(tools_without_cmake / "id", "echo 0\n")
    result = run(tree / "launch" / "setup", "--deps", PATH=str(tools_without_cmake))
    assert result.returncode == 0, result.stderr
    update, install = (tmp_path / "log").read_text().splitlines()
    assert re.fullmatch(r"noninteractive .*\bupdate", update)
    assert re.match(r"noninteractive install .*\bcmake\b", install)


# --- quickstart


@pytest.fixture
def quickstart(tree, tmp_path):
    """launch/quickstart with a setup that does nothing and a program that prints its arguments."""
    write_script(tree / "launch" / "setup", "")
    write_script(tree / "build" / "cifar-ddp", 'echo "$@"; exit 42\n')
    forget_public_sources(tree)
    write_script(tmp_path / "tools" / "nvidia-smi", '[[ -z $FAKE_GPU ]] || echo "GPU 0: Fake"\n')

    def start(*arguments, cuda=False, **environment):
        (tree / "build" / "CMakeCache.txt").write_text(
            f"CMAKE_CUDA_COMPILER:FILEPATH={'/usr/bin/nvcc' if cuda else 'NOTFOUND'}\n")
        result = run(tree / "launch" / "quickstart", *arguments, **{
            "PATH": f"{tmp_path}/tools:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "CIFAR10_DIR": "/some/data", "FAKE_GPU": "", **environment})
        return result.returncode, result.stdout.strip(), result.stderr
    return start


def test_quickstart_runs_a_short_training_without_gpu(quickstart):
    code, arguments, messages = quickstart()
    assert (code, arguments) == (42, "--data /some/data --epochs 3")
    assert "launch/quickstart --epochs 20" in messages


@pytest.mark.parametrize("given, passed", [
    (["--epochs", "20"], "--epochs 20 --data /some/data"),
    (["train", "--max-steps=5"], "train --max-steps=5 --data /some/data"),
    (["--data", "synthetic", "--epochs=1"], "--data synthetic --epochs=1"),
    (["doctor"], "doctor"),
    (["inspect", "a.toml"], "inspect a.toml"),
])
def test_quickstart_keeps_what_is_given(quickstart, given, passed):
    assert quickstart(*given) == (42, passed, "")


def test_quickstart_trains_in_full_on_a_gpu(quickstart):
    assert quickstart(FAKE_GPU="1", cuda=True) == (42, "--data /some/data", "")
    assert quickstart(FAKE_GPU="1", cuda=False)[1] == "--data /some/data --epochs 3"


def test_quickstart_falls_back_to_synthetic_images_loudly(quickstart):
    code, arguments, messages = quickstart("--epochs", "1", CIFAR10_DIR="",
                                           CIFAR10_URL="http://127.0.0.1:9/none.tar.gz")
    assert (code, arguments) == (42, "--epochs 1 --data synthetic")
    assert "WARNING: CIFAR-10 could not be downloaded" in messages


def test_quickstart_does_not_hide_a_wrong_checksum(quickstart, tmp_path):
    (tmp_path / "archive").write_text("not the archive")
    code, arguments, messages = quickstart(CIFAR10_DIR="", CIFAR10_URL=f"file://{tmp_path}/archive")
    assert (code, arguments) == (3, "")
    assert "wrong checksum" in messages
