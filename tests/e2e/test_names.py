"""Names from outside: "~" is the home folder wherever a path is told, and what would move a terminal's
cursor is shown written out, whole, on one line."""
import json
import re
import shutil

import pytest
from PIL import Image

from cifar_ddp import SMALL, assert_error, checkpoint_path, run, train

USAGE, DATA, CHECKPOINT = 2, 3, 4
SHORT = ("--layers", SMALL, "--device", "cpu", "--threads", 1, "--max-steps", 2)

# A new line, a colour, the same by a control of the second set, a turn of the direction of writing; and
# as it is shown. A file may be called by any bytes, too.
ODD = "a\nb\x1b[31m\x9b\u202ec"
SHOWN = r"a\nb\u001B[31m\u009B\u202Ec"
ODD_BYTES, SHOWN_BYTES = ODD + "\udcff", SHOWN + r"\xFF"


def assert_harmless(result):
    for text in (result.out, result.err):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", text), text


def run_escaped(*arguments, code, **options):
    result = run(*arguments, errors="surrogateescape", **options)
    assert_harmless(result)
    assert result.code == code, result.out + result.err
    return result


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_odd_run_directory(tmp_path, ranks):
    folder = tmp_path / ODD
    arguments = ("--data", "synthetic", "--run-dir", folder, *SHORT)
    result = run_escaped(*arguments, code=0, ranks=ranks)
    assert f"run directory {tmp_path}/{SHOWN}" in result.lines
    assert checkpoint_path(folder, 2).exists()
    result = run_escaped(*arguments, code=USAGE, ranks=ranks)
    assert f"cifar-ddp: error: --run-dir {tmp_path}/{SHOWN}: a run is already there" in result.err
    result = run_escaped("--run-dir", folder, "--resume", "auto", *SHORT[2:], "--max-steps", 3, code=0,
                         ranks=ranks)
    assert "resumed at step 2" in result.lines


def test_a_folder_that_no_recipe_can_name(tmp_path):
    """Its checkpoints hold their recipe as TOML, which is UTF-8: nothing could read them."""
    arguments = ("--data", "synthetic", "--run-dir", tmp_path / ODD_BYTES, *SHORT)
    result = run_escaped(*arguments, code=USAGE)
    assert_error(result, USAGE, f"--run-dir: {tmp_path}/{SHOWN_BYTES}; expected text in UTF-8")
    assert not list(tmp_path.iterdir())


def test_odd_names_of_every_file(tmp_path):
    folder = tmp_path / ODD
    train(folder, "--layers", SMALL, "--max-steps", 2)
    shutil.copy(checkpoint_path(folder, 2), tmp_path / f"{ODD_BYTES}.pt")
    result = run_escaped("inspect", "--checkpoint", tmp_path / f"{ODD_BYTES}.pt", code=0)
    assert result.lines[0] == f"{tmp_path}/{SHOWN_BYTES}.pt"
    checkpoint_path(folder, 3).write_bytes(b"x")
    result = run_escaped("inspect", "--checkpoint", folder, code=0)
    assert f"cifar-ddp: warning: {tmp_path}/{SHOWN}/checkpoints/step-00000003.pt" in result.err
    assert f"{SHOWN}/report.html" in run_escaped("report", folder, code=0).out
    for arguments, code in [(("--data", folder), DATA), (("--config", folder), USAGE),
                            (("inspect", f"{folder}.toml"), USAGE), (("--resume", f"{folder}.pt"), CHECKPOINT),
                            (("predict", "--checkpoint", f"{folder}.pt", "x.png"), CHECKPOINT),
                            (("report", tmp_path / f"{ODD}.pt"), USAGE), ((ODD,), USAGE),
                            ((f"--{ODD}",), USAGE), (("inspect", "--layers", f"conv{ODD}"), USAGE),
                            (("--precision", ODD), USAGE)]:
        result = run_escaped(*arguments, code=code, cwd=tmp_path)
        assert SHOWN.removeprefix("a") in result.err
        assert len(result.err.splitlines()) == 1
    (tmp_path / f"{ODD_BYTES}.toml").write_text("")
    result = run_escaped("inspect", tmp_path / f"{ODD_BYTES}.toml", code=0)
    assert result.lines[0] == f"recipe {SHOWN_BYTES}"


def test_odd_names_of_pictures(tmp_path):
    train(tmp_path / "run", "--layers", SMALL, "--max-steps", 1)
    good, bad = tmp_path / f"{ODD_BYTES}.png", tmp_path / f"{ODD_BYTES} bad.png"
    Image.new("RGB", (32, 32)).save(good)
    bad.write_bytes(b"hello")
    arguments = ("predict", "--checkpoint", tmp_path / "run", "--device", "cpu", good, bad)
    result = run_escaped(*arguments, code=DATA)
    assert result.lines[1].startswith(f"{tmp_path}/{SHOWN_BYTES}.png: ") and len(result.lines) == 2
    assert result.err.startswith(f"cifar-ddp: error: {tmp_path}/{SHOWN_BYTES} bad.png: neither PNG")
    result = run_escaped(*arguments, "--json", code=DATA)
    # JSON has no bytes that are no UTF-8; all else is as it was.
    told = [json.loads(line)["file"] for line in result.lines]
    assert told == [str(path).replace("\udcff", "\ufffd") for path in (good, bad)]


@pytest.mark.parametrize("recipe, shown", [
    ('[train]\n"\\u001b[2J\\nepochs" = 3', r"2:1: train.\u001B[2J\nepochs: unknown key"),
    ('"\\u009bx\\u0000y" = 3', r"1:1: \u009Bx\u0000y: unknown key"),
    ('["\\u001b]0;title\\u0007"]', r"1:2: \u001B]0;title\u0007: unknown section"),
    ('[train]\nprecision = "\\u001b[31m"', r"train.precision: \u001B[31m; expected fp32"),
    ('[train]\nepochs = ["\\u001b[31m"]', r'train.epochs: ["\u001B[31m"]; expected an integer'),
    ('[model]\nlayers = ["conv \\u001b[31m"]', r'layer 0 ("conv \u001B[31m")'),
    ('[data]\npath = "\\u001b[31m"', r"'\u001B[31m': no such folder"),
    ("[train]\n\x1b[31m = 3", "2:1: "),
])
def test_a_recipe_that_paints(tmp_path, recipe, shown):
    (tmp_path / "r.toml").write_text(recipe)
    data = () if "[data]" in recipe else ("--data", "synthetic")
    result = run("--config", tmp_path / "r.toml", *data, cwd=tmp_path)
    assert_harmless(result)
    assert_error(result, DATA if "[data]" in recipe else USAGE, shown)


def test_home_in_flags(tmp_path):
    (tmp_path / "home").mkdir()
    result = run("--data", "synthetic", "--run-dir=~/runs/x", *SHORT, cwd=tmp_path,
                 env={"HOME": str(tmp_path / "home")})
    assert result.code == 0, result.err
    directory = tmp_path / "home" / "runs" / "x"
    assert f"run directory {directory}" in result.lines
    assert f'directory = "{directory}"' in (directory / "config.toml").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    result = run("inspect", "--checkpoint=~/runs/x", env={"HOME": str(tmp_path / "home")})
    assert result.lines[0] == str(checkpoint_path(directory, 2))


def test_home_elsewhere(tmp_path):
    """In a recipe, for the recipe itself and in the environment; not that of others."""
    (tmp_path / "r.toml").write_text('[data]\npath = "~/cifar10"\n')
    home = {"HOME": str(tmp_path)}
    missing = f"data folder '{tmp_path}/cifar10': no such folder"
    assert_error(run("--config=~/r.toml", *SHORT, env=home), DATA, missing)
    assert_error(run(*SHORT, env=home | {"CIFAR10_DIR": "~/cifar10"}), DATA, missing)
    assert_error(run("--data=~nobody/x", *SHORT, env=home), DATA, "data folder '~nobody/x'")


def test_without_a_home(tmp_path):
    result = run("--data", "synthetic", "--run-dir=~/x", *SHORT, cwd=tmp_path, env={"HOME": ""})
    assert_error(result, USAGE, "--run-dir: ~/x; expected a path without ~, since HOME is not set")
    assert not list(tmp_path.iterdir())
