"""Files of weights as people have them: a small network's, saved in all the ways that Python knows,
and files that only look like it."""
import json
import struct

import torch
from torch import nn

from cifar_ddp import run

LAYERS = "conv 4 kernel 8 stride 8, batch-norm, flatten, linear 10"
TYPES = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16",
         torch.int64: "I64", torch.bool: "BOOL"}


def small_network():
    """Of LAYERS, with running statistics that are not the first ones."""
    torch.manual_seed(7)
    network = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8, padding=3), nn.BatchNorm2d(4),
                            nn.Flatten(), nn.Linear(64, 10))
    network(torch.rand(16, 3, 32, 32))
    return network.eval()


def small_weights():
    return small_network().state_dict()


def save(what, path, **options):
    torch.save(what, path, **options)
    return path


def inspect(path, *flags):
    """What the program reads in a file of weights."""
    return run("inspect", "--checkpoint", path, "--layers", LAYERS, *flags)


def fingerprint(path):
    """The hash of the weights in a file, once they are the network's."""
    result = inspect(path, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)["weights"]


def safetensors_bytes(tensors, header=None):
    """What safetensors.torch.save makes of tensors; or with another header."""
    data, entries = b"", {"__metadata__": {"format": "pt"}}
    for name, tensor in tensors.items():
        raw = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        entries[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape),
                         "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = header if header is not None else json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def sealed_checkpoint(path, recipe, weights=None):
    """A checkpoint of the program with any recipe: inspect says the hash of the file so far, which
    the program writes behind it."""
    weights = small_weights() if weights is None else weights
    weights = {name: tensor for name, tensor in weights.items() if "num_batches" not in name}
    position = {"epoch": 1, "step_in_epoch": 0, "step": 10, "samples": 0, "loss_sum": 0.0, "correct": 0.0}
    save({"format": 1, "program": "a test", "recipe": recipe, "position": position, "model": weights,
          "optimizer": {"name": "sgd", "steps": 10, "state": {}}}, path)
    result = inspect(path, "--json")
    assert result.code == 0, result.err
    digest = json.loads(result.out)["hash"]
    path.write_bytes(path.read_bytes() + f"\ncifar-ddp checkpoint hash {digest}\n".encode())
    return path
