"""A file system that fails, call by call: no checkpoint is half there, no line of metrics is lost
without a word, and what a signal broke off is made again."""

import errno
import shutil

import pytest
import torch

from cifar_ddp import (BIG_BATCH, SMALL, assert_error, checkpoint_path, checkpoint_steps, load, metrics,
                       run, train, untimed)
from failing import ALWAYS, failing, rule

CHECKPOINT = 4
TEN_STEPS = ["--layers", SMALL, *BIG_BATCH, "--epochs", 2]  # an epoch; checkpoints of steps 10 and 20
CALLS = {"open": "*.pt.part", "write": "*.pt.part", "fsync": "*.pt.part", "close": "*.pt.part",
         "rename": "*.pt"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbs."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    return run_dir, train(run_dir, *TEN_STEPS).weights


def train_failing(tmp_path, *rules, code=0, ranks=1):
    return train(tmp_path / "run", *TEN_STEPS, env=failing(*rules), code=code, ranks=ranks)


def same_checkpoint(one, other, step):
    """But for the recipe, which names the run's directory."""
    one, other = load(one, step), load(other, step)
    return one["position"] == other["position"] and all(
        torch.equal(tensor, theirs[name])
        for mine, theirs in ((one["model"], other["model"]),
                             *zip(one["optimizer"]["state"].values(),
                                  other["optimizer"]["state"].values(), strict=True))
        for name, tensor in mine.items())


def warnings_of(result):
    return [line for line in result.err.splitlines() if "cifar-ddp: warning: " in line]


def assert_goes_on(run_dir, whole):
    again = run("--run-dir", run_dir, "--resume", "auto")
    assert again.code == 0, again.err
    assert again.weights == whole[1]
    assert checkpoint_steps(run_dir)[-1] == 20
    assert untimed(run_dir) == untimed(whole[0])


# --- checkpoints


@pytest.mark.parametrize("call, error, reason", [
    ("open", errno.EMFILE, "Too many open files"), ("write", errno.ENOSPC, "No space left on device"),
    ("fsync", errno.EIO, "Input/output error"), ("close", errno.EDQUOT, "Disk quota exceeded"),
    ("rename", errno.EIO, "Input/output error")])
def test_a_checkpoint_that_fails_is_not_there(tmp_path, whole, call, error, reason):
    """And the one before it is as it was. (A checkpoint takes one call of each kind.)"""
    result = train_failing(tmp_path, rule(call, error, CALLS[call], first=2), code=CHECKPOINT)
    assert_error(result, CHECKPOINT, checkpoint_path(tmp_path / "run", 20), reason, "with room")
    assert checkpoint_steps(tmp_path / "run") == [10]
    assert same_checkpoint(tmp_path / "run", whole[0], 10)
    assert_goes_on(tmp_path / "run", whole)


def test_what_a_signal_breaks_off_is_made_again(tmp_path, whole):
    result = train_failing(tmp_path, *(rule(call, errno.EINTR, pattern, last=3)
                                       for call, pattern in CALLS.items()))
    assert result.weights == whole[1]
    assert checkpoint_steps(tmp_path / "run") == [10, 20]
    assert same_checkpoint(tmp_path / "run", whole[0], 20)


def test_short_writes(tmp_path, whole):
    result = train_failing(tmp_path, rule("write", "short", "*.pt.part", last=5))
    assert result.weights == whole[1]
    assert same_checkpoint(tmp_path / "run", whole[0], 20)


def test_a_folder_that_fails_after_the_rename_keeps_the_checkpoint(tmp_path, whole):
    result = train_failing(tmp_path, rule("fsync", errno.EIO, "*/checkpoints", first=2),
                           code=CHECKPOINT)
    assert_error(result, CHECKPOINT, checkpoint_path(tmp_path / "run", 20), "Input/output error")
    assert_goes_on(tmp_path / "run", whole)


# --- file systems with fewer powers


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP])
def test_folders_that_cannot_be_flushed(tmp_path, whole, error):
    """As on CIFS and on Windows drives under Linux."""
    result = train_failing(tmp_path, rule("fsync", error, "*/run", last=ALWAYS),
                           rule("fsync", error, "*/checkpoints", last=ALWAYS))
    assert result.weights == whole[1]
    assert checkpoint_steps(tmp_path / "run") == [10, 20]


# --- the first files


@pytest.mark.parametrize("name, call, where, which", [
    ("config.toml", "write", "*/config.toml.part", 1), ("config.toml", "fsync", "*/run", 1),
    ("run.json", "rename", "*/run.json", 1), ("run.json", "fsync", "*/run", 2)])
def test_a_beginning_that_fails_does_not_bar_the_next_try(tmp_path, whole, name, call, where, which):
    result = train_failing(tmp_path, rule(call, errno.EIO, where, first=which), code=CHECKPOINT)
    assert_error(result, CHECKPOINT, tmp_path / "run" / name, "Input/output error")
    assert train(tmp_path / "run", *TEN_STEPS).weights == whole[1]


def test_a_resume_that_fails_at_its_first_file_keeps_the_run(tmp_path, whole):
    run_dir = shutil.copytree(whole[0], tmp_path / "run")
    before = {path: path.read_bytes() for path in run_dir.rglob("*.*")}
    result = run("--run-dir", run_dir, "--resume", "auto", "--epochs", 3,
                 env=failing(rule("write", errno.EIO, "*/config.toml.part")))
    assert_error(result, CHECKPOINT, run_dir / "config.toml", "Input/output error")
    assert {path: path.read_bytes() for path in run_dir.rglob("*.*")} == before


# --- metrics.jsonl


@pytest.mark.parametrize("call, error", [
    ("open", errno.EIO), ("write", errno.ENOSPC), ("fsync", errno.EIO), ("close", errno.ENOSPC)])
def test_lines_of_metrics_are_kept_until_they_can_be_written(tmp_path, whole, call, error):
    result = train_failing(tmp_path, rule(call, error, "*/metrics.jsonl", last=2))
    assert result.weights == whole[1]
    assert untimed(tmp_path / "run") == untimed(whole[0])
    warning, = warnings_of(result)
    assert f"{tmp_path / 'run' / 'metrics.jsonl'}: " in warning and "tried again" in warning


def test_half_a_line_does_not_spoil_the_next(tmp_path, whole):
    train_failing(tmp_path, rule("write", "short", "*/metrics.jsonl", first=2),
                  rule("write", errno.ENOSPC, "*/metrics.jsonl", first=3))
    assert untimed(tmp_path / "run") == untimed(whole[0])


@pytest.mark.parametrize("ranks", [1, 2])
def test_lines_that_are_never_written_are_an_error_at_the_end(tmp_path, whole, ranks):
    result = train_failing(tmp_path, rule("write", errno.ENOSPC, "*/metrics.jsonl", first=2,
                                          last=ALWAYS), code=CHECKPOINT, ranks=ranks)
    assert_error(result, CHECKPOINT, tmp_path / "run" / "metrics.jsonl", "No space left on device")
    assert len(warnings_of(result)) == 1
    assert checkpoint_steps(tmp_path / "run") == [10, 20]
    assert [line["epoch"] for line in metrics(tmp_path / "run")] == [1]


def test_lines_are_tried_again_when_another_error_ends_the_run(tmp_path):
    result = train_failing(tmp_path, rule("write", errno.EIO, "*/metrics.jsonl"),
                           rule("write", errno.EIO, "*.pt.part"), code=CHECKPOINT)
    assert_error(result, CHECKPOINT, ".pt")
    assert [line["epoch"] for line in metrics(tmp_path / "run")] == [1]


# --- the page at the end


@pytest.mark.parametrize("name", ["report.html", "report-loss.svg"])
def test_a_report_that_fails_is_told_and_can_be_made_later(tmp_path, whole, name):
    result = train_failing(tmp_path, rule("write", errno.ENOSPC, f"*/{name}.part", last=ALWAYS),
                           code=CHECKPOINT)
    assert_error(result, CHECKPOINT, "no report", "No space left on device", "cifar-ddp report")
    assert result.weights == whole[1]
    assert checkpoint_steps(tmp_path / "run") == [10, 20]
    assert run("report", tmp_path / "run").code == 0
    assert (tmp_path / "run" / "report.html").exists()


# --- repeat


def test_repeat_goes_on_without_its_file(tmp_path):
    arguments = ["repeat", "--data", "synthetic", "--device", "cpu", "--threads", 1, "--layers", SMALL,
                 *BIG_BATCH, "--epochs", 1, "--runs", 2, "--output", tmp_path / "results.json"]
    result = run(*arguments, env=failing(rule("write", errno.ENOSPC, "*/results.json.part")))
    assert result.code == 0, result.err
    assert len(warnings_of(result)) == 1
    assert (tmp_path / "results.json").read_text().count('"seed"') == 2
    result = run(*arguments, env=failing(rule("write", errno.ENOSPC, "*/results.json.part",
                                              last=ALWAYS)))
    assert_error(result, CHECKPOINT, tmp_path / "results.json", "No space left on device")
    assert "run 2/2" in result.out
