"""What the tests of configs/fast/94.toml share: variants of the recipe, short runs of it."""
from cifar_ddp import CIFAR10_DIR, ROOT, train

RECIPE = (ROOT / "configs" / "fast" / "94.toml").read_text()
SEED = 42  # the default


def recipe(folder, *changes):
    """The recipe's file with other words in it: (words, others) each."""
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "94.toml"
    path.write_text(text)
    return path


def run_steps(run_dir, path, steps, *flags, ranks=1):
    return train(run_dir, "--config", path, "--data", CIFAR10_DIR, "--reduction", "ordered",
                 "--max-steps", steps, "--checkpoint-every", 1, "--keep", 0, *flags, ranks=ranks)


def assert_close(ours, theirs, tolerance=1e-4):
    """Relative to the largest value of each tensor."""
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        difference = (ours[name] - value).abs().max() / value.abs().max()
        assert difference < tolerance, f"{name}: {difference}"
