"""Resuming: the weights are the bits of the run that was never interrupted, and metrics.jsonl has
each line once. test_ordered.py resumes on other rank counts."""

import functools
import os
import pathlib
import shutil
import signal

import pytest

from cifar_ddp import (BIG_BATCH, RICH, SMALL, assert_error, checkpoint_path, checkpoint_steps, load, metrics,
                       resume, run, start, train, train_arguments, untimed, wait_for_file)

both = pytest.mark.parametrize("ranks", [1, 2])

RECIPES = {"article": [], "rich": RICH}


# --- the bits


@both
@pytest.mark.parametrize("recipe", RECIPES)
def test_resume_in_the_middle_of_an_epoch(tmp_path, recipe, ranks):
    flags = [*RECIPES[recipe], "--epochs", 1]
    whole = train(tmp_path / "whole", *flags, "--max-steps", 7, ranks=ranks)
    train(tmp_path / "run", *flags, "--max-steps", 3, ranks=ranks)
    again = resume(tmp_path / "run", "--max-steps", 7, ranks=ranks)
    assert "resumed at step 3" in again.lines
    assert again.weights == whole.weights
    assert untimed(tmp_path / "run") == untimed(tmp_path / "whole")


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    """For a number of ranks, a run of twenty steps that nothing interrupts: folder and weights."""
    @functools.cache
    def whole(ranks):
        run_dir = tmp_path_factory.mktemp("two-epochs") / "run"
        result = train(run_dir, *RICH, *BIG_BATCH, "--epochs", 2, ranks=ranks)
        return run_dir, result.weights
    return whole


def assert_same_run(run_dir, result, whole):
    assert result.weights == whole[1]
    assert untimed(run_dir) == untimed(whole[0])
    assert [line["epoch"] for line in metrics(run_dir)] == [1, 2, 2]


@pytest.mark.parametrize("ranks, step", [(1, 4), (1, 10), (1, 13), (2, 13)])
def test_resume_over_epochs(tmp_path, two_epochs, ranks, step):
    """Step 10 is the end of the first epoch."""
    train(tmp_path / "run", *RICH, *BIG_BATCH, "--epochs", 2, "--max-steps", step, ranks=ranks)
    again = resume(tmp_path / "run", ranks=ranks)
    assert f"resumed at step {step}" in again.lines
    assert_same_run(tmp_path / "run", again, two_epochs(ranks))


def children(process):
    return [int(pid) for pid in
            pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@both
def test_resume_after_a_crash(tmp_path, two_epochs, ranks):
    """SIGKILL to the process, or to one of the two ranks, in the second epoch."""
    run_dir = tmp_path / "run"
    arguments = train_arguments(run_dir, *RICH, *BIG_BATCH, "--epochs", 2, "--checkpoint-every", 3)
    with start(*arguments, ranks=ranks) as process:
        wait_for_file(checkpoint_path(run_dir, 12), process)
        victim = process.pid if ranks == 1 else children(process)[-1]
        os.kill(victim, signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode not in (0, 75)
    # What a crash may leave behind: a line cut off, half a checkpoint.
    with open(run_dir / "metrics.jsonl", "a") as file:
        file.write('{"epoch":2,"step":2')
    checkpoint_path(run_dir, 19).with_suffix(".pt.part").write_bytes(b"half")
    assert_same_run(run_dir, resume(run_dir, ranks=ranks), two_epochs(ranks))


def test_resume_from_a_checkpoint_older_than_the_metrics(tmp_path, two_epochs):
    """Lines of epochs that are trained again are not there twice."""
    run_dir = shutil.copytree(two_epochs(1)[0], tmp_path / "run")
    train(tmp_path / "early", *RICH, *BIG_BATCH, "--epochs", 2, "--max-steps", 4)
    for path in (run_dir / "checkpoints").iterdir():
        path.unlink()
    shutil.copy(checkpoint_path(tmp_path / "early", 4), checkpoint_path(run_dir, 4))
    assert_same_run(run_dir, resume(run_dir), two_epochs(1))


# --- where to go on


@pytest.fixture
def three_steps(tmp_path):
    train(tmp_path / "run", "--layers", SMALL, "--max-steps", 3, "--checkpoint-every", 1)
    return tmp_path / "run"


def test_resume_of_a_file_goes_on_in_its_run_directory(three_steps):
    result = run("--resume", checkpoint_path(three_steps, 2), "--max-steps", 4, "--threads", 1,
                 "--device", "cpu")
    assert result.code == 0, result.err
    assert f"run directory {three_steps}" in result.lines
    assert "resumed at step 2" in result.lines
    assert checkpoint_steps(three_steps)[-1] == 4


def test_resume_of_a_directory_into_another(three_steps, tmp_path):
    before = {path: path.read_bytes() for path in three_steps.rglob("*") if path.is_file()}
    resume(tmp_path / "new", "--max-steps", 4, where=three_steps)
    assert checkpoint_steps(tmp_path / "new") == [4]
    assert load(tmp_path / "new", 4)["position"]["step"] == 4
    assert {path: path.read_bytes() for path in three_steps.rglob("*") if path.is_file()} == before


def test_resume_of_what_is_done_trains_nothing(three_steps):
    """Neither with the step limit reached nor with it passed."""
    weights = load(three_steps, 3)["model"]
    for limit in (3, 2):
        again = resume(three_steps, "--max-steps", limit)
        assert "resumed at step 3" in again.lines
        assert checkpoint_steps(three_steps) == [1, 2, 3]
        assert all(load(three_steps, 3)["model"][name].equal(weights[name]) for name in weights)


def test_resume_of_a_finished_run_repeats_its_test(tmp_path):
    whole = train(tmp_path / "run", "--layers", SMALL, *BIG_BATCH, "--epochs", 1)
    before = untimed(tmp_path / "run")
    assert resume(tmp_path / "run").weights == whole.weights
    assert untimed(tmp_path / "run") == before


def test_resume_for_more_epochs_and_with_another_rate(tmp_path):
    train(tmp_path / "run", "--layers", SMALL, *BIG_BATCH, "--epochs", 1)
    resume(tmp_path / "run", "--epochs", 2, "--learning-rate", 1e-4)
    lines = metrics(tmp_path / "run")
    assert [line["step"] for line in lines] == [10, 20, 20]
    assert [line["learning_rate"] for line in lines[:2]] == [1e-3, 1e-4]
    config = (tmp_path / "run" / "config.toml").read_text()
    assert "epochs = 2\n" in config


def test_resume_on_another_number_of_ranks(three_steps):
    result = resume(three_steps, "--max-steps", 5, ranks=2)
    assert "resumed at step 3" in result.lines
    assert load(three_steps, 5)["position"]["samples"] == 5 * 64


def test_going_on_from_an_older_checkpoint_sets_the_later_ones_aside(three_steps):
    run("--resume", checkpoint_path(three_steps, 1), "--max-steps", 2, "--threads", 1)
    assert checkpoint_steps(three_steps) == [1, 2]
    assert sorted(path.name for path in (three_steps / "superseded").iterdir()) == \
        ["step-00000002.pt", "step-00000003.pt"]
    assert "resumed at step 2" in resume(three_steps, "--max-steps", 3).lines


def test_another_run_is_not_written_over(three_steps, tmp_path):
    train(tmp_path / "other", "--layers", SMALL, "--max-steps", 1)
    before = {path: path.read_bytes() for path in three_steps.rglob("*") if path.is_file()}
    result = run("--run-dir", three_steps, "--resume", tmp_path / "other")
    assert_error(result, 2, three_steps, "a run is already there")
    assert {path: path.read_bytes() for path in three_steps.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("flag, value, what", [
    ("--batch-size", 32, "batch size 32"), ("--seed", 1, "seed 1"), ("--split-seed", 1, "split seed 1"),
    ("--validation-size", 10, "validation size 10")])
def test_the_epoch_under_way_is_not_changed(three_steps, flag, value, what):
    result = run("--run-dir", three_steps, "--resume", "auto", flag, value)
    assert_error(result, 2, "--resume", what, "the end of an epoch")


def test_the_number_of_threads_is_the_runs(three_steps):
    """It was started with --threads 1."""
    assert "1 thread a rank" in run("--run-dir", three_steps, "--resume", "auto", "--max-steps", 4).out


# --- which checkpoints there are


@pytest.mark.parametrize("flags, steps", [
    ([], [5]),
    (["--checkpoint-every", 2, "--keep", 0], [2, 4, 5]),
    (["--checkpoint-every", 1], [3, 4, 5]),
    (["--checkpoint-every", 1, "--keep", 0], [1, 2, 3, 4, 5]),
    (["--checkpoint-every", 1, "--keep", 1], [5]),
    (["--checkpoint-minutes", 1e-9], [3, 4, 5]),
    (["--checkpoint-minutes", 60], [5]),
])
def test_checkpoints_written_and_kept(tmp_path, flags, steps):
    train(tmp_path / "run", "--layers", SMALL, "--max-steps", 5, *flags)
    assert checkpoint_steps(tmp_path / "run") == steps


def test_a_checkpoint_ends_each_epoch(tmp_path):
    train(tmp_path / "run", "--layers", SMALL, *BIG_BATCH, "--epochs", 2)
    assert checkpoint_steps(tmp_path / "run") == [10, 20]
