#!/usr/bin/env python3
"""Writes python_reference.h: files as PyTorch and PIL write them, and pictures as PIL scales them.

    python3 python_reference.py > python_reference.h
"""
import base64
import io
import textwrap

import numpy as np
import PIL
import torch
from PIL import Image
from torch import nn


def picture(width, height):
    """The test makes the same."""
    y, x, c = np.mgrid[:height, :width, :3]
    return Image.fromarray(((37 * x + 59 * y + 83 * c + 7 * x * y) % 256).astype(np.uint8))


def centre_square(width, height, size):
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return np.array(picture(width, height).resize((size, size), Image.BILINEAR, box=box))


def jpeg(orientation=1, mode="RGB", **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    picture(12, 9).convert(mode).save(file, "JPEG", quality=60, exif=exif, **options)
    return file.getvalue()


def saved(what):
    file = io.BytesIO()
    torch.save(what, file)
    return file.getvalue()


def state_dict():
    """Weights that are known without running this: 0, 1, 2, ... in each tensor."""
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    for tensor in network.state_dict().values():
        tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape))
    return network


def nested():
    """What training scripts save; the optimizer's state has lists, None and integer keys."""
    network = state_dict()
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    return {"model": state_dict().half().state_dict(), "optimizer": optimizer.state_dict(),
            "epoch": 3, "best": None}


def write_bytes(name, content):
    lines = textwrap.wrap(base64.b64encode(content).decode(), 96)
    print(f"inline const std::string {name} =")
    print("\n".join(f'    "{line}"' for line in lines) + ";")


print(f"// Made by python_reference.py with PyTorch {torch.__version__.split('+')[0]} and Pillow "
      f"{PIL.__version__}; files are in base64.")
print("// clang-format off\n#pragma once\n\n#include <string>\n#include <vector>\n")
print("namespace cifar::reference {\n")
write_bytes("state_dict", saved(state_dict().state_dict()))
write_bytes("nested", saved(nested()))
write_bytes("parameters", saved(dict(state_dict().named_parameters())))
write_bytes("colour_jpeg", jpeg(orientation=6))
write_bytes("progressive_jpeg", jpeg(progressive=True))
write_bytes("cmyk_jpeg", jpeg(mode="CMYK"))
print("\nstruct Scaled {\n  int width, height, size;\n  std::vector<int> rgb;\n};")
print("inline const std::vector<Scaled> scaled = {")
for width, height, size in [(1, 1, 3), (3, 2, 5), (7, 5, 4), (50, 37, 4), (3, 90, 4), (131, 64, 5)]:
    numbers = ", ".join(map(str, centre_square(width, height, size).ravel()))
    print(textwrap.fill(f"    {{{width}, {height}, {size}, {{{numbers}}}}},", 98,
                        subsequent_indent="     "))
print("};\n\n}  // namespace cifar::reference")
