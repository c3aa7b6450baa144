"""An independent account of what a training is to do: the sampler in NumPy, the network and the
optimizers of PyTorch.

Everything is channels_last, as in the program. In the other memory order PyTorch's convolutions round
otherwise, now and then another input of a max-pool window wins by the last bit, and PyTorch itself
differs from PyTorch by 1e-3 of the largest gradient (seen: 1.5e-3 in 0.weight, 5.8e-3 in 3.weight)."""
import pathlib
import sys

import numpy as np
import torch
from torch import nn

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from article import TRAIN_FILES, load, network, to_input  # noqa: E402

torch.set_num_threads(1)  # as the ranks: more threads add in another order

SPLIT, SHUFFLE = 1, 2  # what a draw is for (src/base/random.h)


def philox(counters, seed):
    """Philox4x32-10 (Salmon et al., SC 2011): four words [n] from the rows of uint32 [n, 4]."""
    c0, c1, c2, c3 = (counters[:, i].astype(np.uint64) for i in range(4))
    key0, key1 = seed & 0xFFFFFFFF, seed >> 32
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        product0, product1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = ((product1 >> np.uint64(32)) ^ c1 ^ np.uint64(key0), product1 & low,
                          (product0 >> np.uint64(32)) ^ c3 ^ np.uint64(key1), product0 & low)
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def shuffled(items, seed, purpose, epoch=None):
    """Fisher-Yates from the end; the draw of position i takes the high half of word * (i + 1)."""
    items, positions = list(items), np.arange(len(items), dtype=np.uint32)
    counters = np.zeros((len(items), 4), np.uint32)
    counters[:, 3] = purpose
    if epoch is None:
        counters[:, 0] = positions
    else:
        counters[:, 0], counters[:, 1] = epoch, positions
    others = (philox(counters, seed)[0] * (positions.astype(np.uint64) + 1)) >> np.uint64(32)
    for i in range(len(items) - 1, 0, -1):
        j = int(others[i])
        items[i], items[j] = items[j], items[i]
    return items


def batches(seed, epoch, batch, split_seed=42, validation=5000):
    """Image indices of each step of an epoch."""
    train = shuffled(range(50000), split_seed, SPLIT)[:50000 - validation]
    order = shuffled(train, seed, SHUFFLE, epoch)
    return [order[first:first + batch] for first in range(0, len(order), batch)]


def load_train(folder):
    return load(folder, TRAIN_FILES)


def article(seed):
    torch.manual_seed(seed)
    return network()


class Adam(torch.optim.Optimizer):
    """torch.optim.Adam, operation by operation, but for the square root, which NumPy rounds right:
    PyTorch's own is off by a bit for one value in a hundred. (Adam divides by that root, so that in
    its first steps such a bit moves a weight whose gradient is mere rounding by a whole learning
    rate: after ten steps PyTorch's two memory orders are 0.2 of the largest weight apart.)"""

    def __init__(self, parameters, lr=0.001, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(parameters, dict(lr=lr, betas=betas, eps=eps))
        self.steps = 0

    @torch.no_grad()
    def step(self):
        self.steps += 1
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state.update(mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
                gradient = parameter.grad
                state["mean"].lerp_(gradient, 1 - beta1)
                state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
                root = torch.from_numpy(np.sqrt(state["square"].numpy()))
                denominator = (root / (1 - beta2 ** self.steps) ** 0.5).add_(group["eps"])
                parameter.addcdiv_(state["mean"], denominator,
                                   value=-group["lr"] / (1 - beta1 ** self.steps))


class SumPool2d(nn.AvgPool2d):
    def forward(self, x):
        return super().forward(x) * self.kernel_size ** 2


def tree_sum(terms):
    """The order in which the program adds shards: the first 2^k of them (the largest power of two
    below their number), then the rest, each part in the same way."""
    if len(terms) == 1:
        return terms[0]
    left = 1 << (len(terms) - 1).bit_length() - 1
    return tree_sum(terms[:left]) + tree_sum(terms[left:])


def backward(model, loss, parts):
    """Sets the gradients of the sum of loss(logits, labels) over the shards, `parts`: (inputs, labels)
    of each, and returns that sum. Batch-norm works on a shard, and its statistics are averaged."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    images = sum(len(labels) for _, labels in parts)
    gradients, total = [], 0  # gradients: of each shard
    before = {name: value.clone() for name, value in model.named_buffers()}
    sums = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in before.items()}
    for inputs, labels in parts:
        for name, value in model.named_buffers():
            value.copy_(before[name])
        value = loss(model(inputs), labels)
        total += value.item()
        gradients.append(torch.autograd.grad(value, trainable))
        for name, value in model.named_buffers():
            sums[name] += value.double() * len(labels) / images
    for name, value in model.named_buffers():
        value.copy_(sums[name])
    for parameter, *terms in zip(trainable, *gradients):
        parameter.grad = tree_sum(terms)
    return total


def train(model, optimizer, images, labels, steps, scheduler=None, shards=1):
    """`steps`: image indices of each. A shard is a contiguous slice of a batch, the first ones one
    larger."""
    model.train().to(memory_format=torch.channels_last)
    for indices in steps:
        def loss(logits, labels):
            return nn.functional.cross_entropy(logits, labels, reduction="sum") / len(indices)

        backward(model, loss, [(to_input(images[part]).to(next(model.parameters()).dtype), labels[part])
                               for part in np.array_split(indices, shards)])
        optimizer.step()
        if scheduler:
            scheduler.step()
