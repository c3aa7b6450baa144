"""What the tests of lost ranks and of orphans share: to find a job's processes, by /proc, and to see
that they are gone."""

import os
import pathlib
import re
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


def children(pid, name):
    """The children of this name."""
    return [child for child in processes() if f"PPid:\t{pid}\n".encode() in read(child, "status")
            and read(child, "comm") == name.encode() + b"\n"]


def rank_process(mpirun, rank):
    """The process of a rank, among the children of this mpirun; None while there is none."""
    variable = b"OMPI_COMM_WORLD_RANK=%d" % rank
    found = [pid for pid in processes() if f"PPid:\t{mpirun.pid}\n".encode() in read(pid, "status")
             and variable in read(pid, "environ").split(b"\0")]
    assert len(found) <= 1, found
    return found[0] if found else None


def assert_gone(list_processes, seconds=SLACK):
    """The last ones have a moment: they saw mpirun off."""
    until = time.monotonic() + seconds
    while left := list_processes():
        assert time.monotonic() < until, [read(pid, "cmdline") for pid in left]
        time.sleep(0.1)


def job_of(folder):
    """Every process that was started with a path in this folder."""
    return lambda: [pid for pid in processes() if os.fsencode(folder) in read(pid, "cmdline")]


def shared_memory(pid):
    """The files of Open MPI's shared memory that a rank has mapped."""
    return {pathlib.Path(name.decode())
            for name in re.findall(rb"/\S*/vader_segment\.\S+", read(pid, "maps"))}
