"""Files of rosinality's trainer and of the encoders built on its generator."""

from __future__ import annotations

import argparse
import math
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from checkpoint_files.pickling import FIR, PRIVATE_PATH, Change, saved
from sgi.engine.generator import Generator


def rosinality_state(generator: Generator) -> dict[str, Tensor]:
    """State dict with rosinality's names and shapes."""
    values = generator.state_dict()
    names = {"weight": "conv.weight", "bias": "activate.bias", "noise_strength": "noise.weight"}
    state: dict[str, Tensor] = {}
    for name, value in values.items():
        part, _, rest = name.partition(".")
        if part == "mapping":
            if rest != "w_avg":
                layer, kind = rest.split(".")
                state[f"style.{int(layer[2:]) + 1}.{kind}"] = value
            continue
        block, layer, *names_below = rest.split(".")
        side = int(block[1:])
        step = int(math.log2(side)) - 3  # -1 at 4 px
        if layer == "const":
            state["input.input"] = value[None]
            continue
        tail = ".".join(names_below)
        if tail == "noise_const":
            number = 0 if side == 4 else 2 * step + (1 if layer == "conv0" else 2)
            state[f"noises.noise_{number}"] = value[None, None]
            continue
        if layer == "torgb":
            new = "to_rgb1" if side == 4 else f"to_rgbs.{step}"
            shaped = value.reshape(1, -1, 1, 1) if tail == "bias" else value[None] if tail == "weight" else value
            state[f"{new}.bias" if tail == "bias" else f"{new}.conv.{tail.replace('affine', 'modulation')}"] = shaped
            if side > 4 and tail == "weight":
                state[f"{new}.upsample.kernel"] = FIR * 4
            continue
        new = "conv1" if side == 4 else f"convs.{2 * step + (layer == 'conv1')}"
        shaped = value[None] if tail in ("weight", "noise_strength") else value
        state[f"{new}.{names.get(tail, 'conv.' + tail.replace('affine', 'modulation'))}"] = shaped
        if layer == "conv0" and tail == "weight":
            state[f"{new}.conv.blur.kernel"] = FIR * 4
    return state


def rosinality(generator: Generator, zipped: bool = True, change: Change | None = None) -> bytes:
    """A training checkpoint: g, g_ema, optimiser, args and the mean of w."""
    state = rosinality_state(generator)
    content: dict[str, Any] = {
        "g": {name: tensor + 1 for name, tensor in state.items()},
        "g_ema": OrderedDict(state),
        "g_optim": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.002}]},
        "latent_avg": generator.mapping.w_avg,
        "args": argparse.Namespace(path=PRIVATE_PATH, size=generator.config.resolution),
    }
    if change:
        change(content)
    return saved(content, zipped)


def encoder(generator: Generator, change: Change | None = None) -> bytes:
    """A pSp or e4e checkpoint, in which the mean of w has a row for each row of w+."""
    decoder = {f"decoder.{name}": tensor for name, tensor in rosinality_state(generator).items()}
    content: dict[str, Any] = {
        "state_dict": {"encoder.input_layer.0.weight": torch.zeros(1), **decoder},
        "latent_avg": generator.mapping.w_avg.repeat(generator.config.num_ws, 1),
        "opts": {"exp_dir": "/home/somebody/experiment", "device": "cuda:0"},
    }
    if change:
        change(content)
    return saved(content)
