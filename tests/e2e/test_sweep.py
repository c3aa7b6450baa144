"""launch/sweep on a folder of two small recipes, and the recipes of configs/: that each trains and
says what it asks."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from cifar_ddp import ENVIRONMENT, PROGRAM, ROOT, SMALL, metrics, run, train
from launch_copy import copy_launch, write_script

FLAGS = ["--data", "synthetic", "--device", "cpu", "--threads", "1", "--epochs", "1"]
RECIPES = sorted(path.relative_to(ROOT / "configs") for path in ROOT.glob("configs/*/*.toml"))
FOLDERS = sorted({path.parent for path in RECIPES})


@pytest.fixture
def tree(tmp_path):
    """A repository with launch/, the real program and a folder of two recipes."""
    root = copy_launch(tmp_path)
    (root / "build").mkdir()
    (root / "build" / "cifar-ddp").symlink_to(PROGRAM)
    folder = root / "configs" / "width"
    folder.mkdir(parents=True)
    (folder / "question.txt").write_text("Is wider better?\n")
    for channels in (4, 8):
        layers = json.dumps(SMALL.replace("conv 8", f"conv {channels}").split(", "))
        (folder / f"conv-{channels}.toml").write_text(
            f"[model]\nlayers = {layers}\n[train]\nbatch_size = 4500\n")
    return root


def start(tree, *arguments, **environment):
    return subprocess.Popen(
        [tree / "launch" / "sweep", *arguments], cwd=tree, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=ENVIRONMENT | environment)


def sweep(tree, *arguments, code=0, **environment):
    process = start(tree, *arguments, **environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    return out, err


# --- launch/sweep


def test_it_trains_every_recipe_with_every_seed_once(tree):
    out, _ = sweep(tree, "-n", "1", "--seeds", "2", "configs/width", *FLAGS)
    assert out.splitlines()[-1] == str(tree / "runs" / "width" / "report.html")
    runs = sorted((tree / "runs" / "width").glob("*/"))
    assert [path.name for path in runs] == ["conv-4-seed-42", "conv-4-seed-43", "conv-8-seed-42",
                                            "conv-8-seed-43"]
    for path in runs:
        assert f"seed = {path.name[-2:]}" in (path / "config.toml").read_text()
        assert "test_accuracy" in metrics(path)[-1]
    page = (tree / "runs" / "width" / "report.html").read_text()
    assert "Is wider better?" in page and "mean and standard deviation of 2 seeds" in page

    before = {path: (path / "metrics.jsonl").stat().st_mtime_ns for path in runs}
    _, messages = sweep(tree, "-n", "1", "--seeds", "2", "configs/width", *FLAGS)
    assert messages.count("is finished") == 4
    assert before == {path: (path / "metrics.jsonl").stat().st_mtime_ns for path in runs}

    _, messages = sweep(tree, "configs/width", *FLAGS, "--flip", "random", code=2)
    assert "expected the same flags, or --runs DIR" in messages


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_goes_on_where_it_was_stopped(tree, number):
    """Ctrl-C goes to all of a terminal's processes."""
    (tree / "configs" / "width" / "conv-8.toml").unlink()
    arguments = ["-n", "1", "configs/width", *FLAGS[:-1], "16"]
    process = start(tree, *arguments)
    lines = tree / "runs" / "width" / "conv-4-seed-42" / "metrics.jsonl"
    while not lines.exists() or lines.stat().st_size == 0:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, messages = process.communicate(timeout=60)
    assert process.returncode == 75, out + messages
    assert "start it again to go on" in messages
    assert len(metrics(lines.parent)) < 16

    out, _ = sweep(tree, *arguments)
    assert "resumed at step" in out
    assert [line["epoch"] for line in metrics(lines.parent)] == [*range(1, 17), 16]


def test_a_training_that_fails_does_not_keep_the_others(tree):
    (tree / "build" / "cifar-ddp").unlink()
    write_script(tree / "build" / "cifar-ddp", """
        [[ $1 != report ]] || { echo page; exit; }
        [[ $* != *conv-4* ]] || exit 5
        [[ $* != *conv-8.toml* ]] || echo "trained $*"
        """)
    out, messages = sweep(tree, "-n", "1", "configs/width", code=5)
    assert "runs/width/conv-4-seed-42 failed with code 5" in messages
    assert "trained train --config configs/width/conv-8.toml --seed 42 " \
        "--run-dir runs/width/conv-8-seed-42 --resume auto" in out
    assert out.splitlines()[-1] == "page"


def test_on_slurm_it_submits_an_array_for_each_seed(tree, tmp_path):
    write_script(tmp_path / "bin" / "sbatch", f"""
        echo "$CIFAR_RUNS $CIFAR_RUN_ENDING sbatch $*" >>{tmp_path}/submitted
        echo "$(grep -c . {tmp_path}/submitted);cluster"
        """)
    sweep(tree, "--slurm=--nodes=1 --ntasks=4", "--seeds", "2", "configs/width", "--epochs", "3",
          PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    submitted = (tmp_path / "submitted").read_text().splitlines()
    for seed, line in zip((42, 43), submitted):
        assert line == f"{tree}/runs/width -seed-{seed} sbatch --parsable --nodes=1 --ntasks=4 " \
            f"--array=1-2 {tree}/launch/slurm-array.sbatch {tree}/configs/width --epochs 3 --seed {seed}"
    assert "--dependency=afterany:1:2" in submitted[2]
    assert submitted[2].endswith(f"--wrap {tree}/build/cifar-ddp report runs/width")


def test_the_array_job_trains_where_the_sweep_looks(tree):
    write_script(tree / "launch" / "slurm.sbatch", 'echo "$CIFAR_RUN_DIR $*"')
    done = subprocess.run(
        ["bash", tree / "launch" / "slurm-array.sbatch", "configs/width", "--seed", "43"], cwd=tree,
        capture_output=True, text=True, timeout=30, env=ENVIRONMENT | {
            "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_JOB_ID": "7", "CIFAR_RUNS": "runs/width",
            "CIFAR_RUN_ENDING": "-seed-43"})
    assert done.stdout == "runs/width/conv-8-seed-43 --config configs/width/conv-8.toml --seed 43\n"


@pytest.mark.parametrize("arguments, parts", [
    ([], "found no folder"),
    (["nowhere"], "nowhere: found no recipe"),
    (["--seeds", "many", "configs/width"], "--seeds: found 'many'"),
    (["--seed", "3", "configs/width"], "found '--seed'"),
    (["configs/width", "--seed", "3"], "found --seed among FLAGS"),
    (["configs/width", "--run-dir=x"], "found --run-dir=x among FLAGS"),
])
def test_bad_arguments_are_told(tree, arguments, parts):
    _, messages = sweep(tree, *arguments, code=2)
    assert messages.startswith("launch/sweep: error: ")
    assert parts in messages and "; expected " in messages
    assert not (tree / "runs").exists()


# --- configs/


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_every_recipe_asks_a_question_and_trains(recipe, tmp_path):
    text = (ROOT / "configs" / recipe).read_text()
    comment = " ".join(line[1:].strip() for line in
                       re.match(r"(#.*\n)+", text).group().splitlines())
    assert "?" in comment
    train(tmp_path / "run", "--config", ROOT / "configs" / recipe, "--batch-size", 64,
          "--max-steps", 1)


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_every_folder_has_its_question_in_a_sentence(folder):
    question = (ROOT / "configs" / folder / "question.txt").read_text()
    assert re.fullmatch(r"[A-Z][^\n]*\?\n", question)


def test_the_folders_hold_the_articles_experiments():
    assert {"linear-layers", "network-size", "pooling"} <= {str(folder) for folder in FOLDERS}
    for recipe in ("network-size/I", "pooling/max-2", "linear-layers/hidden-0"):
        tables = [run("inspect", *words).out.splitlines()[1:]
                  for words in ([ROOT / "configs" / f"{recipe}.toml"], [])]
        assert tables[0] == tables[1]
