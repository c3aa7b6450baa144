"""Starts this program and the PyTorch scripts as ranks bound to cores, and measures them alike."""
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Failed(Exception):
    pass


class Machine:
    """Which cores each rank gets."""

    def __init__(self, threads):
        self.threads = threads
        self.cores = sorted(os.sched_getaffinity(0))

    def binding(self, rank, ranks):
        """The words before a rank's command: its own cores, if there are enough for all."""
        if ranks * self.threads > len(self.cores):
            return []
        mine = self.cores[rank * self.threads:(rank + 1) * self.threads]
        return ["taskset", "-c", ",".join(map(str, mine))]


class Finished:
    """Commands run at the same time, to their end: outputs, wall time, peak memory of the largest
    process. Raises Failed when one fails."""

    def __init__(self, commands, environments):
        started = time.perf_counter()
        processes = [subprocess.Popen(command, env={**os.environ, **environment}, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                     for command, environment in zip(commands, environments)]
        outputs = [None] * len(processes)

        def wait(index):  # a thread for each process: none may stop at a full pipe
            process, messages = processes[index], []
            errors = threading.Thread(target=lambda: messages.append(process.stderr.read()))
            errors.start()
            text = process.stdout.read()
            errors.join()
            # wait4 speaks of the process and of the children that it waited for: mpirun's ranks.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            outputs[index] = text, messages[0], usage.ru_maxrss

        waiters = [threading.Thread(target=wait, args=[i]) for i in range(len(processes))]
        for waiter in waiters:
            waiter.start()
        for waiter in waiters:
            waiter.join()
        self.seconds = time.perf_counter() - started
        for process, command, (_, messages, _) in zip(processes, commands, outputs):
            if process.returncode != 0:
                raise Failed(f"{' '.join(map(str, command))}\nexit code {process.returncode}\n{messages}")
        self.outputs = [output for output, _, _ in outputs]
        self.peak_bytes = max(peak for _, _, peak in outputs) * 1024


def first_epoch(run_dir):
    """The first object of metrics.jsonl."""
    with open(os.path.join(run_dir, "metrics.jsonl")) as lines:
        return json.loads(next(lines))


class Program:
    """build/cifar-ddp; several ranks under mpirun, each bound as PyTorch's are."""

    def __init__(self, program, data, machine, flags=()):
        self.program, self.data, self.machine, self.flags = program, data, machine, flags

    def run(self, ranks, batch_size, *options):
        """Trains; returns the Finished processes and the first object of metrics.jsonl."""
        with tempfile.TemporaryDirectory() as folder:
            run = os.path.join(folder, "run")
            arguments = [*self.arguments(batch_size, run), *options]
            finished = Finished([self.command(ranks, arguments)], [self.environment()])
            return finished, first_epoch(run)

    def images_per_second(self, ranks, batch_size, steps):
        return self.run(ranks, batch_size, "--max-steps", str(steps))[1]["images_per_second"]

    def rates_at_once(self, runs, batch_size, steps, *options):
        """images/s of each of several runs of one rank at the same time, each on its own cores."""
        with tempfile.TemporaryDirectory() as folder:
            folders = [os.path.join(folder, str(run)) for run in range(runs)]
            Finished([[*self.machine.binding(run, runs), *self.arguments(batch_size, folders[run]),
                       "--max-steps", str(steps), *options] for run in range(runs)],
                     [self.environment()] * runs)
            return [first_epoch(run)["images_per_second"] for run in folders]

    def arguments(self, batch_size, run_dir):
        return [self.program, "--data", self.data, "--threads", str(self.machine.threads),
                "--batch-size", str(batch_size), "--run-dir", run_dir, *self.flags]

    def command(self, ranks, arguments):
        if ranks == 1:
            return self.machine.binding(0, 1) + arguments
        command = ["mpirun", "--bind-to", "none", "--oversubscribe"]
        for rank in range(ranks):
            command += [":"] if rank else []
            command += ["-np", "1", *self.machine.binding(rank, ranks), *arguments]
        return command

    @staticmethod
    def environment():
        root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        return root if os.geteuid() == 0 else {}


class AtOnce:
    """As many runs of one rank at the same time as others have ranks; images/s of all together."""

    def __init__(self, program):
        self.program = program

    def images_per_second(self, runs, batch_size, steps):
        return sum(self.program.rates_at_once(runs, batch_size, steps))


class Script:
    """A PyTorch script of this folder; DistributedDataParallel over gloo for several ranks."""

    def __init__(self, name, python, data, machine):
        self.arguments = [python, str(HERE / name), "--data", data]
        self.machine = machine

    def images_per_second(self, ranks, batch_size, steps):
        arguments = [*self.arguments, "--threads", str(self.machine.threads),
                     "--batch-size", str(batch_size), "--max-steps", str(steps)]
        commands = [self.machine.binding(rank, ranks) + arguments for rank in range(ranks)]
        finished = Finished(commands, [self.environment(rank, ranks, port)
                                       for port in [free_port()] for rank in range(ranks)])
        return json.loads(finished.outputs[0].splitlines()[0])["images_per_second"]

    @staticmethod
    def environment(rank, ranks, port):
        # Without GPUs: both sides are compared on the CPU.
        return {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "CUDA_VISIBLE_DEVICES": "",
                "GLOO_SOCKET_IFNAME": "lo"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def convolution_seconds(micro_bench, ranks, share, machine):
    """One step's convolution calls on `share` images, timed alone, on all ranks' cores at once."""
    command = [micro_bench, f"--benchmark_filter=^convolutions/{share}$",
               "--benchmark_min_time=3", "--benchmark_format=json"]
    commands = [machine.binding(rank, ranks) + command for rank in range(ranks)]
    finished = Finished(commands, [{}] * ranks)
    times = []
    for output in finished.outputs:
        for result in json.loads(output)["benchmarks"]:
            assert result["time_unit"] == "ms", result
            times.append(result["real_time"] / 1000)
    return max(times)
