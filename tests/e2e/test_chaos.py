"""The short form of the chaos test; tests/e2e/chaos --kills 50 is the long one."""

import pathlib
import subprocess
import sys

from cifar_ddp import ENVIRONMENT


def test_the_bits_survive_kills():
    chaos = pathlib.Path(__file__).with_name("chaos")
    done = subprocess.run([sys.executable, chaos, "--kills", "6"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=600, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("chaos: passed\n")
