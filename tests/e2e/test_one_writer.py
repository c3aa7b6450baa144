"""One training to a run directory: who comes second is refused, whatever was left behind is taken
over, and no script has to know of it."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from cifar_ddp import (ENVIRONMENT, ROOT, SMALL, assert_error, checkpoint_path, checkpoint_steps,
                       command, metrics, resume, run, start, train, train_arguments, wait_for_file)

LONG = ["--layers", SMALL, "--batch-size", 450, "--epochs", 1000, "--checkpoint-every", 5]


def contents(run_dir):
    """Of all files but those that a live training writes."""
    return {path: path.read_bytes() for path in run_dir.rglob("*")
            if path.is_file() and path.parent.name != "checkpoints" and path.name != "metrics.jsonl"}


@pytest.fixture
def live(tmp_path):
    """A training under way, and its directory."""
    run_dir = tmp_path / "run"
    with start(*train_arguments(run_dir, *LONG)) as process:
        wait_for_file(checkpoint_path(run_dir, 5), process)
        yield process, run_dir
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    # It never noticed, and nothing of it is lost.
    assert process.returncode == 75, out + err
    assert not (run_dir / "run.lock").exists()
    assert not (run_dir / "superseded").exists()
    assert len(metrics(run_dir)) == len({line["epoch"] for line in metrics(run_dir)})


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("words", [("--resume", "auto"), (), ("--resume", "auto", "--seed", 7)])
def test_a_second_start_is_refused(live, ranks, words):
    process, run_dir = live
    before = contents(run_dir)
    result = run(*train_arguments(run_dir, *LONG, *words), ranks=ranks)
    assert_error(result, 2, f"--run-dir {run_dir}: process {process.pid} on {os.uname().nodename}", "since 20")
    assert contents(run_dir) == before


def test_a_second_start_from_one_of_its_checkpoints_is_refused(live):
    process, run_dir = live
    result = run("--resume", run_dir, "--device", "cpu")
    assert_error(result, 2, f"process {process.pid} on ")
    before = json.loads((run_dir / "run.lock").read_text())
    assert before["process"] == process.pid


def test_a_stopped_holder_is_not_a_dead_one(live):
    process, run_dir = live
    process.send_signal(signal.SIGSTOP)
    assert_error(run("--run-dir", run_dir, "--resume", "auto"), 2, f"process {process.pid}")


def test_others_may_read_and_report(live, tmp_path):
    _, run_dir = live
    assert run("report", run_dir, "--device", "cpu", "--threads", 1).code == 0
    assert run("inspect", "--checkpoint", run_dir).code == 0
    train(tmp_path / "other", "--resume", run_dir, "--max-steps", 1)


def test_two_at_the_same_moment(tmp_path):
    """In a folder that is not there yet, and in one that is."""
    for run_dir in (tmp_path / "new", tmp_path / "old"):
        if run_dir.name == "old":
            train(run_dir, *LONG, "--max-steps", 5)
        words = train_arguments(run_dir, *LONG, "--resume", "auto")
        processes = [start(*words) for _ in range(3)]
        wait_for_file(run_dir / "run.lock", processes[0]) if run_dir.name == "new" else None
        deadline = time.monotonic() + 60
        while sum(process.poll() is None for process in processes) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        last, = (process for process in processes if process.poll() is None)
        holder = json.loads((run_dir / "run.lock").read_text())
        assert holder["process"] == last.pid
        wait_for_file(checkpoint_path(run_dir, 10), last)
        last.send_signal(signal.SIGTERM)
        for process in processes:
            out, err = process.communicate(timeout=60)
            assert process.returncode == (75 if process is last else 2), out + err


# --- what a training leaves behind


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_lock_of_a_killed_training_is_taken_over(tmp_path, ranks):
    run_dir = tmp_path / "run"
    with start(*train_arguments(run_dir, *LONG), ranks=ranks) as process:
        wait_for_file(checkpoint_path(run_dir, 5), process)
        holder = json.loads((run_dir / "run.lock").read_text())["process"]
        os.kill(holder, signal.SIGKILL)
        process.communicate(timeout=60)
    assert (run_dir / "run.lock").exists()
    result = resume(run_dir, "--max-steps", 1, ranks=ranks)
    assert "warning" not in result.err
    assert not list(run_dir.glob("run.lock*"))


def test_the_number_of_the_process_is_given_out_again(tmp_path):
    """It is that of this test, which was born at another time."""
    run_dir = tmp_path / "run"
    train(run_dir, *LONG, "--max-steps", 5)
    with start(*train_arguments(run_dir, *LONG, "--resume", "auto")) as process:
        wait_for_file(run_dir / "run.lock", process)
        lock = json.loads((run_dir / "run.lock").read_text())
        process.kill()
    (run_dir / "run.lock").write_text(json.dumps(lock | {"process": os.getpid()}))
    resume(run_dir, "--max-steps", 1)


@pytest.mark.parametrize("arguments, code", [
    (["--optimizer", "sgd", "--learning-rate", 1e12], 5),
    (["--max-steps", 3], 0),
])
def test_no_lock_is_left_at_the_end(tmp_path, arguments, code):
    train(tmp_path / "run", "--layers", SMALL, *arguments, code=code)
    assert not list((tmp_path / "run").glob("run.lock*"))


def test_no_lock_is_left_by_what_is_refused(tmp_path):
    run_dir = tmp_path / "run"
    train(run_dir, *LONG, "--max-steps", 5)
    assert run("--run-dir", run_dir, "--resume", "auto", "--seed", 7).code == 2
    assert run("--run-dir", run_dir, "--resume", "auto", "--data", tmp_path / "none").code == 3
    assert not list(run_dir.glob("run.lock*"))


# --- from where its process cannot be looked up


@pytest.fixture
def held_elsewhere(tmp_path):
    """The lock of a process on another host, in a run directory."""
    run_dir = tmp_path / "run"
    train(run_dir, *LONG, "--max-steps", 5)
    (run_dir / "run.lock").write_text(json.dumps({
        "token": "0123456789abcdef", "host": "node-b", "process": 7, "since": "2026-01-01 00:00:00",
        "start": 7, "boot": "another", "pid_namespace": "pid:[1]"}))
    return run_dir


@pytest.mark.parametrize("ranks", [1, 2])
def test_signs_of_life_of_another_host_are_heeded(held_elsewhere, ranks):
    """However short the ranks' patience with each other."""
    ended = threading.Event()

    def touch():
        while not ended.wait(1):
            os.utime(held_elsewhere / "run.lock")
    thread = threading.Thread(target=touch)
    thread.start()
    try:
        result = run("--run-dir", held_elsewhere, "--resume", "auto", "--timeout", 2, ranks=ranks)
    finally:
        ended.set()
        thread.join()
    assert_error(result, 2, "process 7 on node-b trains here since 2026-01-01 00:00:00")
    assert checkpoint_steps(held_elsewhere) == [5]


def test_a_live_training_gives_signs_of_life(live):
    process, run_dir = live
    before = (run_dir / "run.lock").stat().st_mtime_ns
    deadline = time.monotonic() + 60
    while (run_dir / "run.lock").stat().st_mtime_ns == before:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)


def test_a_process_of_another_container_is_no_dead_one(live):
    """With a count of its own, in which there is no process of that number."""
    unshare = ["unshare", "--fork", "--pid", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("unshare is not allowed here")
    process, run_dir = live
    done = subprocess.run([*unshare, *command("--run-dir", run_dir, "--resume", "auto")],
                          env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert f"process {process.pid} on " in done.stderr
    assert "waiting for a sign of life" in done.stderr


# --- scripts


def test_a_start_by_hand_beside_launch_local_with_restarts(tmp_path):
    """Rank 0 is killed; the restart goes on, and the start by hand is refused before and after."""
    run_dir = tmp_path / "run"
    lock = run_dir / "run.lock"
    words = [str(word) for word in train_arguments(run_dir, *LONG)]
    launch = subprocess.Popen([ROOT / "launch" / "local", "-n", "2", "--restarts", "2", *words],
                              env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with launch:
        wait_for_file(checkpoint_path(run_dir, 5), launch)
        first = json.loads(lock.read_text())["process"]
        assert_error(run("--run-dir", run_dir, "--resume", "auto"), 2, f"process {first} on ")
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 90
        while not lock.exists() or json.loads(lock.read_text())["process"] == first:
            assert launch.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        second = json.loads(lock.read_text())["process"]
        assert_error(run("--run-dir", run_dir, "--resume", "auto"), 2, f"process {second} on ")
        launch.send_signal(signal.SIGTERM)
        out, err = launch.communicate(timeout=90)
    assert launch.returncode == 75, out + err
    assert "restart 1 of 2" in err
    shutil.rmtree(run_dir)
