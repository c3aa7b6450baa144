"""Files that hold no weights, or only claim to: named as what they are, with what to do, and for
little memory and time."""
import gzip
import io
import os
import pickle
import resource
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_ddp import ENVIRONMENT, Result, assert_error, command, run, train_arguments
from weights_files import (LAYERS, inspect, save, sealed_checkpoint, small_network, small_weights)

USAGE, CHECKPOINT = 2, 4
MOST_KIB = 1 << 20  # the libraries alone take a third of it


def legacy(path):
    save(small_weights(), path, _use_new_zipfile_serialization=False)


def tar(path):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("storages"))


def archive_without_data(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "x")


KINDS = {
    "legacy": (legacy, "the format of torch.save before PyTorch 1.6", "torch.save(torch.load(FILE), FILE)"),
    "tar": (tar, "a tar archive", "torch.save"),
    "lfs": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"
                                         "oid sha256:4d7a214614ab\nsize 12345\n"),
            "a Git LFS pointer", "git lfs pull"),
    "html": (lambda path: path.write_text("\n <!DOCTYPE html>\n<html><title>404</title></html>"),
             "an HTML page", "the file itself"),
    "torchscript": (lambda path: torch.jit.script(small_network()).save(str(path)),
                    "a TorchScript archive", "torch.jit.load(FILE).state_dict()"),
    "traced": (lambda path: torch.jit.trace(small_network(), torch.rand(1, 3, 32, 32)).save(str(path)),
               "a TorchScript archive", "state_dict()"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"x" * 100)), "a gzip file", "gunzip"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "a plain pickle", "torch.save"),
    "npz": (lambda path: np.savez(path.open("wb"), a=np.ones(3)), "arrays of NumPy", "a state dict"),
    "npz, compressed": (lambda path: np.savez_compressed(path.open("wb"), a=np.ones(3)),
                        "arrays of NumPy", "a state dict"),
    "npy": (lambda path: np.save(path.open("wb"), np.ones(3)), "an array of NumPy", "a state dict"),
    "zip": (archive_without_data, "a zip archive without data.pkl", "a state dict"),
    "empty": (lambda path: path.write_bytes(b""), "an empty file", "a state dict"),
    "text": (lambda path: path.write_text("hello, world\n" * 9), "bytes of an unknown format",
             "a checkpoint"),
    "cut off": (lambda path: path.write_bytes(save(small_weights(), path).read_bytes()[:-1]),
                "without its end (is it cut off?)", "a checkpoint"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_named_as_what_they_are(tmp_path, kind):
    write, what, todo = KINDS[kind]
    path = tmp_path / "model.pt"
    write(path)
    assert_error(inspect(path), CHECKPOINT, path, what, todo)
    result = run(*train_arguments(tmp_path / "run", "--init-from", path))
    assert_error(result, CHECKPOINT, path, what, todo)
    if kind not in {"cut off", "text", "empty"}:
        result = run(*train_arguments(tmp_path / "run", "--resume", path))
        assert_error(result, CHECKPOINT, path, what, "a checkpoint of cifar-ddp")


# --- numbers that are none


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    return tmp_path / "x.png"


@pytest.mark.parametrize("name, number", [
    ("0.weight", float("nan")), ("3.bias", float("inf")), ("1.running_mean", float("-inf")),
    ("1.running_var", float("nan")), ("3.weight", 1e300)])  # too large for float32
def test_weights_that_are_not_finite(tmp_path, picture, name, number):
    weights = {key: tensor.double() for key, tensor in small_weights().items()}
    weights[name].view(-1)[1] = number
    path = save(weights, tmp_path / "x.pt")
    network = ["--layers", LAYERS, "--device", "cpu", "--threads", 1]
    for arguments in [["predict", picture, "--checkpoint", path, *network],
                      ["evaluate", "--data", "synthetic", "--checkpoint", path, *network],
                      train_arguments(tmp_path / "run", *network, "--init-from", path)]:
        result = run(*arguments)
        assert_error(result, CHECKPOINT, path, f'"{name}"', f"1 of {weights[name].numel()} numbers", "finite")
        assert not result.out


def test_a_variance_below_zero(tmp_path):
    weights = small_weights()
    weights["1.running_var"][2] = -1
    assert_error(inspect(save(weights, tmp_path / "x.pt")), CHECKPOINT, '"1.running_var"', "below 0")


def test_answers_that_are_not_finite(tmp_path, picture):
    weights = {name: tensor * 1e30 if name.endswith("weight") else tensor
               for name, tensor in small_weights().items()}
    path = save(weights, tmp_path / "x.pt")
    network = ["--layers", LAYERS, "--device", "cpu", "--threads", 1]
    assert_error(run("predict", picture, "--checkpoint", path, *network), CHECKPOINT, path, "NaN")
    assert_error(run("evaluate", "--data", "synthetic", "--checkpoint", path, *network), CHECKPOINT,
                 path, "a loss of")


def test_a_whole_module_is_no_state_dict(tmp_path):
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path / "x.pt")
    assert_error(inspect(tmp_path / "x.pt"), CHECKPOINT, "container.Sequential as a whole",
                 "torch.save(model.state_dict(), FILE)")
    torch.save([1, 2], tmp_path / "y.pt")
    assert_error(inspect(tmp_path / "y.pt"), CHECKPOINT, "a list or tuple as a whole")


@pytest.mark.parametrize("weights, found", [
    ({}, "an empty dict"),
    ({"0.weight": torch.zeros(2, device="meta")}, 'a dict whose "0.weight" is what '),
])
def test_a_model_without_weights(tmp_path, weights, found):
    torch.save({"model": weights}, tmp_path / "x.pt")
    assert_error(inspect(tmp_path / "x.pt"), CHECKPOINT, f'"model" is {found}', "a state dict")


# --- files that ask for much


def run_measured(*arguments):
    """A run and its peak memory in KiB."""
    process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=ENVIRONMENT, preexec_fn=limit_time)
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Result(process.returncode, out, err), usage.ru_maxrss


def limit_time():
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


def one_storage_many_times(path):
    numbers = torch.zeros(2_000_000)
    save({"model": {f"{i}.weight": numbers[:] for i in range(2000)}}, path)


def pickled(opcodes):
    """An archive as torch.save makes it, with other opcodes between PROTO and STOP."""
    def write(path):
        file = io.BytesIO()
        with torch.serialization._open_zipfile_writer(file) as writer:
            data = b"\x80\x04" + opcodes + b"."
            writer.write_record("data.pkl", data, len(data))
        path.write_bytes(file.getvalue())
    return write


MILLION = 1_000_000
LONG_TEXT = b"X\x00\x00\x10\x00" + b"x" * (1 << 20)
BOMBS = {
    "one storage many times": one_storage_many_times,
    "dicts": pickled(b"}" * 9 * MILLION),
    "lists in lists": pickled(b"]" * 4 * MILLION + b"a" * (4 * MILLION - 1)),
    "one text many times": pickled(LONG_TEXT + b"\x94" + b"h\x00" * 4 * MILLION),
    "memo": pickled(b"}" + b"\x94" * 8 * MILLION),
    "text as keys": pickled(LONG_TEXT + b"\x940" + b"}" + b"h\x00Ns" * 250_000),
    "calls of a long name": pickled(b"c" + b"m" * (1 << 20) + b"\nn\n\x94" + b")R\x940h\x00" * 150_000),
    "a long name as keys": pickled(b"c" + b"m" * (1 << 20) + b"\nn\n\x940" + b"}" + b"h\x00Ns" * 100_000),
    "a size that is claimed": pickled(b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_small_files_take_little_memory(tmp_path, bomb):
    path = tmp_path / "x.pt"
    BOMBS[bomb](path)
    assert path.stat().st_size < 10 << 20
    result, kib = run_measured("inspect", "--checkpoint", path, "--layers", LAYERS)
    assert_error(result, CHECKPOINT, path)
    assert kib < MOST_KIB


@pytest.mark.parametrize("layers", [
    '"conv 4 kernel 8 stride 8", "batch-norm", "flatten", "linear 1000000", "linear 10"',
    '"conv 4 kernel 8 stride 8", "conv 1000 kernel 399 padding 199", "flatten", "linear 10"',
    '"conv 1 kernel 1 padding 20000", "flatten", "batch-norm", "linear 10"'])
def test_a_checkpoint_whose_recipe_is_a_giant(tmp_path, layers):
    path = sealed_checkpoint(tmp_path / "x.pt", f"[model]\nlayers = [{layers}]\n")
    for arguments in [("inspect", "--checkpoint", path),
                      ("evaluate", "--data", "synthetic", "--checkpoint", path)]:
        result, kib = run_measured(*arguments)
        assert_error(result, USAGE, "layer ", "numbers", "at most")
        assert kib < MOST_KIB


@pytest.mark.parametrize("count, expected", [(690_000, "at most 1000000 bytes"),
                                             (60_000, "at most 30000")])
def test_a_checkpoint_whose_recipe_is_endless(tmp_path, count, expected):
    layers = ", ".join(['"batch-norm"'] * count)
    path = sealed_checkpoint(tmp_path / "x.pt", f"[model]\nlayers = [{layers}]\n")
    result, kib = run_measured("inspect", "--checkpoint", path)
    assert_error(result, USAGE, expected)
    assert kib < MOST_KIB


@pytest.mark.parametrize("setting, bound", [
    ("threads = 1000000", "from 0 to 1024"), ("shards = 1000000000", "from 0 to 4096"),
    ("batch_size = 100000000000", "from 1 to 1000000"), ("epochs = 1000000000000", "from 1 to 1000000")])
def test_a_checkpoint_whose_recipe_asks_for_much(tmp_path, setting, bound):
    path = sealed_checkpoint(tmp_path / "x.pt", f"[train]\n{setting}\n")
    for arguments in [("inspect", "--checkpoint", path),
                      ("evaluate", "--data", "synthetic", "--checkpoint", path),
                      train_arguments(tmp_path / "run", "--resume", path)]:
        assert_error(run(*arguments), USAGE, path, setting.split()[0], bound)
    (tmp_path / "r.toml").write_text(f"[train]\n{setting}\n")
    assert_error(run("train", "--config", tmp_path / "r.toml"), USAGE, "r.toml", bound)
