"""The processes of a job, as /proc shows them."""

import os
import pathlib
import time

SLACK = 20  # seconds, for a machine that does other things as well


def processes():
    return [int(path.name) for path in pathlib.Path("/proc").iterdir() if path.name.isdigit()]


def read(pid, name):
    """Of a process that may have ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def rank_process(mpirun, rank):
    """The process of a rank, among the children of this mpirun; None while there is none."""
    variable = b"OMPI_COMM_WORLD_RANK=%d" % rank
    found = [pid for pid in processes() if f"PPid:\t{mpirun.pid}\n".encode() in read(pid, "status")
             and variable in read(pid, "environ").split(b"\0")]
    assert len(found) <= 1, found
    return found[0] if found else None


def assert_gone(list_processes):
    """The last ones have a moment: they saw mpirun off."""
    until = time.monotonic() + SLACK
    while left := list_processes():
        assert time.monotonic() < until, [read(pid, "cmdline") for pid in left]
        time.sleep(0.1)


def job_of(run_dir):
    """Every process that was started with this run directory."""
    return lambda: [pid for pid in processes() if os.fsencode(run_dir) in read(pid, "cmdline")]
