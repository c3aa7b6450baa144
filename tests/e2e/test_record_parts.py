"""The parts of configs/fast/94.toml, each by itself against PyTorch (record_reference.py): whitening,
Muon, alternating flip with reflecting crop, test-time augmentation; and what they say of bad input."""
import json

import pytest
import torch
from torch import nn

import record_reference
import reference
from cifar_ddp import (CIFAR10_DIR, SMALL, assert_error, checkpoint_path, load, needs_cifar10, run,
                       train_arguments)
from record_recipe import NARROW, RECIPE, SEED, assert_close, narrow, recipe, run_steps

USAGE = 2


@pytest.fixture(scope="module")
def data():
    return reference.load_train(CIFAR10_DIR)


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
    buffers = [checkpoint["optimizer"]["state"]["momentum_buffer"] for checkpoint in (before, after)]
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
    assert_close(load(tmp_path / "run", 15)["model"], model.state_dict())


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
    model = record_reference.network(SEED, NARROW)
    model.load_state_dict({**model.state_dict(), **load(folder / "run", 10)["model"]})
    return checkpoint_path(folder / "run", 10), model, reference.load(CIFAR10_DIR, ["test_batch.bin"])


# --- bad input


LATER_CONV = '"conv 256 no-bias dirac", "pool max 2",'


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("changes, flags, words", [
    ([('["whiten.bias"]', '["whiten.bias", "3.weight"]')], [], ["optimizer.parameters", '"3.weight"']),
    ([('["whiten.bias"]', '["whiten.bias", "25.*"]')], [], ["25.weight", "claimed by optimizers"]),
    ([('["whiten.bias"]', '["linear.weight"]')], [], ["0.bias", "claimed by no optimizer"]),
    ([(LATER_CONV, f'"residual", {LATER_CONV} "add",')], [], ['"add"', "64x15x15"]),
    ([('"whiten 2", "gelu"', '"gelu", "whiten 2"')], [], ["whiten 2"]),
    ([('"whiten 2"', '"whiten 2 images 50001"')], [], ["whiten", "50001", "50000"]),
    ([], ["--validation-size", 45001], ["whiten", "5000", "4999"]),
    ([], ["--precision", "fp16"], ["fp16"]),
])
def test_bad_input(tmp_path, changes, flags, words, ranks):
    result = run(*train_arguments(tmp_path / "run", "--config", recipe(tmp_path, *changes),
                                  "--max-steps", 1, "--batch-size", 8, *flags), ranks=ranks)
    assert_error(result, USAGE, *words)
    assert not (tmp_path / "run").exists()
