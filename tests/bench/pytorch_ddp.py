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
import sys
import time

import torch
import torch.distributed as dist
from torch import nn

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from article import TRAIN_FILES, load, network, to_input  # noqa: E402


@torch.no_grad()
def evaluate(model, images, labels, device, block=500):
    """Mean loss and accuracy; every image counts once."""
    loss = correct = 0
    for start in range(0, len(labels), block):
        target = labels[start:start + block].to(device)
        logits = model(to_input(images[start:start + block].to(device)))
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
    images, labels = load(folder, TRAIN_FILES)
    permutation = torch.randperm(len(labels), generator=torch.Generator().manual_seed(42))
    return images, labels, permutation[:45000], permutation[45000:]


def main():
    options = parse_options(__doc__)
    world, rank, device = start_ranks(options.threads)
    images, labels, train, val = (tensor.to(device) for tensor in load_train(options.data))

    torch.manual_seed(options.seed)
    plain = network().to(device, memory_format=torch.channels_last)
    model = nn.parallel.DistributedDataParallel(plain) if world > 1 else plain
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
                line["val_loss"], line["val_accuracy"] = evaluate(plain, images[val], labels[val], device)
            print(json.dumps(line), flush=True)
        if step == options.max_steps:
            break
    if options.test and rank == 0:
        test_loss, test_accuracy = evaluate(plain, *load(options.data, ["test_batch.bin"]), device)
        print(json.dumps(dict(seed=options.seed, test_loss=test_loss, test_accuracy=test_accuracy)), flush=True)
    if world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
