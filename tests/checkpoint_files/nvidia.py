"""Pickles of NVIDIA's PyTorch code: every module is an object of a persistent class, with its source code."""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from checkpoint_files.pickling import FIR, PRIVATE_PATH, Change, EasyDict, modules
from sgi.engine.generator import Generator


def _reconstruct(meta: dict[str, Any]) -> None:
    raise AssertionError("only its name is pickled")


class Persistent:
    """An object of a persistent class, pickled as `_reconstruct_persistent_obj((meta,))`."""

    def __init__(self, class_name: str, state: dict[str, Any], version: int = 6, source: str = "import os\n") -> None:
        meta = {"type": "class", "version": version, "module_src": source, "class_name": class_name, "state": state}
        self.meta = meta

    def __reduce__(self) -> Any:
        return _reconstruct, (self.meta,), None, None, None


def module_state(
    tensors: dict[str, Tensor], children: dict[str, Any], buffers: tuple[str, ...] = (), **attributes: Any
) -> dict[str, Any]:
    """The `__dict__` of a torch module."""
    return {
        "training": False,
        "_parameters": OrderedDict(
            (name, torch.nn.Parameter(tensor, False)) for name, tensor in tensors.items() if name not in buffers
        ),
        "_buffers": OrderedDict((name, tensors[name]) for name in buffers if name in tensors),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_modules": OrderedDict(children),
        **attributes,
        "_init_args": (),
        "_init_kwargs": EasyDict(synthesis_kwargs=EasyDict(channel_base=1)),
    }


def nvidia_states(generator: Generator, *, fp16_from: int = 1 << 20, noise: bool = True) -> dict[str, Any]:
    """(class name, state) of every module of G_ema by path, with the paths of its children; tests change them."""
    config, values = generator.config, generator.state_dict()

    def own(path: str, *names: str) -> dict[str, Tensor]:
        return {name: values[f"{path}.{name}"] for name in names}

    def dense(path: str, *, lr: float = 1.0, lrelu: bool = False) -> tuple[str, dict[str, Any]]:
        tensors = own(path, "weight", "bias")
        inputs = tensors["weight"].shape[1]
        gains = {"weight_gain": np.float64(lr / math.sqrt(inputs)), "bias_gain": lr}
        return "FullyConnectedLayer", module_state(tensors, {}, activation="lrelu" if lrelu else "linear", **gains)

    states: dict[str, Any] = {}
    sizes: dict[str, Any] = {"z_dim": config.z_dim, "c_dim": config.c_dim, "w_dim": config.w_dim}
    mapped = [f"fc{i}" for i in range(config.mapping_layers)] + (["embed"] if config.c_dim else [])
    states[""] = (
        "Generator",
        module_state({}, dict.fromkeys(("synthesis", "mapping")), **sizes, num_ws=config.num_ws,
                     img_resolution=config.resolution, img_channels=config.img_channels),
    )  # fmt: skip
    states["mapping"] = (
        "MappingNetwork",
        module_state(own("mapping", "w_avg"), dict.fromkeys(mapped), ("w_avg",), **sizes, w_avg_beta=0.995),
    )
    for name in mapped:
        lr = config.mapping_lr_multiplier if name != "embed" else 1.0
        states[f"mapping.{name}"] = dense(f"mapping.{name}", lr=lr, lrelu=name != "embed")
    blocks = [f"b{side}" for side in config.resolutions]
    states["synthesis"] = "SynthesisNetwork", module_state({}, dict.fromkeys(blocks), w_dim=config.w_dim)
    for side in config.resolutions:
        path = f"synthesis.b{side}"
        tensors = {"resample_filter": FIR.clone()} | (own(path, "const") if side == 4 else {})
        layers = ("conv1", "torgb") if side == 4 else ("conv0", "conv1", "torgb")
        states[path] = (
            "SynthesisBlock",
            module_state(tensors, dict.fromkeys(layers), ("resample_filter",), resolution=side, architecture="skip",
                         use_fp16=side >= fp16_from),
        )  # fmt: skip
        for layer in layers:
            states[f"{path}.{layer}.affine"] = dense(f"{path}.{layer}.affine")
            clamp: dict[str, Any] = {"conv_clamp": config.conv_clamp}
            if layer == "torgb":
                gain = np.float64(1 / math.sqrt(config.channels(side)))
                state = module_state(
                    own(f"{path}.torgb", "weight", "bias"), {"affine": None}, weight_gain=gain, **clamp
                )
                states[f"{path}.torgb"] = "ToRGBLayer", state
                continue
            names = ("weight", "bias") + (("noise_strength", "noise_const") if noise else ())
            tensors = own(f"{path}.{layer}", *names) | {"resample_filter": FIR.clone()}
            states[f"{path}.{layer}"] = (
                "SynthesisLayer",
                module_state(tensors, {"affine": None}, ("noise_const", "resample_filter"), use_noise=noise, padding=1,
                             up=2 if layer == "conv0" else 1, act_gain=np.float64(math.sqrt(2)), activation="lrelu",
                             resolution=side, **clamp),
            )  # fmt: skip
    return states


def nvidia_object(states: dict[str, Any], path: str = "") -> Persistent:
    """The persistent module at a path, with children from the other states."""
    kind, state = states[path]
    state = dict(state)
    state["_modules"] = OrderedDict(
        (name, child if child is not None else nvidia_object(states, f"{path}.{name}".lstrip(".")))
        for name, child in state["_modules"].items()
    )
    return Persistent(kind, state)


def nvidia(
    generator: Generator, change: Change | None = None, protocol: int = 3, rest: dict[str, Any] | None = None,
    **options: Any,
) -> bytes:  # fmt: skip
    """A network-snapshot.pkl; change: function that modifies the dict path -> (class name, state) before pickling."""
    states = nvidia_states(generator, **options)
    if change:
        change(states)
    settings = {"class_name": "training.dataset.ImageFolderDataset", "path": PRIVATE_PATH}
    content = {"training_set_kwargs": settings, "G_ema": nvidia_object(states), **(rest or {})}
    return pickled_nvidia(content, protocol)


def pickled_nvidia(content: Any, protocol: int = 3) -> bytes:
    """The pickle of an object, with NVIDIA's module names for our classes."""
    with modules(
        dnnlib__util={"EasyDict": EasyDict}, torch_utils__persistence={"_reconstruct_persistent_obj": _reconstruct}
    ):
        return pickle.dumps(content, protocol=protocol)
