"""The whitening layer: what a run begins with, against an eigensolver in Python; what keeps it as it
is; and record layers on any number of ranks."""
import pytest
import torch

from cifar_ddp import (CIFAR10_DIR, assert_error, load, needs_cifar10, resume, run, train,
                       train_arguments)
from reference import SPLIT, load_train, shuffled

USAGE = 2

LAYERS = ("whiten 2 images {}, gelu, pool max 4, batch-norm no-scale, residual, "
          "conv 24 no-bias dirac, silu, add, pool average all, flatten, "
          "linear 10 no-bias unit-std, scale 1/4")
MEAN, STD = (.4914, .4822, .4465), (.247, .2435, .2616)


def flags(images, *more):
    return ["--layers", LAYERS.format(images), "--batch-size", 60, "--shards", 6,
            "--learning-rate", 0.01, "--weight-decay", 0.1, *more]


def whitening(images, epsilon=5e-4):
    """The layer's weight, from images float64 [n, 3, 32, 32], up to the signs of its filters."""
    patches = torch.nn.functional.unfold(images, 2).transpose(1, 2).reshape(-1, 12)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / torch.sqrt(values + epsilon)).flip(1).T
    return torch.cat([filters, -filters]).reshape(24, 3, 2, 2)


@needs_cifar10
def test_a_run_begins_with_the_eigenvectors_of_its_patches(tmp_path):
    train(tmp_path / "run", *flags(500, "--data", CIFAR10_DIR, "--mean", ",".join(map(str, MEAN)),
                                   "--std", ",".join(map(str, STD)), "--max-steps", 2))
    found = load(tmp_path / "run", 2)["model"]["0.weight"].double()

    pixels, _ = load_train(CIFAR10_DIR)
    split = sorted(shuffled(range(50000), 42, SPLIT)[:45000])[:500]
    images = pixels[split].double() / 255
    mean, std = (torch.tensor(values).double().reshape(3, 1, 1) for values in (MEAN, STD))
    expected = whitening((images - mean) / std)
    signs = torch.sign((found * expected).sum((1, 2, 3), keepdim=True))
    assert torch.allclose(found, signs * expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three steps, undisturbed."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    return run_dir, train(run_dir, *flags(700, "--max-steps", 3)).weights


def test_any_number_of_ranks_and_a_resume_end_with_the_same_bits(tmp_path, whole):
    for ranks in (2, 3, 5):
        run_dir = tmp_path / str(ranks)
        assert train(run_dir, *flags(700, "--max-steps", 3), ranks=ranks).weights == whole[1], ranks
    run_dir = tmp_path / "resumed"
    train(run_dir, *flags(700, "--max-steps", 1), ranks=2)
    assert resume(run_dir, "--max-steps", 3).weights == whole[1]


def test_weights_to_begin_with_are_kept(tmp_path, whole):
    file = whole[0] / "checkpoints" / "step-00000003.pt"
    train(tmp_path / "run", *flags(20, "--max-steps", 1, "--init-from", file))
    kept = [load(*run)["model"] for run in ((whole[0], 3), (tmp_path / "run", 1))]
    for name in ("0.weight", "3.weight"):
        assert torch.equal(kept[0][name], kept[1][name]), name
    assert not torch.equal(kept[0]["0.bias"], kept[1]["0.bias"])


@pytest.mark.parametrize("ranks", [1, 2])
def test_more_images_than_the_split_has(tmp_path, ranks):
    result = run(*train_arguments(tmp_path / "run", *flags(45001)), ranks=ranks)
    assert_error(result, USAGE, "layer 0 (\"whiten\"): images 45001; expected at most 45000, the "
                                "images of the train split")
    assert not (tmp_path / "run").exists()
