"""What the tests of the scripts share: a copy of launch/, away from the real build."""

import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def copy_launch(folder):
    """A repository in `folder` with the real launch/ and nothing else; returns its root."""
    shutil.copytree(ROOT / "launch", folder / "repository" / "launch")
    return folder / "repository"


def forget_public_sources(tree):
    """Leaves launch/fetch-cifar10 those of CIFAR10_URL, so that no test asks a server elsewhere."""
    script = tree / "launch" / "fetch-cifar10"
    text, count = re.subn(r'(?m)^readonly public_sources="[^"]*"$', 'readonly public_sources=""',
                          script.read_text())
    assert count == 1
    script.write_text(text)


def run(*command, **environment):
    return subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=50,
                          env={**os.environ, "no_proxy": "127.0.0.1", **environment})


def write_script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/usr/bin/env bash\n" + text)
    path.chmod(0o755)


def error_line(result):
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("launch/"), result.stderr
    assert ": error: " in line
    return line
