"""Weights that Python's scripts saved: whatever lies beside them, under whichever key, by each
protocol of pickle, and as safetensors. Nothing in a file is run."""
import argparse
import collections
import json
import os
import pathlib
import pickle
import struct

import numpy as np
import pytest
import torch
from torch import nn

from cifar_ddp import assert_error, load, train
from weights_files import (LAYERS, fingerprint, inspect, safetensors_bytes, save, small_network,
                           small_weights)

CHECKPOINT = 4
STILL = ("--optimizer", "sgd", "--learning-rate", 1e-30)  # a step that moves no weight


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The hash of the weights, saved in the plainest way."""
    return fingerprint(save(small_weights(), tmp_path_factory.mktemp("sound") / "plain.pt"))


class OfTheScript:
    def __init__(self):
        self.inner = {"a": [1, 2.5, None]}


class Runs:
    """Pickled as the call of a function."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


BESIDE = {
    "namespace": argparse.Namespace(lr=0.1, layers=[1, 2]),
    "rng state": torch.get_rng_state(),
    "numpy scalar": np.float64(0.93),
    "numpy array": np.arange(12.0).reshape(3, 4),
    "numpy rng": np.random.get_state(),
    "scheduler": torch.optim.lr_scheduler.MultiStepLR(
        torch.optim.SGD(small_network().parameters(), 0.1), [30, 60]).state_dict(),
    "counter": collections.Counter("abc"),
    "defaultdict": collections.defaultdict(list, {"loss": [1.0, 2.0]}),
    "device": torch.device("cpu"),
    "dtype": torch.float16,
    "path": pathlib.Path("runs/1"),
    "set": {1, 2, 3},
    "frozenset": frozenset("ab"),
    "bool tensor": torch.tensor([True, False]),
    "complex tensor": torch.zeros(3, dtype=torch.complex64),
    "quantised tensor": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "sparse tensor": torch.eye(3).to_sparse(),
    "empty tensor": torch.empty(0, 3),
    "expanded tensor": torch.ones(1).expand(1000),
    "large integer": 1 << 200,
    "bytes": b"\x00\xff" * 300,
    "bytearray": bytearray(b"abc"),
    "class": OfTheScript,
    "object": OfTheScript(),
    "module": small_network(),
    "complex": 1 + 2j,
    "tuple keys": {(1, 2): "x", None: 3, 1.5: 4},
    "long text": "x" * 70000,
    "losses": [0.5] * 1_500_000,
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_whatever_lies_beside_the_weights(tmp_path, sound, protocol):
    behind = {f"{name}, twice": [value, value] for name, value in BESIDE.items()}
    path = save(BESIDE | {"model": small_weights()} | behind, tmp_path / "x.pt",
                pickle_protocol=protocol)
    assert fingerprint(path) == sound


def attributed():
    """Weights with attributes of their own, which pickle otherwise."""
    weights = small_weights()
    weights["0.bias"].kind = "bias"
    weights["3.weight"] = nn.Parameter(weights["3.weight"])
    weights["3.weight"].decay = False
    return weights


@pytest.mark.parametrize("form", [
    lambda: {"state_dict": small_weights()},
    lambda: {"model_state_dict": small_weights(), "epoch": 3},
    lambda: {"model": {"name": "resnet"}, "state_dict": small_weights()},  # a description
    lambda: {"model": "resnet", "state_dict": small_weights()},
    lambda: {"model": small_network(), "model_state_dict": small_weights()},
    lambda: dict(small_weights()),
    attributed,
    lambda: {name: tensor.double() for name, tensor in small_weights().items()},
], ids=["state_dict", "model_state_dict", "a description", "a name", "a module", "plain dict",
        "attributes", "double"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_under_the_keys_in_use(tmp_path, sound, form, protocol):
    assert fingerprint(save(form(), tmp_path / "x.pt", pickle_protocol=protocol)) == sound


def test_not_under_two_keys(tmp_path):
    path = save({"model": small_weights(), "state_dict": small_weights()}, tmp_path / "x.pt")
    assert_error(inspect(path), CHECKPOINT, path, '"model"', '"state_dict"', "one of the two")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_prefixes_that_all_names_have(tmp_path, sound, prefix):
    weights = {prefix + name: tensor for name, tensor in small_weights().items()}
    path = save(weights, tmp_path / "x.pt")
    assert fingerprint(path) == sound
    assert f'names without "{prefix}"' in inspect(path).lines[0]
    result = train(tmp_path / "run", "--layers", LAYERS, *STILL, "--max-steps", 1, "--init-from", path)
    assert f'weights to begin with from {path} (its names without "{prefix}")' in result.lines
    assert torch.equal(load(tmp_path / "run", 1)["model"]["3.weight"], small_weights()["3.weight"])


def test_a_prefix_that_some_names_have(tmp_path):
    weights = small_weights()
    weights["module.0.weight"] = weights.pop("0.weight")
    assert_error(inspect(save(weights, tmp_path / "x.pt")), CHECKPOINT, 'no tensor "0.weight"')


@pytest.mark.parametrize("value, found", [
    (OfTheScript(), "an object of test_weights.OfTheScript"),
    (argparse.Namespace(), "an object of argparse.Namespace"),
    (np.ones((4,)), "what numpy"),
    (torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8), "torch._utils._rebuild_qtensor"),
    (torch.zeros(4, dtype=torch.complex64), "torch.ComplexFloatStorage"),
    (None, "None"),
    ([1.0, 2.0], "a list"),
], ids=["object", "namespace", "numpy", "quantised", "complex", "none", "list"])
def test_what_the_weights_need(tmp_path, value, found):
    """In their place, what is not understood is named, with whose place it is."""
    path = save({"model": small_weights() | {"0.bias": value}}, tmp_path / "x.pt")
    assert_error(inspect(path), CHECKPOINT, path, '"0.bias"', found)


def test_a_whole_module_as_the_model(tmp_path):
    path = save({"model": small_network(), "epoch": 3}, tmp_path / "x.pt")
    assert_error(inspect(path), CHECKPOINT, path, '"model"', "torch.nn.modules.container.Sequential",
                 "state_dict()")


def test_nothing_is_run(tmp_path, sound):
    ran = tmp_path / "ran"
    path = save({"a": Runs(ran), "model": small_weights()}, tmp_path / "x.pt")
    assert fingerprint(path) == sound
    path = save({"model": small_weights() | {"0.bias": Runs(ran)}}, tmp_path / "x.pt")
    assert_error(inspect(path), CHECKPOINT, '"0.bias"', ".system")
    assert not ran.exists()
    pickle.loads(pickle.dumps(Runs(ran)))
    assert ran.exists()  # it would have


# --- safetensors


def written(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("change", [
    lambda weights: weights,
    lambda weights: dict(reversed(weights.items())),
    lambda weights: {"module." + name: tensor for name, tensor in weights.items()},
    lambda weights: {name: tensor.double() for name, tensor in weights.items()},
], ids=["as it is", "in another order", "with a prefix", "double"])
def test_safetensors(tmp_path, sound, change):
    path = written(tmp_path / "x.safetensors", safetensors_bytes(change(small_weights())))
    assert fingerprint(path) == sound


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_safetensors_of_half_precision(tmp_path, dtype):
    weights = {name: tensor.to(dtype) for name, tensor in small_weights().items()}
    path = written(tmp_path / "x.safetensors", safetensors_bytes(weights))
    assert fingerprint(path) == fingerprint(save(weights, tmp_path / "x.pt"))


def test_begins_with_safetensors(tmp_path):
    path = written(tmp_path / "x.safetensors", safetensors_bytes(small_weights()))
    train(tmp_path / "run", "--layers", LAYERS, *STILL, "--max-steps", 1, "--init-from", path, ranks=2)
    assert torch.equal(load(tmp_path / "run", 1)["model"]["3.weight"], small_weights()["3.weight"])


def entry(begin, end, shape=(4,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize("header, found", [
    ({"a": entry(0, 16), "b": entry(8, 24)}, '"b" begins at byte 8'),  # overlaps
    ({"a": entry(0, 16), "b": entry(20, 36)}, '"b" begins at byte 20'),  # a hole
    ({"a": entry(0, 16), "b": entry(16, 32)}, "4 bytes behind"),
    ({"a": entry(0, 16), "b": entry(16, 1 << 40)}, '"b" reaches beyond'),
    ({"a": entry(16, 0)}, '"a" reaches beyond'),
    ({"a": entry(0, 36, shape=(1 << 40, 1 << 40))}, '"a" has 36 bytes'),
    ({"a": entry(0, 36, shape=(8,))}, '"a" has 36 bytes'),
    ({"a": entry(0, 36, shape=(9,)), "b": entry(36, 36, shape=(0, 1 << 40, 1 << 40))},
     '"b" has a shape beyond all bounds'),
    ({"a": entry(0, 36, shape=(36,), dtype="F8_E4M3")}, "F8_E4M3"),
    ({"a": entry(-1, 36)}, "a negative number"),
    ({"a": entry(0, 36) | {"more": 1}}, "an unknown key more"),
    ({"a": {"dtype": "F32", "shape": [9]}}, "no dtype, shape or data_offsets of a"),
    ({"a": entry(0, 36, shape=(9,)), "__metadata__": {"x": 1}}, "a number at the wrong place"),
    (b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}, "a": {}}', "a twice"),
    (b'{"a": {"dtype": "F32"', "no JSON"),
    (b"[" * 100000, "bytes of an unknown format"),
    (b'{"a": ' + b"[" * 100000, "a list at the wrong place"),
    (b"{\"\\u001b[31m\": 3}", "a number at the wrong place"),
])
def test_safetensors_that_are_wrong(tmp_path, header, found):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = written(tmp_path / "x.safetensors", safetensors_bytes({}, text) + bytes(36))
    assert_error(inspect(path), CHECKPOINT, path, found)


def test_safetensors_cut_off(tmp_path):
    whole = safetensors_bytes(small_weights())
    for size in [9, 100, len(whole) - 1]:
        path = written(tmp_path / "x.safetensors", whole[:size])
        assert_error(inspect(path), CHECKPOINT, path, "is it cut off?")
    path = written(path, struct.pack("<Q", 200_000_000) + whole[8:])
    assert_error(inspect(path), CHECKPOINT, path, "more than 100 MB")
