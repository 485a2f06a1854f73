"""Writes checkpoints as the code bases of the field write them, with classes of our own that pickle to their opcodes.

Each function takes a generator of ours and gives bytes: what NVIDIA's persistence module, tflib, or torch.save in
rosinality's and the encoders' trainers would have left on disk for the same network.
"""

from __future__ import annotations

import argparse
import io
import math
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgi.engine.generator import Generator

PRIVATE_PATH = "/home/somebody/faces.zip"
Change = Callable[[dict[str, Any]], object]


@contextmanager
def modules(**classes: dict[str, Any]) -> Iterator[None]:
    """Lend module names to our classes, so that the pickler writes them down; `__` in a keyword stands for a dot."""
    names = {name.replace("__", "."): members for name, members in classes.items()}
    parents = {".".join(name.split(".")[: i + 1]) for name in names for i in range(name.count("."))}
    added = {name: types.ModuleType(name) for name in (*parents, *names)}
    for name, members in names.items():
        for key, member in members.items():
            member.__module__, member.__qualname__, member.__name__ = name, key, key
            setattr(added[name], key, member)
    saved = {name: sys.modules.get(name) for name in added}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class EasyDict(dict):  # type: ignore[type-arg]
    """dnnlib.util.EasyDict to the pickler."""


def _reconstruct(meta: dict[str, Any]) -> None:
    raise AssertionError("only its name is pickled")


class Persistent:
    """An object of a persistent class: pickles as `_reconstruct_persistent_obj((meta,))`."""

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


FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def nvidia_states(generator: Generator, *, fp16_from: int = 1 << 20, noise: bool = True) -> dict[str, Any]:
    """(class name, state) of every module of G_ema by path, children still by path; to be changed by a test."""
    config, values = generator.config, generator.state_dict()

    def own(path: str, *names: str) -> dict[str, Tensor]:
        return {name: values[f"{path}.{name}"] for name in names}

    def dense(path: str, *, lr: float = 1.0, lrelu: bool = False) -> tuple[str, dict[str, Any]]:
        tensors = own(path, "weight", "bias")
        inputs = tensors["weight"].shape[1]
        gains = {"weight_gain": np.float64(lr / math.sqrt(inputs)), "bias_gain": lr}
        return "FullyConnectedLayer", module_state(tensors, {}, activation="lrelu" if lrelu else "linear", **gains)

    states: dict[str, Any] = {}
    sizes = {"z_dim": config.z_dim, "c_dim": config.c_dim, "w_dim": config.w_dim}
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
            clamp = {"conv_clamp": config.conv_clamp}
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
    """The persistent module at a path, its children built from the other states."""
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
    """A network-snapshot.pkl; `change` alters the dict of (class name, state) by path before it is pickled."""
    states = nvidia_states(generator, **options)
    if change:
        change(states)
    settings = {"class_name": "training.dataset.ImageFolderDataset", "path": PRIVATE_PATH}
    content = {"training_set_kwargs": settings, "G_ema": nvidia_object(states), **(rest or {})}
    return pickled_nvidia(content, protocol)


def pickled_nvidia(content: Any, protocol: int = 3) -> bytes:
    """Any object, with NVIDIA's module names lent to our classes."""
    with modules(
        dnnlib__util={"EasyDict": EasyDict}, torch_utils__persistence={"_reconstruct_persistent_obj": _reconstruct}
    ):
        return pickle.dumps(content, protocol=protocol)


class Network:
    """dnnlib.tflib.network.Network: pickles by its state alone."""

    def __init__(self, **state: Any) -> None:
        self.state = EasyDict(state)

    def __getstate__(self) -> Any:
        return self.state

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("never unpickled")


def tf_variables(generator: Generator) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Variables of Gs, of its mapping and of its synthesis network, as TensorFlow names and lays them out."""
    values = {name: tensor.numpy() for name, tensor in generator.state_dict().items()}
    mapping, synthesis = {}, {}
    for name, value in values.items():
        part, _, rest = name.partition(".")
        if part == "mapping" and rest != "w_avg":
            layer, kind = rest.split(".")
            layer = "LabelEmbed" if layer == "embed" else layer.replace("fc", "Dense")
            mapping[f"{layer}/{kind}"] = value.T if kind == "weight" else value
        elif part == "synthesis":
            block, layer, *kind = rest.split(".")
            side = int(block[1:])
            if layer == "const":
                synthesis["4x4/Const/const"] = value[None]
            elif kind == ["noise_const"]:
                number = 0 if side == 4 else 2 * int(math.log2(side)) - (5 if layer == "conv0" else 4)
                synthesis[f"noise{number}"] = value[None, None]
            else:
                names = {"conv0": "Conv0_up", "conv1": "Conv" if side == 4 else "Conv1", "torgb": "ToRGB"}
                renamed = ".".join(kind).replace("affine.", "mod_")
                if renamed == "weight":
                    value = value.transpose(2, 3, 1, 0)
                    value = value[::-1, ::-1] if layer == "conv0" else value
                elif renamed == "mod_weight":
                    value = value.T
                elif renamed == "mod_bias":
                    value = value - 1
                synthesis[f"{side}x{side}/{names[layer]}/{renamed}"] = value
    root = {"lod": np.zeros((), np.float32), "dlatent_avg": values["mapping.w_avg"]}
    return {"": root, "mapping": mapping, "synthesis": synthesis}


def tensorflow(
    generator: Generator,
    change: Callable[[dict[str, Any], dict[str, Any]], object] | None = None,
    protocol: int = 4,
) -> bytes:
    """A tuple (G, D, Gs); `change(state of Gs, variables)` alters Gs before it is pickled."""
    config = generator.config
    variables: dict[str, Any] = tf_variables(generator)
    settings = EasyDict(
        num_channels=config.img_channels, resolution=config.resolution, label_size=config.c_dim,
        func_name="training.networks_stylegan2.G_main", mapping_lrmul=config.mapping_lr_multiplier,
        conv_clamp=config.conv_clamp,
    )  # fmt: skip
    state: dict[str, Any] = {
        "version": 4, "name": "Gs", "static_kwargs": settings, "build_module_src": "import os\n",
        "build_func_name": "G_main",
    }  # fmt: skip
    if change:
        change(state, variables)
    components = EasyDict(
        {
            name: Network(version=4, name=name, static_kwargs=settings, components=EasyDict(),
                          build_func_name=f"G_{name}", build_module_src="", variables=list(variables[name].items()))
            for name in ("mapping", "synthesis")
        }
    )  # fmt: skip
    gs = Network(**state, components=components, variables=list(variables[""].items()))
    other = Network(version=4, name="D", static_kwargs=EasyDict(), components=EasyDict(), variables=[])
    with modules(dnnlib__util={"EasyDict": EasyDict}, dnnlib__tflib__network={"Network": Network}):
        return pickle.dumps((other, other, gs), protocol=protocol)


def rosinality_state(generator: Generator) -> dict[str, Tensor]:
    """State dict under rosinality's names and shapes."""
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
        block, layer, *kind = rest.split(".")
        side = int(block[1:])
        step = int(math.log2(side)) - 3  # -1 at 4 px
        if layer == "const":
            state["input.input"] = value[None]
            continue
        tail = ".".join(kind)
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


def saved(content: Any, zipped: bool = True) -> bytes:
    """torch.save in the zip format or in the older stream."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


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
    """A pSp or e4e checkpoint, whose mean of w has a row for each row of w+."""
    decoder = {f"decoder.{name}": tensor for name, tensor in rosinality_state(generator).items()}
    content: dict[str, Any] = {
        "state_dict": {"encoder.input_layer.0.weight": torch.zeros(1), **decoder},
        "latent_avg": generator.mapping.w_avg.repeat(generator.config.num_ws, 1),
        "opts": {"exp_dir": "/home/somebody/experiment", "device": "cuda:0"},
    }
    if change:
        change(content)
    return saved(content)
