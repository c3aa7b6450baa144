"""tests/bench/compare and scaling run, and say what they lack. Their figures are not tested."""

import json
import subprocess
import sys

import pytest

from cifar_ddp import CIFAR10_DIR, PROGRAM, ROOT, needs_cifar10

sys.path.append(str(ROOT / "tests" / "bench"))
import cost_model  # noqa: E402


def compare(*arguments):
    return subprocess.run([ROOT / "tests" / "bench" / "compare", *arguments],
                          capture_output=True, text=True)


def test_compare_explains_itself():
    result = compare("--help")
    assert result.returncode == 0
    assert "--rounds" in result.stdout


def test_compare_refuses_synthetic_images():
    result = compare("--data", "synthetic")
    assert result.returncode == 2
    assert "expected --data DIR or CIFAR10_DIR" in result.stderr


@needs_cifar10
def test_compare_runs_a_round(tmp_path):
    report = tmp_path / "report.json"
    result = compare("--data", CIFAR10_DIR, "--build-dir", PROGRAM.parent, "--rounds", "1",
                     "--steps", "2", "--json", report)
    assert result.returncode == 0, result.stderr
    figures = {figure["name"] for figure in json.loads(report.read_text())["figures"]}
    assert {"program / pytorch_ddp", "program / article_loop"} <= figures


# --- scaling


def test_the_model_finds_the_constants_that_made_its_data():
    made = cost_model.Compute(fixed=1e-3, shard=2e-4, image=5e-5)
    found = cost_model.Compute.fitted({(images, shards): made(images, shards)
                                       for images, shards in [(16, 1), (64, 1), (128, 1), (64, 8)]})
    assert vars(found) == pytest.approx(vars(made))
    link = cost_model.Link(latency=3e-6, bandwidth=2e9)
    for ranks in (2, 5):
        sums = {size: cost_model.one_machine(link).sum(ranks, size) for size in (1 << 10, 1 << 22)}
        assert vars(cost_model.Link.fitted(sums, ranks)) == pytest.approx(vars(link))


def test_ranks_stop_paying_when_the_rest_outweighs_the_images():
    link = cost_model.Link(latency=0, bandwidth=float("inf"))
    network = cost_model.one_machine(link)
    # 64 images of 1 s and 1 s that no rank saves: from 65 s to 33, 17, 9, 5, 3 and only then 2.
    assert cost_model.stops_at(cost_model.Compute(1, 0, 1), network, 64) == 64
    assert cost_model.stops_at(cost_model.Compute(1, 0, 0), network, 64) == 1


def test_scaling_says_where_clusters_stop():
    result = subprocess.run([ROOT / "tests" / "bench" / "scaling", "--clusters"],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(": stops at ") == 2 * len(cost_model.CLUSTERS)
