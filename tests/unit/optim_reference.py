#!/usr/bin/env python3
"""Writes optim_reference.h: the numbers of torch.optim and torch.optim.lr_scheduler.

    python3 optim_reference.py > optim_reference.h

The tests make the same start, gradients and rates; all are exact in float32 or plain double.
"""
import warnings

import torch

SIZE = 33
STEPS = 10

OPTIMIZERS = {
    "adam": (torch.optim.Adam, dict()),
    "adam_weight_decay": (torch.optim.Adam, dict(weight_decay=0.1)),
    "adam_settings": (torch.optim.Adam, dict(betas=(0.8, 0.95), eps=1e-3)),
    "adamw_weight_decay": (torch.optim.AdamW, dict(weight_decay=0.1)),
    "sgd": (torch.optim.SGD, dict()),
    "sgd_momentum": (torch.optim.SGD, dict(momentum=0.9, weight_decay=0.1)),
    "sgd_nesterov": (torch.optim.SGD, dict(momentum=0.9, weight_decay=0.1, nesterov=True)),
}


def start():
    i = torch.arange(SIZE)
    return (1 + (5 * i % 17) / 16) * torch.where(i % 2 == 0, 1.0, -1.0)


def gradients(step):
    i = torch.arange(SIZE)
    return ((7 * i + 13 * step) % 23 - 8) / 16


def learning_rate(step):
    return 0.001 * (step + 1)


def run_optimizer(kind, settings):
    """Parameters after STEPS steps, then the state tensors by name."""
    parameters = torch.nn.Parameter(start())
    optimizer = kind([parameters], lr=0.0, foreach=False, **settings)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = learning_rate(step)
        parameters.grad = gradients(step)
        optimizer.step()
    state = optimizer.state[parameters]
    names = ("exp_avg", "exp_avg_sq", "momentum_buffer")
    return [parameters.detach()] + [state[name] for name in names if state.get(name) is not None]


def rates(make_scheduler, base, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = make_scheduler(optimizer)
    values = []
    for step in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        if step + 1 < steps:
            scheduler.step()
    return values


def one_cycle(steps, peak, start_factor, final_factor):
    return lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.4, total_steps=steps, anneal_strategy="cos", pct_start=peak,
        div_factor=1 / start_factor, final_div_factor=start_factor / final_factor,
        cycle_momentum=False)


def print_array(kind, name, values, form):
    cells = [form % value for value in values]
    print(f"inline const std::vector<{kind}> {name} = {{")
    for at in range(0, len(cells), 4):
        print("    " + " ".join(cell + "," for cell in cells[at:at + 4]))
    print("};")


def main():
    warnings.simplefilter("ignore")  # the schedulers expect an optimizer that steps
    schedule = torch.optim.lr_scheduler
    print("// Made by optim_reference.py with PyTorch " + torch.__version__.split("+")[0] + ".")
    print("// clang-format off\n#pragma once\n\n#include <vector>\n\nnamespace cifar::reference {\n")
    for name, (kind, settings) in OPTIMIZERS.items():
        for part, values in zip(("parameters", "state0", "state1"), run_optimizer(kind, settings)):
            print_array("float", f"{name}_{part}", values.tolist(), "%.8ef")
    print()
    for name, make in {
        "step_by_4": lambda o: schedule.StepLR(o, step_size=4, gamma=0.3),
        "cosine_12": lambda o: schedule.CosineAnnealingLR(o, T_max=12, eta_min=0.05 * 0.4),
        "one_cycle_12": one_cycle(12, 0.3, 0.04, 0.01),
        "one_cycle_12_peak_at_end": one_cycle(12, 1.0, 0.5, 0.1),
    }.items():
        print_array("double", name, rates(make, 0.4, 12), "%.17g")
    print("\n}  // namespace cifar::reference")


if __name__ == "__main__":
    main()
