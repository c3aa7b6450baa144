"""The rules that hold the code together: which folder may include which, where MPI, NCCL and the
parsers may appear, how long a file may get, what lies at the top."""
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = sorted(path for path in (ROOT / "src").rglob("*") if path.suffix in {".h", ".cpp", ".cu"})

# Folder -> folders that it may include, itself aside.
BASE = {"base"}
LOW = BASE | {"config", "kernels"}
MIDDLE = LOW | {"data", "model", "comm"}
HIGH = MIDDLE | {"parallel", "optim"}
ALLOWED = {
    "base": set(), "config": BASE, "kernels": BASE,
    "data": LOW, "model": LOW, "comm": LOW,
    "parallel": MIDDLE, "optim": MIDDLE,
    "train": HIGH, "report": HIGH | {"train"}, "verbs": HIGH | {"train", "report"},
}
# The header -> the one folder that may include it.
RESERVED = {"mpi.h": "comm", "nccl.h": "comm", "cxxopts.hpp": "config", "toml++/toml.h": "config",
            "png.h": "base", "jpeglib.h": "base"}
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)


def folder_of(path):
    return path.relative_to(ROOT / "src").parts[0]


def includes():
    for path in SOURCES:
        for name in INCLUDE.findall(path.read_text()):
            yield path, name


def test_dependencies_point_one_way():
    wrong = []
    for path, name in includes():
        folder, target = folder_of(path), name.split("/")[0]
        if folder in ALLOWED and target in ALLOWED and target not in ALLOWED[folder] | {folder}:
            wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert not wrong


def test_every_folder_has_its_place():
    assert {folder_of(path) for path in SOURCES} <= set(ALLOWED) | {"main.cpp"}


def test_reserved_headers_stay_in_their_folder():
    wrong = [f"{path.relative_to(ROOT)} includes {name}" for path, name in includes()
             if name in RESERVED and folder_of(path) != RESERVED[name]]
    assert not wrong


def test_the_check_sees_the_includes_that_are_there():
    seen = {(folder_of(path), name) for path, name in includes()}
    assert {("comm", "mpi.h"), ("comm", "nccl.h"), ("config", "cxxopts.hpp"),
            ("train", "parallel/flat_state.h")} <= seen


def test_files_stay_short():
    long = {str(path.relative_to(ROOT)): lines for path in SOURCES
            if (lines := len(path.read_text().splitlines())) > 300}
    assert not long


def test_only_main_and_the_world_end_the_process():
    # A second Ctrl-C ends it too, in signals.cpp, and whoever finds a peer lost may have to.
    allowed = {"main.cpp", "world.cpp", "signals.cpp", "exit_guard.cpp", "nccl_communicator.cpp"}
    wrong = [str(path) for path in SOURCES if path.name not in allowed
             and re.search(r"\b(exit|_Exit|abort|MPI_Abort|quick_exit)\s*\(", path.read_text())
             and not path.name == "world.h"]
    assert not wrong


def test_the_top_level_is_as_designed():
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    top = {line.split("/")[0] for line in listing.stdout.splitlines()}
    visible = {name for name in top if not name.startswith(".")}
    assert visible <= {"CMakeLists.txt", "src", "launch", "configs", "tests", "cluster", "README.md"}
