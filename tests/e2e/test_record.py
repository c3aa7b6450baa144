"""Ten steps of configs/fast/94.toml against an independent account of it in PyTorch
(record_reference.py), and the same bits on every number of ranks."""
import shutil

import numpy as np
import pytest
from torch import nn

import record_reference
import reference
from cifar_ddp import CIFAR10_DIR, load, metrics, needs_cifar10, untimed
from record_recipe import SEED, assert_close, recipe, run_steps

# --- ten steps: of a training of twelve, so that the rates fall nearly to 0 (whitening's bias stops
# after six).
#
# Where two values of a max-pool window differ by rounding alone (in flat parts of an image all do),
# another winner is another gradient; Muon gives each of its directions the same size, and after ten
# steps PyTorch itself is 0.3 of the largest weight from PyTorch in the other memory order. With
# average pooling it stays within 1e-5. So: ten steps in a row with average pooling, and each of ten
# with the recipe's own from where the program began it, on the same convolutions.

IMAGES, BATCH, SHARDS, STEPS, ALL_STEPS = 600, 48, 3, 10, 12
TWELVE_STEPS = (("validation_size = 0", f"validation_size = {50000 - IMAGES}"),
                ('"whiten 2"', f'"whiten 2 images {IMAGES}"'), ("epochs = 8", "epochs = 1"),
                ("until_epoch = 3", "until_epoch = 0.5"))


def run_ten(run_dir, path, *flags, ranks=1):
    return run_steps(run_dir, path, STEPS, "--batch-size", BATCH, "--shards", SHARDS, *flags,
                     ranks=ranks)


def losses_of(run_dir):
    sums = [load(run_dir, step)["position"]["loss_sum"] for step in range(1, STEPS + 1)]
    return np.diff(sums, prepend=0)


def reference_training(**options):
    """PyTorch's, and the batches of its steps."""
    images, labels = reference.load_train(CIFAR10_DIR)
    split = reference.shuffled(range(50000), SEED, reference.SPLIT)[:IMAGES]
    model = record_reference.network(SEED, **options)
    inputs = record_reference.normalised(images[sorted(split)])
    model[0].weight.data = record_reference.whitening(inputs)
    optimizers = record_reference.Optimizers(model, ALL_STEPS, ALL_STEPS // 2)
    batches = reference.batches(SEED, 0, BATCH, validation=50000 - IMAGES)
    return record_reference.Training(model, optimizers, images, labels, SEED, SHARDS), batches


@pytest.fixture(scope="module")
def ten_in_a_row():
    training, batches = reference_training(pool=nn.AvgPool2d)
    losses = [training.step(step, 0, batches[step]) for step in range(STEPS)]
    return losses, training.weights()


@needs_cifar10
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ten_steps_in_a_row(tmp_path, ten_in_a_row, ranks):
    path = recipe(tmp_path, *TWELVE_STEPS, ("pool max", "pool average"))
    run_ten(tmp_path / "run", path, ranks=ranks)
    losses, weights = ten_in_a_row
    assert losses_of(tmp_path / "run") == pytest.approx(losses, rel=1e-5)
    assert metrics(tmp_path / "run")[-1]["train_loss"] == \
        pytest.approx(sum(losses) / (STEPS * BATCH), rel=1e-5)
    assert_close(load(tmp_path / "run", STEPS)["model"], weights)


@pytest.fixture(scope="module")
def run_of_ten(tmp_path_factory):
    """The run's folder, its recipe and the hash of its weights."""
    folder = tmp_path_factory.mktemp("ten")
    path = recipe(folder, *TWELVE_STEPS)
    result = run_ten(folder / "run", path, "--kernels", "libtorch")
    yield folder / "run", path, result.weights
    shutil.rmtree(folder)  # 200 MB


@needs_cifar10
def test_each_of_ten_steps(run_of_ten):
    run_dir = run_of_ten[0]
    training, batches = reference_training()
    training.model[0].weight.data = load(run_dir, 1)["model"]["0.weight"]
    for step, loss in enumerate(losses_of(run_dir)):
        if step > 0:
            training.go_on_from(load(run_dir, step))
        assert training.step(step, 0, batches[step]) == pytest.approx(loss, rel=1e-5)
        assert_close(load(run_dir, step + 1)["model"], training.weights())


@needs_cifar10
@pytest.mark.parametrize("ranks", [2, 3])
def test_ten_steps_have_the_same_bits_on_more_ranks(tmp_path, run_of_ten, ranks):
    run_dir, path, alone = run_of_ten
    result = run_ten(tmp_path / "run", path, "--kernels", "libtorch", ranks=ranks)
    assert result.weights == alone
    assert untimed(tmp_path / "run") == untimed(run_dir)


# --- the same bits


TWENTY_SHARDS = ("--batch-size", 40, "--shards", 20)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return run_steps(folder / "run", recipe(folder), 3, *TWENTY_SHARDS).weights


@needs_cifar10
@pytest.mark.parametrize("ranks", [2, 4, 5])
def test_same_bits_on_any_number_of_ranks(tmp_path, ranks, alone):
    result = run_steps(tmp_path / "run", recipe(tmp_path), 3, *TWENTY_SHARDS, ranks=ranks)
    assert result.weights == alone
