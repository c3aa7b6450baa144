"""Against PyTorch in Python: initial weights, first gradients, weights after ten steps, evaluation.
Differences are relative to the largest value of each tensor. For S shards the reference adds up S
contiguous parts of the batch: convolutions of another batch size round otherwise (see reference.py
for what that does to max-pool)."""
import pytest
import torch
from torch import nn

import reference
from cifar_ddp import CIFAR10_DIR, checkpoint_path, load, metrics, needs_cifar10, run, train

pytestmark = needs_cifar10
TOLERANCE = 1e-4
STEPS = 10


@pytest.fixture(scope="module")
def data():
    return reference.load_train(CIFAR10_DIR)


@pytest.fixture(scope="module")
def steps():
    return reference.batches(seed=42, epoch=0, batch=64)[:STEPS]


def assert_close(ours, theirs):
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        difference = (ours[name] - value).abs().max() / value.abs().max()
        assert difference < TOLERANCE, f"{name}: {difference}"


def run_steps(run_dir, *flags, ranks=1, steps=STEPS):
    train(run_dir, "--data", CIFAR10_DIR, "--max-steps", steps, "--checkpoint-every", 1, "--keep", 0,
          *flags, ranks=ranks)


def trained(network, optimizer, data, steps, **options):
    reference.train(network, optimizer, *data, steps, **options)
    return {name: value for name, value in network.state_dict().items()
            if not name.endswith("num_batches_tracked")}


def first_gradients(run_dir):
    # After one step Adam's mean is (1 - beta1) times the gradient.
    mean = load(run_dir, 1)["optimizer"]["state"]["exp_avg"]
    return {name: value / 0.1 for name, value in mean.items()}


def gradients(network):
    return {name: value.grad for name, value in network.named_parameters()}


@pytest.mark.parametrize("ranks, shards, reduction", [
    (1, 1, "ordered"), (1, 8, "ordered"), (2, 8, "ordered"), (3, 8, "ordered"),
    (1, 1, "overlapped"), (2, 2, "overlapped"), (3, 3, "overlapped")])
def test_article_on_libtorchs_convolutions(tmp_path, data, steps, ranks, shards, reduction):
    run_steps(tmp_path / "run", "--kernels", "libtorch", "--shards", shards, "--reduction", reduction,
              ranks=ranks)
    network = reference.article(seed=42)
    adam = reference.Adam(network.parameters())
    reference.train(network, adam, *data, steps[:1], shards=shards)
    assert_close(first_gradients(tmp_path / "run"), gradients(network))
    assert_close(load(tmp_path / "run", STEPS)["model"],
                 trained(network, adam, data, steps[1:], shards=shards))


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_article_on_the_kernels(tmp_path, data, steps, ranks):
    # Against float64: PyTorch's float32 gradients are themselves 5.8e-3 from it here (see
    # reference.py). SGD, since Adam's first steps make whole steps of rounding errors.
    run_steps(tmp_path / "adam", ranks=ranks, steps=1)
    run_steps(tmp_path / "sgd", "--optimizer", "sgd", "--learning-rate", 0.01, "--momentum", 0.9,
              ranks=ranks)
    network = reference.article(seed=42).double()
    sgd = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    reference.train(network, sgd, *data, steps[:1])
    assert_close(first_gradients(tmp_path / "adam"), gradients(network))
    assert_close(load(tmp_path / "sgd", STEPS)["model"], trained(network, sgd, data, steps[1:]))


def test_initial_weights_are_pytorchs(tmp_path):
    # The weights after a step of so small a rate are the initial ones, to the bit or nearly so.
    run_steps(tmp_path / "run", "--optimizer", "sgd", "--learning-rate", 1e-30, steps=1)
    for name, value in reference.article(seed=42).state_dict().items():
        assert torch.equal(load(tmp_path / "run", 1)["model"][name], value), name


NORMED = "conv 8, batch-norm, relu, pool average 2, conv 16 kernel 5 stride 2, pool sum 2, " \
    "flatten, linear 20, relu, linear 10"


def normed():
    torch.manual_seed(42)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2),
                         nn.Conv2d(8, 16, 5, stride=2, padding=2), reference.SumPool2d(2),
                         nn.Flatten(), nn.Linear(256, 20), nn.ReLU(), nn.Linear(20, 10))


@pytest.mark.parametrize("ranks, shards", [(1, 1), (1, 3), (2, 2), (2, 3), (3, 3)])
def test_batch_norm_over_shards(tmp_path, data, steps, ranks, shards):
    run_steps(tmp_path / "run", "--layers", NORMED, "--shards", shards, "--optimizer", "sgd",
              "--learning-rate", 0.01, "--momentum", 0.9, "--nesterov", "--weight-decay", 5e-4,
              ranks=ranks)
    network = normed()
    sgd = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True,
                          weight_decay=5e-4)
    assert_close(load(tmp_path / "run", STEPS)["model"],
                 trained(network, sgd, data, steps, shards=shards))


def test_adamw_with_warm_up_and_cosine(tmp_path, data):
    # Two epochs of ten steps, the first of them a warm-up.
    run_steps(tmp_path / "run", "--optimizer", "adamw", "--weight-decay", 0.1, "--schedule", "cosine",
              "--warmup-epochs", 1, "--epochs", 2, "--batch-size", 4500,
              "--layers", "conv 4 stride 4, relu, pool max 2, flatten, linear 10", "--shards", 1, steps=15)
    torch.manual_seed(42)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                            nn.Flatten(), nn.Linear(64, 10))
    adamw = torch.optim.AdamW(network.parameters(), lr=0.001, weight_decay=0.1)
    cosine = [0.5 * (1 + torch.cos(torch.tensor(torch.pi * i / 10)).item()) for i in range(10)]
    rates = [(i + 1) / 10 for i in range(10)] + cosine
    schedule = torch.optim.lr_scheduler.LambdaLR(adamw, lambda step: rates[min(step, 19)])
    indices = [step for epoch in (0, 1) for step in reference.batches(42, epoch, 4500)][:15]
    assert_close(load(tmp_path / "run", 15)["model"],
                 trained(network, adamw, data, indices, scheduler=schedule))


def test_train_loss_is_the_mean_over_samples(tmp_path, data, steps):
    run_steps(tmp_path / "run", "--shards", 2, ranks=2, steps=3)
    network = reference.article(seed=42)
    adam = reference.Adam(network.parameters())
    losses, right = [], 0
    for indices in steps[:3]:
        with torch.no_grad():
            logits = network(reference.to_input(data[0][indices]))
            losses.append(nn.functional.cross_entropy(logits, data[1][indices]).item())
            right += (logits.argmax(1) == data[1][indices]).sum().item()
        reference.train(network, adam, *data, [indices], shards=2)
    line = metrics(tmp_path / "run")[-1]
    assert line["train_loss"] == pytest.approx(sum(losses) / 3, rel=TOLERANCE)
    assert line["train_accuracy"] == pytest.approx(right / 192, abs=1e-9)


def test_evaluation_counts_what_pytorch_counts(tmp_path):
    run_steps(tmp_path / "run", steps=30)
    network = reference.article(seed=0)
    network.load_state_dict(load(tmp_path / "run", 30)["model"])
    images, labels = reference.load(CIFAR10_DIR, ["test_batch.bin"])
    with torch.no_grad():
        logits = network(reference.to_input(images))
    loss = nn.functional.cross_entropy(logits, labels).item()
    right = (logits.argmax(1) == labels).sum().item()
    for ranks in (1, 3):
        result = run("evaluate", "--checkpoint", checkpoint_path(tmp_path / "run", 30), "--data",
                     CIFAR10_DIR, "--device", "cpu", "--threads", 1, ranks=ranks)
        assert result.lines[-1] == \
            f"test loss {loss:.4f}, accuracy {right / 10000:.4f} ({right} of 10000 images)"
