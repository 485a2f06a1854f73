"""Pickles of NVIDIA's TensorFlow code: tflib networks with a name and a state."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from checkpoint_files.pickling import EasyDict, modules
from sgi.engine.generator import Generator


class Network:
    """dnnlib.tflib.network.Network, pickled by its state alone."""

    def __init__(self, **state: Any) -> None:
        self.state = EasyDict(state)

    def __getstate__(self) -> Any:
        return self.state

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("never unpickled")


def tf_variables(generator: Generator) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Variables of Gs, its mapping and its synthesis network, in TensorFlow's names and layout."""
    values = {name: tensor.numpy() for name, tensor in generator.state_dict().items()}
    mapping, synthesis = {}, {}
    for name, value in values.items():
        part, _, rest = name.partition(".")
        if part == "mapping" and rest != "w_avg":
            layer, kind = rest.split(".")
            layer = "LabelEmbed" if layer == "embed" else layer.replace("fc", "Dense")
            mapping[f"{layer}/{kind}"] = value.T if kind == "weight" else value
        elif part == "synthesis":
            block, layer, *names_below = rest.split(".")
            side = int(block[1:])
            if layer == "const":
                synthesis["4x4/Const/const"] = value[None]
            elif names_below == ["noise_const"]:
                number = 0 if side == 4 else 2 * int(math.log2(side)) - (5 if layer == "conv0" else 4)
                synthesis[f"noise{number}"] = value[None, None]
            else:
                names = {"conv0": "Conv0_up", "conv1": "Conv" if side == 4 else "Conv1", "torgb": "ToRGB"}
                renamed = ".".join(names_below).replace("affine.", "mod_")
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
    """A tuple (G, D, Gs); `change(state of Gs, variables)` modifies Gs before pickling."""
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
