"""repeat: each of its trainings is the one that train does with that seed, and the sums are right."""

import json
import statistics
import subprocess

import pytest

from cifar_ddp import ENVIRONMENT, ROOT, assert_error, metrics, run, start, train

# Everything that could be left over from one training to the next: a whitening weight, running
# statistics, momenta of two optimizers, dropout, an augmentation by epoch.
RECIPE = """
[data]
validation_size = 0
[model]
layers = ["whiten 2 images 200", "pool average 2", "gelu", "conv 4 no-bias stride 4", "batch-norm", "dropout 0.2",
  "pool average 4", "flatten", "linear 10"]
[augmentation]
flip = "alternating"
crop_padding = 2
[[optimizer]]
name = "muon"
parameters = ["conv.weight"]
learning_rate = 0.05
[[optimizer]]
name = "adam"
parameters = ["*.bias", "batch-norm.weight", "linear.weight"]
learning_rate = 0.01
until_epoch = 1
[schedule]
name = "linear"
[train]
epochs = 2
batch_size = 5000
shards = 2
tta = "mirror"
"""
FLAGS = ("--data", "synthetic", "--device", "cpu", "--threads", 1)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def tests_of_train(recipe, tmp_path_factory):
    """What train says of the test split, by seed."""
    last = {}
    for seed in (5, 6):
        folder = tmp_path_factory.mktemp("runs") / str(seed)
        train(folder, "--config", recipe, "--seed", seed)
        last[seed] = metrics(folder)[-1]
    return last


@pytest.mark.parametrize("ranks", [1, 2])
def test_each_training_is_trains_own(recipe, tests_of_train, tmp_path, ranks):
    output = tmp_path / "claim.json"
    target = tests_of_train[5]["test_accuracy"]
    result = run("repeat", "--config", recipe, *FLAGS, "--seed", 5, "--runs", 2, "--target", target,
                 "--output", output, "--commit", "abc", ranks=ranks)
    assert result.code == 0, result.err
    claim = json.loads(output.read_text())
    assert [each["seed"] for each in claim["runs"]] == [5, 6]
    for each in claim["runs"]:
        expected = tests_of_train[each["seed"]]
        assert each["test_accuracy"] == expected["test_accuracy"]
        assert each["test_loss"] == expected["test_loss"]
    accuracies = [each["test_accuracy"] for each in claim["runs"]]
    seconds = sorted(each["seconds"] for each in claim["runs"])
    assert claim["n"] == 2
    assert claim["accuracy_mean"] == pytest.approx(statistics.mean(accuracies))
    assert claim["accuracy_deviation"] == pytest.approx(statistics.stdev(accuracies))
    assert claim["share_at_target"] == sum(value >= target for value in accuracies) / 2
    assert (claim["seconds_median"], claim["seconds_p95"]) == (seconds[0], seconds[1])
    assert claim["images"] == 100_000
    # Of the convolutions and the linear layer; three passes, two operations each.
    multiply_adds = 31 * 31 * 24 * 12 + 4 * 4 * 4 * 24 * 9 + 10 * 4
    assert claim["flops"] == 6 * multiply_adds * 100_000
    assert (claim["commit"], claim["ranks"], claim["data"]) == ("abc", ranks, "synthetic")
    assert "[[optimizer]]" in claim["config"]
    assert f"(mean, sd {100 * claim['accuracy_deviation']:.2f}, n = 2)" in result.lines[-2]


def test_launch_repeat_records_the_commit(recipe, tmp_path):
    done = subprocess.run([ROOT / "launch" / "repeat", recipe, *map(str, FLAGS), "--runs", "1", "--epochs", "1",
                           "--output", tmp_path / "claim.json"], capture_output=True, text=True,
                          env=ENVIRONMENT, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    claim = json.loads((tmp_path / "claim.json").read_text())
    assert claim["accuracy_deviation"] is None
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True,
                          text=True, check=False)
    if head.returncode == 0:
        assert claim["commit"].split()[0] == head.stdout.strip()


def test_what_was_done_stays_when_it_is_stopped(recipe, tmp_path):
    process = start("repeat", "--config", recipe, *FLAGS, "--runs", 1000, "--output", tmp_path / "claim.json",
                    bufsize=1)
    for line in process.stdout:
        if line.startswith("run 1/1000"):
            break
    process.send_signal(2)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "stopped after " in output
    assert "of the test images right" in output
    assert json.loads((tmp_path / "claim.json").read_text())["n"] >= 1


def test_bad_input(recipe, tmp_path):
    assert_error(run("repeat", "--config", recipe, *FLAGS, "--runs", 0), 2, "--runs: 0")
    assert_error(run("repeat", "--config", recipe, *FLAGS, "--target", 94), 2, "--target: 94")
    assert_error(run("repeat", "--config", recipe, *FLAGS, "--runs", 1, "--output", tmp_path), 2, tmp_path)
    assert_error(run("repeat", "--config", recipe, *FLAGS, "--init-from", "a.pt", ranks=2), 2, "--init-from a.pt")
