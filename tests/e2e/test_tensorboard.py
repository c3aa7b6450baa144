"""The events file as TensorBoard itself reads it: while it is open, over stops and resumes, and with
numbers that are trained anew."""

import shutil

import pytest

from cifar_ddp import BIG_BATCH, SMALL, checkpoint_path, metrics, resume, run, train

accumulators = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_accumulator")
multiplexers = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_multiplexer")
tensor_util = pytest.importorskip("tensorboard.util.tensor_util")

FLAGS = ["--layers", SMALL, *BIG_BATCH, "--epochs", 3]
EVENTS = "events.out.tfevents.cifar-ddp"


def shown(board, tag):
    """(step, value) of the points that TensorBoard draws."""
    return [(event.step, pytest.approx(float(tensor_util.make_ndarray(event.tensor_proto))))
            for event in board.Tensors(tag)]


def expected(run_dir, key):
    return [(line["step"], line[key]) for line in metrics(run_dir) if line.get(key) is not None]


def assert_shows(board, run_dir):
    board.Reload()
    for tag, key in (("loss/train", "train_loss"), ("loss/val", "val_loss"), ("accuracy/val", "val_accuracy"),
                     ("accuracy/train", "train_accuracy"), ("learning_rate", "learning_rate"),
                     ("images_per_second", "images_per_second")):
        assert shown(board, tag) == expected(run_dir, key), tag


def open_board(run_dir):
    return accumulators.EventAccumulator(str(run_dir))


def test_what_is_open_sees_a_resume(tmp_path):
    """By the accumulator, and by the multiplexer that TensorBoard's server has."""
    run_dir = tmp_path / "runs" / "one"
    train(run_dir, *FLAGS, "--max-steps", 13)
    board = open_board(run_dir)
    server = multiplexers.EventMultiplexer().AddRunsFromDirectory(str(run_dir.parent))
    assert_shows(board, run_dir)
    server.Reload()
    for limit in (20, 30):
        resume(run_dir, "--max-steps", limit)
        assert_shows(board, run_dir)
        server.Reload()
        assert [event.step for event in server.Tensors("one", "loss/train")] == \
            [line["step"] for line in metrics(run_dir) if "train_loss" in line]
    assert_shows(open_board(run_dir), run_dir)
    assert shown(board, "loss/test") == expected(run_dir, "test_loss")


def test_a_report_on_request_adds_nothing(tmp_path):
    run_dir = tmp_path / "run"
    train(run_dir, *FLAGS)
    before = (run_dir / EVENTS).read_bytes()
    for _ in range(2):
        assert run("report", run_dir, "--device", "cpu", "--threads", 1).code == 0
    assert (run_dir / EVENTS).read_bytes() == before
    assert len(list(run_dir.glob("events*"))) == 1


def test_what_is_trained_anew_replaces_what_was_shown(tmp_path):
    """Twice from the end of the first epoch, with other rates; the second time not as far."""
    run_dir = tmp_path / "run"
    train(run_dir, *FLAGS, "--keep", 0)
    board = open_board(run_dir)
    assert_shows(board, run_dir)
    for rate, limit in ((0.01, 30), (0.02, 20)):
        result = run("--resume", checkpoint_path(run_dir, 10), "--learning-rate", rate, "--max-steps", limit,
                     "--keep", 0, "--device", "cpu", "--threads", 1)
        assert result.code == 0, result.err
        assert_shows(board, run_dir)
        assert_shows(open_board(run_dir), run_dir)


def test_the_file_of_an_older_version_is_gone_on_with(tmp_path):
    """It has no start of a session: every record, but the second."""
    run_dir = tmp_path / "run"
    train(run_dir, *FLAGS, "--max-steps", 20)
    path = run_dir / EVENTS
    events, at, records = path.read_bytes(), 0, []
    while at < len(events):
        end = at + 8 + 4 + int.from_bytes(events[at:at + 8], "little") + 4
        records.append(events[at:end])
        at = end
    path.write_bytes(b"".join(records[:1] + records[2:]))
    board = open_board(run_dir)
    assert_shows(board, run_dir)
    resume(run_dir)
    assert_shows(board, run_dir)
    assert_shows(open_board(run_dir), run_dir)


def test_half_a_record_is_left_behind(tmp_path):
    """A board that has read it waits for the rest for ever; what comes is in another file."""
    run_dir = tmp_path / "run"
    train(run_dir, *FLAGS, "--max-steps", 20)
    board = open_board(run_dir)
    with open(run_dir / EVENTS, "r+b") as file:
        file.truncate((run_dir / EVENTS).stat().st_size - 5)
    board.Reload()
    resume(run_dir)
    assert sorted(path.name for path in run_dir.glob("events*")) == [EVENTS, EVENTS + ".002"]
    assert_shows(open_board(run_dir), run_dir)
    assert_shows(board, run_dir)


def test_a_copy_of_a_run_goes_its_own_way(tmp_path):
    train(tmp_path / "run", *FLAGS, "--max-steps", 20)
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    resume(copy)
    assert_shows(open_board(copy), copy)
    assert_shows(open_board(tmp_path / "run"), tmp_path / "run")
