"""A run goes on with the images that it was trained on: in the middle of an epoch other ones are
refused, at an epoch's end they are told of and remembered. All ranks have the same."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from cifar_ddp import (BIG_BATCH, ENVIRONMENT, PROGRAM, SMALL, assert_error, checkpoint_path, load, resume, run,
                       train)

RECORD = 3073
FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A data set in CIFAR-10's files: random pixels."""
    folder = tmp_path_factory.mktemp("data") / "images"
    folder.mkdir()
    random = np.random.default_rng(1)
    for name in FILES:
        records = random.integers(0, 256, (10000, RECORD), np.uint8)
        records[:, 0] %= 10
        records.tofile(folder / name)
    return folder


@pytest.fixture
def copy(images, tmp_path):
    return shutil.copytree(images, tmp_path / "copy")


def change(folder, name, image, byte):
    """One bit of one label or pixel."""
    with open(folder / name, "r+b") as file:
        file.seek(image * RECORD + byte)
        old, = file.read(1)
        file.seek(image * RECORD + byte)
        file.write(bytes([old ^ 1]))


def facts(run_dir):
    return json.loads((run_dir / "run.json").read_text())


def history(run_dir):
    return [(use["from_step"], use["data"]) for use in facts(run_dir)["data_history"]]


@pytest.fixture
def in_an_epoch(images, tmp_path):
    train(tmp_path / "run", "--layers", SMALL, *BIG_BATCH, "--data", images, "--max-steps", 4)
    return tmp_path / "run"


@pytest.mark.parametrize("ranks", [1, 2])
def test_in_the_middle_of_an_epoch_other_images_are_refused(in_an_epoch, images, ranks):
    before = {path: path.read_bytes() for path in in_an_epoch.rglob("*") if path.is_file()}
    result = run("--run-dir", in_an_epoch, "--resume", "auto", "--data", "synthetic", "--device", "cpu",
                 ranks=ranks)
    assert_error(result, 3, f"--resume {checkpoint_path(in_an_epoch, 4)}", "(synthetic, hash ",
                 "in the middle of an epoch", f"({images}, hash ", "the end of an epoch")
    assert {path: path.read_bytes() for path in in_an_epoch.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name, image, byte", [("data_batch_1.bin", 1, 0), ("data_batch_3.bin", 57, 3000),
                                               ("data_batch_5.bin", 9999, 3072), ("test_batch.bin", 33, 1)])
def test_one_label_or_pixel_anywhere_makes_other_images(in_an_epoch, copy, name, image, byte):
    change(copy, name, image, byte)
    result = run("--run-dir", in_an_epoch, "--resume", "auto", "--data", copy, "--device", "cpu")
    assert_error(result, 3, "in the middle of an epoch")


def test_the_same_images_in_another_folder_are_the_same(in_an_epoch, copy):
    resume(in_an_epoch, "--data", copy, "--max-steps", 5)
    assert history(in_an_epoch)[0][0] == 0 and len(history(in_an_epoch)) == 1


def test_the_checkpoint_knows_when_the_run_directory_does_not(in_an_epoch):
    assert load(in_an_epoch, 4)["data_hash"] == facts(in_an_epoch)["data_hash"]
    (in_an_epoch / "run.json").unlink()
    result = run("--run-dir", in_an_epoch, "--resume", "auto", "--data", "synthetic", "--device", "cpu")
    assert_error(result, 3, "in the middle of an epoch")
    resume(in_an_epoch, "--max-steps", 5)
    assert len(history(in_an_epoch)) == 1


def test_at_an_epochs_end_other_images_are_told_of_and_remembered(images, tmp_path):
    run_dir = tmp_path / "run"
    train(run_dir, "--layers", SMALL, *BIG_BATCH, "--data", images, "--epochs", 1, "--max-steps", 10)
    result = resume(run_dir, "--data", "synthetic", "--epochs", 2, "--max-steps", 13)
    assert "warning: " in result.err and "other images (synthetic, hash " in result.err
    assert history(run_dir) == [(0, str(images)), (10, "synthetic")]
    again = resume(run_dir, "--max-steps", 14)
    assert "warning" not in again.err
    assert history(run_dir) == [(0, str(images)), (10, "synthetic")]


def test_a_new_run_from_another_ones_checkpoint_takes_its_history_along(in_an_epoch, images, tmp_path):
    resume(tmp_path / "new", "--max-steps", 5, where=in_an_epoch)
    assert history(tmp_path / "new") == [(0, str(images))]
    result = run("--run-dir", tmp_path / "newer", "--resume", in_an_epoch, "--data", "synthetic")
    assert_error(result, 3, "in the middle of an epoch")
    assert not (tmp_path / "newer").exists()


def test_all_ranks_have_the_same_images(images, copy, tmp_path):
    change(copy, "data_batch_2.bin", 4711, 17)
    words = ["train", "--layers", SMALL, "--device", "cpu", "--max-steps", 1, "--run-dir", tmp_path / "run"]
    both = ["mpirun", "-np", 1, PROGRAM, *words, "--data", images, ":", "-np", 1, PROGRAM, *words, "--data", copy]
    done = subprocess.run([str(word) for word in both], env=ENVIRONMENT, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 3, done.stderr
    assert "data set of rank 1 on " in done.stderr
    assert not (tmp_path / "run").exists()
