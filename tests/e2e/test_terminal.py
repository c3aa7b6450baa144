"""What a person sees on a terminal: the bar, as wide as the terminal is, whatever that says of itself."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from cifar_ddp import ENVIRONMENT, SMALL, command, train, train_arguments

LONG = ("--layers", SMALL, "--shards", 2, "--max-steps", 1000)
ERASE = "\r\x1b[K"
BAR = r"\[[#.]{%s}\] "
TEXT = r"epoch \d+ step \d+/14080 loss \d+\.\d+ \d+ images/s [\d:]+ left"


def set_columns(terminal, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def on_a_terminal(arguments, columns=0, later_columns=None, **variables):
    """What the program writes to a terminal of its own, of so many columns (0: it does not say), of
    others once the bar has been drawn. A variable of the environment that is None is left out."""
    main, terminal = pty.openpty()
    set_columns(terminal, columns)
    env = {"TERM": "xterm", "COLUMNS": None} | variables
    env = {name: value for name, value in (ENVIRONMENT | env).items() if value is not None}
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=terminal,
                               stderr=subprocess.STDOUT, env=env)
    os.close(terminal)
    text = b""
    try:
        while chunk := os.read(main, 4096):
            text += chunk
            if later_columns and ERASE.encode() in text:
                set_columns(main, later_columns)
                later_columns = None
                text += b"\nresized\n"
    except OSError:  # the last writer has closed it
        pass
    os.close(main)
    assert process.wait(timeout=60) == 0, text
    return text.decode()


def training(tmp_path, ranks=1):
    """One that takes some tenths of a second at least."""
    return command(*train_arguments(tmp_path / "run", *LONG), ranks=ranks)


def drawn(text):
    """Each state of the bar: it is erased before the next one and before every line."""
    frames = [part for part in text.split(ERASE)[1:] if part and "\n" not in part]
    assert len(frames) >= 2, text
    return frames


@pytest.mark.parametrize("columns, expected, ranks", [
    (120, BAR % 24 + TEXT, 1), (80, BAR % "4,24" + TEXT, 2), (60, "epoch .* images.*", 1),
    (40, "epoch .{33}", 1), (40, "epoch .{33}", 2), (10, "epoch .{3}", 1)])
def test_the_bar_fits_the_terminal(tmp_path, columns, expected, ranks):
    """No frame is as long as a line, so none begins another."""
    for frame in drawn(on_a_terminal(training(tmp_path, ranks), columns)):
        assert re.fullmatch(expected, frame), frame
        assert len(frame) < columns


def test_the_bar_follows_the_terminal(tmp_path):
    text = on_a_terminal(training(tmp_path), 120, later_columns=40)
    before, after = text.split("\nresized\n")
    assert re.match(BAR % 24, before.split(ERASE)[1])
    # What was under way when the size changed may still be of the old one.
    frames = drawn(ERASE + after)[2:]
    assert frames and all(len(frame) == 39 for frame in frames)


@pytest.mark.parametrize("told, columns", [("50", 50), (None, 80), ("wide", 80), ("-3", 80)])
def test_a_terminal_without_a_size(tmp_path, told, columns):
    for frame in drawn(on_a_terminal(training(tmp_path), 0, COLUMNS=told)):
        assert columns - 20 < len(frame) < columns


@pytest.mark.parametrize("kind", ["dumb", "", None])
def test_a_terminal_that_cannot_erase_gets_lines_alone(tmp_path, kind):
    text = on_a_terminal(training(tmp_path), 80, TERM=kind)
    assert "\x1b" not in text and "\r" not in text.replace("\r\n", "\n")
    assert "epoch   1/20" in text


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_bar_is_for_terminals(tmp_path, ranks):
    out = train(tmp_path / "pipe", *LONG, ranks=ranks).out
    assert "\r" not in out and "\x1b" not in out
