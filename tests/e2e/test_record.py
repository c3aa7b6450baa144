"""configs/fast/94.toml against an independent account of it in PyTorch (record_reference.py), whole and
part by part; the same bits on every number of ranks; what its parts say of bad input."""
import json

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
    """PyTorch's network after them, and the loss of each."""
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


@needs_cifar10
@pytest.mark.parametrize("ranks", [2, 4, 5])
def test_same_bits_on_any_number_of_ranks(tmp_path, ranks, alone):
    result = run_steps(tmp_path / "run", recipe(tmp_path), 3, *TWENTY_SHARDS, ranks=ranks)
    assert result.weights == alone


TWENTY_SHARDS = ("--batch-size", 40, "--shards", 20)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return run_steps(folder / "run", recipe(folder), 3, *TWENTY_SHARDS).weights


# --- part by part


@needs_cifar10
def test_whitening_up_to_signs(tmp_path, data):
    run_steps(tmp_path / "run", narrow(tmp_path), 2, "--batch-size", 16)
    model = load(tmp_path / "run", 1)["model"]
    theirs = record_reference.whitening(record_reference.normalised(data[0][:5000]))
    ours = model["0.weight"]
    assert torch.equal(ours[12:], -ours[:12])
    signs = (ours * theirs).sum((1, 2, 3), keepdim=True).sign()
    assert_close({"0.weight": ours * signs}, {"0.weight": theirs}, 1e-5)
    assert torch.equal(load(tmp_path / "run", 2)["model"]["0.weight"], ours)


@needs_cifar10
def test_muon_from_equal_gradients(tmp_path):
    # The gradient is what momentum's buffers hold more than 0.6 of what they held.
    run_steps(tmp_path / "run", recipe(tmp_path), 2, "--batch-size", 16, "--shards", 1)
    before, after = (load(tmp_path / "run", step) for step in (1, 2))
    buffers = [checkpoint["optimizer"]["state"]["momentum"] for checkpoint in (before, after)]
    filters = [name for name, value in before["model"].items() if value.dim() == 4][1:]
    assert len(filters) == 6
    parameters = [before["model"][name].double() for name in filters]
    muon = record_reference.Muon(parameters, **record_reference.MUON)
    for name, parameter in zip(filters, parameters):
        muon.state[parameter]["buffer"] = buffers[0][name].double()
        parameter.grad = buffers[1][name].double() - 0.6 * buffers[0][name].double()
    muon.param_groups[0]["lr"] *= 1 - 1 / (8 * (50000 // 16))
    muon.step()
    assert_close({name: after["model"][name] for name in filters}, dict(zip(filters, parameters)))


@needs_cifar10
@pytest.mark.parametrize("ranks", [1, 3])
def test_alternating_flip_and_reflecting_crop_over_three_epochs(tmp_path, data, ranks):
    images, labels = data
    batch, rate = 9000, 0.02  # five steps an epoch, and 5,000 images are dropped
    path = tmp_path / "flip.toml"
    augmentation = RECIPE[RECIPE.index("[augmentation]"):RECIPE.index("[[optimizer]]")]
    path.write_text(f"""[data]
validation_size = 0
{augmentation}
[optimizer]
name = "sgd"
learning_rate = {rate}
[train]
epochs = 3
batch_size = {batch}
drop_last = true
""")
    run_steps(tmp_path / "run", path, 15, "--layers", SMALL, "--shards", 3, ranks=ranks)
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    sgd = torch.optim.SGD(model.parameters(), lr=rate)
    for epoch in range(3):
        for indices in reference.batches(SEED, epoch, batch, validation=0)[:5]:
            inputs = record_reference.augmented(images, SEED, epoch, indices)
            sgd.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels[indices]).backward()
            sgd.step()
    assert_close(load(tmp_path / "run", 15)["model"], weights(model))


@needs_cifar10
@pytest.mark.parametrize("tta", ["none", "mirror", "shift"])
def test_test_time_augmentation(tta, narrow_run):
    path, model, test = narrow_run
    loss, right = record_reference.evaluate(model, *test, tta)
    for ranks in (1, 3):
        result = run("evaluate", "--checkpoint", path, "--data", CIFAR10_DIR, "--device", "cpu",
                     "--threads", 1, "--tta", tta, "--json", ranks=ranks)
        found = json.loads(result.out)
        assert found["loss"] == pytest.approx(loss, rel=1e-5)
        assert found["accuracy"] == right / 10000


@pytest.fixture(scope="module")
def narrow_run(tmp_path_factory):
    """A checkpoint, PyTorch's network with its weights, the test images."""
    folder = tmp_path_factory.mktemp("narrow")
    run_steps(folder / "run", narrow(folder), 10, "--batch-size", 500)
    model = record_reference.network(SEED, widths=(4, 8, 8))
    model.load_state_dict(load(folder / "run", 10)["model"], strict=False)
    return checkpoint_path(folder / "run", 10), model, reference.load(CIFAR10_DIR, ["test_batch.bin"])


# --- bad input


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("old, new, flags, words", [
    ('["0.bias"]', '["0.bias", "3.weight"]', (), ("3.weight", "parameter")),
    ('["0.bias"]', '["0.bias", "25.*"]', (), ("25.weight", "sgd")),
    ('"4.bias", ', "", (), ("4.bias",)),
    ('"conv 256 no-bias dirac", "pool max 2",', '"residual", "conv 256 no-bias dirac", "pool max 2", "add",', (),
     ('"add"', "256x7x7", "64x15x15")),
    ('"whiten 2", "gelu",', '"gelu", "whiten 2",', (), ("whiten 2",)),
    ('"whiten 2"', '"whiten 2 images 50001"', (), ("50001", "50000")),
    ("", "", ("--validation-size", 45001), ("5000", "4999")),
    ("", "", ("--precision", "fp16"), ("fp16", "cpu")),
])
def test_bad_input(tmp_path, old, new, flags, words, ranks):
    path = recipe(tmp_path, (old, new)) if old else recipe(tmp_path)
    result = run("--config", path, "--data", "synthetic", "--device", "cpu", "--threads", 1,
                 "--run-dir", tmp_path / "run", "--max-steps", 1, "--batch-size", 8, *flags, ranks=ranks)
    assert_error(result, USAGE, *words)
    assert not (tmp_path / "run").exists()
