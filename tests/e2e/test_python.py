"""Into Python and back: the README's own lines are run, and weights that Python saved are begun with."""
import json
import pathlib
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cifar_ddp import (BIG_BATCH, PROGRAM, ROOT, SMALL, assert_error, checkpoint_path, load,
                       resume, run, train)

USAGE, CHECKPOINT = 2, 4
STILL = ("--optimizer", "sgd", "--learning-rate", 1e-30)  # a step that moves no weight


def readme_section():
    text = (ROOT / "README.md").read_text()
    return re.search(r"^## Into Python and back\n(.*?)^## ", text, re.M | re.S).group(1)


def blocks(language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", readme_section(), re.M | re.S)
    return [text for kind, text in fenced if kind == language]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder in which the README's lines find what they name: a trained article and a picture."""
    train(tmp_path / "runs" / "article", "--max-steps", 2)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "cifar-ddp").symlink_to(PROGRAM)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    monkeypatch.chdir(tmp_path)
    return checkpoint_path(tmp_path / "runs" / "article", 2)


def answer(*arguments):
    result = run("predict", "--json", "--device", "cpu", "--threads", 1, *arguments)
    assert result.code == 0, result.err
    return json.loads(result.out)["classes"]


def readme_commands():
    """The arguments of the README's commands by their verb."""
    lines = [line.split("#")[0].split() for block in blocks("") for line in block.splitlines()]
    for program, *arguments in lines:
        assert program == "build/cifar-ddp"
        yield (arguments[0] if arguments[0] == "predict" else "train"), arguments


def test_the_readmes_lines(workplace, capsys):
    [code] = blocks("python")
    scope = {}
    exec(code, scope)  # noqa: S102
    assert capsys.readouterr().out  # it prints the probabilities
    said = scope["probabilities"][0].tolist()
    commands = dict(readme_commands())
    assert set(commands) == {"train", "predict"}

    there = answer("--checkpoint", workplace, "cat.png")
    back = answer(*commands["predict"][1:])
    for found in (there, back):
        values = [each["probability"] for each in found]
        assert values == pytest.approx(sorted(said, reverse=True)[:3], abs=1e-5)

    result = run(*commands["train"], "--data", "synthetic", *STILL, "--max-steps", 1,
                 "--device", "cpu", "--threads", 1, "--run-dir", "second")
    assert result.code == 0, result.err
    model = load(pathlib.Path("second"), 1)["model"]
    for name, tensor in scope["network"].state_dict().items():
        assert torch.equal(model[name], tensor), name


# --- --init-from


def small_network():
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))


def save(what, path):
    torch.save(what, path)
    return path


def begin(run_dir, path, *flags, ranks=1, code=0):
    return train(run_dir, "--layers", SMALL, *STILL, "--max-steps", 1, "--init-from", path, *flags,
                 ranks=ranks, code=code)


@pytest.mark.parametrize("form", ["state dict", "script's checkpoint", "parameters", "half",
                                  "channels last", "one storage"])
def test_begins_with_what_python_saved(tmp_path, form):
    network = small_network()
    weights = network.state_dict()
    saved = {"state dict": lambda: weights,
             "script's checkpoint": lambda: {
                 "model": weights, "epoch": 3,
                 "optimizer": torch.optim.AdamW(network.parameters()).state_dict()},
             "parameters": lambda: dict(network.named_parameters()),
             "half": lambda: small_network().half().state_dict(),
             "channels last": lambda: network.to(memory_format=torch.channels_last).state_dict(),
             "one storage": lambda: one_storage(weights)}[form]()
    begin(tmp_path / "run", save(saved, tmp_path / "python.pt"),
          ranks=2 if form == "state dict" else 1)
    model = load(tmp_path / "run", 1)["model"]
    for name, tensor in weights.items():
        expected = tensor.half().float() if form == "half" else tensor
        assert torch.equal(model[name], expected), name


def one_storage(weights):
    """The same tensors as views into one."""
    flat = torch.cat([tensor.flatten() for tensor in weights.values()])
    pieces = flat.split([tensor.numel() for tensor in weights.values()])
    return {name: piece.view(tensor.shape) for (name, tensor), piece in zip(weights.items(), pieces)}


def test_begins_with_a_checkpoint(tmp_path):
    train(tmp_path / "first", "--layers", SMALL, *BIG_BATCH, "--max-steps", 3)
    path = checkpoint_path(tmp_path / "first", 3)
    result = begin(tmp_path / "second", path)
    assert f"weights to begin with from {path}" in result.lines
    second = load(tmp_path / "second", 1)
    assert second["position"]["step"] == 1  # a run of its own
    for name, tensor in load(tmp_path / "first", 3)["model"].items():
        assert torch.equal(second["model"][name], tensor), name


def test_batch_norm_comes_along(tmp_path):
    torch.manual_seed(6)
    layers = "conv 4 kernel 8 stride 8, batch-norm, flatten, linear 10"
    network = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8, padding=3), nn.BatchNorm2d(4),
                            nn.Flatten(), nn.Linear(64, 10))
    network(torch.rand(16, 3, 32, 32))  # moves the running statistics
    network.eval()
    path = save(network.state_dict(), tmp_path / "python.pt")
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    found = answer("--checkpoint", path, "--layers", layers, tmp_path / "x.png")
    with torch.no_grad():
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
        expected = network(image).softmax(1)[0].sort(descending=True).values[:3].tolist()
    assert [each["probability"] for each in found] == pytest.approx(expected, abs=1e-5)
    train(tmp_path / "run", "--layers", layers, *STILL, "--max-steps", 1, "--init-from", path)
    assert torch.equal(load(tmp_path / "run", 1)["model"]["1.weight"], network[1].weight)


def without(weights, name):
    return {key: tensor for key, tensor in weights.items() if key != name}


@pytest.mark.parametrize("change, found, expected", [
    (lambda weights: without(weights, "3.bias"), 'no tensor "3.bias"', "[10]"),
    (lambda weights: weights | {"4.weight": torch.ones(2, 3)}, 'tensor "4.weight" of [2, 3]',
     "only tensors of the recipe's network"),
    (lambda weights: weights | {"0.weight": torch.ones(8, 3, 3, 3)},
     'tensor "0.weight" of [8, 3, 3, 3]', "a tensor of [8, 3, 4, 4]"),
    (lambda weights: weights | {"epoch": 3}, '"epoch" is an integer, no tensor', "a state dict"),
    (lambda weights: list(weights.values()), "a list or tuple as a whole", "a state dict"),
    (lambda weights: weights | {"0.bias": torch.zeros(8, dtype=torch.complex64)},
     '"0.bias" in a storage of torch.ComplexFloatStorage', "a state dict"),
    (lambda weights: small_network(), "an object of torch.nn.modules.container.Sequential",
     "a state dict"),
])
def test_what_does_not_fit(tmp_path, change, found, expected):
    path = save(change(small_network().state_dict()), tmp_path / "python.pt")
    result = run("train", "--data", "synthetic", "--device", "cpu", "--layers", SMALL,
                 "--init-from", path, "--run-dir", tmp_path / "run")
    assert_error(result, CHECKPOINT, path, found, expected)
    assert not (tmp_path / "run").exists()


def test_errors_come_once_on_two_ranks(tmp_path):
    result = begin(tmp_path / "run", tmp_path / "none.pt", ranks=2, code=CHECKPOINT)
    assert_error(result, CHECKPOINT, tmp_path / "none.pt", "No such file")


def test_only_a_run_that_begins(tmp_path):
    path = save(small_network().state_dict(), tmp_path / "python.pt")
    other = save(small_network().state_dict(), tmp_path / "other.pt")
    begin(tmp_path / "run", path)
    assert f'init_from = "{path}"' in (tmp_path / "run" / "config.toml").read_text()
    path.unlink()  # a resume has no need of it
    resume(tmp_path / "run", "--max-steps", 2)
    resume(tmp_path / "run", "--max-steps", 3, "--init-from", path)  # the same command again
    assert_error(run("--run-dir", tmp_path / "run", "--resume", "auto", "--init-from", other),
                 USAGE, f"--init-from {other}", "has begun already", path)
