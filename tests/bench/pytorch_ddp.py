#!/usr/bin/env python3
"""The article's recipe in PyTorch, tuned: the yardstick that this program is measured against.

Tuned means: uint8 images resident in memory, batches gathered and divided by 255 in one go,
channels_last, fused Adam, no DataLoader. With WORLD_SIZE set (torchrun, or tests/bench/compare)
it is DistributedDataParallel over gloo (NCCL on GPUs); otherwise one process without DDP.

Prints one JSON object a line: one an epoch, with --test a last one with the test figures.
"""
import argparse
import json
import os
import pathlib
import time

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

RECORD = 3073  # one label byte, then 1024 red, 1024 green, 1024 blue


def load(folder, names):
    """uint8 images [N, 3, 32, 32] and int64 labels [N] of CIFAR-10 binary files."""
    folder = pathlib.Path(folder)
    if (folder / "cifar-10-batches-bin").is_dir():
        folder = folder / "cifar-10-batches-bin"
    raw = np.concatenate([np.fromfile(folder / name, np.uint8).reshape(-1, RECORD) for name in names])
    images = torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).copy())
    return images, torch.from_numpy(raw[:, 0].astype(np.int64))


def article_network():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2048, 10))


def to_input(images):
    return images.to(memory_format=torch.channels_last).float().div_(255)


@torch.no_grad()
def evaluate(network, images, labels, device, block=500):
    """Mean loss and accuracy; every image counts once."""
    loss = correct = 0
    for start in range(0, len(labels), block):
        target = labels[start:start + block].to(device)
        logits = network(to_input(images[start:start + block].to(device)))
        loss += nn.functional.cross_entropy(logits, target, reduction="sum").item()
        correct += (logits.argmax(1) == target).sum().item()
    return loss / len(labels), correct / len(labels)


def parse_options(description):
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("CIFAR10_DIR"))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64, help="global batch")
    parser.add_argument("--max-steps", type=int, default=0, help="stop after so many steps")
    parser.add_argument("--test", action="store_true", help="evaluate on the test split at the end")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0,
                        help="article_loop.py: processes that load the data")
    options = parser.parse_args()
    if not options.data:
        parser.error("neither --data nor CIFAR10_DIR is given; expected a folder of CIFAR-10")
    return options


def start_ranks(threads):
    """Joins the ranks that WORLD_SIZE speaks of; returns world, rank, device."""
    torch.set_num_threads(threads)
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    use_cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if use_cuda else torch.device("cpu")
    if world > 1:
        dist.init_process_group("nccl" if use_cuda else "gloo")
    return world, rank, device


def load_train(folder):
    """The 50,000 images and labels, and the indices of the train and the val split."""
    images, labels = load(folder, [f"data_batch_{i}.bin" for i in range(1, 6)])
    permutation = torch.randperm(len(labels), generator=torch.Generator().manual_seed(42))
    return images, labels, permutation[:45000], permutation[45000:]


def main():
    options = parse_options(__doc__)
    world, rank, device = start_ranks(options.threads)
    images, labels, train, val = (tensor.to(device) for tensor in load_train(options.data))

    torch.manual_seed(options.seed)
    network = article_network().to(device, memory_format=torch.channels_last)
    model = nn.parallel.DistributedDataParallel(network) if world > 1 else network
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)
    share = options.batch_size // world
    generator = torch.Generator().manual_seed(options.seed)
    step = 0
    for epoch in range(1, options.epochs + 1):
        started, seen, total = time.perf_counter(), 0, torch.zeros((), device=device)
        order = train[torch.randperm(len(train), generator=generator).to(device)]
        for first in range(0, len(train), options.batch_size):
            batch = order[first:first + options.batch_size]
            mine = batch[rank * share:(rank + 1) * share] if len(batch) == options.batch_size \
                else batch[rank::world]
            loss = nn.functional.cross_entropy(model(to_input(images[mine])), labels[mine])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
            seen += len(batch)
            step += 1
            if step == options.max_steps:
                break
        train_loss = total.item() / seen  # waits for the device, so that the time is the work's
        seconds = time.perf_counter() - started
        if rank == 0:
            line = dict(epoch=epoch, step=step, train_loss=train_loss,
                        images_per_second=seen / seconds, seconds=seconds)
            if not options.max_steps:
                line["val_loss"], line["val_accuracy"] = evaluate(network, images[val], labels[val], device)
            print(json.dumps(line), flush=True)
        if step == options.max_steps:
            break
    if options.test and rank == 0:
        test_loss, test_accuracy = evaluate(network, *load(options.data, ["test_batch.bin"]), device)
        print(json.dumps(dict(seed=options.seed, test_loss=test_loss, test_accuracy=test_accuracy)), flush=True)
    if world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
