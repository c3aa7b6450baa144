"""Every command of every README runs as it is printed, in the order of the page, on the machine that
readme_machine.py makes. What a page prints is found by its form, so a new command is tested without
anybody's doing, and one that this cannot run fails:

  a block without a language   commands; with "$ " in front, and then what they print
  ```toml, ```python           a recipe, a script
  ```text                      neither

Commands that begin with export or eval hold for those below them; the exports of the first page also
hold on the others."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy
import PIL.Image
import pytest

from cifar_ddp import ENVIRONMENT, PROGRAM, ROOT
from readme_machine import copy_repository

PAGES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("**/README.md")
               if not re.match(r"build|runs|\.|shared", str(path.relative_to(ROOT))))
TIMEOUT = 300  # seconds of one command


# --- what a page prints


def blocks(page):
    """(language, text) of each fenced block."""
    lines, found = (ROOT / page).read_text().splitlines(keepends=True), []
    inside = None
    for line in lines:
        if inside is not None and line.rstrip() == "```":
            found.append(("".join(inside[:1]).strip(), "".join(inside[1:])))
            inside = None
        elif inside is not None:
            inside.append(line)
        elif line.startswith("```"):
            inside = [line[3:]]
        else:
            assert not re.match(r"    (\S+/|\$ |mpirun |sbatch )", line), f"{page}: not fenced: {line}"
    assert inside is None, f"{page}: a block without an end"
    return found


def commands(text):
    """The commands of a block; one may go on in the next line."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def examples(text):
    """(command, the lines that it prints) of a block of examples."""
    parts = re.split(r"(?m)^\$ (.*)\n", text)
    assert parts[0] == "", parts[0]
    return list(zip(parts[1::2], [part.splitlines() for part in parts[2::2]]))


def holds_for_the_rest(command):
    return re.match(r"(export|eval) ", command)


def exports_of_the_first_page():
    language, first = blocks("README.md")[0]
    assert not language
    return [command for command in commands(first) if holds_for_the_rest(command)]


# --- the machine


@pytest.fixture(scope="session")
def data_set(tmp_path_factory):
    """Files in CIFAR-10's format, with noise for images."""
    folder = tmp_path_factory.mktemp("data")
    records = numpy.random.default_rng(0).integers(0, 256, (10_000, 3073), numpy.uint8)
    records[:, 0] = numpy.arange(10_000) % 10
    (folder / "data_batch_1.bin").write_bytes(records.tobytes())
    for name in [f"data_batch_{i}.bin" for i in range(2, 6)] + ["test_batch.bin"]:
        os.link(folder / "data_batch_1.bin", folder / name)
    return folder


@pytest.fixture
def machine(tmp_path, data_set):
    """Runs a command line in the copy; `environment` is what earlier ones exported."""
    root, cache = copy_repository(tmp_path), tmp_path / "home" / ".cache" / "cifar-ddp"
    # Sweeps of two recipes will do, those that take the least time.
    for recipe in (root / "configs" / "pooling").glob("*.toml"):
        if recipe.stem not in ("max-3", "max-4"):
            recipe.unlink()
    # What launch/setup and launch/quickstart would have brought.
    (cache / "cifar10").mkdir(parents=True)
    shutil.copytree(data_set, cache / "cifar10" / "cifar-10-batches-bin", copy_function=os.link)
    for folder in pathlib.Path(sys.prefix).parent.glob("torch-*"):
        (cache / folder.name).symlink_to(folder)
    # What the reader has.
    pixels = numpy.random.default_rng(1).integers(0, 256, (32, 32, 3), numpy.uint8)
    PIL.Image.fromarray(pixels).save(root / "cat.png")
    environment = {name: value for name, value in ENVIRONMENT.items()
                   if not re.match("SLURM|XDG_CACHE_HOME|AIRBENCH", name)} | {
        "HOME": str(tmp_path / "home"), "PATH": f"{root}/stand-ins:{os.environ['PATH']}",
        "README_PROGRAM": str(PROGRAM.resolve()), "README_MPIRUN": shutil.which("mpirun")}
    return lambda line, prologue=(): subprocess.run(
        ["bash", "-c", "\n".join(["set -o pipefail", *prologue, line])], cwd=root, env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=TIMEOUT)


class Session:
    """A reader who goes through a page; what fails is noted."""

    def __init__(self, machine):
        self.machine, self.prologue, self.failures, self.seen = machine, exports_of_the_first_page(), [], 0

    def read(self, language, text):
        if language == "text":
            return
        if language == "python":
            self.run(f"'{sys.executable}' - <<'PYTHON'\n{text}PYTHON")
        elif language == "toml":
            self.run(f"cat >recipe.toml <<'TOML'\n{text}TOML\nbuild/cifar-ddp inspect --config recipe.toml")
        elif language:
            self.failures.append(f"a block of an unknown language: ```{language}")
        elif text.startswith("$ "):
            for command, lines in examples(text):
                self.compare(command, self.run(command), lines)
        else:
            for command in commands(text):
                self.check(command, self.run(command))

    def run(self, command):
        self.seen += 1
        try:
            done = self.machine(command, self.prologue)
        except subprocess.TimeoutExpired:
            self.failures.append(f"{command}\n  did not end within {TIMEOUT} s")
            return ""
        if done.returncode:
            self.failures.append(f"{command}\n  ended with {done.returncode}\n{done.stdout}{done.stderr}")
        elif holds_for_the_rest(command):
            self.prologue.append(command)
        return done.stdout

    def check(self, command, printed):
        """Where the page says what comes out."""
        if command.startswith("for n in 1 3"):
            lines = printed.splitlines()
            if len(lines) != 2 or lines[0] != lines[1] or not lines[0].startswith("weights "):
                self.failures.append(f"{command}\n  the promise is not kept: {lines}")

    def compare(self, command, printed, expected):
        found = printed.splitlines()
        if " inspect" not in command:  # results of a training: other figures
            found, expected = [[shape(line) for line in lines] for lines in (found, expected)]
        if "..." not in expected:
            matches = found == expected
        else:
            at = expected.index("...")
            after = expected[at + 1:]
            matches = found[:at] == expected[:at] and found[-len(after):] == after
        if not matches:
            self.failures.append(f"{command}\n  printed {found}\n  expected {expected}")


def shape(line):
    """A line of results without figures, the run's step, the classes taken for others and alignment."""
    line = re.sub(r"(?<=\d) +\w+ \(\d+\)$", " CLASS (#)", line)
    return re.sub(r" +", " ", re.sub(r"\d[\d.]*", "#", line))


@pytest.mark.parametrize("page", PAGES)
def test_commands_run_as_printed(page, machine):
    session = Session(machine)
    for language, text in blocks(page):
        session.read(language, text)
    assert session.seen, f"{page}: no command was found"
    assert not session.failures, "\n\n".join(session.failures)


@pytest.mark.parametrize("language, text", [
    ("yaml", "a: b\n"),
    ("", "no-such-tool --flag\n"),
    ("", "launch/no-such-script\n"),
    ("", "build/cifar-ddp --no-such-flag\n"),
    ("", "sbatch --no-such-option=1 launch/slurm.sbatch\n"),
    ("", "docker run --no-such-option cifar-ddp\n"),
    ("", "build/micro_bench --benchmark_filter=no_such_benchmark\n"),
    ("", "$ build/cifar-ddp inspect\nrecipe of another\n"),
    ("python", "raise SystemExit(1)\n"),
])
def test_what_cannot_run_fails(language, text, machine):
    session = Session(machine)
    session.read(language, text)
    assert len(session.failures) == 1


# --- commands in the text


def mentions():
    """The commands between backticks, (page, words)."""
    found = []
    for page in PAGES:
        text = re.sub(r"(?ms)^```.*?^```$", "", (ROOT / page).read_text())
        for span in re.findall(r"`([^`]+)`", text):
            words = re.sub(r"\s+", " ", re.sub(r"^(bash |[A-Z_0-9]+=\S+ )*", "", span)).split(" ")
            if re.match(r"(launch|tests|cluster|build)/\S*[^/]$", words[0]) and len(words) > 1:
                found.append((page, words))
    return found


@pytest.mark.parametrize("page, words", mentions(), ids=lambda value: value if isinstance(value, str)
                         else " ".join(value))
def test_mentioned_commands_have_their_options(page, words):
    path = PROGRAM if words[0] == "build/cifar-ddp" else ROOT / words[0]
    first_line = path.read_bytes()[:30].partition(b"\n")[0]
    by = ["bash"] if b"bash" in first_line else [sys.executable] if b"python" in first_line else []
    done = subprocess.run([*by, path, "--help"], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 0, done.stderr
    text = done.stdout + "--help"
    for word in words[1:]:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word.partition('=')[0])}\b", text), f"{word} is not in --help"
