#!/usr/bin/env python3
"""The machine on which test_readme.py runs the commands of the READMEs: a copy of the repository, a home
with CIFAR-10's files, and stand-ins. What trains is the program; its wrapper only makes trainings short.
Stand-ins there are for what a test cannot have (a cluster, containers, other hosts) or has no time for
(compilers, other tests, benchmarks): each checks all that it is given, and fails on what it does not know.

Started as a program, this file is the stand-in whose name it was called by."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

REAL_ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = "2"
MOST_RANKS = 2  # where a cluster would have more

# A recipe that trains in a second, for what README trains a recipe of many GPU seconds with.
SHORT_RECIPE = """
[data]
validation_size = 0
[model]
layers = ["conv 4 stride 4", "relu", "flatten", "linear 10"]
[train]
epochs = 1
batch_size = 5000
"""


class Refused(Exception):
    """A stand-in was given what the real thing would not take."""


# --- arguments


def options_of(words, known):
    """The options in front of `words`, and what follows. `known` maps a name to the pattern of its
    value, or to None for an option without one."""
    found, words = {}, list(words)
    while words and words[0].startswith("-"):
        name, equals, value = words.pop(0).partition("=")
        if name not in known:
            raise Refused(f"option {name}")
        if known[name] is not None:
            if not equals:
                if not words:
                    raise Refused(f"{name} without a value")
                value = words.pop(0)
            if not re.fullmatch(known[name], value):
                raise Refused(f"{name} {value}")
        elif equals:
            raise Refused(f"{name} with a value")
        found.setdefault(name, []).append(value)
    return found, words


def existing(path):
    if not pathlib.Path(path).exists():
        raise Refused(f"{path}: no such file")
    return pathlib.Path(path)


def options_in_help(script, words):
    """Each option of `words` is one that the script's --help tells of."""
    text = subprocess.run([script, "--help"], capture_output=True, text=True, check=True).stdout
    for word in words:
        if word.startswith("--") and not re.search(rf"{re.escape(word.partition('=')[0])}\b", text):
            raise Refused(f"{script.name}: option {word}")


# --- the program


def cifar_ddp(words, root):
    program = os.environ["README_PROGRAM"]
    verb = words[0] if words and not words[0].startswith("-") else "train"
    if "--help" in words or "--version" in words:
        pass
    elif verb == "repeat":
        config = words.index("--config") + 1
        subprocess.run([program, "inspect", "--config", words[config]], check=True,
                       stdout=subprocess.DEVNULL)
        recipe = root / "build" / "short.toml"
        recipe.write_text(SHORT_RECIPE)
        words = [*words[:config], recipe, *words[config + 1:], "--runs", "2", "--precision", "fp32",
                 "--device", "cpu"]
    elif verb == "train":
        limit = [] if "--max-steps" in words else ["--max-steps", STEPS]
        words = [*words, *limit, "--device", "cpu"]
    elif verb == "doctor":
        words = [*words, "--device", "cpu"]
    os.execv(program, [program, *map(str, words)])


def mpirun(words, root):
    """The real one, but hosts of a file are this machine, and fewer."""
    real = os.environ["README_MPIRUN"]
    if "--hostfile" in words:
        at = words.index("--hostfile")
        for line in existing(words[at + 1]).read_text().splitlines():
            if not re.fullmatch(r"([\w.-]+( slots=[1-9]\d*)?)? *(#.*)?", line):
                raise Refused(f"host file: {line}")
        del words[at:at + 2]
        words = ["--oversubscribe" if word == "--map-by" else word for word in words
                 if not re.fullmatch(r"slot:PE=\d+|--bind-to|core|none", word)]
        words[words.index("-n") + 1] = str(MOST_RANKS)
    os.execv(real, [real, *words])


# --- Slurm


SBATCH = {"--nodes": r"\d+", "--ntasks": r"\d+", "--ntasks-per-node": r"\d+", "--gpus": r"\d+",
          "--gpus-per-node": r"\d+", "--cpus-per-task": r"\d+", "--time": r"\d+:\d\d:\d\d",
          "--array": r"1-\d+", "--dependency": r"afterany(:\d+)+", "--job-name": r"[\w-]+",
          "--output": r"slurm-[\w%]+\.out", "--open-mode": "append", "--signal": r"B:USR1@\d+",
          "--wrap": ".+", "--parsable": None, "--requeue": None}


def sbatch(words, root):
    """Runs the job at once: of an array the first and the last task."""
    options, words = options_of(words, SBATCH)
    number = 100 + len(list(root.glob("spool-*")))
    spool = root / f"spool-{number}"  # Slurm copies a script, too
    if "--wrap" in options:
        spool.write_text("#!/bin/sh\n" + options["--wrap"][-1])
    else:
        spool.write_text(existing(words[0]).read_text())
        for line in re.findall(r"(?m)^#SBATCH (.*)$", spool.read_text()):
            options_of(line.split(), SBATCH)
    tasks = int(options.get("--ntasks", options.get("--ntasks-per-node", ["1"]))[-1])
    tasks *= int(options.get("--nodes", ["1"])[-1])
    environment = {"SLURM_JOB_ID": str(number), "SLURM_SUBMIT_DIR": os.getcwd(),
                   "SLURM_NTASKS": str(tasks), "SLURM_JOB_NODELIST": "n[1-2]"}
    for task in array_tasks(options):
        done = subprocess.run(["bash", spool, *words[1:]], env=os.environ | environment | task,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            logs = [path.read_text() for path in pathlib.Path().glob(f"slurm-{number}*.log")]
            raise Refused(f"the job ended with {done.returncode}:\n{done.stdout}\n" + "\n".join(logs))
    print(number if "--parsable" in options else f"Submitted batch job {number}")


def array_tasks(options):
    if "--array" not in options:
        return [{}]
    last = options["--array"][-1].partition("-")[2]
    return [{"SLURM_ARRAY_JOB_ID": "99", "SLURM_ARRAY_TASK_ID": task} for task in sorted({"1", last})]


def srun(words, root):
    _, words = options_of(words, {"--mpi": "pmix", "--kill-on-bad-exit": "0", "--cpus-per-task": r"\d+",
                                   "--wait": r"\d+"})
    ranks = min(int(os.environ["SLURM_NTASKS"]), MOST_RANKS)
    os.environ["SLURM_NTASKS"] = str(ranks)
    mpirun(["-n", str(ranks), "--oversubscribe", *words], root)


def sinfo(words, root):
    options_of(words, {"-N": None})
    existing(os.environ["SLURM_CONF"])
    print("n1\nn2")


def up(words, root):
    options_in_help(root / "cluster/slurm/up.real", words)
    (root / "slurm.conf").touch()
    print(f"export SLURM_CONF={root}/slurm.conf")


def down(words, root):
    options_in_help(root / "cluster/slurm/down.real", words)
    existing(root / "slurm.conf").unlink()


# --- containers


def docker(words, root):
    verb, *words = words
    if verb == "build":
        options, (context,) = options_of(words, {"-f": ".+", "-t": r"[a-z-]+", "--build-arg": r"\w+=.+"})
        recipe = existing(options["-f"][0]).read_text()
        for argument in options.get("--build-arg", []):
            if f"ARG {argument.partition('=')[0]}=" not in recipe:
                raise Refused(f"--build-arg {argument}")
        for source in re.findall(r"(?m)^COPY (?!--from)(\S+) ", recipe):
            existing(pathlib.Path(context) / source)
        (root / f"image-{options['-t'][0]}").touch()
        return
    options, words = options_of(words, {"--gpus": "all", "-v": ".+:/.+", "--entrypoint": "/.+",
                                        "--shm-size": r"\d+[mg]"})
    existing(root / f"image-{words[0]}")
    folders = dict(reversed(one.split(":")) for one in options["-v"]) | {"/opt/cifar-ddp": str(root)}
    entry = options.get("--entrypoint", ["/opt/cifar-ddp/build/cifar-ddp"])[0]
    command = [inside(word, folders) for word in (entry, *words[1:])]
    os.chdir(folders["/data"])
    os.execv(command[0], command)


def inside(word, folders):
    """The path of this machine that a container sees as `word`."""
    for seen, folder in folders.items():
        if word == seen or word.startswith(seen + "/"):
            return str(existing(folder + word[len(seen):]))
    return word


def apptainer(words, root):
    verb, *words = words
    if verb == "build":
        image, recipe = words
        for source in re.findall(r"(?m)^    (\S+) /opt/cifar-ddp/\1$", existing(recipe).read_text()):
            existing(root / source)
        pathlib.Path(image).touch()
    elif verb == "run":
        _, (image, *words) = options_of(words, {"--nv": None})
        existing(image)
        cifar_ddp(words, root)
    else:
        raise Refused(verb)


# --- compilers, tests, benchmarks


def cmake(words, root):
    if words[0] == "--build":
        options, rest = options_of(words, {"--build": ".+", "--target": r"[\w-]+"})
        existing(options["--build"][0])
        lists = (root / "CMakeLists.txt").read_text() + (root / "tests/CMakeLists.txt").read_text()
        for target in options.get("--target", []):
            if f"add_executable({target} " not in lists:
                raise Refused(f"--target {target}")
    else:
        options, rest = options_of(words, {"-S": ".+", "-B": ".+", "-G": "Ninja",
                                           **{word.partition("=")[0]: ".*" for word in words
                                              if word.startswith("-D")}})
        existing(pathlib.Path(options["-S"][0]) / "CMakeLists.txt")
        for name in ("CMakeCache.txt", "build.ninja"):
            (pathlib.Path(options["-B"][0]) / name).touch()
    if rest:
        raise Refused(str(rest))


def ctest(words, root):
    options, rest = options_of(words, {"--test-dir": ".+", "--output-on-failure": None,
                                       "--parallel": r"\d+", "--label-regex": r"\^(unit|mpi|e2e|gpu|slurm)\$"})
    if rest:
        raise Refused(str(rest))
    log = existing(options["--test-dir"][0]) / "Testing" / "Temporary" / "LastTest.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()


def micro_bench(words, root):
    options, rest = options_of(words, {"--benchmark_filter": ".+"})
    sources = "".join(path.read_text() for path in (root / "tests/bench").glob("*_bench.cpp"))
    for name in options.get("--benchmark_filter", []):
        if not re.search(rf"BENCHMARK\w*\(\w*{name}", sources):
            raise Refused(f"no benchmark {name}")


def roofline(words, root):
    subprocess.run([os.environ["README_PROGRAM"], "inspect", *words], check=True, stdout=subprocess.DEVNULL)


def compare(words, root):
    options_in_help(root / "tests/bench/compare.real", words)


def scaling(words, root):
    options_in_help(root / "tests/bench/scaling.real", words)


def apt_get(words, root):
    print("apt-get: nothing is installed in a test")


def nvidia_smi(words, root):
    raise Refused("no GPU in this test")


# --- the machine itself


PROGRAMS = {"build/cifar-ddp": cifar_ddp, "build/micro_bench": micro_bench, "build/roofline": roofline,
            "cluster/slurm/up": up, "cluster/slurm/down": down,
            "tests/bench/compare": compare, "tests/bench/scaling": scaling}
TOOLS = {"mpirun": mpirun, "sbatch": sbatch, "srun": srun, "sinfo": sinfo, "docker": docker,
         "apptainer": apptainer, "cmake": cmake, "ctest": ctest, "apt-get": apt_get,
         "nvidia-smi": nvidia_smi}


def copy_repository(folder):
    """Returns the root of the copy."""
    root = folder / "clone"
    shutil.copytree(REAL_ROOT, root, symlinks=True, ignore=shutil.ignore_patterns(
        "build*", "runs", ".git", "__pycache__", "shared"))
    for name in PROGRAMS:
        if (root / name).exists():
            (root / name).rename(root / f"{name}.real")
        call_stand_in(root / name, root, name)
    for name in TOOLS:
        call_stand_in(root / "stand-ins" / name, root, name)
    return root


def call_stand_in(path, root, name):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{__file__}' '{root}' {name} \"$@\"\n")
    path.chmod(0o755)


def main():
    root, name, *words = sys.argv[1:]
    try:
        (PROGRAMS | TOOLS)[name](words, pathlib.Path(root))
    except (Refused, subprocess.CalledProcessError) as error:
        sys.exit(f"stand-in of {name}: {error}")


if __name__ == "__main__":
    main()
