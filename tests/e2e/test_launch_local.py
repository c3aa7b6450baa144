"""launch/local: exit codes and signals, with a shell script in the program's place under mpirun."""

import os
import re
import signal
import subprocess
import time

import pytest

from launch_copy import copy_launch, write_script


@pytest.fixture
def local(tmp_path):
    """Starts launch/local with a program that stops with 75 on SIGUSR1, a second after it."""
    tree = copy_launch(tmp_path)
    write_script(tree / "build" / "cifar-ddp", """
        trap 'sleep 1; echo checkpoint; exit 75' USR1
        echo "rank $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE: $*"
        [[ $1 != exit ]] || exit "$2"
        [[ $1 != kill || $OMPI_COMM_WORLD_RANK != 1 ]] || kill -"$2" $$
        for i in {1..300}; do sleep 0.1; done
        """)
    return lambda *arguments: subprocess.Popen(
        [tree / "launch" / "local", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True)


def test_local_returns_the_exit_code(local):
    process = local("-n", "3", "--", "exit", "5")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 5
    assert "of 3: exit 5" in output


@pytest.mark.parametrize("name, number", [("KILL", 9), ("SEGV", 11)])
def test_local_says_which_rank_a_signal_killed(local, name, number):
    process = local("-n", "3", "--", "kill", name)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 6
    # mpirun does not always know which.
    assert re.search(rf"^launch/local: (rank 1|a rank) was killed by signal {number} \({name}\)$",
                     messages, re.MULTILINE)


def test_local_passes_on_what_else_mpirun_says(local, tmp_path):
    (tmp_path / "repository" / "build" / "cifar-ddp").write_text("#!/no/such/shell\n")
    process = local("-n", "1")
    _, messages = process.communicate(timeout=30)
    assert process.returncode not in (0, 6, 75)
    assert "cifar-ddp" in messages


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_local_stops_with_a_checkpoint(local, number):
    process = local("-n", "1")
    process.stdout.readline()
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    output, messages = process.communicate(timeout=30)
    assert process.returncode == 75, messages
    assert output == "checkpoint\n"


def test_local_ends_at_once_on_the_second_signal(local):
    process = local("-n", "2")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT


def test_local_says_nothing_of_its_own(local):
    process = local("-n", "2", "exit", "0")
    _, messages = process.communicate(timeout=30)
    assert (process.returncode, messages) == (0, "")


def test_local_rejects_a_bad_number(local):
    process = local("-n", "none")
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "-n: found 'none'; expected a number of ranks" in messages


@pytest.mark.parametrize("text, arguments, message", [
    ("node-a slots=2\nnode-b slots=x\n", [], 'hosts:2: found "node-b slots=x"'),
    ("# nobody\n\n", [], "--hosts: found no host in "),
    ("node-a slots=2\nnode-b # one\n", ["-n", "4"], "-n: found 4; expected at most 3, the slots of "),
])
def test_local_rejects_hosts(local, tmp_path, text, arguments, message):
    (tmp_path / "hosts").write_text(text)
    process = local("--hosts", tmp_path / "hosts", *arguments)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 2
    assert message in messages
