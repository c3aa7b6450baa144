"""inspect: a data set's class counts and contact sheet against the files themselves, a checkpoint
against PyTorch's reading of it."""
import json

import numpy as np
import pytest
import torch
from PIL import Image

import reference
from cifar_ddp import (CIFAR10_DIR, RICH, SMALL, assert_error, checkpoint_path, load,
                       needs_cifar10, run, train)

USAGE, DATA, CHECKPOINT = 2, 3, 4
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
RECORD = 3073


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Files whose first 600 images are random ones of random classes, the others black airplanes that
    take no room; and the labels of all."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for name in (*reference.TRAIN_FILES, "test_batch.bin"):
        records = random.integers(0, 256, (600, RECORD), dtype=np.uint8)
        records[:, 0] = random.integers(0, 10, 600)
        with open(folder / name, "wb") as file:
            file.write(records.tobytes())
            file.truncate(10000 * RECORD)
    return folder


@pytest.fixture(scope="module")
def splits(data):
    """name -> images and labels, by the reference's account of the split."""
    images, labels = reference.load_train(data)
    order = reference.shuffled(range(50000), 42, reference.SPLIT)
    return {"train": (images[order[:45000]], labels[order[:45000]]),
            "val": (images[order[45000:]], labels[order[45000:]]),
            "test": reference.load(data, ["test_batch.bin"])}


def test_class_counts(data, splits):
    expected = {split: np.bincount(labels, minlength=10).tolist()
                for split, (_, labels) in splits.items()}
    result = run("inspect", "--data", data, "--json")
    assert result.code == 0, result.err
    rows = json.loads(result.out)["classes"]
    assert [row["class"] for row in rows] == CLASSES
    for split, counts in expected.items():
        assert [row[split] for row in rows] == counts
    lines = run("inspect", "--data", data).lines
    assert lines[1].split() == ["class", "train", "val", "test", "sum"]
    for i, name in enumerate(CLASSES):
        counts = [expected[split][i] for split in ("train", "val", "test")]
        assert lines[2 + i].split() == [name, *(f"{n:,}" for n in (*counts, sum(counts)))]
    assert lines[12].split() == ["sum", "45,000", "5,000", "10,000", "60,000"]


@needs_cifar10
def test_class_counts_of_cifar10():
    """As the article has them: balanced before the split."""
    result = run("inspect", "--data", CIFAR10_DIR, "--json")
    rows = json.loads(result.out)["classes"]
    assert all(row["train"] + row["val"] == 5000 and row["test"] == 1000 for row in rows)
    assert sum(row["val"] for row in rows) == 5000


@pytest.mark.parametrize("split", ["val", "test"])
def test_contact_sheet(data, splits, tmp_path, split):
    """The first 16 of each class in the order of the split, at twice their size, on white."""
    path = tmp_path / "sheet.png"
    result = run("inspect", "--data", data, "--contact-sheet", path, "--split", split)
    assert result.code == 0, result.err
    assert str(path) in result.lines[-1]
    images, labels = splits[split]
    size, gap = 64, 4
    expected = np.full((10 * (size + gap) + gap, 16 * (size + gap) + gap, 3), 255, np.uint8)
    for label in range(10):
        for column, index in enumerate(np.flatnonzero(labels.numpy() == label)[:16]):
            top, left = gap + label * (size + gap), gap + column * (size + gap)
            tile = images[index].permute(1, 2, 0).numpy().repeat(2, 0).repeat(2, 1)
            expected[top:top + size, left:left + size] = tile
    assert np.array_equal(np.asarray(Image.open(path)), expected)


def test_contact_sheet_that_cannot_be_written(tmp_path):
    path = tmp_path / "none" / "sheet.png"
    assert_error(run("inspect", "--data", "synthetic", "--contact-sheet", path), USAGE, path,
                 "No such file or directory")


def test_no_data(tmp_path):
    assert_error(run("inspect", "--data", tmp_path / "none"), DATA, "no such folder")
    assert_error(run("inspect", "--contact-sheet", tmp_path / "x.png"), DATA, "--data")


@pytest.fixture(scope="module")
def rich_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rich") / "run"
    return folder, train(folder, *RICH, "--batch-size", 9000, "--max-steps", 7)


def test_checkpoint(rich_run):
    folder, trained = rich_run
    model = load(folder, 7)["model"]
    result = run("inspect", "--checkpoint", folder)
    assert result.code == 0, result.err
    assert result.lines[0] == str(checkpoint_path(folder, 7))
    assert "step 7, after 1 of 20 epochs and 2 steps" in result.lines
    [moment] = load(folder, 7)["optimizer"]["state"]
    assert f"optimizer sgd after 7 steps, with {moment}" in result.lines
    assert trained.lines[-1] in result.lines  # weights HASH
    for name, tensor in model.items():
        assert any(line.split() == [name, *str(list(tensor.shape)).split(), f"{tensor.numel():,}"]
                   for line in result.lines), name
    recipe = load(folder, 7)["recipe"]
    assert result.out.rstrip().endswith(recipe.rstrip())


def test_checkpoint_as_json(rich_run):
    folder, trained = rich_run
    checkpoint = load(folder, 7)
    found = json.loads(run("inspect", "--checkpoint", folder, "--json").out)
    assert found["file"] == str(checkpoint_path(folder, 7))
    assert found["weights"] == trained.weights
    assert (found["step"], found["epoch"], found["step_in_epoch"]) == (7, 1, 2)
    assert found["recipe"] == checkpoint["recipe"]
    shapes = {each["name"]: each["shape"] for each in found["tensors"]}
    assert shapes == {name: list(tensor.shape) for name, tensor in checkpoint["model"].items()}
    assert found["parameters"] == sum(tensor.numel() for name, tensor in checkpoint["model"].items()
                                      if "running" not in name)


def test_a_state_dict_of_python(tmp_path):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
    torch.save(network.state_dict(), tmp_path / "python.pt")
    result = run("inspect", "--checkpoint", tmp_path / "python.pt", "--layers",
                 "flatten, linear 10")
    assert result.code == 0, result.err
    assert "30,730 parameters" in result.lines
    assert_error(run("inspect", "--checkpoint", tmp_path / "python.pt", "--layers", SMALL),
                 CHECKPOINT, tmp_path / "python.pt", 'no tensor "0.bias"', "[8]")


def test_checkpoint_that_is_none(tmp_path):
    (tmp_path / "notes.pt").write_text("not a checkpoint\n")
    assert_error(run("inspect", "--checkpoint", tmp_path / "notes.pt"), CHECKPOINT,
                 tmp_path / "notes.pt")
    assert_error(run("inspect", "--checkpoint", tmp_path), CHECKPOINT, tmp_path, "no checkpoint")


def test_the_table_of_a_recipe_has_no_json():
    assert_error(run("inspect", "--json"), USAGE, "--json")
    assert run("inspect", env={"CIFAR10_DIR": "/nowhere"}).lines[0] == "recipe article"


def test_help_shows_what_applies():
    result = run("inspect", "--help")
    flags = {line.split()[0] for line in result.lines if line.startswith("  --")}
    assert {"--data", "--contact-sheet", "--checkpoint", "--layers"} <= flags
    assert not flags & {"--epochs", "--learning-rate", "--run-dir"}
