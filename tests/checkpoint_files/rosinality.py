"""Files of rosinality's code, and of the encoders built on its generator.

Source of every detail: the tensors of Generator in model.py, in their order; the dict that train.py saves (it has no
mean of w) and the one that convert_weight.py saves; `opts` and `latent_avg` of the encoders' training/coach.py.
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from checkpoint_files.pickling import FIR, PRIVATE_PATH, Change, saved
from sgi.engine.generator import Generator


def rosinality_state(generator: Generator) -> dict[str, Tensor]:
    """State dict with rosinality's names and shapes, in its order."""
    values = generator.state_dict()
    config = generator.config
    state: dict[str, Tensor] = {}
    for index in range(config.mapping_layers):
        for part in ("weight", "bias"):
            state[f"style.{index + 1}.{part}"] = values[f"mapping.fc{index}.{part}"]
    state["input.input"] = values["synthesis.b4.const"][None]

    def convolution(new: str, path: str) -> None:
        state[f"{new}.conv.weight"] = values[f"{path}.weight"][None]
        if path.endswith("conv0"):
            state[f"{new}.conv.blur.kernel"] = FIR * 4
        state[f"{new}.conv.modulation.weight"] = values[f"{path}.affine.weight"]
        state[f"{new}.conv.modulation.bias"] = values[f"{path}.affine.bias"]
        state[f"{new}.noise.weight"] = values[f"{path}.noise_strength"].reshape(1)
        state[f"{new}.activate.bias"] = values[f"{path}.bias"]

    def to_rgb(new: str, path: str) -> None:
        state[f"{new}.bias"] = values[f"{path}.bias"].reshape(1, -1, 1, 1)
        if new != "to_rgb1":
            state[f"{new}.upsample.kernel"] = FIR * 4
        state[f"{new}.conv.weight"] = values[f"{path}.weight"][None]
        state[f"{new}.conv.modulation.weight"] = values[f"{path}.affine.weight"]
        state[f"{new}.conv.modulation.bias"] = values[f"{path}.affine.bias"]

    sides = config.resolutions[1:]
    convolution("conv1", "synthesis.b4.conv1")
    to_rgb("to_rgb1", "synthesis.b4.torgb")
    for index, side in enumerate(sides):
        convolution(f"convs.{2 * index}", f"synthesis.b{side}.conv0")
        convolution(f"convs.{2 * index + 1}", f"synthesis.b{side}.conv1")
    for index, side in enumerate(sides):
        to_rgb(f"to_rgbs.{index}", f"synthesis.b{side}.torgb")
    layers = ["b4.conv1", *(f"b{side}.conv{k}" for side in sides for k in (0, 1))]
    for index, layer in enumerate(layers):
        state[f"noises.noise_{index}"] = values[f"synthesis.{layer}.noise_const"][None, None]
    return state


def rosinality_training(generator: Generator, zipped: bool = True, change: Change | None = None) -> bytes:
    """A checkpoint of train.py: networks, optimisers and arguments."""
    state = rosinality_state(generator)
    one = torch.nn.Parameter(torch.zeros(2))
    optimiser = torch.optim.Adam([one], lr=0.002, betas=(0.0, 0.99))
    one.grad = torch.ones(2)
    optimiser.step()
    arguments = argparse.Namespace(
        path=PRIVATE_PATH, arch="stylegan2", iter=800000, batch=16, size=generator.config.resolution, r1=10,
        mixing=0.9, ckpt=None, lr=0.002, channel_multiplier=2, wandb=False, local_rank=0, augment=False,
        latent=generator.config.w_dim, n_mlp=generator.config.mapping_layers, start_iter=0, distributed=False,
    )  # fmt: skip
    content: dict[str, Any] = {
        "g": OrderedDict((name, tensor + 1) for name, tensor in state.items()),
        "d": OrderedDict({"convs.0.0.weight": torch.zeros(1)}),
        "g_ema": OrderedDict(state),
        "g_optim": optimiser.state_dict(),
        "d_optim": optimiser.state_dict(),
        "args": arguments,
        "ada_aug_p": 0.0,
    }
    if change:
        change(content)
    return saved(content, zipped)


def rosinality(generator: Generator, zipped: bool = True, change: Change | None = None) -> bytes:
    """A checkpoint of convert_weight.py with the option --gen."""
    state = rosinality_state(generator)
    content: dict[str, Any] = {
        "g_ema": OrderedDict(state),
        "latent_avg": generator.mapping.w_avg,
        "g": OrderedDict((name, tensor + 1) for name, tensor in state.items()),
    }
    if change:
        change(content)
    return saved(content, zipped)


def encoder(generator: Generator, change: Change | None = None) -> bytes:
    """A pSp or e4e checkpoint, in which the mean of w has a row for each row of w+."""
    decoder = {f"decoder.{name}": tensor for name, tensor in rosinality_state(generator).items()}
    content: dict[str, Any] = {
        "state_dict": OrderedDict({"encoder.input_layer.0.weight": torch.zeros(1), **decoder}),
        "opts": {"exp_dir": "/home/somebody/experiment", "device": "cuda:0"},
        "latent_avg": generator.mapping.w_avg.repeat(generator.config.num_ws, 1),
    }
    if change:
        change(content)
    return saved(content)
