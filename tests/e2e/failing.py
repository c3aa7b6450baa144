"""Makes calls of the system fail in the program that a test starts: failing_calls.c, preloaded."""

import functools
import os
import pathlib
import subprocess
import tempfile

ALWAYS = 10**6


@functools.cache
def library():
    path = pathlib.Path(tempfile.mkdtemp(prefix="cifar-ddp-failing-")) / "failing_calls.so"
    source = pathlib.Path(__file__).with_name("failing_calls.c")
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-fPIC", "-shared", "-o", path, source, "-ldl"],
                   check=True)
    return path


def rule(call, error, pattern, first=1, last=None):
    """The calls number `first` to `last` (the first alone) on paths like `pattern`; `error`: of errno,
    or "short"."""
    return f"{call}:{error}:{first}-{last or first}:{pattern}"


def failing(*rules):
    """The environment of a program whose calls fail so."""
    return {"LD_PRELOAD": str(library()), "FAILING_CALLS": " ".join(rules)}
