"""Pickles of NVIDIA's TensorFlow code: tflib networks with a name and a state.

Source of every detail: `Network.__getstate__` in dnnlib/tflib/network.py (keys and their order; version 4 in stylegan2,
5 in stylegan2-ada, which adds shapes and names), the order in which training/networks_stylegan2.py and
training/networks.py create variables and components, and `tf.Session.run`, which returns a NumPy scalar for a variable
without axes. `static_kwargs` are the arguments of training/training_loop.py and of train.py: settings that are equal to
the defaults are absent. test_genuine_tensorflow.py compares the result with two files that TensorFlow wrote.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from checkpoint_files.pickling import modules
from sgi.engine.generator import Generator

LR_MULTIPLIER = 0.01  # default of mapping_lrmul


class Network:
    """dnnlib.tflib.network.Network, pickled by its state alone."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> Any:
        return self.state

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("never unpickled")


def tf_variables(generator: Generator) -> dict[str, dict[str, Any]]:
    """Variables of Gs, its mapping and its synthesis network, in TensorFlow's names, layout and order."""
    values = {name: tensor.numpy() for name, tensor in generator.state_dict().items()}
    config = generator.config
    mapping = {}
    for layer in (["embed"] if config.c_dim else []) + [f"fc{i}" for i in range(config.mapping_layers)]:
        name = "LabelEmbed" if layer == "embed" else layer.replace("fc", "Dense")
        mapping[f"{name}/weight"] = values[f"mapping.{layer}.weight"].T
        mapping[f"{name}/bias"] = values[f"mapping.{layer}.bias"]
    noise, synthesis = {}, {}
    for side in config.resolutions:
        if side == 4:
            synthesis["4x4/Const/const"] = values["synthesis.b4.const"][None]
        for layer in ("conv1", "torgb") if side == 4 else ("conv0", "conv1", "torgb"):
            path = f"synthesis.b{side}.{layer}"
            name = {"conv0": "Conv0_up", "conv1": "Conv" if side == 4 else "Conv1", "torgb": "ToRGB"}[layer]
            weight = values[f"{path}.weight"].transpose(2, 3, 1, 0)
            synthesis[f"{side}x{side}/{name}/weight"] = weight[::-1, ::-1] if layer == "conv0" else weight
            synthesis[f"{side}x{side}/{name}/mod_weight"] = values[f"{path}.affine.weight"].T
            synthesis[f"{side}x{side}/{name}/mod_bias"] = values[f"{path}.affine.bias"] - 1
            if layer != "torgb":
                number = 0 if side == 4 else 2 * int(math.log2(side)) - (5 if layer == "conv0" else 4)
                noise[f"noise{number}"] = values[f"{path}.noise_const"][None, None]
                synthesis[f"{side}x{side}/{name}/noise_strength"] = np.float32(values[f"{path}.noise_strength"])
            synthesis[f"{side}x{side}/{name}/bias"] = values[f"{path}.bias"]
    root = {"lod": np.float32(0), "dlatent_avg": values["mapping.w_avg"]}
    return {"": root, "mapping": mapping, "synthesis": noise | synthesis}


def tensorflow(
    generator: Generator,
    change: Callable[[dict[str, Any], dict[str, Any]], object] | None = None,
    protocol: int = 3,
    flavour: str = "stylegan2-ada",
) -> bytes:
    """A tuple (G, D, Gs); `change(state of Gs, variables)` modifies Gs before pickling.

    flavour: the repository, stylegan2 or stylegan2-ada; only the latter has classes and clamps.
    """
    config = generator.config
    is_ada = flavour == "stylegan2-ada"
    variables: dict[str, Any] = tf_variables(generator)
    if is_ada:
        del variables[""]["lod"]
    settings: dict[str, Any] = {
        "num_channels": config.img_channels, "resolution": config.resolution, "label_size": config.c_dim,
        "latent_size": config.z_dim, "dlatent_size": config.w_dim, "mapping_fmaps": config.w_dim,
        "fmap_base": config.channel_base // 2, "fmap_max": config.channel_max,
    }  # fmt: skip
    if config.mapping_layers != 8:
        settings["mapping_layers"] = config.mapping_layers
    if config.mapping_lr_multiplier != LR_MULTIPLIER:
        settings["mapping_lrmul"] = config.mapping_lr_multiplier
    if config.conv_clamp is not None:
        settings["conv_clamp"] = config.conv_clamp

    def state_of(name: str, function: str, kwargs: dict[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
        """A state without variables. The source code is that of the repository, which is not needed here."""
        state: dict[str, Any] = {
            "version": 5 if is_ada else 4, "name": name, "static_kwargs": dict(kwargs), "components": {},
            "build_module_src": "", "build_func_name": function, "variables": [],
        }  # fmt: skip
        return state | (shapes if is_ada else {})

    def ports(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
        return {
            "input_shapes": list(inputs.values()), "output_shapes": list(outputs.values()),
            "input_names": list(inputs), "output_names": list(outputs),
        }  # fmt: skip

    latents = {"latents_in": [None, config.z_dim], "labels_in": [None, config.c_dim]}
    images = {"images_out": [None, config.img_channels, config.resolution, config.resolution]}
    rows = [None, config.num_ws, config.w_dim]
    state = state_of("Gs", "G_main", settings, ports(latents, images))
    parts = {
        "synthesis": state_of(
            "G_synthesis", "G_synthesis" if is_ada else "G_synthesis_stylegan2", settings,
            ports({"dlatents_in": rows}, images),
        ),
        "mapping": state_of(
            "G_mapping", "G_mapping", {"dlatent_broadcast": config.num_ws, **settings},
            ports(latents, {"dlatents_out": rows}),
        ),
    }  # fmt: skip
    if change:
        change(state, variables)
    for name, part in parts.items():
        # A setting of the network is a setting of its components too: G_main passes its own arguments to them.
        if isinstance(state["static_kwargs"], dict):
            part["static_kwargs"] |= state["static_kwargs"]
        part["variables"] = list(variables[name].items())
    state["components"] = {name: Network(part) for name, part in parts.items()}
    state["variables"] = list(variables[""].items())
    other = Network(state_of("D", "D_stylegan2", {}, ports({}, {})))
    with modules(dnnlib__tflib__network={"Network": Network}):
        return pickle.dumps((other, other, Network(state)), protocol=protocol)
