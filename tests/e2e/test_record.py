"""configs/fast/94.toml against an independent account of it in PyTorch (record_reference.py), whole and
part by part; the same bits on every number of ranks; what its parts say of bad input."""
import numpy as np
import pytest
import torch
from torch import nn

import record_reference
import reference
from cifar_ddp import (CIFAR10_DIR, ROOT, SMALL, assert_error, checkpoint_path, load, metrics,
                       needs_cifar10, run, train)

RECIPE = (ROOT / "configs" / "fast" / "94.toml").read_text()
USAGE = 2
SEED = 42


def recipe(folder, *changes):
    """The recipe's file with other words in it: (words, others) each."""
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "94.toml"
    path.write_text(text)
    return path


def narrow(folder, *changes):
    return recipe(folder, ("conv 64", "conv 4"), ("conv 256", "conv 8"), ("1/256", "1/8"), *changes)


def run_steps(run_dir, path, steps, *flags, ranks=1):
    return train(run_dir, "--config", path, "--data", CIFAR10_DIR, "--max-steps", steps,
                 "--checkpoint-every", 1, "--keep", 0, *flags, ranks=ranks)


def assert_close(ours, theirs, tolerance=1e-4):
    """Relative to the largest value of each tensor."""
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        difference = (ours[name] - value).abs().max() / value.abs().max()
        assert difference < tolerance, f"{name}: {difference}"


def weights(model):
    return {name: value for name, value in model.state_dict().items()
            if not name.endswith("num_batches_tracked")}


@pytest.fixture(scope="module")
def data():
    return reference.load_train(CIFAR10_DIR)


# --- ten steps: 600 images train, so that they are most of the schedule

IMAGES, BATCH, SHARDS, STEPS = 600, 48, 3, 10
ALL_STEPS = IMAGES // BATCH
FEW_IMAGES = (("validation_size = 0", f"validation_size = {50000 - IMAGES}"),
              ('"whiten 2"', f'"whiten 2 images {IMAGES}"'),
              ("epochs = 8", "epochs = 1"), ("until_epoch = 3", "until_epoch = 0.5"))


@pytest.fixture(scope="module")
def ten_steps(data):
    """PyTorch's network after them, and the loss of each; the signs of whitening's vectors free."""
    images, labels = data
    split = reference.shuffled(range(50000), SEED, reference.SPLIT)[:IMAGES]
    model = record_reference.network(SEED)
    model[0].weight.data = record_reference.whitening(record_reference.normalised(images[sorted(split)]))
    batches = reference.batches(SEED, 0, BATCH, validation=50000 - IMAGES)[:STEPS]
    optimizers = record_reference.Optimizers(model, ALL_STEPS, ALL_STEPS // 2)
    losses = record_reference.train(model, images, labels, [(0, batch) for batch in batches], SEED,
                                    SHARDS, optimizers)
    return weights(model), losses


@needs_cifar10
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ten_steps(tmp_path, ten_steps, ranks):
    run_steps(tmp_path / "run", recipe(tmp_path, *FEW_IMAGES), STEPS, "--batch-size", BATCH,
              "--shards", SHARDS, ranks=ranks)
    theirs, losses = ten_steps
    sums = [load(tmp_path / "run", step)["position"]["loss_sum"] for step in range(1, STEPS + 1)]
    assert np.diff(sums, prepend=0) == pytest.approx(losses, rel=1e-5)
    assert metrics(tmp_path / "run")[-1]["train_loss"] == \
        pytest.approx(sum(losses) / (STEPS * BATCH), rel=1e-5)
    assert_close(load(tmp_path / "run", STEPS)["model"], theirs)
