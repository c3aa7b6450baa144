"""predict: pictures of every kind, decoded and scaled by PIL and NumPy and judged by PyTorch, against
what the program says; what is no picture; JSON, folders, help."""
import io
import json
import shutil
import signal
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn

from cifar_ddp import SMALL, assert_error, checkpoint_path, load, run, start, train

USAGE, DATA, CHECKPOINT = 2, 3, 4
# https://www.cs.toronto.edu/~kriz/cifar.html; batches.meta has them in this order.
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
CPU = ("--device", "cpu", "--threads", 1)


def small_network():
    return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    train(folder, "--layers", SMALL, "--max-steps", 3, "--mean", "0.5,0.4,0.3", "--std",
          "0.25,0.2,0.5", "--learning-rate", 0.01)
    return folder


@pytest.fixture(scope="module")
def judge(run_dir):
    """Probabilities that PyTorch gives an RGB array of 32x32."""
    network = small_network()
    network.load_state_dict(load(run_dir, 3)["model"])

    def probabilities(rgb):
        scaled = torch.from_numpy(np.asarray(rgb).astype(np.float32)) / 255
        scaled = (scaled - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.25, 0.2, 0.5])
        with torch.no_grad():
            return network(scaled.permute(2, 0, 1)[None]).softmax(1)[0].numpy()
    return probabilities


def predict(run_dir, *pictures, code=0, flags=(), **options):
    """The objects that --json prints, by file."""
    result = run("predict", "--checkpoint", run_dir, "--json", *CPU, *flags, *pictures, **options)
    assert result.code == code, result.err
    objects = [json.loads(line) for line in result.lines]
    assert [each["file"] for each in objects] == [str(picture) for picture in pictures]
    return {each["file"]: each for each in objects}


def assert_answer(found, expected, tolerance):
    """The top three of ten probabilities, by name, the likeliest first."""
    names = [each["class"] for each in found["classes"]]
    values = [each["probability"] for each in found["classes"]]
    assert len(names) == len(set(names)) == 3
    assert values == sorted(values, reverse=True)
    for name, value in zip(names, values):
        assert value == pytest.approx(expected[CLASSES.index(name)], abs=tolerance), name
    assert values == pytest.approx(sorted(expected, reverse=True)[:3], abs=tolerance)


def noise(height, width, channels, maximum=255, seed=0):
    """Some structure, so that pictures differ in their answers."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x[..., None] / (3 + np.arange(channels)) + y[..., None] / 5)
    return ((0.5 + 0.3 * waves + 0.2 * random.random((height, width, channels))) * maximum
            ).astype(np.uint16 if maximum > 255 else np.uint8)


# Adam7: the first column and row of each pass, and the steps to the next ones.
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2)]


def png(samples, colour_type, depth, interlaced=False, claims=None):
    """PNG bytes (https://www.w3.org/TR/png-3/): PIL writes neither 16 bits of colour nor interlaced.
    `claims`: a width and a height that the file says of itself, instead of its own."""
    def chunk(kind, body):
        return (struct.pack(">I", len(body)) + kind + body +
                struct.pack(">I", zlib.crc32(kind + body)))
    height, width = samples.shape[:2]
    rows = samples.astype(">u2" if depth == 16 else np.uint8)
    raw = b"".join(b"\0" + row.tobytes()
                   for x, y, dx, dy in (PASSES if interlaced else [(0, 0, 1, 1)])
                   for row in rows[y::dy, x::dx])
    header = struct.pack(">IIBBBBB", *(claims or (width, height)), depth, colour_type, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) +
            chunk(b"IEND", b""))


def on_white(rgb, alpha):
    """With alpha from 0 to 1."""
    return np.rint(rgb * alpha + 255 * (1 - alpha))


def png_kinds():
    """name -> PNG bytes and the RGB array that they show, both 32x32."""
    rgb, alpha = noise(32, 32, 3), noise(32, 32, 1, seed=1)
    grey, deep = noise(32, 32, 1, seed=2), noise(32, 32, 4, maximum=65535, seed=3)

    def saved(image, **options):
        file = io.BytesIO()
        image.save(file, "PNG", **options)
        return file.getvalue()

    palette = Image.fromarray(rgb).quantize(32)
    holes = np.asarray(palette) != 5  # its colour 5 is to be transparent
    shades = np.rint(deep / 257)
    return {
        "rgb": (saved(Image.fromarray(rgb)), rgb),
        "rgba": (saved(Image.fromarray(np.dstack([rgb, alpha]))), on_white(rgb, alpha / 255)),
        "grey": (saved(Image.fromarray(grey[..., 0])), grey.repeat(3, 2)),
        "grey alpha": (saved(Image.fromarray(np.dstack([grey, alpha]), "LA")),
                       on_white(grey, alpha / 255).repeat(3, 2)),
        "one bit": (saved(Image.fromarray(grey[..., 0] > 128)),
                    ((grey > 128) * 255).repeat(3, 2)),
        "palette": (saved(palette), np.asarray(palette.convert("RGB"))),
        "palette with holes": (saved(palette, transparency=5),
                               on_white(np.asarray(palette.convert("RGB")), holes[..., None])),
        "16-bit grey": (png(deep[..., 0], 0, 16), shades[..., :1].repeat(3, 2)),
        "interlaced": (png(rgb, 2, 8, interlaced=True), rgb),
        "16-bit interlaced": (png(deep[..., :3], 2, 16, interlaced=True), shades[..., :3]),
        "16-bit rgb": (png(deep[..., :3], 2, 16), shades[..., :3]),
        "16-bit rgba": (png(deep, 6, 16), on_white(shades[..., :3], shades[..., 3:] / 255)),
    }


def test_pngs_of_every_kind(run_dir, judge, tmp_path):
    """Of 32x32, so that nothing is scaled: the pixels must be exact. Only where 16 bits of colour are
    blended with white may a pixel be off by one."""
    kinds = png_kinds()
    for name, (content, _) in kinds.items():
        (tmp_path / f"{name}.png").write_bytes(content)
    answers = predict(run_dir, *[tmp_path / f"{name}.png" for name in kinds])
    for name, (_, rgb) in kinds.items():
        tolerance = 1e-3 if name == "16-bit rgba" else 1e-5
        assert_answer(answers[str(tmp_path / f"{name}.png")], judge(rgb), tolerance)


def test_jpegs_of_every_kind(run_dir, judge, tmp_path):
    """PIL decodes with the same library, perhaps another version of it."""
    rgb = Image.fromarray(noise(32, 32, 3, seed=4))
    kinds = {"rgb": (rgb, {}), "progressive": (rgb, {"progressive": True}),
             "grey": (rgb.convert("L"), {}), "cmyk": (rgb.convert("CMYK"), {})}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        kinds[f"orientation {orientation}"] = (rgb, {"exif": exif})
    for name, (image, options) in kinds.items():
        image.save(tmp_path / f"{name}.jpg", quality=90, **options)
    answers = predict(run_dir, *[tmp_path / f"{name}.jpg" for name in kinds])
    for name in kinds:
        path = tmp_path / f"{name}.jpg"
        shown = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        assert_answer(answers[str(path)], judge(shown), 5e-4)
    # The eight ways to turn a picture are told apart.
    first = {answers[str(tmp_path / f"orientation {i}.jpg")]["classes"][0]["probability"]
             for i in range(1, 9)}
    assert len(first) == 8


def centre_square(image):
    """PIL's antialiased triangle filter on the largest square in the middle."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((32, 32), Image.BILINEAR, box=(left, top, left + side, top + side))


def test_pictures_of_every_size(run_dir, judge, tmp_path):
    """A pixel may be off by one of 255: PIL rounds between its two directions."""
    sizes = [(1, 1), (1, 200), (200, 1), (33, 32), (5, 7), (640, 480), (61, 300), (1999, 64)]
    paths = [tmp_path / f"{width}x{height}.png" for width, height in sizes]
    for path, (width, height) in zip(paths, sizes):
        across = np.linspace(0, 100, width)[None, :, None]  # so that the ends count
        pixels = noise(height, width, 3, maximum=155, seed=width) + across.astype(np.uint8)
        Image.fromarray(pixels).save(path)
    answers = predict(run_dir, *paths)
    for path in paths:
        assert_answer(answers[str(path)], judge(centre_square(Image.open(path))), 5e-4)
    squashed = judge(Image.open(paths[6]).resize((32, 32), Image.BILINEAR))
    with pytest.raises(AssertionError):  # the tolerance tells cropping from squashing
        assert_answer(answers[str(paths[6])], squashed, 5e-4)


def test_the_text_says_what_the_json_says(run_dir, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.fromarray(noise(40, 50, 3, seed=i)).save(path)
    answers = predict(run_dir, *paths)
    result = run("predict", "--checkpoint", run_dir, *CPU, *paths)
    assert result.code == 0, result.err
    assert result.lines[0] == f"{checkpoint_path(run_dir, 3)}: step 3"
    for line, path in zip(result.lines[1:], paths, strict=True):
        classes = answers[str(path)]["classes"]
        assert line == f"{path}: " + ", ".join(f"{each['class']} {each['probability']:.4f}"
                                               for each in classes)


def test_the_classes_have_their_names(tmp_path):
    """A network that says class i for a picture of brightness i, as a state dict of Python's."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    with torch.no_grad():
        i = torch.arange(10.0)
        network[1].weight.copy_((i / 3072 * 200)[:, None].expand(10, 3072))
        network[1].bias.copy_(-10 * i ** 2)  # 200 i x - 10 i^2 is largest for i = 10 x
    torch.save(network.state_dict(), tmp_path / "python.pt")
    paths = [tmp_path / f"{i}.png" for i in range(10)]
    for i, path in enumerate(paths):
        Image.new("L", (32, 32), round(25.5 * i)).save(path)
    answers = predict(tmp_path / "python.pt", *paths, flags=["--layers", "flatten, linear 10"])
    assert [answers[str(path)]["classes"][0]["class"] for path in paths] == CLASSES


def test_a_folder(run_dir, tmp_path):
    for name in ("b.PNG", "a.png"):
        Image.fromarray(noise(20, 20, 3)).save(tmp_path / name)
    Image.fromarray(noise(20, 20, 3)).save(tmp_path / "c.jpg")
    (tmp_path / "notes.txt").write_text("not a picture, and not asked about")
    result = run("predict", "--checkpoint", run_dir, *CPU, tmp_path)
    assert result.code == 0, result.err
    assert [line.split(":")[0] for line in result.lines[1:]] == [
        str(tmp_path / name) for name in ("a.png", "b.PNG", "c.jpg")]


def bad_pictures(folder):
    """path -> what is said of it."""
    whole, jpeg, flat = io.BytesIO(), io.BytesIO(), noise(64, 64, 3)
    Image.fromarray(flat).save(whole, "PNG")
    Image.fromarray(flat).save(jpeg, "JPEG")
    wrong_crc = bytearray(whole.getvalue())
    wrong_crc[20] ^= 1
    (folder / "no pictures here").mkdir()
    contents = {"text.png": (b"hello", "neither PNG nor JPEG"), "empty.jpg": (b"", "an empty file"),
                "cut.png": (whole.getvalue()[:-600], "PNG: "),
                "cut.jpg": (jpeg.getvalue()[:-600], "JPEG: Premature end"),
                "crc.png": (bytes(wrong_crc), "PNG: "),
                "start.jpg": (b"\xff\xd8\xff\xe0", "JPEG: "),
                "giant.png": (png(np.zeros((1, 1, 1)), 0, 8, claims=(60000, 60000)),
                              "more than 250 million pixels"),
                "bomb.png": (png(np.zeros((1, 1, 1)), 0, 8, claims=(15000, 15000)),
                             "PNG: too short for its size in pixels")}
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    said = {folder / name: words for name, (_, words) in contents.items()}
    return said | {folder / "none.png": "No such file or directory",
                   folder / "no pictures here": "no pictures in this folder"}


def test_what_is_no_picture_and_the_others_answered(run_dir, tmp_path):
    bad = bad_pictures(tmp_path)
    good = [tmp_path / "first.png", tmp_path / "last.png"]
    for path in good:
        Image.fromarray(noise(32, 32, 3)).save(path)
    result = run("predict", "--checkpoint", run_dir, *CPU, good[0], *bad, good[1])
    assert result.code == DATA, result.err
    assert [line.split(":")[0] for line in result.lines[1:]] == [str(path) for path in good]
    for line, (path, words) in zip(result.err.splitlines(), bad.items(), strict=True):
        assert line.startswith(f"cifar-ddp: error: {path}: {words}"), line
        assert "; expected " in line
    answers = predict(run_dir, good[0], *bad, good[1], code=DATA)
    for path, words in bad.items():
        assert words in answers[str(path)]["error"]
    assert len(answers[str(good[1])]["classes"]) == 3


def test_errors_come_once_on_two_ranks(run_dir, tmp_path):
    Image.fromarray(noise(32, 32, 3)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"hello")
    result = run("predict", "--checkpoint", run_dir, *CPU, tmp_path / "good.png",
                 tmp_path / "bad.png", ranks=2)
    assert_error(result, DATA, tmp_path / "bad.png", "neither PNG nor JPEG")
    assert [line.split(":")[0] for line in result.lines] == [
        str(checkpoint_path(run_dir, 3)), str(tmp_path / "good.png")]


@pytest.mark.parametrize("arguments, code, parts", [
    (["x.png"], USAGE, ["predict: no checkpoint", "--checkpoint"]),
    (["--checkpoint", "none.pt", "x.png"], CHECKPOINT, ["none.pt: No such file"]),
    (["--chekpoint", "none.pt", "x.png"], USAGE, ["--chekpoint: unknown flag",
                                                  "perhaps --checkpoint"]),
    (["--checkpoint", "none.pt"], USAGE, ["predict: no picture", "PNG or JPEG"]),
    (["--checkpoint"], USAGE, ["--checkpoint: no value"]),
])
def test_bad_flags(arguments, code, parts):
    assert_error(run("predict", *arguments), code, *parts)


def test_a_checkpoint_that_is_cut_off(run_dir, tmp_path):
    path = tmp_path / "cut.pt"
    path.write_bytes(checkpoint_path(run_dir, 3).read_bytes()[:-100])
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    result = run("predict", "--checkpoint", path, *CPU, tmp_path / "x.png")
    assert_error(result, CHECKPOINT, path, "a checkpoint, or a state dict")


def test_a_damaged_checkpoint_is_passed_over(run_dir, tmp_path):
    folder = shutil.copytree(run_dir, tmp_path / "run")
    checkpoint_path(folder, 4).write_bytes(checkpoint_path(folder, 3).read_bytes()[:5000])
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    result = run("predict", "--checkpoint", folder, *CPU, tmp_path / "x.png")
    assert result.code == 0
    assert f"warning: {checkpoint_path(folder, 4)}" in result.err
    assert result.lines[0] == f"{checkpoint_path(folder, 3)}: step 3"


def test_interrupt(run_dir, tmp_path):
    """While it has more answers to give than a pipe holds, and nobody takes them."""
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    process = start("predict", "--checkpoint", run_dir, *CPU, *["x.png"] * 20000, cwd=tmp_path)
    assert process.stdout.readline().endswith("step 3\n")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 128 + signal.SIGINT
    process.communicate()


def test_help_shows_what_applies():
    result = run("predict", "--help")
    assert result.code == 0
    assert result.lines[0] == "usage: cifar-ddp predict --checkpoint PATH IMAGE... [FLAGS]"
    flags = {line.split()[0].rstrip(",") for line in result.lines if line.startswith("  --")}
    assert {"--checkpoint", "--json", "--device", "--config", "--help"} <= flags
    assert not flags & {"--epochs", "--learning-rate", "--run-dir", "--contact-sheet", "--split"}
