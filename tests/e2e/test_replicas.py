"""A rank whose weights are not the others' ends the job with 7 before a checkpoint holds them."""
import pytest

from cifar_ddp import SMALL, assert_error, checkpoint_steps, run, train_arguments

FLAGS = ["--layers", SMALL, "--max-steps", 40]


def flipped(run_dir, step, rank, *flags):
    return run(*train_arguments(run_dir, *FLAGS, "--fault", f"bitflip@{step}:{rank}", *flags), ranks=3)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_flipped_bit_is_found_at_the_next_comparison(tmp_path, rank):
    result = flipped(tmp_path / "run", 18, rank, "--check-replicas-every", 5)
    assert_error(result, 7, "replicas at step 20", f"rank {rank} differs from the other 2 in ")


def test_before_a_checkpoint_is_written(tmp_path):
    result = flipped(tmp_path / "run", 25, 1, "--check-replicas-every", 0, "--checkpoint-every", 10)
    assert_error(result, 7, "replicas at step 30", "rank 1 differs from the other 2 in ")
    assert checkpoint_steps(tmp_path / "run") == [10, 20]
