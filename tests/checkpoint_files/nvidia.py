"""Pickles of NVIDIA's PyTorch code: every module is an object of a persistent class, with its source code.

Source of every detail: torch_utils/persistence.py (the reduced form; keys and order of `meta`; the state is the
module's `__dict__` with `_init_args` and `_init_kwargs`), the attributes, tensors and children that the modules of
training/networks.py of stylegan2-ada-pytorch assign, in their order, and those of stylegan3, which assigns
more (flavour). Gains are NumPy numbers because the code computes them by NumPy. The dict of a snapshot is that of
training/training_loop.py. The private dicts of a module are those of torch 2.13. Read with the same result as files of
NVIDIA's code; see docs/generators.md.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from checkpoint_files.pickling import FIR, PRIVATE_PATH, Change, EasyDict, modules, saved
from sgi.engine.generator import Generator, random_generator


def _reconstruct(meta: dict[str, Any]) -> None:
    raise AssertionError("only its name is pickled")


class Persistent:
    """An object of a persistent class, pickled as `_reconstruct_persistent_obj((meta,))`."""

    def __init__(self, class_name: str, state: dict[str, Any], version: int = 6, source: str = "import os\n") -> None:
        meta = {"type": "class", "version": version, "module_src": source, "class_name": class_name, "state": state}
        self.meta = meta

    def __reduce__(self) -> Any:
        return _reconstruct, (self.meta,), None, None, None


_HOOKS = (
    "_backward_pre_hooks", "_backward_hooks", "_is_full_backward_hook", "_forward_hooks", "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_state_dict_hooks",
    "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)  # fmt: skip


def module_state(
    tensors: dict[str, Tensor], children: dict[str, Any], buffers: tuple[str, ...] = (), **attributes: Any
) -> dict[str, Any]:
    """The `__dict__` of a torch module; buffers: the names of `tensors` that are not parameters."""
    hooks: dict[str, Any] = {name: None if name == "_is_full_backward_hook" else OrderedDict() for name in _HOOKS}
    return {
        "training": False,
        "_parameters": {
            name: torch.nn.Parameter(tensor, False) for name, tensor in tensors.items() if name not in buffers
        },
        "_buffers": {name: tensors[name] for name in buffers if name in tensors},
        "_non_persistent_buffers_set": set(),
        **hooks,
        "_modules": dict(children),
        **attributes,
        "_init_args": (),
        "_init_kwargs": EasyDict(synthesis_kwargs=EasyDict(channel_base=1)),
    }


def nvidia_states(
    generator: Generator, *, fp16_from: int = 1 << 20, noise: bool = True, flavour: str = "stylegan2-ada-pytorch"
) -> dict[str, Any]:
    """(class name, state) of every module of G_ema by path, with the paths of its children; tests change them.

    fp16_from: side of the first block that NVIDIA's code computes in float16.
    """
    config, values = generator.config, generator.state_dict()
    is_newer = flavour == "stylegan3"

    def own(path: str, *names: str) -> dict[str, Tensor]:
        return {name: values[f"{path}.{name}"] for name in names}

    def newer(**attributes: Any) -> dict[str, Any]:
        return attributes if is_newer else {}

    def dense(path: str, *, lr: float = 1, lrelu: bool = False) -> tuple[str, dict[str, Any]]:
        tensors = own(path, "weight", "bias")
        outputs, inputs = tensors["weight"].shape
        return "FullyConnectedLayer", module_state(
            tensors, {}, **newer(in_features=inputs, out_features=outputs),
            activation="lrelu" if lrelu else "linear", weight_gain=np.float64(lr / math.sqrt(inputs)), bias_gain=lr,
        )  # fmt: skip

    states: dict[str, Any] = {}
    latents: dict[str, Any] = {"z_dim": config.z_dim, "c_dim": config.c_dim, "w_dim": config.w_dim}
    mapped = (["embed"] if config.c_dim else []) + [f"fc{i}" for i in range(config.mapping_layers)]
    states[""] = (
        "Generator",
        module_state({}, dict.fromkeys(("synthesis", "mapping")), **latents, img_resolution=config.resolution,
                     img_channels=config.img_channels, num_ws=config.num_ws),
    )  # fmt: skip
    states["mapping"] = (
        "MappingNetwork",
        module_state(own("mapping", "w_avg"), dict.fromkeys(mapped), ("w_avg",), **latents, num_ws=config.num_ws,
                     num_layers=config.mapping_layers, w_avg_beta=0.998 if is_newer else 0.995),
    )  # fmt: skip
    for name in mapped:
        lr = config.mapping_lr_multiplier if name != "embed" else 1
        states[f"mapping.{name}"] = dense(f"mapping.{name}", lr=lr, lrelu=name != "embed")
    sides = config.resolutions
    halves = [side for side in sides if side >= fp16_from]
    states["synthesis"] = (
        "SynthesisNetwork",
        module_state({}, dict.fromkeys(f"b{side}" for side in sides), w_dim=config.w_dim,
                     img_resolution=config.resolution, img_resolution_log2=len(sides) + 1,
                     img_channels=config.img_channels, **newer(num_fp16_res=len(halves)),
                     block_resolutions=list(sides), num_ws=config.num_ws),
    )  # fmt: skip
    for side in sides:
        path = f"synthesis.b{side}"
        below = 0 if side == 4 else config.channels(side // 2)
        channels = config.channels(side)
        tensors = {"resample_filter": FIR.clone()} | (own(path, "const") if side == 4 else {})
        layers = ("conv1", "torgb") if side == 4 else ("conv0", "conv1", "torgb")
        states[path] = (
            "SynthesisBlock",
            module_state(tensors, dict.fromkeys(layers), ("resample_filter",), in_channels=below, w_dim=config.w_dim,
                         resolution=side, img_channels=config.img_channels, is_last=side == sides[-1],
                         architecture="skip", use_fp16=side in halves, channels_last=False,
                         **newer(fused_modconv_default=True), num_conv=len(layers) - 1, num_torgb=1),
        )  # fmt: skip
        for layer in layers:
            states[f"{path}.{layer}.affine"] = dense(f"{path}.{layer}.affine")
            clamp: dict[str, Any] = {"conv_clamp": config.conv_clamp}
            inputs = below if layer == "conv0" else channels
            outputs = config.img_channels if layer == "torgb" else channels
            widths = newer(in_channels=inputs, out_channels=outputs, w_dim=config.w_dim)
            if layer == "torgb":
                gain = np.float64(1 / math.sqrt(channels))
                state = module_state(
                    own(f"{path}.torgb", "weight", "bias"), {"affine": None}, **widths, **clamp, weight_gain=gain
                )
                states[f"{path}.torgb"] = "ToRGBLayer", state
                continue
            names = ("weight", "noise_strength", "bias", "noise_const") if noise else ("weight", "bias")
            tensors = {"resample_filter": FIR.clone()} | own(f"{path}.{layer}", *names)
            states[f"{path}.{layer}"] = (
                "SynthesisLayer",
                module_state(tensors, {"affine": None}, ("resample_filter", "noise_const"), **widths, resolution=side,
                             up=2 if layer == "conv0" else 1, use_noise=noise, activation="lrelu", **clamp, padding=1,
                             act_gain=np.float64(math.sqrt(2))),
            )  # fmt: skip
    return states


def nvidia_object(states: dict[str, Any], path: str = "") -> Persistent:
    """The persistent module at a path, with children from the other states."""
    kind, state = states[path]
    state = dict(state)
    state["_modules"] = {
        name: child if child is not None else nvidia_object(states, f"{path}.{name}".lstrip("."))
        for name, child in state["_modules"].items()
    }
    return Persistent(kind, state)


def nvidia_state_dict(generator: Generator) -> dict[str, Tensor]:
    """The state dict of G_ema, which conversion scripts save: all tensors, the filters included, in torch's order."""
    states = nvidia_states(generator)
    found: dict[str, Tensor] = {}

    def collect(path: str) -> None:
        _, state = states[path]
        own = {**state["_parameters"], **state["_buffers"]}
        found.update({f"{path}.{name}".lstrip("."): tensor.detach() for name, tensor in own.items()})
        for child in state["_modules"]:
            collect(f"{path}.{child}".lstrip("."))

    collect("")
    return found


def nvidia(
    generator: Generator, change: Change | None = None, protocol: int = 3, rest: dict[str, Any] | None = None,
    **options: Any,
) -> bytes:  # fmt: skip
    """A network-snapshot.pkl; change: function that modifies the dict path -> (class name, state) before pickling."""
    states = nvidia_states(generator, **options)
    other = nvidia_states(random_generator(generator.config, seed=99), **options)
    if change:
        change(states)
    content = {
        "training_set_kwargs": {"class_name": "training.dataset.ImageFolderDataset", "path": PRIVATE_PATH},
        "G": nvidia_object(other),
        "D": Persistent("Discriminator", module_state({}, {}, c_dim=generator.config.c_dim)),
        "G_ema": nvidia_object(states),
        "augment_pipe": None,
        **(rest or {}),
    }
    return pickled_nvidia(content, protocol)


def pickled_nvidia(content: Any, protocol: int = 3) -> bytes:
    """The pickle of an object, with NVIDIA's module names for our classes."""
    with nvidia_names():
        return pickle.dumps(content, protocol=protocol)


def saved_nvidia(content: Any, zipped: bool = True) -> bytes:
    """The bytes of torch.save for an object, with NVIDIA's module names for our classes."""
    with nvidia_names():
        return saved(content, zipped)


def nvidia_names() -> AbstractContextManager[None]:
    """Our classes under NVIDIA's module names."""
    return modules(
        dnnlib__util={"EasyDict": EasyDict}, torch_utils__persistence={"_reconstruct_persistent_obj": _reconstruct}
    )
