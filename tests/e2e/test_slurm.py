"""launch/*.sbatch on a Slurm of two virtual nodes: what a start finds, and that a job goes on after
time limits, preemption and a lost node and ends with the bits of a training that nobody disturbed."""

import re
import time

import pytest

from cifar_ddp import CIFAR10_DIR, RICH, metrics, train
from slurm_cluster import Cluster, Folder, slowed_by, why_not_here

pytestmark = pytest.mark.skipif(why_not_here() != "", reason=why_not_here())

TWO_BY_TWO = ["--nodes", 2, "--ntasks-per-node", 2]
STEPS = 270
TRAINING = ["--data", "synthetic", "--device", "cpu", "--threads", 1, *RICH, "--shards", 4,
            "--batch-size", 500, "--epochs", 3, "--checkpoint-every", 10, "--timeout", 20]
ONE_STEP = ["--data", "synthetic", "--device", "cpu", "--max-steps", 1, "--batch-size", 500]


@pytest.fixture(scope="module")
def cluster():
    started = Cluster()
    try:
        started.up()
        yield started
    finally:
        started.down()
    assert not started.processes()
    assert not started.folder.exists()


@pytest.fixture
def folder(cluster, tmp_path):
    return Folder(cluster, tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return train(tmp_path_factory.mktemp("undisturbed") / "run", *TRAINING).weights


def slow(starts):
    return {"SLOW_STARTS": starts, "SLOWED_BY": slowed_by(STEPS)}


@pytest.fixture(scope="module", autouse=True)
def limited(cluster, tmp_path_factory):
    """The job that waits for its time limits, beside the tests that come before its own. Slurm looks
    at the limits every 30 s and takes that much off: the signal comes 5 to 35 s after the start."""
    return Folder(cluster, tmp_path_factory.mktemp("limited")).submit(
        *TWO_BY_TWO, "--time", 1, "--signal", "B:USR1@25", "--", *TRAINING, **slow(starts=2))


# --- one start


def bindings(log):
    """Of the ranks in turn: CUDA_VISIBLE_DEVICES as doctor found it, and the local rank."""
    found = re.findall(r"^rank (\d+) on \S+: local rank (\d+) of (\d+), .* "
                       r"CUDA_VISIBLE_DEVICES (\S+), ", log, re.MULTILINE)
    assert [int(rank) for rank, *_ in found] == list(range(len(found)))
    return [(int(local), int(size), devices) for _, local, size, devices in found]


def test_four_ranks_on_two_nodes_learn(folder):
    job = folder.submit(*TWO_BY_TWO, "--gpus-per-node", 2, "--", "train", "--device", "cpu",
                        "--data", CIFAR10_DIR or "synthetic", "--epochs", 1, "--batch-size", 128)
    log = job.completed().log()
    assert re.search(r"^4 ranks \(mpi\) on cpu", log, re.MULTILINE), log
    assert bindings(log) == [(0, 2, "0,1"), (1, 2, "0,1")] * 2
    epoch, test = metrics(job.run_dir)
    assert epoch["step"] == 45000 // 128 + 1
    assert test["test_accuracy"] > 0.3, test
    assert "SLURM_RESTART_COUNT 0, 4 tasks on n[1-2]" in job.story


@pytest.mark.parametrize("options, devices, settings", [
    (["--gpus-per-task", 1], ["0", "1"], {}),
    (["--gres", "gpu:2"], ["0,1", "0,1"], {}),
    # The program behind other words stands for one in a container.
    (["--gpus-per-node", 2], ["0,1", "0,1"],
     {"CIFAR_LAUNCHER": "mpirun", "CIFAR_PROGRAM": "nice build/cifar-ddp"}),
])
def test_each_rank_sees_its_gpus(folder, options, devices, settings):
    job = folder.submit(*TWO_BY_TWO, *options, "--", *ONE_STEP, **settings)
    assert bindings(job.completed().log()) == [(0, 2, devices[0]), (1, 2, devices[1])] * 2


def test_a_refusal_is_not_requeued(folder):
    job = folder.submit("--ntasks", 1, "--", *ONE_STEP, "--device", "cuda").failed()
    assert job.field("ExitCode") == "2:0"
    assert job.restarts == 0
    assert "cifar-ddp: error: --device cuda: " in job.log()
    assert "failed: code 2, arguments or configuration: a restart would be refused too" in job.story


def test_lost_ranks_are_requeued_so_often(cluster, tmp_path):
    folder = Folder(cluster, tmp_path, program='[[ $1 != train ]] || exit 6')
    job = folder.submit("--ntasks", 2, CIFAR_MAX_LOST=1).failed()
    assert job.field("ExitCode") == "6:0"
    assert job.restarts == 1
    assert re.findall(r"(requeued|failed): code 6, a rank was lost or late", job.story) == [
        "requeued", "failed"]
    assert "(1 of at most 1)" in job.story and "all 1 restarts are used up" in job.story


def test_an_array_trains_every_recipe(folder, tmp_path):
    seeds = {"first": 1, "second": 2, "third": 3}
    (folder.root / "recipes").mkdir()
    for name, seed in seeds.items():
        (folder.root / "recipes" / f"{name}.toml").write_text(f"[train]\nseed = {seed}\n")
    arguments = [*TRAINING, "--max-steps", 20]
    job = folder.submit("--ntasks", 2, "--array", "1-3", "--", "recipes", *arguments,
                        script="slurm-array.sbatch")
    for number, (name, seed) in enumerate(seeds.items(), start=1):
        task = type(job)(folder, f"{job.name}_{number}").completed()
        assert f"run directory runs/{name}-{job.name}" in task.story
        assert task.weights == train(tmp_path / name, *arguments, "--seed", seed).weights


def test_each_task_of_an_array_is_requeued_by_itself(cluster, tmp_path):
    """One task's SLURM_JOB_ID is the id of the whole array."""
    folder = Folder(cluster, tmp_path,
                    program='[[ $1 != train || $CIFAR_RESTART_COUNT != 0 ]] || exit 6')
    (folder.root / "recipes").mkdir()
    for name in ("one", "two"):
        (folder.root / "recipes" / f"{name}.toml").touch()
    job = folder.submit("--ntasks", 1, "--array", "1-2", "--", "recipes", script="slurm-array.sbatch")
    for number in (1, 2):
        assert type(job)(folder, f"{job.name}_{number}").completed().restarts == 1


def test_a_cancelled_job_writes_a_checkpoint_and_stays_cancelled(folder):
    job = folder.submit(*TWO_BY_TWO, "--", *TRAINING, **slow(starts=1))
    job.wait_for_checkpoint()
    folder.cluster.ask("scancel", job.name)
    job.wait("CANCELLED")
    until = time.monotonic() + 30
    while "not requeued: the job is " not in job.story:
        assert time.monotonic() < until, job.story
        time.sleep(0.3)
    assert "stopped at step " in job.log()
    assert job.restarts == 0


# --- several starts


def test_a_job_goes_on_after_its_time_limit(limited, undisturbed):
    assert limited.completed().restarts >= 2
    assert bindings(limited.log(0)) == [(0, 2, "unset"), (1, 2, "unset")] * 2
    assert limited.story.count("asked to stop") >= 2
    assert "SLURM_RESTART_COUNT 2, 4 tasks" in limited.story
    assert re.search(r"^resumed at step \d+$", limited.log(1), re.MULTILINE)
    assert limited.weights == undisturbed


def test_a_preempted_job_goes_on(folder, undisturbed):
    job = folder.submit(*TWO_BY_TWO, "--", *TRAINING, **slow(starts=1))
    job.wait_for_checkpoint()
    urgent = folder.submit("--partition", "urgent", "--exclusive", *TWO_BY_TWO, "--", *ONE_STEP)
    job.wait("PENDING")
    urgent.completed()
    assert job.completed().restarts == 1
    stopped = int(re.search(r"^stopped at step (\d+)", job.log(0), re.MULTILINE).group(1))
    assert f"resumed at step {stopped}\n" in job.log(1)
    assert job.weights == undisturbed


def test_a_job_goes_on_after_a_lost_node(folder, cluster, undisturbed):
    job = folder.submit(*TWO_BY_TWO, "--", *TRAINING, **slow(starts=1))
    job.wait_for_checkpoint()
    cluster.kill("n2")
    job.wait("PENDING")
    cluster.up()
    assert job.completed().restarts == 1
    assert "DUE TO NODE FAILURE" in job.story
    assert re.search(r"^resumed at step \d+$", job.log(1), re.MULTILINE)
    assert job.weights == undisturbed
