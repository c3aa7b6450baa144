"""Files that never end, never begin or are too long, and recipes of absurd size: a clear error, at
once."""
import os

import pytest

from cifar_ddp import SMALL, assert_error, run, train

USAGE, DATA, CHECKPOINT = 2, 3, 4
TRAINING = ("--data", "synthetic", "--layers", SMALL, "--device", "cpu", "--max-steps", 1)


@pytest.fixture(params=["fifo", "/dev/zero", "folder"])
def odd_file(request, tmp_path):
    """What is no regular file, and what is said of it."""
    path = tmp_path / "odd" if request.param in ("fifo", "folder") else request.param
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    return path, "a folder" if request.param == "folder" else "not a regular file"


@pytest.mark.parametrize("arguments, code", [
    (["--config"], USAGE), (["inspect"], USAGE), (["inspect", "--config"], USAGE),
    (["inspect", "--checkpoint"], CHECKPOINT), ([*TRAINING, "--init-from"], CHECKPOINT),
    ([*TRAINING, "--resume"], CHECKPOINT)])
def test_only_regular_files_are_read(odd_file, arguments, code, tmp_path):
    path, found = odd_file
    if found == "a folder" and arguments[-1] in ("--checkpoint", "--resume"):
        found = "no checkpoint"  # a run directory is a folder
    assert_error(run(*arguments, path, cwd=tmp_path), code, f"{path}: {found}")


def test_a_folder_of_odd_data_files(tmp_path):
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        os.mkfifo(tmp_path / name)
    assert_error(run("--data", tmp_path, *TRAINING[2:]), DATA, "data_batch_1.bin: not a regular file")


def test_a_run_of_odd_files(tmp_path):
    train(tmp_path / "run", "--layers", SMALL, "--max-steps", 1)
    for name in ("config.toml", "metrics.jsonl", "run.json"):
        path = tmp_path / "run" / name
        kept = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        assert run("report", tmp_path / "run").code == USAGE, name
        path.unlink()
        path.write_bytes(kept)
    assert run("report", tmp_path / "run").code == 0


def test_a_recipe_of_a_megabyte(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text("#" * 1_000_000)
    assert run("inspect", recipe).code == 0
    recipe.write_text("#" * 1_000_001)
    assert_error(run("inspect", recipe), USAGE, f"{recipe}: 1000001 bytes", "at most 1000000 bytes")


@pytest.mark.parametrize("text", [".".join("a" * 490_000) + " = 1\n",
                                  "[" + ".".join("a" * 490_000) + "]\n"])
def test_a_key_of_very_many_parts(tmp_path, text):
    (tmp_path / "r.toml").write_text(text)
    assert_error(run("inspect", tmp_path / "r.toml"), USAGE, "r.toml: a recipe with 489999 points",
                 "at most 50000")


def test_an_endless_name_is_cut(tmp_path):
    (tmp_path / "r.toml").write_text("k" * 900_000 + " = 1\n")
    result = run("inspect", tmp_path / "r.toml")
    assert_error(result, USAGE, "unknown", "kkk ...")
    assert len(result.err) < 20_000


def recipe_of(path, layers):
    path.write_text("[model]\nlayers = [" + ", ".join(f'"{layer}"' for layer in layers) + "]\n")
    return path


@pytest.mark.parametrize("depth", [101, 10_000])
def test_residual_blocks_have_a_limit(tmp_path, depth):
    layers = ["residual"] * depth + ["add"] * depth + ["flatten", "linear 10"]
    result = run("inspect", recipe_of(tmp_path / "r.toml", layers))
    assert_error(result, USAGE, 'layer 100 ("residual"): inside 100 residual blocks', "at most 100")


def test_residual_blocks_up_to_the_limit_train(tmp_path):
    layers = (["conv 2 kernel 8 stride 8 padding 0"] + ["residual", "scale 1/4"] * 100 +
              ["add"] * 100 + ["flatten", "linear 10"])
    train(tmp_path / "run", "--config", recipe_of(tmp_path / "r.toml", layers), "--max-steps", 2,
          "--validation-size", 64)


def test_layers_have_a_limit(tmp_path):
    result = run("inspect", recipe_of(tmp_path / "r.toml", ["relu"] * 30_001))
    assert_error(result, USAGE, "model.layers: 30001 layers", "at most 30000")


def test_many_layers_in_a_row_train(tmp_path):
    layers = ["conv 2 kernel 8 stride 8 padding 0"] + ["relu"] * 20_000 + ["flatten", "linear 10"]
    train(tmp_path / "run", "--config", recipe_of(tmp_path / "r.toml", layers), "--max-steps", 1,
          "--validation-size", 64, "--shards", 1)


@pytest.mark.parametrize("layers", ["conv 100000000", "flatten, linear 1048577", "pool max 1048577"])
def test_numbers_of_layers_have_bounds_that_are_told(layers):
    assert_error(run("inspect", "--layers", layers), USAGE, "an integer from 1 to 1048576")
