"""Folders that may not be read or written, names that are too long: the system's reason, with the
design's exit codes; and a data set that changes while it is in use."""

import errno
import os
import signal

import pytest

from cifar_ddp import (SMALL, assert_error, checkpoint_path, heed_permissions, load, run, start,
                       train, wait_for_file)
from failing import ALWAYS, failing, rule

USAGE, DATA, CHECKPOINT = 2, 3, 4
FILE_BYTES = 10000 * 3073
TOO_LONG = "x" * 300
ONE_STEP = ["--device", "cpu", "--threads", 1, "--layers", SMALL, "--max-steps", 1]


@pytest.fixture
def locked(tmp_path):
    """A folder that nobody may enter."""
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "inside").mkdir()
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.fixture
def data(tmp_path):
    """Black airplanes that take no room."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        with open(folder / name, "wb") as file:
            file.truncate(FILE_BYTES)
    return folder


def run_obediently(*arguments, **options):
    return run(*arguments, preexec_fn=heed_permissions, **options)


# --- run directories


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("resume", [[], ["--resume", "auto"]])
def test_run_directory_that_may_not_be_entered(locked, ranks, resume):
    result = run_obediently("--data", "synthetic", *ONE_STEP, "--run-dir", locked / "run", *resume,
                            ranks=ranks)
    assert_error(result, CHECKPOINT, locked / "run", "Permission denied")


def test_run_directory_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    result = run_obediently("--data", "synthetic", *ONE_STEP, "--run-dir", tmp_path / "run")
    tmp_path.chmod(0o700)
    assert_error(result, CHECKPOINT, tmp_path / "run", "Permission denied")


@pytest.mark.parametrize("resume", [[], ["--resume", "auto"]])
def test_run_directory_with_a_name_that_is_too_long(tmp_path, resume):
    result = run("--data", "synthetic", *ONE_STEP, "--run-dir", tmp_path / TOO_LONG, *resume)
    assert_error(result, CHECKPOINT, TOO_LONG, "File name too long")
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_that_may_not_be_listed_are_not_none(tmp_path):
    """Or the run would begin anew over its own files."""
    run_dir = tmp_path / "run"
    train(run_dir, *ONE_STEP)
    before = {path: path.read_bytes() for path in run_dir.rglob("*.*")}
    (run_dir / "checkpoints").chmod(0o300)
    result = run_obediently("--run-dir", run_dir, "--resume", "auto", "--max-steps", 2)
    (run_dir / "checkpoints").chmod(0o700)
    assert_error(result, CHECKPOINT, run_dir / "checkpoints", "Permission denied")
    assert {path: path.read_bytes() for path in run_dir.rglob("*.*")} == before


def test_a_folder_that_may_be_written_but_not_read(tmp_path):
    """It can be neither listed nor flushed; that is no reason to do without a run."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    run_dir.chmod(0o300)
    result = run_obediently("--data", "synthetic", *ONE_STEP, "--run-dir", run_dir)
    run_dir.chmod(0o700)
    assert result.code == 0, result.err
    assert load(run_dir, 1)["position"]["step"] == 1


# --- what is read


@pytest.mark.parametrize("where", ["inside", ""])
def test_data_folder_that_may_not_be_read(locked, where):
    result = run_obediently("--data", locked / where, *ONE_STEP)
    assert_error(result, DATA, locked / where, "Permission denied")


def test_data_folder_with_a_name_that_is_too_long(tmp_path):
    assert_error(run("--data", tmp_path / TOO_LONG, *ONE_STEP), DATA, TOO_LONG, "File name too long")


@pytest.mark.parametrize("arguments, code", [
    (["report", "{}/inside"], USAGE), (["report", "{}"], USAGE),
    (["evaluate", "--data", "synthetic", "--checkpoint", "{}/inside"], CHECKPOINT),
    (["inspect", "--checkpoint", "{}/step-00000001.pt"], CHECKPOINT),
    (["--data", "synthetic", "--resume", "{}/inside"], CHECKPOINT),
    (["--data", "synthetic", "--init-from", "{}/weights.pt", *ONE_STEP], CHECKPOINT),
])
def test_other_paths_that_may_not_be_read(locked, arguments, code):
    result = run_obediently(*(str(word).format(locked) for word in arguments), cwd=locked.parent)
    assert_error(result, code, locked, "Permission denied")


def test_pictures_that_may_not_be_read(tmp_path, locked):
    train(tmp_path / "run", *ONE_STEP)
    (tmp_path / "pictures").mkdir(mode=0o300)
    for path in (locked / "cat.png", tmp_path / "pictures"):
        result = run_obediently("predict", "--checkpoint", tmp_path / "run", path)
        assert_error(result, DATA, path, "Permission denied")
    (tmp_path / "pictures").chmod(0o700)


# --- data files in use


def test_a_file_system_that_cannot_map(data, tmp_path):
    """As some of FUSE."""
    assert run("--data", data, *ONE_STEP, "--run-dir", tmp_path / "run", env=failing(
        rule("mmap", errno.ENODEV, "*/data_batch_*.bin", last=ALWAYS))).code == 0


def test_a_data_file_that_shrinks_while_it_is_in_use(data, tmp_path):
    flags = ["--data", data, "--device", "cpu", "--threads", 1, "--layers", SMALL, "--max-steps", 100,
             "--checkpoint-every", 10]
    undisturbed = run(*flags, "--run-dir", tmp_path / "undisturbed")
    process = start(*flags, "--run-dir", tmp_path / "run")
    wait_for_file(checkpoint_path(tmp_path / "run", 10), process)
    process.send_signal(signal.SIGSTOP)
    assert not checkpoint_path(tmp_path / "run", 100).exists()
    for i in range(1, 6):
        os.truncate(data / f"data_batch_{i}.bin", 1000)
    process.send_signal(signal.SIGCONT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output.splitlines()[-1] == f"weights {undisturbed.weights}"
