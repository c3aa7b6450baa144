"""Two hosts on one machine: network namespaces, joined by a network for MPI's messages and one for
mpirun's own; with an sshd each where a test asks for it."""

import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import time

import pytest

from cifar_ddp import ENVIRONMENT


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True)


class Hosts:
    """node-a, on which mpirun runs, and node-b."""

    NAMES = ("a", "b")
    NETWORKS = {"data": "10.213.1", "control": "10.213.2"}

    def __init__(self):
        self.spaces = {name: f"cifar-{name}-{os.getpid()}" for name in self.NAMES}
        self.environment = ENVIRONMENT | {
            "OMPI_MCA_btl": "self,tcp",
            "OMPI_MCA_btl_tcp_if_include": f"{self.NETWORKS['data']}.0/24",
            "OMPI_MCA_oob_tcp_if_include": f"{self.NETWORKS['control']}.0/24"}

    def make(self):
        for space in self.spaces.values():
            done = ip("netns", "add", space)
            if done.returncode != 0:
                pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
            self.must("-n", space, "link", "set", "lo", "up")
        for network in self.NETWORKS:
            self.must("-n", self.spaces["a"], "link", "add", network, "type", "veth",
                      "peer", network, "netns", self.spaces["b"])
            for name, space in self.spaces.items():
                self.must("-n", space, "address", "add", f"{self.address(name, network)}/24",
                          "dev", network)
                self.must("-n", space, "link", "set", network, "up")

    def address(self, name, network="control"):
        return f"{self.NETWORKS[network]}.{1 + self.NAMES.index(name)}"

    def must(self, *words):
        done = ip(*words)
        assert done.returncode == 0, (words, done.stderr)

    def on(self, name):
        """The words before a command that run it on this host, under the host's name."""
        rename = f'echo node-{name} >/proc/sys/kernel/hostname; exec "$@"'
        return ["ip", "netns", "exec", self.spaces[name], "unshare", "--uts", "sh", "-c", rename,
                "sh"]

    def start(self, *command, **options):
        """On node-a."""
        return subprocess.Popen([str(word) for word in (*self.on("a"), *command)],
                                stdin=subprocess.DEVNULL, text=True, env=self.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def reach_without_ssh(self, folder):
        """What mpirun calls as it would ssh, with options, the host and the command, enters node-b."""
        agent = folder / "agent"
        agent.write_text('#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\nshift\n'
                         f'exec {shlex.join(self.on("b"))} sh -c "$*"\n')
        agent.chmod(0o755)
        self.environment["OMPI_MCA_plm_rsh_agent"] = str(agent)

    def cut(self, *networks, up=False):
        for network in networks:
            self.must("-n", self.spaces["a"], "link", "set", network, "up" if up else "down")

    def mend(self, *networks):
        self.cut(*networks, up=True)

    def processes(self):
        return [int(pid) for space in self.spaces.values()
                for pid in ip("netns", "pids", space).stdout.split()]

    def remove(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for space in self.spaces.values():
            ip("netns", "delete", space)


class SshHosts(Hosts):
    """Their ssh servers know one key, made for the test, and nothing of the user's own."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.servers = []
        self.made = []

    def make(self):
        sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
        if sshd is None or os.geteuid() != 0:
            pytest.skip("sshd is not installed, or the tests are not run by root")
        super().make()
        separation = pathlib.Path("/run/sshd")
        if not separation.exists():
            separation.mkdir(mode=0o755)
            self.made.append(separation)
        self.write_files()
        for name in self.NAMES:
            self.servers.append(subprocess.Popen(
                [*self.on(name), sshd, "-D", "-e", "-f", self.folder / "sshd_config"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=(self.folder / f"sshd-{name}").open("w")))
        for name in self.NAMES:
            self.wait_for_server(name)

    def write_files(self):
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key],
                           check=True)
        (self.folder / "sshd_config").write_text(
            f"HostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/user.pub\n"
            "PidFile none\nStrictModes no\nUsePAM yes\nPermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\nClientAliveInterval 2\nClientAliveCountMax 2\n")
        (self.folder / "ssh_config").write_text(
            f"IdentityFile {self.folder}/user\nIdentitiesOnly yes\nBatchMode yes\nLogLevel ERROR\n"
            "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nConnectTimeout 5\n"
            "ServerAliveInterval 2\nServerAliveCountMax 2\n")
        self.environment["OMPI_MCA_plm_rsh_agent"] = f"ssh -F {self.folder}/ssh_config"

    def wait_for_server(self, name):
        until = time.monotonic() + 30
        ssh = [*self.on("a"), "ssh", "-F", self.folder / "ssh_config", self.address(name), "true"]
        while (done := subprocess.run(ssh, capture_output=True, text=True)).returncode != 0:
            assert time.monotonic() < until, (done.stderr, (self.folder / f"sshd-{name}").read_text())
            time.sleep(0.1)

    def processes(self):
        """Without the two servers."""
        return [pid for pid in super().processes() if pid not in {one.pid for one in self.servers}]

    def remove(self):
        super().remove()
        for server in self.servers:
            server.kill()
            server.wait()
        for folder in self.made:
            folder.rmdir()
