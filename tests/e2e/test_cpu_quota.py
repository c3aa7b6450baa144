"""The default number of threads heeds a control group's CPU quota, and so do the launch scripts."""

import os
import pathlib
import re
import subprocess
import time

import pytest

from cifar_ddp import ENVIRONMENT, PROGRAM
from launch_copy import ROOT

PERIOD = 100000  # microseconds


class Group:
    """A control group of the test's own, with a quota."""

    def __init__(self):
        words = [line.split() for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
        first = [mount[4] for mount in words if mount[-3] == "cgroup" and "cpu" in mount[-1].split(",")]
        second = [mount[4] for mount in words if mount[-3] == "cgroup2"]
        self.first = bool(first)
        self.folder = pathlib.Path((first or second)[0]) / f"cifar-ddp-test-{os.getpid()}"
        self.folder.mkdir()

    def set(self, cores):
        if self.first:
            (self.folder / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self.folder / "cpu.cfs_quota_us").write_text(str(int(cores * PERIOD)))
        else:
            (self.folder / "cpu.max").write_text(f"{int(cores * PERIOD)} {PERIOD}")

    def run(self, *command):
        done = subprocess.run(["bash", "-c", f'echo $$ >{self.folder}/cgroup.procs && exec "$@"',
                               "bash", *map(str, command)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120,
                              env={name: value for name, value in ENVIRONMENT.items()
                                   if name != "OMP_NUM_THREADS"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def remove(self):
        """Once the last of its processes, which may have outlived mpirun for a moment, is gone."""
        until = time.monotonic() + 20
        while True:
            try:
                return self.folder.rmdir()
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.05)


@pytest.fixture
def group():
    try:
        made = Group()
        made.set(1)
    except (OSError, IndexError) as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield made
    finally:
        made.remove()


def cores_and_threads(output):
    return [(int(cores), int(threads)) for cores, threads in
            re.findall(r"(\d+) cores \(CPUs \S+\), (\d+) threads$", output, re.MULTILINE)]


def test_doctor_says_where_the_threads_come_from(group):
    output = group.run(PROGRAM, "doctor", "--device", "cpu")
    assert cores_and_threads(output) == [(1, 1)]
    if len(os.sched_getaffinity(0)) > 1:
        assert re.search(rf"^cores: by the CPU quota, 1 of {group.folder}/cpu\.", output, re.MULTILINE)


def test_a_wide_quota_changes_nothing(group):
    group.set(1000)
    output = group.run(PROGRAM, "doctor", "--device", "cpu")
    cores = len(os.sched_getaffinity(0))
    assert cores_and_threads(output) == [(cores, cores)]
    assert "quota" not in output


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is what each rank has anyway")
def test_the_ranks_of_a_host_share_it(group):
    group.set(len(os.sched_getaffinity(0)) / 2)
    output = group.run("mpirun", "-np", 2, "--bind-to", "none", PROGRAM, "doctor", "--device", "cpu")
    share = max(1, round(len(os.sched_getaffinity(0)) / 2) // 2)
    assert cores_and_threads(output) == [(share, share)] * 2


def test_the_launch_scripts_count_as_the_program_does(group):
    """With the constants of launch/local around it."""
    count = group.run("bash", "-c", f"root={ROOT}; readonly root; source $root/launch/lib/mpirun.sh; "
                      "count_cores")
    assert count == "1\n"


def test_the_launch_scripts_see_the_groups_above(tmp_path):
    """Version 2, as in a container that does not see the whole hierarchy."""
    files = {"proc/self/cgroup": "0::/docker/c0ffee/inner\n",
             "proc/self/mountinfo": "30 1 0:26 /docker/c0ffee /sys/fs/cgroup rw,nosuid shared:4 - "
                                    "cgroup2 cgroup2 rw\n",
             "sys/fs/cgroup/inner/cpu.max": "max 100000\n",
             "sys/fs/cgroup/cpu.max": "250000 100000\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = subprocess.run(["bash", "-c", f"set -euo pipefail; source {ROOT}/launch/lib/mpirun.sh; "
                           f"cpu_quota {tmp_path}"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "3\n", done.stderr
