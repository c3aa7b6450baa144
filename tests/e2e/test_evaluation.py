"""Validation and test against PyTorch in Python, over an epoch of a network that has to behave
otherwise than in training: batch-norm by running statistics, dropout off."""
import json

import pytest
import torch
from torch import nn

import reference
from cifar_ddp import (BIG_BATCH, CIFAR10_DIR, assert_error, checkpoint_path, load, metrics,
                       needs_cifar10, run, train)

pytestmark = needs_cifar10
LAYERS = "conv 8 kernel 4 stride 4, batch-norm, relu, dropout 0.4, pool average 2, flatten, " \
    "dropout 0.3, linear 10"


def network():
    return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
                         nn.Dropout(0.4), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.3),
                         nn.Linear(128, 10))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """An epoch on two ranks, validated in either way."""
    folder = tmp_path_factory.mktemp("runs")
    for how in ("rank0", "sharded"):
        train(folder / how, "--data", CIFAR10_DIR, "--layers", LAYERS, *BIG_BATCH, "--epochs", 1,
              "--validation", how, ranks=2)
    return folder


class Expected:
    """Loss and right answers of a checkpoint; `ties` may go either way, by the last bit."""

    def __init__(self, checkpoint, images, labels):
        model = network()
        model.load_state_dict(checkpoint["model"])
        with torch.no_grad():
            logits = model.eval()(reference.to_input(images))
        self.samples = len(labels)
        self.confusion = torch.zeros(10, 10, dtype=torch.int64)
        self.confusion.index_put_((labels, logits.argmax(1)), torch.tensor(1), accumulate=True)
        self.loss = nn.functional.cross_entropy(logits.double(), labels).item()
        self.right = (logits.argmax(1) == labels).sum().item()
        first, second = logits.topk(2).values.T
        self.ties = (first - second < 1e-6).sum().item()

    def assert_equal(self, loss, accuracy):
        assert loss == pytest.approx(self.loss, rel=1e-5)
        assert abs(accuracy * self.samples - self.right) <= self.ties + 1e-6
        assert self.ties <= 2


@pytest.fixture(scope="module")
def expected(runs):
    checkpoint = load(runs / "sharded", 10)
    images, labels = reference.load_train(CIFAR10_DIR)
    held_out = reference.shuffled(range(50000), 42, reference.SPLIT)[45000:]
    return {"val": Expected(checkpoint, images[held_out], labels[held_out]),
            "test": Expected(checkpoint, *reference.load(CIFAR10_DIR, ["test_batch.bin"]))}


def test_metrics_are_pytorchs(runs, expected):
    epoch, test = metrics(runs / "sharded")
    expected["val"].assert_equal(epoch["val_loss"], epoch["val_accuracy"])
    expected["test"].assert_equal(test["test_loss"], test["test_accuracy"])


def test_rank_0_alone_finds_the_same(runs):
    """To the bit: the same blocks, added in the same order."""
    alone, all_ranks = metrics(runs / "rank0"), metrics(runs / "sharded")
    for line, key in ((0, "val_loss"), (0, "val_accuracy"), (1, "test_loss"), (1, "test_accuracy")):
        assert alone[line][key] == all_ranks[line][key]


@pytest.mark.parametrize("split, ranks", [("test", 1), ("test", 2), ("test", 3), ("val", 2)])
def test_evaluate_finds_what_training_found(runs, split, ranks):
    result = run("evaluate", "--checkpoint", checkpoint_path(runs / "sharded", 10),
                 "--split", split, "--device", "cpu", "--threads", 1, ranks=ranks)
    assert result.code == 0, result.err
    line = metrics(runs / "sharded")[split == "test"]
    loss, accuracy = line[f"{split}_loss"], line[f"{split}_accuracy"]
    samples = {"test": 10000, "val": 5000}[split]
    assert result.lines[-1] == (f"{split} loss {loss:.4f}, accuracy {accuracy:.4f} "
                                f"({accuracy * samples:.0f} of {samples} images)")


CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()


@pytest.mark.parametrize("split, ranks", [("test", 1), ("val", 2)])
def test_evaluate_by_class(runs, expected, split, ranks):
    """JSON and table against PyTorch; an image whose two best are level may be counted either way."""
    flags = ["--checkpoint", runs / "sharded", "--split", split, "--device", "cpu", "--threads", 1]
    result = run("evaluate", "--json", *flags, ranks=ranks)
    assert result.code == 0, result.err
    found, want = json.loads(result.out), expected[split]
    want.assert_equal(found["loss"], found["accuracy"])
    confusion = torch.tensor(found["confusion"])
    assert (confusion - want.confusion).abs().sum() <= 2 * want.ties
    assert found["samples"] == want.samples
    assert (found["step"], found["split"]) == (10, split)
    for i, row in enumerate(found["classes"]):
        assert row == {"class": CLASSES[i], "samples": confusion[i].sum().item(),
                       "correct": confusion[i, i].item(),
                       "accuracy": (confusion[i, i] / confusion[i].sum().double()).item()}
    table = run("evaluate", *flags, ranks=ranks).lines
    for i, line in enumerate(table[2:12]):
        mistakes = confusion[i].clone()
        mistakes[i] = 0
        row = found["classes"][i]
        assert line.split() == [row["class"], str(row["samples"]), str(row["correct"]),
                                f"{row['accuracy']:.4f}", CLASSES[mistakes.argmax()],
                                f"({mistakes.max()})"]


def test_evaluate_takes_the_newest_checkpoint_of_a_run(runs):
    result = run("evaluate", "--checkpoint", runs / "sharded", "--device", "cpu", "--threads", 1)
    assert result.code == 0, result.err
    assert f"{checkpoint_path(runs / 'sharded', 10)}: step 10" in result.lines


def views_of(images):
    """Weights and images of --tta shift, by PyTorch's operators."""
    padded = nn.functional.pad(images, (1, 1, 1, 1), mode="reflect")
    weights = [(0.5, images), (0.25, padded[..., 0:32, 0:32]), (0.25, padded[..., 2:34, 2:34])]
    return [(weight / 2, view) for weight, plain in weights for view in (plain, plain.flip(3))]


@pytest.fixture(scope="module")
def logits(runs):
    """Of the test images: plain, and averaged over the views of --tta mirror and shift."""
    model = network()
    model.load_state_dict(load(runs / "sharded", 10)["model"])
    model.eval()
    images, labels = reference.load(CIFAR10_DIR, ["test_batch.bin"])
    images = reference.to_input(images)
    with torch.no_grad():
        plain = model(images)
        return {"none": plain, "mirror": (plain + model(images.flip(3))) / 2, "labels": labels,
                "shift": sum(weight * model(view) for weight, view in views_of(images))}


@pytest.mark.parametrize("views, share, ranks", [("mirror", 1, 1), ("shift", 1, 2), ("shift", 0.2, 3)])
def test_evaluate_with_test_time_augmentation(runs, logits, views, share, ranks):
    result = run("evaluate", "--checkpoint", runs / "sharded", "--json", "--device", "cpu",
                 "--threads", 1, "--tta", views, "--tta-uncertain", share, ranks=ranks)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["tta"], found["tta_uncertain"]) == (views, share)
    least = logits["none"].double().softmax(1).amax(1).argsort()[:int(share * 10000)]
    expected = logits["none"].clone()
    expected[least] = logits[views][least]
    loss, plain = (nn.functional.cross_entropy(each.double(), logits["labels"]).item()
                   for each in (expected, logits["none"]))
    assert found["loss"] == pytest.approx(loss, rel=2e-6)
    assert abs(found["loss"] - plain) > 10 * abs(found["loss"] - loss)
    assert abs(found["correct"] - (expected.argmax(1) == logits["labels"]).sum().item()) <= 2


FAST = ["--layers", LAYERS, *BIG_BATCH, "--epochs", 1, "--validation-size", 0]


@pytest.fixture(scope="module")
def all_images(tmp_path_factory):
    """Every training image trains, the last short batch but one; two ranks."""
    path = tmp_path_factory.mktemp("all") / "run"
    result = train(path, *FAST, "--drop-last", "--flip", "alternating", "--crop-padding", 2,
                   "--padding-mode", "reflect", "--cutout", 8, "--brightness", 0.14, "--contrast",
                   0.13, "--label-smoothing", 0.2, "--tta", "mirror", ranks=2)
    return path, result


def test_a_run_without_validation(all_images):
    path, result = all_images
    epoch, test = metrics(path)
    assert (epoch["step"], epoch["val_loss"], epoch["val_accuracy"]) == (11, None, None)
    assert (test["tta"], test["tta_uncertain"]) == ("mirror", 1)
    assert not any(" val " in line for line in result.lines)
    line = next(line for line in result.lines if line.startswith("test loss"))
    assert line.endswith("of 10000 images) with tta mirror")
    page = (path / "report.html").read_text()
    assert "the network at the end with tta mirror" in page
    assert "validation" not in (path / "report-loss.svg").read_text()


def test_what_follows_a_run_without_validation(all_images, tmp_path):
    path, trained = all_images
    result = run("evaluate", "--checkpoint", path, "--device", "cpu", "--threads", 1)
    assert result.lines[-1] in trained.lines
    result = run("report", path, "--output", tmp_path / "page.html", "--device", "cpu")
    assert result.code == 0, result.err
    assert "with tta mirror" in (tmp_path / "page.html").read_text()
    train(path.parent / "other", *FAST, "--seed", 43)
    assert run("report", path.parent).code == 0
    assert not (path.parent / "report-val-loss.svg").exists()
    assert (path.parent / "report-train-loss.svg").exists()
    result = run("inspect", "--data", "synthetic", "--validation-size", 0)
    assert result.lines[-1].split() == ["sum", "50,000", "0", "10,000", "60,000"]
    result = run("evaluate", "--checkpoint", path, "--split", "val", "--device", "cpu")
    assert_error(result, 2, "--split val: the recipe holds out no images", "another split")
