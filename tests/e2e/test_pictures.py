"""predict on pictures as people have them: how a camera says that it was held, what else lies in a
folder, PNG files that end early, names that begin with a dash. Against Pillow where it can tell."""
import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn

from cifar_ddp import run

DATA = 3
CPU = ("--device", "cpu", "--threads", 1)
BYTE, SHORT, LONG, SSHORT, SLONG = 1, 3, 4, 8, 9  # TIFF 6.0, page 15
LAYOUT = {BYTE: "Bxxx", SHORT: "Hxx", LONG: "I", SSHORT: "hxx", SLONG: "i"}


@pytest.fixture(scope="module")
def state_dict(tmp_path_factory):
    """Of a network that tells apart what two pictures show."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "python.pt"
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).state_dict(), path)
    return path


def predict(state_dict, *words, **options):
    return run("predict", "--checkpoint", state_dict, "--layers", "flatten, linear 10", *CPU, *words,
               **options)


def answers(result):
    """What is said of each picture."""
    return dict(line.split(": ", 1) for line in result.lines[1:])


def picture(width=40, height=30):
    y, x, c = np.mgrid[:height, :width, :3]
    return Image.fromarray(((37 * x + 59 * y + 83 * c + x * y) % 256).astype(np.uint8))


def exif(order, kind, orientation):
    byte_order = {"II": "<", "MM": ">"}[order]
    return order.encode() + struct.pack(f"{byte_order}HIHHHI{LAYOUT[kind]}I", 42, 8, 1, 0x0112, kind, 1,
                                        orientation, 0)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("ending, options", [("jpg", {"quality": 95}), ("png", {})])
def test_the_orientation_as_any_integer(state_dict, tmp_path, ending, options):
    """Pillow turns the picture that carries it as a SHORT; it knows no BYTE, which others do."""
    kind = {"jpg": "JPEG", "png": "PNG"}[ending]
    expected, files = {}, []
    for orientation in range(1, 9):
        data = exif("II", SHORT, orientation)
        bytes_of = {"jpg": b"Exif\0\0" + data, "png": data}[ending]
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(
            saved(picture(), kind, exif=bytes_of, **options))))
        turned.save(tmp_path / f"turned-{orientation}.png", exif=b"")
        for order in ("II", "MM"):
            for type_ in LAYOUT:
                data = exif(order, type_, orientation)
                bytes_of = {"jpg": b"Exif\0\0" + data, "png": data}[ending]
                path = tmp_path / f"{order}-{type_}-{orientation}.{ending}"
                path.write_bytes(saved(picture(), kind, exif=bytes_of, **options))
                files.append(path)
                expected[str(path)] = str(tmp_path / f"turned-{orientation}.png")
    result = predict(state_dict, *files, *sorted(set(expected.values())))
    assert result.code == 0, result.err
    said = answers(result)
    assert len({said[path] for path in expected.values()}) == 8
    for path, turned in expected.items():
        assert said[path] == said[turned], path


def test_only_the_pictures_of_a_folder(state_dict, tmp_path):
    """A FIFO that nobody writes to must not hold it up; what macOS and others keep hidden is no
    picture."""
    for name in ("a.jfif", "b.JPG", "c.jpe"):
        picture().save(tmp_path / name, "JPEG")
    (tmp_path / "._b.JPG").write_bytes(b"\0\5\x16\7 of macOS")
    (tmp_path / ".hidden.png").write_bytes(b"")
    os.mkfifo(tmp_path / "d.png")
    (tmp_path / "e.png").mkdir()
    (tmp_path / "f.png").symlink_to("b.JPG")
    result = predict(state_dict, tmp_path)
    assert (result.code, result.err) == (0, "")
    assert list(answers(result)) == [str(tmp_path / name)
                                     for name in ("a.jfif", "b.JPG", "c.jpe", "f.png")]


def test_what_is_no_regular_file(state_dict, tmp_path):
    os.mkfifo(tmp_path / "fifo.png")
    picture().save(tmp_path / "good.png")
    result = predict(state_dict, tmp_path / "fifo.png", "/dev/zero", tmp_path / "good.png")
    assert result.code == DATA
    for line, name in zip(result.err.splitlines(), (tmp_path / "fifo.png", "/dev/zero"), strict=True):
        assert line.startswith(f"cifar-ddp: error: {name}: not a regular file; expected a regular file")
    assert list(answers(result)) == [str(tmp_path / "good.png")]


def test_two_dashes_end_the_flags(state_dict, tmp_path):
    for name in ("-x.png", "--json", "--"):
        picture().save(tmp_path / name, "PNG")
    result = predict(state_dict, "--", "-x.png", "--json", "--", cwd=tmp_path)
    assert result.code == 0, result.err
    assert list(answers(result)) == ["-x.png", "--json", "--"]
    assert "-x.png: unknown flag" in predict(state_dict, "-x.png", cwd=tmp_path).err


def test_a_png_that_ends_early(state_dict, tmp_path):
    """Pillow shows one that lacks nothing but what stands behind the pixels; so do we."""
    whole = saved(picture(), "PNG")
    (tmp_path / "whole.png").write_bytes(whole)
    cuts = {cut: tmp_path / f"{cut:02}.png" for cut in (1, 4, 8, 11, 12, 40, 400)}
    for cut, path in cuts.items():
        path.write_bytes(whole[:-cut])
    wrong = bytearray(whole)
    wrong[-1] ^= 1
    cuts[0] = tmp_path / "wrong check sum of the end.png"
    cuts[0].write_bytes(wrong)
    result = predict(state_dict, tmp_path / "whole.png", *cuts.values())
    said = answers(result)
    for cut, path in cuts.items():
        try:
            Image.open(path).load()
            readable = True
        except OSError:
            readable = False
        assert readable == (cut <= 12)
        if readable:
            assert said[str(path)] == said[str(tmp_path / "whole.png")]
        else:
            assert f"cifar-ddp: error: {path}: PNG: it is cut off; expected" in result.err
    assert result.code == DATA


def test_apples_own_png_is_named(state_dict, tmp_path):
    """https://theapplewiki.com/wiki/PNG_CgBI_Format: a chunk before the header, no zlib header."""
    whole = saved(picture(), "PNG")
    chunk = b"CgBI\x50\x00\x20\x02"
    path = tmp_path / "app.png"
    path.write_bytes(whole[:8] + struct.pack(">I", 4) + chunk +
                     struct.pack(">I", zlib.crc32(chunk)) + whole[8:])
    result = predict(state_dict, path)
    assert result.code == DATA
    assert f"cifar-ddp: error: {path}: PNG: in a form of Apple's (CgBI)" in result.err
    assert "; expected a PNG or JPEG picture" in result.err
