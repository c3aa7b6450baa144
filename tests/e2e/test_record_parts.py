"""The parts of configs/fast/94.toml, each by itself against PyTorch (record_reference.py):
whitening, Muon, alternating flip with reflecting crop, test-time augmentation; and what they say of
bad input."""
import json

import pytest
import torch
from torch import nn

import record_reference
import reference
from cifar_ddp import (CIFAR10_DIR, SMALL, assert_error, checkpoint_path, load, needs_cifar10, run,
                       train_arguments)
from record_recipe import RECIPE, SEED, assert_close, recipe, run_steps

USAGE = 2


@pytest.fixture(scope="module")
def data():
    return reference.load_train(CIFAR10_DIR)


@needs_cifar10
def test_whitening_up_to_signs(tmp_path, data):
    run_steps(tmp_path / "run", recipe(tmp_path), 2, "--batch-size", 16)
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
    buffers = [each["optimizer"]["state"]["momentum_buffer"] for each in (before, after)]
    filters = [name for name, value in before["model"].items() if value.dim() == 4][1:]
    assert len(filters) == 6
    parameters = [before["model"][name].double() for name in filters]
    muon = record_reference.Muon(parameters, **record_reference.MUON)
    for name, parameter in zip(filters, parameters):
        muon.state[parameter]["momentum_buffer"] = buffers[0][name].double()
        parameter.grad = buffers[1][name].double() - 0.6 * buffers[0][name].double()
    muon.param_groups[0]["lr"] *= 1 - 1 / (8 * (50000 // 16))
    muon.step()
    assert_close({name: after["model"][name] for name in filters}, dict(zip(filters, parameters)))


# --- a small network for three epochs of five steps of 900 images; 500 images of each are left out

AUGMENTATION = RECIPE[RECIPE.index("[augmentation]"):RECIPE.index("[[optimizer]]")]
THREE_EPOCHS = f"""
[data]
validation_size = 45000
{AUGMENTATION}
[optimizer]
name = "sgd"
learning_rate = 0.1
[train]
epochs = 3
batch_size = 900
drop_last = true
shards = 3
"""


def run_three_epochs(folder, ranks=1):
    (folder / "small.toml").write_text(THREE_EPOCHS)
    run_steps(folder / "run", folder / "small.toml", 15, "--layers", SMALL, ranks=ranks)
    return checkpoint_path(folder / "run", 15)


@pytest.fixture(scope="module")
def three_epochs(data):
    """PyTorch's network after them."""
    images, labels = data
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(3):
        for indices in reference.batches(SEED, epoch, 900, validation=45000)[:5]:
            sgd.zero_grad()
            logits = model(record_reference.augmented(images, SEED, epoch, indices))
            nn.functional.cross_entropy(logits, labels[indices]).backward()
            sgd.step()
    return model


@needs_cifar10
@pytest.mark.parametrize("ranks", [1, 3])
def test_alternating_flip_and_reflecting_crop(tmp_path, three_epochs, ranks):
    path = run_three_epochs(tmp_path, ranks)
    assert_close(torch.load(path, weights_only=True)["model"], three_epochs.state_dict(), 1e-5)


@pytest.fixture(scope="module")
def small_checkpoint(tmp_path_factory):
    return run_three_epochs(tmp_path_factory.mktemp("small"))


@needs_cifar10
@pytest.mark.parametrize("tta", ["none", "mirror", "shift"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_test_time_augmentation(small_checkpoint, three_epochs, tta, ranks):
    result = run("evaluate", "--checkpoint", small_checkpoint, "--data", CIFAR10_DIR, "--device",
                 "cpu", "--threads", 1, "--tta", tta, "--json", ranks=ranks)
    found = json.loads(result.out)
    images, labels = reference.load(CIFAR10_DIR, ["test_batch.bin"])
    loss, right = record_reference.evaluate(three_epochs, images, labels, tta)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert abs(found["correct"] - right) <= 1  # two logits may differ by rounding


# --- bad input


LATER_CONV = '"conv 256 no-bias dirac", "pool max 2",'


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("changes, flags, words", [
    ([('["whiten.bias"]', '["whiten.bias", "3.weight"]')], [],
     ['optimizer.parameters: "3.weight" of sgd; expected a pattern of trainable parameters (']),
    ([('["whiten.bias"]', '["whiten.bias", "25.*"]')], [],
     ["optimizer.parameters: 25.weight: claimed by optimizers 1 and 3, counted from 0; expected "]),
    ([('["whiten.bias"]', '["linear.weight"]')], [],
     ["optimizer.parameters: 0.bias: claimed by no optimizer; expected one that updates it"]),
    ([(LATER_CONV, f'"residual", {LATER_CONV} "add",')], [],
     ['layer 12 ("add"): 256x7x7 onto 64x15x15; expected equal shapes']),
    ([('"whiten 2", "gelu"', '"gelu", "whiten 2"')], [],
     ['layer 1 ("whiten 2"): behind other layers; expected to be the first']),
    ([('"whiten 2"', '"whiten 2 images 50001"')], [],
     ['layer 0 ("whiten"): images 50001; expected at most 50000, the images of the train split']),
    ([], ["--validation-size", 45001],
     ['layer 0 ("whiten"): images 5000; expected at most 4999, the images of the train split']),
    ([], ["--precision", "fp16"],
     ["--precision: fp16 on the CPU; expected fp32 or bf16, or a GPU"]),
])
def test_bad_input(tmp_path, changes, flags, words, ranks):
    result = run(*train_arguments(tmp_path / "run", "--config", recipe(tmp_path, *changes),
                                  "--max-steps", 1, "--batch-size", 8, *flags), ranks=ranks)
    assert_error(result, USAGE, *words)
    assert not (tmp_path / "run").exists()
