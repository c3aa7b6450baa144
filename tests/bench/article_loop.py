#!/usr/bin/env python3
"""The article's own training loop in PyTorch, as people write it.

A Dataset that opens each image with PIL and applies ToTensor, a shuffling DataLoader, plain Adam,
loss.item() at every step. With WORLD_SIZE set it is DistributedDataParallel with a
DistributedSampler. Options and output are those of pytorch_ddp.py.
"""
import json
import time

import torch
import torch.distributed as dist
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from torchvision import transforms

from pytorch_ddp import evaluate, load, load_train, network, parse_options, start_ranks


class Cifar10(Dataset):
    """torchvision.datasets.CIFAR10, with the images already in memory."""

    def __init__(self, images, labels, transform):
        self.images = images.permute(0, 2, 3, 1).contiguous().numpy()  # as PIL wants them
        self.labels = labels.tolist()
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def make_loader(dataset, options, world, rank):
    sampler = DistributedSampler(dataset, world, rank, seed=options.seed) if world > 1 else None
    return DataLoader(dataset, options.batch_size // world, shuffle=sampler is None,
                      sampler=sampler, num_workers=options.workers)


def train_epoch(model, optimizer, loader, device, steps_left):
    """Returns the sum of the losses, the images and the steps; stops when steps_left is 0."""
    criterion = nn.CrossEntropyLoss()
    running_loss = seen = steps = 0
    for inputs, targets in loader:
        inputs, targets = inputs.to(device), targets.to(device)
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        running_loss += loss.item() * len(targets)
        seen += len(targets)
        steps += 1
        if steps == steps_left:
            break
    return running_loss, seen, steps


def main():
    options = parse_options(__doc__)
    world, rank, device = start_ranks(options.threads)
    images, labels, train, val = load_train(options.data)
    torch.manual_seed(options.seed)
    plain = network().to(device)
    model = nn.parallel.DistributedDataParallel(plain) if world > 1 else plain
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    loader = make_loader(Cifar10(images[train], labels[train], transforms.ToTensor()),
                         options, world, rank)
    step = 0
    for epoch in range(1, options.epochs + 1):
        started = time.perf_counter()
        if world > 1:
            loader.sampler.set_epoch(epoch)
        loss, seen, steps = train_epoch(model, optimizer, loader, device, options.max_steps - step)
        seconds = time.perf_counter() - started
        step += steps
        if rank == 0:
            line = dict(epoch=epoch, step=step, train_loss=loss / seen,
                        images_per_second=seen * world / seconds, seconds=seconds)
            if not options.max_steps:
                line["val_loss"], line["val_accuracy"] = evaluate(plain, images[val], labels[val], device)
            print(json.dumps(line), flush=True)
        if step == options.max_steps:
            break
    if options.test and rank == 0:
        test_loss, test_accuracy = evaluate(plain, *load(options.data, ["test_batch.bin"]), device)
        print(json.dumps(dict(seed=options.seed, test_loss=test_loss, test_accuracy=test_accuracy)))
    if world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
