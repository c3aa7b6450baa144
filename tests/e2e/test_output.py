"""What a person and a script see: the lines, metrics.jsonl, doctor, inspect."""
import re

import pytest

from cifar_ddp import (BIG_BATCH, CIFAR10_DIR, SMALL, assert_error, metrics, needs_cifar10, run,
                       train)

EPOCH_KEYS = {"epoch", "step", "train_loss", "val_loss", "val_accuracy", "learning_rate",
              "images_per_second", "seconds_data", "seconds_compute", "seconds_communication",
              "seconds_validation"}
FLAGS = ["--layers", SMALL, *BIG_BATCH, "--epochs", 2]


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_tells_of_each_epoch_once(tmp_path, ranks):
    result = train(tmp_path / "run", *FLAGS, ranks=ranks)
    lines = metrics(tmp_path / "run")
    assert len(lines) == 3
    for epoch, line in enumerate(lines[:2], 1):
        assert EPOCH_KEYS <= set(line)
        assert line["epoch"] == epoch and line["step"] == 10 * epoch
    assert {"test_loss", "test_accuracy"} <= set(lines[2])
    assert len([line for line in result.lines if line.startswith("epoch ")]) == 2
    assert re.fullmatch("[0-9a-f]{32}", result.weights)


@pytest.mark.parametrize("ranks", [1, 2])
def test_synthetic_data_are_announced(tmp_path, ranks):
    result = train(tmp_path / "run", *FLAGS, "--max-steps", 1, ranks=ranks)
    assert "SYNTHETIC DATA" in result.lines[0]
    assert result.out.count("SYNTHETIC") == 1
    assert 'path = "synthetic"' in (tmp_path / "run" / "config.toml").read_text()


@needs_cifar10
def test_real_data_are_not(tmp_path):
    result = train(tmp_path / "run", *FLAGS, "--max-steps", 1, "--data", CIFAR10_DIR)
    assert "SYNTHETIC" not in result.out
    assert "synthetic" not in (tmp_path / "run" / "config.toml").read_text()


def test_a_run_goes_into_a_folder_of_its_own(tmp_path):
    arguments = ["--data", "synthetic", "--device", "cpu", "--threads", 1, *FLAGS]
    for _ in range(2):
        assert run(*arguments, cwd=tmp_path).code == 0
    runs = list((tmp_path / "runs").iterdir())
    assert len(runs) == 2
    assert all(re.match(r"article-\d{8}-\d{6}", path.name) for path in runs)


def test_version_names_the_libraries():
    result = run("--version")
    assert result.code == 0
    assert re.match(r"cifar-ddp [\d.]+ \(LibTorch [\d.]+, MPI .*(CUDA [\d.]+, NCCL|CPU only)",
                    result.out)


@pytest.mark.parametrize("ranks", [1, 3])
def test_help_is_shown_once(ranks):
    result = run("--help", ranks=ranks)
    assert result.code == 0
    assert result.out.count("--batch-size-per-rank") == 1
    assert max(len(line) for line in result.lines) <= 80


@pytest.mark.parametrize("ranks", [1, 2])
def test_doctor_finds_every_rank(ranks):
    result = run("doctor", "--device", "cpu", ranks=ranks)
    assert result.code == 0, result.err
    assert f"ranks: {ranks}" in result.lines
    assert len([line for line in result.lines if re.match(r"rank \d+ on ", line)]) == ranks
    assert f"all-reduce over {ranks} ranks is right" in result.out
    assert result.lines[-1] == "ready to train, once a data set is named"


def test_doctor_fails_where_training_would():
    assert_error(run("doctor", "--device", "cpu", "--data", "/nowhere"), 3, "/nowhere")
    assert_error(run("doctor", "--device", "cuda", env={"CUDA_VISIBLE_DEVICES": ""}), 2,
                 "--device cuda")


def test_inspect_prints_the_articles_network():
    result = run("inspect")
    assert result.code == 0
    assert result.lines[-1].split() == ["sum", "113,738", "10,342,400"]
