"""The article's data and network in PyTorch, for the tests (e2e/) and the yardsticks (bench/)."""
import pathlib

import numpy as np
import torch
from torch import nn

RECORD = 3073  # one label byte, then 1024 red, 1024 green, 1024 blue
TRAIN_FILES = [f"data_batch_{i}.bin" for i in range(1, 6)]


def load(folder, names):
    """uint8 images [N, 3, 32, 32] and int64 labels [N] of CIFAR-10 binary files."""
    folder = pathlib.Path(folder)
    if (folder / "cifar-10-batches-bin").is_dir():
        folder = folder / "cifar-10-batches-bin"
    raw = np.concatenate([np.fromfile(folder / name, np.uint8).reshape(-1, RECORD) for name in names])
    images = torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).copy())
    return images, torch.from_numpy(raw[:, 0].astype(np.int64))


def network():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2048, 10))


def to_input(images):
    return images.to(memory_format=torch.channels_last).float().div_(255)
