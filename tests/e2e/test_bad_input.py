"""Bad input: a clear error, once for all ranks, with the exit code of the design; nothing lost."""

import ctypes
import ctypes.util
import io
import resource
import shutil
import subprocess
import zipfile

import pytest

from cifar_ddp import (SMALL, assert_error, checkpoint_path, checkpoint_steps, heed_permissions, load,
                       run, train)

USAGE, DATA, CHECKPOINT, DIVERGED = 2, 3, 4, 5
FILE_BYTES = 10000 * 3073
both = pytest.mark.parametrize("ranks", [1, 2])


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- data files


@pytest.fixture
def data(tmp_path):
    """A data set of black airplanes: the six files have the right size and take no room."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        with open(folder / name, "wb") as file:
            file.truncate(FILE_BYTES)
    return folder


def resize(path, size):
    with open(path, "r+b") as file:
        file.truncate(size)


def write_label(path, record, label):
    with open(path, "r+b") as file:
        file.seek(record * 3073)
        file.write(bytes([label]))


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


def train_on(data, tmp_path, ranks=1, **options):
    return run("--data", data, "--device", "cpu", "--layers", SMALL, "--max-steps", 1,
               "--run-dir", tmp_path / "run", ranks=ranks, **options)


def test_the_data_of_these_tests_trains(data, tmp_path):
    assert train_on(data, tmp_path).code == 0
    assert train_on(data.parent, tmp_path / "parent").code == 0


@pytest.mark.parametrize("name, damage, found, expected", [
    ("data_batch_3.bin", lambda path: path.unlink(), "no such file", "30730000 bytes"),
    ("data_batch_1.bin", lambda path: path.unlink(), "no such file", "30730000 bytes"),
    ("data_batch_5.bin", lambda path: resize(path, FILE_BYTES - 1), "30729999 bytes, truncated",
     "30730000 bytes"),
    ("test_batch.bin", lambda path: resize(path, 0), "0 bytes, truncated", "30730000 bytes"),
    ("data_batch_2.bin", lambda path: resize(path, FILE_BYTES + 3073), "30733073 bytes, too long",
     "30730000 bytes"),
    ("data_batch_4.bin", replace_by_folder, "a folder", "30730000 bytes"),
    ("test_batch.bin", lambda path: write_label(path, 1234, 200), "label 200",
     "a label from 0 to 9"),
    ("data_batch_5.bin", lambda path: write_label(path, 9999, 10), "label 10",
     "a label from 0 to 9"),
])
def test_data_file(data, tmp_path, name, damage, found, expected):
    damage(data / name)
    assert_error(train_on(data, tmp_path), DATA, data / name, found, expected)
    assert not (tmp_path / "run").exists()


def test_data_file_on_two_ranks(data, tmp_path):
    write_label(data / "data_batch_2.bin", 7, 200)
    assert_error(train_on(data, tmp_path, ranks=2), DATA, data / "data_batch_2.bin", "record 7",
                 "label 200")
    assert not (tmp_path / "run").exists()


def test_data_file_that_may_not_be_read(data, tmp_path):
    (data / "data_batch_2.bin").chmod(0)
    result = train_on(data, tmp_path, preexec_fn=heed_permissions)
    assert_error(result, DATA, data / "data_batch_2.bin", "Permission denied")


def test_data_folder_that_is_not_there(tmp_path):
    assert_error(train_on(tmp_path / "none", tmp_path), DATA, tmp_path / "none", "no such folder",
                 "launch/fetch-cifar10")


def test_data_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    assert_error(train_on(tmp_path / "file", tmp_path), DATA, tmp_path / "file", "not a folder")


def test_no_data_named():
    assert_error(run(), DATA, "--data", "CIFAR10_DIR", "launch/fetch-cifar10", "--data synthetic")


# --- recipes and flags


@pytest.mark.parametrize("recipe, place, found, expected", [
    ("[train]\nepoch = 3\n", "2:1: train.epoch", "unknown key", "perhaps train.epochs"),
    ("[trian]\nepochs = 3\n", "1:2: trian", "unknown section", "perhaps train"),
    ("[train]\nepochs = \"three\"\n", "2:10: train.epochs", '"three"', "an integer from 1 to 1000000"),
    ("[train]\nepochs = 0\n", "2:10: train.epochs", "0", "an integer from 1 to 1000000"),
    ("[train]\nbatch_size = -64\n", "2:14: train.batch_size", "-64", "an integer from 1 to 1000000"),
    ("[optimizer]\nname = \"adan\"\n", "2:8: optimizer.name", "adan", "adam, adamw, sgd or muon"),
    ("[optimizer]\nnewton_schulz = \"one\"\n", "2:17: optimizer.newton_schulz", "one",
     "by-shape, padded or divided"),
    ("[train]\nreduction_precision = \"tf32\"\n", "2:23: train.reduction_precision", "tf32",
     "fp32, bf16 or fp16"),
    ("[train]\nbucket_kib = -1\n", "2:14: train.bucket_kib", "-1", "from 0 to 16777216"),
    ("[model]\nlayers = \"conv 32\"\n", "2:10: model.layers", '"conv 32"', "a list"),
    ("[train\nepochs = 3\n", "1:7", "", "TOML"),
])
def test_recipe(tmp_path, recipe, place, found, expected):
    path = tmp_path / "recipe.toml"
    path.write_text(recipe)
    result = run("--config", path, "--data", "synthetic", "--run-dir", tmp_path / "run")
    assert_error(result, USAGE, f"{path}:{place}: {found}", expected)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments, found, expected", [
    (["--epochs", 0], "--epochs: 0", "an integer from 1 to 1000000"),
    (["--batch-size", -64], "--batch-size: -64", "an integer from 1 to 1000000"),
    (["--batch-size=-64"], "--batch-size: -64", "an integer from 1 to 1000000"),
    (["--batch-size", "many"], "--batch-size: many", "an integer from 1 to 1000000"),
    (["--batchsize", 64], "--batchsize: unknown flag", "perhaps --batch-size"),
    (["--epochs"], "--epochs: no value", "an integer from 1 to 1000000"),
    (["--config", "none.toml"], "none.toml: No such file", "a readable file"),
    (["--batch-size", 64, "--batch-size-per-rank", 32], "--batch-size-per-rank: given together",
     "one of the two"),
    (["--optimizer", "sgd", "--nesterov"], "optimizer.nesterov: true without momentum",
     "momentum above 0"),
    (["--schedule", "one-cycle", "--warmup-epochs", 1], "schedule.warmup_epochs: 1", "0"),
    (["--precision", "tf32", "--device", "cpu"], "--precision: tf32 on the CPU", "fp32"),
    (["--drop-last", "--batch-size", 45001], "train.batch_size: 45001 with drop_last",
     "at most the 45000 images"),
    (["--padding-mode", "reflect", "--crop-padding", 32, "--device", "cpu"],
     "augmentation.crop_padding: 32 with padding_mode reflect", "fewer than the image's 32 pixels"),
    (["--flip"], "--flip: no value", "none, random or alternating"),
])
def test_flags(tmp_path, arguments, found, expected):
    result = run("--data", "synthetic", "--run-dir", tmp_path / "run", *arguments)
    assert_error(result, USAGE, found, expected)
    assert not (tmp_path / "run").exists()


def test_unknown_verb():
    assert_error(run("evalaute", "--data", "synthetic"), USAGE, "evalaute: unknown verb",
                 "train, evaluate", "perhaps evaluate")


@pytest.mark.parametrize("arguments", [["fly"], ["--epochs", 0], ["--layers", "conv 32"]])
def test_errors_come_once_on_two_ranks(tmp_path, arguments):
    result = run(*arguments, "--data", "synthetic", "--run-dir", tmp_path / "run", ranks=2)
    assert_error(result, USAGE)


def test_a_batch_smaller_than_the_ranks_trains(tmp_path):
    """One of three shards is empty; the sums are those of one rank."""
    flags = ["--layers", SMALL, "--batch-size", 2, "--max-steps", 2]
    train(tmp_path / "three", *flags, ranks=3)
    train(tmp_path / "one", *flags)
    three, one = load(tmp_path / "three", 2), load(tmp_path / "one", 2)
    assert three["position"]["step"] == 2
    assert three["position"]["samples"] == 4
    assert three["position"]["correct"] == one["position"]["correct"]
    assert three["position"]["loss_sum"] == pytest.approx(one["position"]["loss_sum"], rel=1e-6)
    for name, tensor in one["model"].items():
        assert (three["model"][name] - tensor).abs().max() <= 1e-5 * tensor.abs().max(), name


# --- layer lists


@pytest.mark.parametrize("layers, layer, found, expected", [
    ("conv 8" + ", pool max 2" * 6, 'layer 6 ("pool max 2")',
     "a window of 2x2 on an input of 8x1x1", "a window that fits"),
    ("conv 8 kernel 35 padding 1", 'layer 0 ("conv 8 kernel 35 padding 1")',
     "a window of 35x35 on an input of 3x32x32", "a window that fits"),
    ("conv 8, rellu", 'layer 1 ("rellu")', "an unknown layer", "one of conv, whiten, relu"),
    ("conv 8, relu, linear 10", 'layer 2 ("linear 10")', "an image of 8x32x32", '"flatten" before'),
    ("flatten, conv 8", 'layer 1 ("conv 8")', "a flat input of 3072", "an image"),
    ("flatten, linear 9", "model.layers", "the last output is 9", "10 features"),
    ("conv 10", "model.layers", "the last output is 10x32x32", "10 features"),
    ("conv", 'layer 0 ("conv")', "nothing after", "output channels"),
    ("conv 0", 'layer 0 ("conv 0")', '"0"', "an integer from 1 to 1048576"),
    ("conv 8 stride", 'layer 0 ("conv 8 stride")', 'nothing after "stride"', "a number"),
    ("conv 8 stirde 2", 'layer 0 ("conv 8 stirde 2")', '"stirde"', "the end of the layer"),
    ("pool min 2", 'layer 0 ("pool min 2")', '"min"', "max, average or sum"),
    ("dropout 1", 'layer 0 ("dropout 1")', "1", "a probability in [0, 1)"),
])
def test_layer_list(layers, layer, found, expected):
    assert_error(run("inspect", "--layers", layers), USAGE, f"{layer}: {found}", expected)


def test_layer_list_of_a_training(tmp_path):
    result = run("--layers", "conv 8, linear 10", "--data", "synthetic",
                 "--run-dir", tmp_path / "run")
    assert_error(result, USAGE, 'layer 1 ("linear 10")')
    assert not (tmp_path / "run").exists()


# --- checkpoints


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """Checkpoints of steps 1, 2 and 3, and the weights of step 4."""
    folder = tmp_path_factory.mktemp("whole")
    flags = ["--layers", SMALL, "--checkpoint-every", 1, "--keep", 0]
    train(folder / "run", *flags, "--max-steps", 3)
    return folder / "run", train(folder / "four", *flags, "--max-steps", 4).weights


@pytest.fixture
def run_dir(whole_run, tmp_path):
    return shutil.copytree(whole_run[0], tmp_path / "run")


def resume(run_dir, where, *flags, ranks=1):
    """One step more, from `where`."""
    return run("--run-dir", run_dir, "--resume", where, "--max-steps", 4, "--threads", 1,
               "--device", "cpu", *flags, ranks=ranks)


def flip_byte(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def truncate(path, share):
    resize(path, int(share * path.stat().st_size))


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_checkpoint_cut_off(run_dir, share):
    path = checkpoint_path(run_dir, 3)
    truncate(path, share)
    before = contents(run_dir)
    assert_error(resume(run_dir, path), CHECKPOINT, path, f"{path.stat().st_size} bytes",
                 "a whole checkpoint")
    assert contents(run_dir) == before


@pytest.mark.parametrize("share", [0, 0.02, 0.3, 0.6, 0.97, 1])
def test_checkpoint_with_a_flipped_bit(run_dir, share):
    path = checkpoint_path(run_dir, 3)
    flip_byte(path, int(share * (path.stat().st_size - 1)))
    before = contents(run_dir)
    assert_error(resume(run_dir, path), CHECKPOINT, path, "damaged")
    assert_error(run("evaluate", "--checkpoint", path), CHECKPOINT, path, "damaged")
    assert contents(run_dir) == before


def test_checkpoint_with_a_damaged_trailer(run_dir):
    path = checkpoint_path(run_dir, 3)
    flip_byte(path, path.stat().st_size - 40)
    assert_error(resume(run_dir, path), CHECKPOINT, path)


def test_checkpoint_that_is_none(run_dir, tmp_path):
    (tmp_path / "notes.pt").write_text("not a checkpoint\n")
    assert_error(resume(run_dir, tmp_path / "notes.pt"), CHECKPOINT, tmp_path / "notes.pt")


@both
def test_checkpoint_of_another_network(run_dir, ranks):
    path = checkpoint_path(run_dir, 3)
    before = contents(run_dir)
    result = resume(run_dir, path, "--layers", SMALL.replace("conv 8", "conv 9"), ranks=ranks)
    assert_error(result, CHECKPOINT, path, 'tensor "0.', "[8", "[9")
    assert contents(run_dir) == before


def test_checkpoint_of_a_longer_network(run_dir):
    path = checkpoint_path(run_dir, 3)
    result = resume(run_dir, path, "--layers", SMALL + ", relu, linear 10")
    assert_error(result, CHECKPOINT, path, 'no tensor "5.')


def test_checkpoint_of_another_optimizer(run_dir):
    path = checkpoint_path(run_dir, 3)
    assert_error(resume(run_dir, path, "--optimizer", "sgd"), CHECKPOINT, path, "the state of adam",
                 "sgd")


class Xxh128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def xxh3_128(data):
    name = ctypes.util.find_library("xxhash")
    if name is None:
        pytest.skip("libxxhash.so is not installed")
    hash_bytes = ctypes.CDLL(name).XXH3_128bits
    hash_bytes.argtypes, hash_bytes.restype = [ctypes.c_char_p, ctypes.c_size_t], Xxh128
    value = hash_bytes(data, len(data))
    return f"{value.high:016x}{value.low:016x}".encode()


def test_checkpoint_of_a_newer_format(run_dir):
    """Written as a later version might: sound, but with another number."""
    path = checkpoint_path(run_dir, 3)
    archive, trailer, old_hash = path.read_bytes().partition(b"\ncifar-ddp checkpoint hash ")
    assert old_hash == xxh3_128(archive) + b"\n"
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(changed, "w") as target:
        for item in source.infolist():
            data = source.read(item)
            if item.filename.endswith("/data.pkl"):
                before, key, after = data.partition(b"X\x06\x00\x00\x00format")
                number = after.index(b"K\x01")  # the pickle's byte-sized integer 1
                assert number < 8
                data = before + key + after[:number] + b"K\x63" + after[number + 2:]
            target.writestr(item.filename, data)
    data = changed.getvalue()
    path.write_bytes(data + trailer + xxh3_128(data) + b"\n")
    assert load(run_dir, 3)["format"] == 99
    assert_error(resume(run_dir, path), CHECKPOINT, path, "format 99", "a newer cifar-ddp")


@both
def test_auto_passes_over_a_damaged_checkpoint(run_dir, whole_run, ranks):
    damaged = checkpoint_path(run_dir, 3)
    flip_byte(damaged, 5000)
    result = resume(run_dir, "auto", ranks=ranks)
    assert result.code == 0, result.err
    warnings = [line for line in result.err.splitlines() if "cifar-ddp: warning: " in line]
    assert len(warnings) == 1
    assert f"{damaged}: damaged" in warnings[0]
    assert "resumed at step 2" in result.lines
    if ranks == 1:
        assert result.weights == whole_run[1]


def test_auto_with_only_damaged_checkpoints(run_dir):
    for step in (1, 2, 3):
        truncate(checkpoint_path(run_dir, step), 0.5)
    before = contents(run_dir)
    assert_error(resume(run_dir, "auto"), CHECKPOINT, run_dir, "all 3 checkpoints are damaged")
    assert contents(run_dir) == before


# --- where to write


@both
def test_run_directory_that_holds_a_run(run_dir, ranks):
    before = contents(run_dir)
    result = run("--run-dir", run_dir, "--data", "synthetic", "--device", "cpu", ranks=ranks)
    assert_error(result, USAGE, f"--run-dir {run_dir}: a run is already there", "--resume auto")
    assert contents(run_dir) == before


def test_run_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    result = run("--run-dir", tmp_path / "file" / "run", "--data", "synthetic", "--device", "cpu")
    assert_error(result, CHECKPOINT, tmp_path / "file" / "run", "Not a directory")


@pytest.mark.parametrize("where, found", [
    ("none", "No such file"), ("none.pt", "No such file"), (".", "no checkpoint")])
def test_resume_of_nothing(tmp_path, where, found):
    result = run("--resume", tmp_path / where, "--data", "synthetic", "--device", "cpu")
    assert_error(result, CHECKPOINT, tmp_path / where, found)
    assert list(tmp_path.iterdir()) == []


def test_resume_auto_of_nothing_starts(tmp_path):
    result = train(tmp_path / "run", "--resume", "auto", "--layers", SMALL, "--max-steps", 1)
    assert not any("resumed" in line for line in result.lines)
    assert checkpoint_steps(tmp_path / "run") == [1]


def test_resume_auto_without_run_directory():
    assert_error(run("--resume", "auto", "--data", "synthetic"), USAGE, "--resume auto",
                 "--run-dir")


def test_evaluate_without_checkpoint(tmp_path):
    assert_error(run("evaluate", "--data", "synthetic"), USAGE, "--checkpoint")
    assert_error(run("evaluate", "--checkpoint", tmp_path / "none.pt"), CHECKPOINT,
                 tmp_path / "none.pt", "No such file")


# --- a disk that takes no more


@both
def test_full_disk(run_dir, whole_run, ranks):
    """/dev/full answers a write as a full disk does; the checkpoint of step 3 meets it."""
    part = run_dir / "checkpoints" / "step-00000003.pt.part"
    part.symlink_to("/dev/full")
    result = resume(run_dir, checkpoint_path(run_dir, 1), "--checkpoint-every", 1, "--keep", 1,
                    ranks=ranks)
    assert_error(result, CHECKPOINT, checkpoint_path(run_dir, 3), "No space left on device",
                 "with room")
    assert checkpoint_steps(run_dir) == [2]
    again = resume(run_dir, "auto")
    assert "resumed at step 2" in again.lines
    if ranks == 1:
        assert again.weights == whole_run[1]


def test_file_size_limit(run_dir, whole_run):
    """A quota: writes fail once a file is too long, as in a batch job with `ulimit -f`."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
    result = run("--run-dir", run_dir, "--resume", "auto", "--max-steps", 4, "--threads", 1,
                 "--device", "cpu", preexec_fn=limit)
    assert_error(result, CHECKPOINT, checkpoint_path(run_dir, 4), "File too large")
    assert checkpoint_steps(run_dir) == [1, 2, 3]
    assert resume(run_dir, "auto").weights == whole_run[1]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 KB, room for two checkpoints."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk],
                             capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip("may not mount a small disk: " + mounted.stderr.strip())
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_disk_that_fills_up(small_disk, whole_run, tmp_path):
    run_dir = small_disk / "run"
    result = train(run_dir, "--layers", SMALL, "--checkpoint-every", 1, "--keep", 0,
                   "--max-steps", 9, code=CHECKPOINT)
    assert_error(result, CHECKPOINT, checkpoint_path(run_dir, 3), "No space left on device")
    assert checkpoint_steps(run_dir) == [1, 2]
    elsewhere = shutil.copytree(run_dir, tmp_path / "run")
    again = resume(elsewhere, "auto")
    assert "resumed at step 2" in again.lines
    assert again.weights == whole_run[1]


def test_read_only_disk(small_disk):
    run_dir = small_disk / "run"
    train(run_dir, "--layers", SMALL, "--max-steps", 1)
    before = contents(run_dir)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert_error(resume(run_dir, "auto"), CHECKPOINT, run_dir, "Read-only file system",
                 "a folder that can be written")
    assert contents(run_dir) == before


# --- training


@both
def test_divergence_names_the_step_and_keeps_the_checkpoint(tmp_path, ranks):
    """At this rate the weights are near 1e11 after one step and beyond all bounds by the third."""
    result = train(tmp_path / "run", "--optimizer", "sgd", "--learning-rate", 1e12,
                   "--layers", SMALL, "--checkpoint-every", 1, ranks=ranks, code=DIVERGED)
    assert_error(result, DIVERGED, "step 3: the loss or a gradient is not finite",
                 "--learning-rate", "the last checkpoint is sound")
    assert checkpoint_steps(tmp_path / "run") == [1, 2]
    position = load(tmp_path / "run", 2)["position"]
    assert (position["step"], position["samples"]) == (2, 128)


@pytest.mark.parametrize("visible, found, ranks", [
    ("", "CUDA_VISIBLE_DEVICES is empty", 1), ("", "CUDA_VISIBLE_DEVICES is empty", 2),
    ("-1", "", 1)])
def test_no_gpu(tmp_path, visible, found, ranks):
    result = run("--device", "cuda", "--data", "synthetic", "--run-dir", tmp_path / "run",
                 ranks=ranks, env={"CUDA_VISIBLE_DEVICES": visible})
    assert_error(result, USAGE, f"--device cuda: {found}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("comm, ranks, found", [
    ("nccl", 1, "no GPU"), ("self", 2, "2 ranks"), ("mpi", 1, "no launcher")])
def test_communicator_that_does_not_fit(tmp_path, comm, ranks, found):
    result = train(tmp_path / "run", "--comm", comm, ranks=ranks, code=USAGE)
    assert_error(result, USAGE, f"--comm {comm}", found)
    assert not (tmp_path / "run").exists()
