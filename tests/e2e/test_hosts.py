"""launch/local --hosts: ranks on two hosts, started by ssh; their cores; a link that is cut once."""

import re
import time

import pytest

from cifar_ddp import PROGRAM, RICH, run, train, train_arguments
from hosts import SshHosts
from launch_copy import copy_launch

TRAINING = [*RICH, "--shards", 4, "--batch-size", 500, "--max-steps", 200, "--checkpoint-every", 10,
            "--timeout", 3]
# Rank 0 takes its time in a run's first life: the link is cut before the training is over.
SLOWLY = ["--fault", ",".join(f"delay=0.2@{step}:0" for step in range(1, 201))]


@pytest.fixture
def hosts(tmp_path):
    made = SshHosts(tmp_path)
    try:
        made.make()
        yield made
    finally:
        made.remove()


@pytest.fixture
def local(tmp_path):
    """launch/local on two ranks of each host, on node-a."""
    tree = copy_launch(tmp_path)
    (tree / "build").mkdir()
    (tree / "build" / "cifar-ddp").symlink_to(PROGRAM)

    def start(hosts, *arguments):
        lines = "".join(f"{hosts.address(name)} slots=2  # node-{name}\n" for name in hosts.NAMES)
        (tmp_path / "hosts").write_text("# The machines\n\n" + lines)
        return hosts.start(tree / "launch" / "local", "--hosts", tmp_path / "hosts", *arguments)

    return start


def assert_nobody_left(hosts):
    until = time.monotonic() + 30
    while left := hosts.processes():
        assert time.monotonic() < until, left
        time.sleep(0.1)


def test_each_rank_has_its_share_of_its_hosts_cores(hosts, local):
    with local(hosts, "doctor", "--device", "cpu") as process:
        output, messages = process.communicate(timeout=60)
    assert process.returncode == 0, output + messages
    ranks = re.findall(r"^rank \d on (\S+): local rank (\d) of 2, .* (\d+) cores \(CPUs (\S+)\), "
                       r"(\d+) threads$", output, re.MULTILINE)
    assert [(host, local_rank) for host, local_rank, *_ in ranks] == [
        ("node-a", "0"), ("node-a", "1"), ("node-b", "0"), ("node-b", "1")], output
    shares = [cpus for _, _, _, cpus, _ in ranks]
    # Both hosts are this machine; where it has a core for each rank, no core has two of one host.
    if int(run("doctor", "--device", "cpu").out.split(" cores (CPUs")[0].split()[-1]) > 1:
        assert shares[0] != shares[1]
    assert shares[:2] == shares[2:]
    assert all(cores == threads for _, _, cores, _, threads in ranks)


def test_a_link_that_was_cut_costs_no_bit(tmp_path, hosts, local):
    undisturbed = train(tmp_path / "undisturbed", *TRAINING).weights
    arguments = train_arguments(tmp_path / "run", *TRAINING, *SLOWLY)
    with local(hosts, "--restarts", 6, "--", *arguments) as process:
        while not list((tmp_path / "run").glob("checkpoints/*.pt")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        hosts.cut("data", "control")
        told = []
        for line in process.stderr:
            told.append(line)
            if "restart 1 of 6" in line:
                break
        hosts.mend("data", "control")
        output, messages = process.communicate(timeout=100)
    told = "".join(told) + messages
    assert process.returncode == 0, told
    assert "launch/local: code 6, a rank was lost or late\n" in told
    assert re.search(r"error: .* step \d+: ranks? 2.* \(host node-b\).* did not arrive", told), told
    assert re.search(r"^resumed at step \d+0$", output, re.MULTILINE)
    assert output.splitlines()[-1] == f"weights {undisturbed}"
    assert_nobody_left(hosts)
