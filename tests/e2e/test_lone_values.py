"""A recipe whose batch-norm would meet one value a channel is refused before the first step, by all
that know the recipe."""

import pytest

from cifar_ddp import SMALL, assert_error, checkpoint_steps, run, train, train_arguments

LONE = "conv 4 stride 8, flatten, linear 8, batch-norm, linear 10"
LAYER = 'layer 3 ("batch-norm")'


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("flags, what", [
    ([], ("an epoch's last batch: 8 images in 8 shards", "--drop-last")),
    (["--batch-size", 8], ("each batch: 8 images in 8 shards", "--batch-size")),
    (["--batch-size-per-rank", 2, "--shards", 8], ("each batch: ", "--batch-size")),
])
def test_training_is_refused_before_anything_is_written(tmp_path, ranks, flags, what):
    result = run(*train_arguments(tmp_path / "run", "--layers", LONE, *flags), ranks=ranks)
    assert_error(result, 2, LAYER, "one value a channel", *what)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", [("inspect",), ("doctor", "--device", "cpu"),
                                  ("repeat", "--data", "synthetic", "--device", "cpu", "--runs", 1)])
def test_the_others_say_it_too(tmp_path, verb):
    result = run(*verb, "--layers", LONE, cwd=tmp_path)
    assert_error(result, 2, LAYER, "an epoch's last batch: 8 images in 8 shards", "--drop-last")


@pytest.mark.parametrize("flags", [["--drop-last"], ["--shards", 4], ["--batch-size", 72]])
def test_the_ways_out_are_accepted(flags):
    assert run("inspect", "--layers", LONE, *flags).code == 0


def test_without_the_short_batch_an_epoch_is_trained(tmp_path):
    train(tmp_path / "run", "--layers", LONE, "--drop-last", "--epochs", 1)
    assert checkpoint_steps(tmp_path / "run") == [703]


def test_what_has_more_values_is_not_refused(tmp_path):
    """One image a shard, of four pixels."""
    layers = "conv 4 stride 16, batch-norm, relu, flatten, linear 10"
    train(tmp_path / "run", "--layers", layers, "--batch-size", 8, "--max-steps", 2)
    assert run("inspect", "--layers", layers).code == 0
    assert run("inspect", "--layers", SMALL).code == 0
