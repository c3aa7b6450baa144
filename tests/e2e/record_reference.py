"""An independent account of configs/fast/94.toml in PyTorch, float32: augmentation, whitening,
network, Muon beside SGD, test-time augmentation. Shards, batches and batch-norm's averages are
reference.py's."""
import numpy as np
import torch
from torch import nn
from torch.nn import functional

import reference

AUGMENT = 3  # what a draw is for (src/base/random.h)
MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(3, 1, 1)
MUON = dict(lr=0.24, momentum=0.6)
BIAS_RATE, HEAD_RATE, MOMENTUM, DECAY = 0.053, 0.67, 0.85, 2e-6 * 2000
SMOOTHING = 0.2


# --- data


def normalised(images):
    return ((images.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def draws(seed, epoch, indices):
    counters = np.zeros((len(indices), 4), np.uint32)
    counters[:, 0], counters[:, 1], counters[:, 3] = epoch, indices, AUGMENT
    return reference.philox(counters, seed)


def mirrored(seed, epoch, indices):
    """Alternating flip: one draw for each image, the other way round in odd epochs."""
    return (draws(seed, 0, indices)[2] >> np.uint64(31) != 0) ^ (epoch % 2 == 1)


def augmented(images, seed, epoch, indices, padding=2):
    """The window of 32x32 moved at random over the reflect-padded image, then mirrored."""
    x, y, *_ = ((word * np.uint64(2 * padding + 1) >> np.uint64(32)).astype(int)
                for word in draws(seed, epoch, indices))
    padded = functional.pad(normalised(images[indices]), [padding] * 4, mode="reflect")
    crops = [image[:, top:top + 32, left:left + 32] for image, left, top in zip(padded, x, y)]
    return torch.stack([crop.flip(-1) if flip else crop
                        for crop, flip in zip(crops, mirrored(seed, epoch, indices))]
                       ).contiguous(memory_format=torch.channels_last)


# --- network


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def convolution(channels, width):
    layer = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[:channels])
    return layer


def batch_norm(width):
    layer = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad = False
    return layer


def network(seed, pool=nn.MaxPool2d):
    """Its parameters have the program's names; whitening's weight is to be set."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 24, 2), nn.GELU()]
    layers[0].weight.requires_grad = False
    for channels, width in ((24, 64), (64, 256), (256, 256)):
        layers += [convolution(channels, width), pool(2), batch_norm(width), nn.GELU(),
                   convolution(width, width), batch_norm(width), nn.GELU()]
    head = nn.Linear(256, 10, bias=False)
    head.weight.data /= head.weight.data.std()
    layers += [pool(3), nn.Flatten(), head, Scale(1 / 256)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def whitening(images, epsilon=5e-4):
    """Eigenvectors (by descending eigenvalue) of the second moment of the 2x2 patches of normalised
    images, divided by sqrt(eigenvalue + epsilon), then their negatives: [24, 3, 2, 2]. Of an
    eigenvector the first component of at least half the largest one's size is positive."""
    moment, patches = torch.zeros(12, 12, dtype=torch.float64), 0
    for block in images.split(500):
        columns = functional.unfold(block.double(), 2).transpose(0, 1).flatten(1)
        moment += columns @ columns.T
        patches += columns.shape[1]
    values, vectors = torch.linalg.eigh(moment / patches)
    sizes = vectors.abs()
    first = (sizes >= sizes.amax(0) / 2).int().argmax(0, keepdim=True)
    rows = (vectors * vectors.gather(0, first).sign() / (values + epsilon).sqrt()).T.flip(0)
    return torch.cat([rows, -rows]).view(24, 3, 2, 2).float()


# --- training


def newton_schulz(matrix, iterations=3):
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(iterations):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


class Muon(torch.optim.Optimizer):
    """With Nesterov momentum; a filter [C, ...] is scaled to norm sqrt(C) before it is moved."""

    def __init__(self, parameters, lr, momentum):
        super().__init__(parameters, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                buffer = self.state[parameter].setdefault("momentum_buffer",
                                                          torch.zeros_like(gradient))
                buffer.mul_(group["momentum"]).add_(gradient)
                update = newton_schulz((gradient + group["momentum"] * buffer).flatten(1))
                parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
                parameter.sub_(group["lr"] * update.view_as(parameter))


class Optimizers:
    """Every rate falls linearly to 0, that of whitening's bias over steps of its own."""

    def __init__(self, model, steps, whitening_steps):
        self.named = {name: value for name, value in model.named_parameters()
                      if value.requires_grad}
        filters = [value for value in self.named.values() if value.dim() == 4]
        norms = [value for name, value in self.named.items()
                 if value.dim() == 1 and name != "0.bias"]
        head = [value for value in self.named.values() if value.dim() == 2]
        sgd = [dict(params=parameters, lr=rate, weight_decay=DECAY / rate)
               for parameters, rate in (([self.named["0.bias"]], BIAS_RATE), (norms, BIAS_RATE),
                                        (head, HEAD_RATE))]
        self.all = [torch.optim.SGD(sgd, momentum=MOMENTUM, nesterov=True), Muon(filters, **MUON)]
        self.groups = [group for optimizer in self.all for group in optimizer.param_groups]
        for group in self.groups:
            group.update(base=group["lr"], steps=steps)
        self.groups[0]["steps"] = whitening_steps

    def step(self, step):
        for group in self.groups:
            group["lr"] = group["base"] * max(0, 1 - step / group["steps"])
        for optimizer in self.all:
            optimizer.step()

    def set_momentum(self, buffers):
        for optimizer in self.all:
            members = {id(value) for group in optimizer.param_groups for value in group["params"]}
            for name, parameter in self.named.items():
                if id(parameter) in members:
                    optimizer.state[parameter]["momentum_buffer"] = buffers[name].clone()


def loss(logits, labels):
    return functional.cross_entropy(logits, labels, label_smoothing=SMOOTHING, reduction="sum")


class Training:
    """Of `images`, whose whitening must be set in the model."""

    def __init__(self, model, optimizers, images, labels, seed, shards):
        self.model, self.optimizers = model.train(), optimizers
        self.images, self.labels, self.seed, self.shards = images, labels, seed, shards

    def step(self, step, epoch, indices):
        """The summed loss."""
        parts = [(augmented(self.images, self.seed, epoch, part), self.labels[part])
                 for part in np.array_split(indices, self.shards)]
        total = reference.backward(self.model, loss, parts)
        self.optimizers.step(step)
        return total

    def go_on_from(self, checkpoint):
        """One of the program's."""
        self.model.load_state_dict({**self.model.state_dict(), **checkpoint["model"]})
        self.optimizers.set_momentum(checkpoint["optimizer"]["state"]["momentum_buffer"])

    def weights(self):
        return {name: value.clone() for name, value in self.model.state_dict().items()
                if not name.endswith("num_batches_tracked")}


# --- evaluation


def views(inputs, tta):
    """(weight, inputs) of each: `tta` is none, mirror or shift."""
    if tta == "none":
        return [(1, inputs)]
    if tta == "mirror":
        return [(0.5, inputs), (0.5, inputs.flip(-1))]
    padded = functional.pad(inputs, [1] * 4, mode="reflect")
    moved = [padded[..., :32, :32], padded[..., 2:, 2:]]
    return [(weight / 2, view) for weight, plain in zip((0.5, 0.25, 0.25), (inputs, *moved))
            for view in (plain, plain.flip(-1))]


@torch.no_grad()
def evaluate(model, images, labels, tta):
    """Mean cross-entropy, without smoothing, and the number of images told right."""
    model.eval()
    logits = torch.cat([sum(weight * model(view) for weight, view in views(normalised(block), tta))
                        for block in images.split(500)])
    return (functional.cross_entropy(logits, labels).item(),
            (logits.argmax(1) == labels).sum().item())
