"""The pages of a run and of several: what they say, in every state of a run; how they look in a real
browser; the curves and TensorBoard's events beside them."""

import base64
import io
import re
import shutil
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

import browser
import reference
from cifar_ddp import (BIG_BATCH, CIFAR10_DIR, SMALL, assert_error, checkpoint_path, checkpoint_steps,
                       metrics, needs_cifar10, run, train)

FLAGS = ["--layers", SMALL, *BIG_BATCH, "--epochs", 2]
CURVES = ["accuracy", "learning-rate", "loss", "throughput"]

needs_browser = pytest.mark.skipif(not browser.CHROMIUM, reason="chromium is not installed")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that came to its end, and what it said."""
    path = tmp_path_factory.mktemp("finished") / "run"
    result = train(path, *FLAGS)
    assert "warning" not in result.err
    return path


@pytest.fixture
def copy(finished, tmp_path):
    """The same run, to be damaged."""
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two recipes; the first with two seeds, the second with one that was broken off."""
    folder = tmp_path_factory.mktemp("runs") / "sweep"
    folder.mkdir()
    (folder / "question.txt").write_text("Is <more> better?\n")
    other = SMALL.replace("conv 8", "conv 6")
    for name, flags in (("eight-seed-42", []), ("eight-seed-43", ["--seed", 43]),
                        ("six-seed-42", ["--layers", other, "--max-steps", 12])):
        train(folder / name, *FLAGS, *flags)
    result = run("report", folder)
    assert result.code == 0, result.err
    assert result.lines == [str(folder / "report.html")]
    return folder


def page_of(path, *arguments):
    """Written anew, with the warnings."""
    result = run("report", path, *arguments, "--device", "cpu", "--threads", 1)
    assert result.code == 0, result.err
    return (path / "report.html").read_text(), result.err


def confusion_in(page):
    table = page[page.index('<table class="confusion">'):]
    cells = re.findall(r"<td class=.*?>(\d+)</td>", table[:table.index("</table>")])
    return np.array(cells, int).reshape(10, 10)


def pictures_in(page):
    """Place in the test split -> pixels, of the mistakes."""
    found = re.findall(r'alt="test image (\d+), .*?src="data:image/png;base64,(.*?)"', page)
    return {int(place): np.array(Image.open(io.BytesIO(base64.b64decode(data))))
            for place, data in found}


# --- a run


def test_the_end_of_a_run_leaves_its_page_curves_and_events(finished):
    assert {"report.html", "run.json", "events.out.tfevents.cifar-ddp"} | \
        {f"report-{name}.svg" for name in CURVES} <= {path.name for path in finished.iterdir()}
    page = (finished / "report.html").read_text()
    assert "Finished: 2 of 2 epochs" in page and "Synthetic data" in page
    confusion = confusion_in(page)
    assert confusion.sum() == 10000
    assert confusion.trace() / 10000 == metrics(finished)[-1]["test_accuracy"]
    assert len(pictures_in(page)) == 24
    for name in CURVES:
        assert ElementTree.parse(finished / f"report-{name}.svg").getroot().tag.endswith("svg")


def test_on_request_it_says_the_same(copy):
    at_the_end = (copy / "report.html").read_text()
    page, warnings = page_of(copy)
    assert warnings == ""
    assert (confusion_in(page) == confusion_in(at_the_end)).all()
    assert pictures_in(page).keys() == pictures_in(at_the_end).keys()
    assert f"the network after step {checkpoint_steps(copy)[-1]}" in page


def test_a_run_of_two_ranks_has_the_page_of_one(finished, tmp_path):
    train(tmp_path / "two", *FLAGS, ranks=2)
    page = (tmp_path / "two" / "report.html").read_text()
    assert "2 ranks with 1 thread each" in page
    assert (confusion_in(page) == confusion_in((finished / "report.html").read_text())).all()


@needs_cifar10
def test_the_page_counts_what_the_data_and_the_network_say(tmp_path):
    train(tmp_path / "run", "--data", CIFAR10_DIR, "--layers", SMALL, *BIG_BATCH, "--epochs", 1)
    page = (tmp_path / "run" / "report.html").read_text()
    images, labels = reference.load(CIFAR10_DIR, ["test_batch.bin"])
    for place, pixels in pictures_in(page).items():
        assert (pixels == images[place].numpy().transpose(1, 2, 0)).all()
    confusion = confusion_in(page)
    assert (confusion.sum(1) == np.bincount(labels.numpy(), minlength=10)).all()
    answers = run("evaluate", "--checkpoint", tmp_path / "run", "--json", "--device", "cpu")
    assert str(confusion.tolist()).replace(" ", "") in answers.out.replace(" ", "")


# --- a run that is not finished, or not whole


def test_a_run_that_goes_on_has_a_page_at_any_time(tmp_path):
    train(tmp_path / "run", *FLAGS, "--max-steps", 12)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Not finished: 1 of 2 epochs" in page and "No predictions yet" in page
    page, _ = page_of(tmp_path / "run")
    assert "the network after step 12" in page
    assert confusion_in(page).sum() == 10000


def test_half_a_line_and_no_checkpoint(copy):
    lines = (copy / "metrics.jsonl").read_text()
    (copy / "metrics.jsonl").write_text(lines[:lines.index("\n") + 30])
    shutil.rmtree(copy / "checkpoints")
    page, warnings = page_of(copy)
    assert "warning" in warnings and "no checkpoint" in warnings
    assert "1 line could not be read" in page
    assert "Not finished: 1 of 2 epochs" in page and "No predictions yet" in page


def test_a_damaged_checkpoint_is_told_and_passed_over(copy):
    first, last = checkpoint_steps(copy)
    with open(checkpoint_path(copy, last), "r+b") as file:
        file.truncate(1000)
    page, warnings = page_of(copy)
    assert f"step-{last:08}.pt" in warnings
    assert f"the network after step {first}" in page


def test_a_run_without_a_single_epoch(copy):
    for path in copy.iterdir():
        if path.name != "config.toml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    page, warnings = page_of(copy)
    assert "No epoch has been recorded yet" in page and "nothing to show yet" in page
    assert "no checkpoint" in warnings


def test_without_the_data_there_are_no_predictions(copy):
    page, warnings = page_of(copy, "--data", "/nowhere")
    assert "/nowhere" in warnings
    assert "No predictions yet" in page


def test_what_is_no_run_is_refused(copy, tmp_path):
    assert_error(run("report"), 2, "no run")
    assert_error(run("report", tmp_path / "nowhere"), 2, "nowhere", "No such file")
    (tmp_path / "empty").mkdir()
    assert_error(run("report", copy, tmp_path / "empty"), 2, "empty", "no run in it")
    assert_error(run("report", copy, "--output", "/nowhere/page.html"), 2, "/nowhere/page")
    (copy / "config.toml").write_text("[train]\nepochs = 'many'\n")
    assert_error(run("report", copy), 2, "config.toml", "epochs")


# --- several runs


def test_the_comparison_answers_the_question(sweep):
    page = (sweep / "report.html").read_text()
    assert "Is &lt;more&gt; better?" in page
    assert re.search(r"eight has \d+\.\d ± \d+\.\d % of the test images right", page)
    assert "1 of 3 runs is not finished" in page
    accuracies = [metrics(sweep / f"eight-seed-{seed}")[-1]["test_accuracy"] for seed in (42, 43)]
    assert f"{100 * np.mean(accuracies):.1f} ± {100 * np.std(accuracies, ddof=1):.1f} %" in page
    for name in ("test-accuracy", "val-accuracy", "val-loss", "train-loss"):
        ElementTree.parse(sweep / f"report-{name}.svg")


def test_different_data_are_compared_with_a_warning(finished, tmp_path):
    black = tmp_path / "cifar-10-batches-bin"
    black.mkdir()
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        with open(black / name, "wb") as file:
            file.truncate(10000 * 3073)
    train(tmp_path / "black", *FLAGS, "--data", black, "--max-steps", 10)
    result = run("report", finished, tmp_path / "black", "--output", tmp_path / "both.html")
    assert result.code == 0, result.err
    assert "warning: Different data" in result.err
    assert "Different data" in (tmp_path / "both.html").read_text()
    assert (tmp_path / "both-val-loss.svg").exists()


# --- in a browser


@pytest.fixture(scope="module")
def chromium():
    with browser.Browser() as opened:
        yield opened


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_pages_look_right(finished, sweep, chromium, kind, width, dark):
    path = (finished if kind == "run" else sweep) / "report.html"
    complaints, requests = chromium.open(path, width, 800, dark)
    assert complaints == [] and requests == []
    seen = chromium.look()
    assert seen["wrong"] == []
    assert seen["pictures"] == 4 and seen["texts"] > 50
    assert seen["images"] == (24 if kind == "run" else 0)
    background = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(int(part) for part in re.findall(r"\d+", background)) < 100) == dark


@needs_browser
def test_the_browser_test_sees_what_is_wrong(chromium, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("""<p style="position:absolute;top:9px">one</p><p style="position:absolute;top:9px">two
        <img src="data:image/png;base64,AAAA" alt="no image"><div style="width:3000px">wide</div>
        <svg width="200" height="100"><text x="190" y="50">cut off</text></svg>
        <img src="http://127.0.0.1:9/x.png"><script>console.log(1); nothing()</script>""")
    complaints, requests = chromium.open(page, 800, 600, False)
    assert requests == ["http://127.0.0.1:9/x.png"]
    assert {"Runtime.consoleAPICalled", "Runtime.exceptionThrown"} <= \
        {event["method"] for event in complaints}
    wrong = " ".join(chromium.look()["wrong"])
    for part in ("text over text: one | two", "broken image: no image", "scrolls sideways",
                 "cut off: cut off"):
        assert part in wrong


# --- TensorBoard


def test_tensorboard_reads_the_events(finished):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(finished))
    events.Reload()
    lines = metrics(finished)
    for tag, key in (("loss/train", "train_loss"), ("loss/val", "val_loss"),
                     ("accuracy/train", "train_accuracy"), ("accuracy/val", "val_accuracy"),
                     ("learning_rate", "learning_rate"),
                     ("images_per_second", "images_per_second")):
        scalars = events.Scalars(tag)
        assert [scalar.step for scalar in scalars] == [line["step"] for line in lines[:2]]
        assert [scalar.value for scalar in scalars] == pytest.approx([line[key] for line in lines[:2]])
        assert scalars[0].wall_time <= scalars[1].wall_time
    assert events.Scalars("accuracy/test")[0].value == pytest.approx(lines[2]["test_accuracy"])
    assert set(events.Tags()["scalars"]) >= {"loss/test"}
