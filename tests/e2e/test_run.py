"""tests/run tests the same in whatever state a clone is, and --no-skips fails where a test was left out.
The project is a toy of CMake's, whose tests print what a real log has."""

import re
import subprocess

import pytest

from cifar_ddp import PROGRAM
from launch_copy import ROOT, copy_launch, run

CMAKE = """
    cmake_minimum_required(VERSION 3.25)
    project(toy C)
    option(CIFAR_TESTS "" ON)
    option(FAULTS "an option whose first value CMake keeps" ${CIFAR_TESTS})
    find_path(TORCH_INCLUDE torch/csrc/api/include/torch/torch.h PATH_SUFFIXES include REQUIRED)
    add_executable(cifar-ddp main.c)
    target_compile_definitions(cifar-ddp PRIVATE FAULTS=$<BOOL:${FAULTS}>)
    set_target_properties(cifar-ddp PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    if(CIFAR_TESTS)
      enable_testing()
      add_test(NAME prints COMMAND cifar-ddp --print)
    endif()
    """

# Without --print it tells how it was built.
MAIN = r"""
    #include <stdio.h>
    #ifdef BY_HAND
    #define BUILT 2
    #else
    #define BUILT FAULTS
    #endif
    int main(int count, char** words) {
      if (count == 1) return BUILT;
      FILE* file = fopen("log.txt", "r");
      for (int c; file && (c = fgetc(file)) != EOF;) putchar(c);
      return 0;
    }
    """


@pytest.fixture
def clone(tmp_path):
    tree = copy_launch(tmp_path)
    (tree / "tests").mkdir()
    (tree / "tests" / "run").write_bytes((ROOT / "tests" / "run").read_bytes())
    (tree / "tests" / "run").chmod(0o755)
    (tree / "CMakeLists.txt").write_text(CMAKE)
    (tree / "main.c").write_text(MAIN)
    return tree


def test_no_option_of_the_project_hangs_on_the_tests():
    """CMake keeps an option's first value, whatever it hung on."""
    options = re.findall(r"^option\((.*)\)$", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)
    assert options
    assert all(option.split()[-1] in ("ON", "OFF") for option in options), options
    help_text = subprocess.run([PROGRAM, "--help"], check=True, capture_output=True, text=True).stdout
    assert "--fault" in help_text


def built(clone):
    return run(clone / "build" / "cifar-ddp").returncode


def test_quickstart_first_changes_nothing(clone):
    assert run(clone / "launch" / "setup").returncode == 0
    assert built(clone) == 0
    assert run(clone / "tests" / "run").returncode == 0
    assert built(clone) == 1
    # The tests stay, so that nothing is built to and fro.
    again = run(clone / "launch" / "setup")
    assert (again.returncode, again.stderr) == (0, "")
    assert built(clone) == 1


@pytest.mark.parametrize("by_hand", [["-DFAULTS=OFF"], ["-DCMAKE_C_FLAGS=-DBY_HAND"]])
def test_what_was_configured_by_hand_is_forgotten(clone, by_hand):
    assert run(clone / "tests" / "run").returncode == 0
    subprocess.run(["cmake", "-B", "build", *by_hand], cwd=clone, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", "build"], cwd=clone, check=True, capture_output=True)
    assert built(clone) != 1
    assert run(clone / "tests" / "run").returncode == 0
    assert built(clone) == 1


def test_a_folder_of_another_generator_or_clone_is_configured_anew(clone):
    # It finds no LibTorch and fails half-way.
    subprocess.run(["cmake", "-B", "build", "-G", "Unix Makefiles"], cwd=clone, capture_output=True)
    assert "Unix Makefiles" in (clone / "build" / "CMakeCache.txt").read_text()
    assert run(clone / "tests" / "run").returncode == 0
    moved = clone.rename(clone.with_name("moved"))
    (moved / "main.c").write_text(MAIN.replace("return BUILT", "return 7"))
    assert run(moved / "tests" / "run").returncode == 0
    assert built(moved) == 7


@pytest.mark.parametrize("log, reason", [
    ("SKIPPED [14] tests/e2e/test_x.py:7: the program was built without it", "built without it"),
    ("a_test.cpp:9: Skipped\nno browser\n", "no browser"),
    ("SKIPPED [2] tests/e2e/test_x.py:7: no GPU here\na_test.cpp:9: Skipped\nno GPU here\n", None),
    ("1 passed", None),
])
def test_no_skips(clone, log, reason):
    (clone / "build").mkdir()
    (clone / "build" / "log.txt").write_text(log)
    assert run(clone / "tests" / "run").returncode == 0
    strict = run(clone / "tests" / "run", "--no-skips")
    assert "100% tests passed" in strict.stdout
    if reason is None:
        assert strict.returncode == 0, strict.stderr
    else:
        assert strict.returncode == 1
        assert reason in strict.stderr
        assert "error: --no-skips: tests skipped" in strict.stderr
