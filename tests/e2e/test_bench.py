"""tests/bench/compare runs, and says what it lacks. Its figures are not tested."""

import json
import subprocess

from cifar_ddp import CIFAR10_DIR, PROGRAM, ROOT, needs_cifar10


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
