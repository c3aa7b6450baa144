"""The number of ranks changes no bit: one hash on 1 to 8 ranks, through resumes on other numbers of
ranks, with the article's recipe and with one that has a state and random numbers everywhere."""
import re

import pytest

from cifar_ddp import (CIFAR10_DIR, RICH, assert_error, metrics, needs_cifar10, resume, run, train,
                       train_arguments)

RANKS = (1, 2, 3, 4, 5, 8)

# Three hundred steps of the article's recipe as it stands: batch 64, eight shards, ordered.
ARTICLE = ["--data", CIFAR10_DIR, "--epochs", 1, "--max-steps", 300]
# Two epochs and three hundred steps; the last batch of an epoch is short.
RICH_EPOCHS = [*RICH, "--batch-size", 298, "--epochs", 2]


def losses(run_dir):
    return [{key: value for key, value in line.items() if key.endswith(("loss", "accuracy"))}
            for line in metrics(run_dir)]


def weights_on(tmp_path, ranks, *flags):
    """The hash after a run, and every loss and accuracy that it recorded."""
    run_dir = tmp_path / f"on-{ranks}"
    return train(run_dir, *flags, ranks=ranks).weights, losses(run_dir)


@needs_cifar10
def test_the_articles_recipe_on_any_number_of_ranks(tmp_path):
    expected = weights_on(tmp_path, RANKS[0], *ARTICLE)
    for ranks in RANKS[1:]:
        assert weights_on(tmp_path, ranks, *ARTICLE) == expected, f"{ranks} ranks"


def test_with_libtorchs_convolutions_too(tmp_path):
    """The article's network on LibTorch alone, which the rich recipe uses anyway."""
    flags = ["--data", "synthetic", "--max-steps", 20, "--kernels"]
    expected = weights_on(tmp_path, 1, *flags, "libtorch")
    for ranks in (2, 3, 8):
        assert weights_on(tmp_path, ranks, *flags, "libtorch") == expected, f"{ranks} ranks"
    assert weights_on(tmp_path / "kernels", 1, *flags, "auto")[0] != expected[0]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_with_gradients_rounded_on_their_way_too(tmp_path, precision):
    """Other bits than in float32, but nearly the same training."""
    flags = ["--data", "synthetic", "--max-steps", 20, "--reduction-precision"]
    expected, curve = weights_on(tmp_path, 1, *flags, precision)
    for ranks in (2, 3, 8):
        assert weights_on(tmp_path, ranks, *flags, precision) == (expected, curve), f"{ranks} ranks"
    exact, exact_curve = weights_on(tmp_path / "exact", 2, *flags, "fp32")
    assert exact != expected
    assert curve[-1]["train_loss"] == pytest.approx(exact_curve[-1]["train_loss"], rel=0.01)


def test_overlapped_sums_agree_whatever_the_buckets_and_their_precision(tmp_path):
    """On two ranks a sum has one order: the size of buckets changes no bit, a rounding does."""
    flags = ["--data", "synthetic", "--max-steps", 10, "--reduction", "overlapped", "--shards", 2]
    weights, lines = {}, {}
    for name, more in {"measured": [], "small": ["--bucket-kib", 64], "whole": ["--bucket-kib", 9999],
                       "rounded": ["--reduction-precision", "bf16"]}.items():
        result = train(tmp_path / name, *flags, *more, ranks=2)
        weights[name], lines[name] = result.weights, result.lines[1]
    assert weights["measured"] == weights["small"] == weights["whole"] != weights["rounded"]
    assert "(overlapped, 1 bucket)" in lines["whole"]
    assert "(overlapped, 4 buckets)" in lines["small"]
    assert "in bf16)" in lines["rounded"]


def test_an_overlapped_run_goes_on_with_the_buckets_that_it_measured(tmp_path):
    """On three ranks the buckets decide on the last bits: they are written into the run."""
    flags = ["--data", "synthetic", "--reduction", "overlapped", "--shards", 3]
    run_dir = tmp_path / "run"
    train(run_dir, *flags, "--max-steps", 4, ranks=3)
    kib = re.search(r"^bucket_kib = (\d+)$", (run_dir / "config.toml").read_text(), re.M)[1]
    assert int(kib) > 0
    expected = train(tmp_path / "whole", *flags, "--bucket-kib", kib, "--max-steps", 8, ranks=3)
    assert resume(run_dir, "--max-steps", 8, ranks=3).weights == expected.weights


def test_muons_products_divided_over_the_ranks(tmp_path):
    recipe = tmp_path / "muon.toml"
    recipe.write_text("[[optimizer]]\nname = \"muon\"\nparameters = [\"*.weight\"]\n"
                      "learning_rate = 0.01\nnewton_schulz = \"divided\"\n"
                      "[[optimizer]]\nname = \"sgd\"\nparameters = [\"*.bias\"]\n"
                      "learning_rate = 0.01\n")
    flags = ["--config", recipe, "--data", "synthetic", "--max-steps", 5]
    expected = weights_on(tmp_path, 1, *flags)
    for ranks in (2, 3, 8):
        assert weights_on(tmp_path, ranks, *flags) == expected, f"{ranks} ranks"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return weights_on(tmp_path_factory.mktemp("whole"), 1, *RICH_EPOCHS)


def test_batch_norm_dropout_and_augmentation_on_any_number_of_ranks(tmp_path, whole):
    for ranks in RANKS[1:]:
        assert weights_on(tmp_path, ranks, *RICH_EPOCHS) == whole, f"{ranks} ranks"


@pytest.mark.parametrize("before, after, step", [
    (1, 2, 1), (2, 1, 77), (1, 3, 150), (3, 1, 151), (4, 2, 152), (2, 5, 200), (8, 3, 301)])
def test_a_resume_on_other_ranks_ends_with_the_same_bits(tmp_path, whole, before, after, step):
    """Step 151 ends the first epoch."""
    run_dir = tmp_path / "run"
    train(run_dir, *RICH_EPOCHS, "--max-steps", step, ranks=before)
    assert (resume(run_dir, ranks=after).weights, losses(run_dir)) == whole


def test_shards_of_the_recipe_do_change_the_bits(tmp_path, whole):
    """What the hash would hide if it did not look."""
    assert weights_on(tmp_path, 1, *RICH_EPOCHS, "--shards", 4)[0] != whole[0]


def test_the_hash_stands_beside_every_checkpoint(tmp_path):
    runs = [train(tmp_path / f"run-{ranks}", *RICH_EPOCHS, "--max-steps", 5, "--checkpoint-every", 2,
                  ranks=ranks).lines for ranks in (1, 3)]
    lines = [[line for line in run if line.startswith("checkpoint step ")] for run in runs]
    assert [line.split()[2] for line in lines[0]] == ["2", "4", "5"]
    assert lines[0] == lines[1]
    assert lines[0][-1].split()[-1] == runs[0][-1].split()[-1]


def test_more_ranks_than_shards(tmp_path):
    result = run(*train_arguments(tmp_path / "run", *RICH_EPOCHS, "--shards", 2), ranks=3)
    assert_error(result, 2, "--reduction ordered", "3 ranks for 2 shards", "overlapped")


def test_shards_of_zero_are_one_a_rank_and_stay_so(tmp_path):
    """A resume on another number of ranks keeps the shards that the run began with."""
    flags = [*RICH_EPOCHS, "--shards", 0]
    expected = train(tmp_path / "whole", *flags, "--max-steps", 6, ranks=3).weights
    train(tmp_path / "run", *flags, "--max-steps", 3, ranks=3)
    assert resume(tmp_path / "run", "--max-steps", 6, ranks=2).weights == expected
