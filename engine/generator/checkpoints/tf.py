"""NVIDIA's TensorFlow pickles (stylegan2, stylegan2-ada, DiffAugment-stylegan2), without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from sgi.engine.errors import UserError, one_line
from sgi.engine.generator.checkpoints.checkpoint import (
    MAX_NAME,
    MAX_TENSORS,
    PUBLISHED_LR_MULTIPLIER,
    Checkpoint,
    Unsupported,
    assemble,
)
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.records import Call, shown
from sgi.engine.generator.checkpoints.tensors import Ref

NETWORK = "dnnlib.tflib.network.Network"
OLDEST_VERSION = 4
MAX_DEPTH = 4
FUNCTIONS = ("G_main", "G_mapping", "G_synthesis", "G_synthesis_stylegan2")
# Parameters of G_main, G_mapping and G_synthesis in training/networks_stylegan2.py and training/networks.py of NVIDIA.
_FIXED: dict[str, tuple[Any, ...]] = {
    "architecture": ("skip",), "nonlinearity": ("lrelu",), "mapping_nonlinearity": ("lrelu",),
    "resample_kernel": ([1, 3, 3, 1],), "normalize_latents": (True,), "mapping_func": ("G_mapping",),
    "synthesis_func": ("G_synthesis", "G_synthesis_stylegan2"),
}  # fmt: skip
_READ = frozenset({"conv_clamp", "mapping_lrmul", "use_noise"})
_WITHOUT_EFFECT = frozenset(
    {
        # sizes, which follow from the variables
        "num_channels", "resolution", "resolution_h", "resolution_w", "label_size", "latent_size", "dlatent_size",
        "dlatent_broadcast", "mapping_layers", "mapping_fmaps", "label_fmaps", "fmap_base", "fmap_decay", "fmap_min",
        "fmap_max", "fmap_const",
        # truncation and training
        "truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val", "dlatent_avg_beta",
        "style_mixing_prob", "is_training", "is_validation", "return_dlatents", "randomize_noise",
        # how the same result is computed
        "dtype", "num_fp16_res", "fused_modconv", "structure", "is_template_graph", "force_clean_graph", "func_name",
    }
)  # fmt: skip
_OPTIMISER_STATE = ("lod",)


def detect(container: Container) -> bool:
    """Whether a container has a tuple (G, D, Gs) of tflib networks, or one such network."""
    return _is_network(_generator(container.root))


def load(container: Container) -> Checkpoint:
    """The Gs of a pickle; raises Unsupported for StyleGAN1, other architectures and settings, UserError for damage."""
    network = _generator(container.root)
    state = _state_of(container, network)
    version = state.get("version")
    function = state.get("build_func_name")
    if function == "G_style":
        raise Unsupported(f"{container.label}: refused, a StyleGAN1 network; only StyleGAN2 is read")
    if type(version) is not int or version < OLDEST_VERSION:
        raise Unsupported(
            f"{container.label}: refused, a TensorFlow pickle of version {shown(version)}, which StyleGAN1 and earlier "
            f"networks have; only StyleGAN2 (version {OLDEST_VERSION} and later) is read"
        )
    variables = dict(_variables(container, network, "", 0))
    _check_variables(container, variables)
    settings = _settings(container, network)
    clamp = _check_settings(container, settings)
    lr = settings.get("mapping_lrmul")
    assumed = (
        ()
        if lr is not None
        else (f"the file does not store mapping_lrmul: assumed to be its default, {PUBLISHED_LR_MULTIPLIER}",)
    )
    return assemble(
        container.label,
        "NVIDIA TensorFlow pickle",
        dict(_converted(name, ref) for name, ref in variables.items()),
        conv_clamp=clamp,
        lr_multiplier=PUBLISHED_LR_MULTIPLIER if lr is None else container.reader.number(lr, "mapping_lrmul"),
        assumed=assumed,
        has_noise=settings.get("use_noise", True) is not False,
        dropped=("G", "D") if isinstance(container.root, tuple) else (),
        facts={"tensorflow_version": version},
    )


def _generator(root: Any) -> Any:
    return root[2] if isinstance(root, tuple) and len(root) == 3 else root


def _is_network(record: Any) -> bool:
    return isinstance(record, Call) and record.target == NETWORK


def _state_of(container: Container, record: Any) -> dict[str, Any]:
    if not _is_network(record) or not isinstance(record.state, dict):
        raise UserError(f"{container.label}: not a readable checkpoint (a part of its generator is not a network)")
    return record.state


def _settings(container: Container, network: Any) -> dict[str, Any]:
    """Settings of G_main and of its components; G_main passes its own to the components, which overrides theirs."""
    state = _state_of(container, network)
    components = state.get("components")
    settings: dict[str, Any] = {}
    for record in (*(components.values() if isinstance(components, dict) else ()), network):
        part = _state_of(container, record)
        own, function = part.get("static_kwargs"), part.get("build_func_name")
        if not isinstance(own, dict):
            raise UserError(f"{container.label}: not a readable checkpoint (its network has no settings)")
        if function not in FUNCTIONS:
            raise Unsupported(
                f"{container.label}: refused, a network of the function {shown(function)}, which is none of "
                f"NVIDIA's StyleGAN2 ({', '.join(FUNCTIONS)})"
            )
        settings |= own
    return settings


def _check_settings(container: Container, settings: dict[str, Any]) -> float | None:
    """conv_clamp; raises Unsupported for settings that are not StyleGAN2's, and for unknown settings."""
    sides = [settings[name] for name in ("resolution_h", "resolution_w") if name in settings]
    if any(type(side) is not int or side != sides[0] for side in sides):
        text = " x ".join(shown(side) for side in sides)
        raise Unsupported(
            f"{container.label}: refused, a network of non-square pictures, {text}; only square ones are read"
        )
    for name, value in settings.items():
        if name in _FIXED:
            found = list(value) if isinstance(value, tuple) else value
            if found not in _FIXED[name]:
                text = f"{found!s:.60}" if _is_kernel(found) else shown(found)
                raise Unsupported(
                    f"{container.label}: refused, its {name} is {one_line(text, MAX_NAME)}; "
                    f"only {_FIXED[name][0]} is read"
                )
        elif name not in _READ and name not in _WITHOUT_EFFECT:
            raise Unsupported(
                f"{container.label}: refused, its setting {one_line(str(name), MAX_NAME)} is not one of NVIDIA's "
                "StyleGAN2: the code was changed, and what the setting does is unknown"
            )
    clamp = settings.get("conv_clamp")
    return None if clamp is None else container.reader.number(clamp, "conv_clamp")


def _is_kernel(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, (int, float)) for item in value)


def _variables(container: Container, record: Any, path: str, depth: int) -> Iterator[tuple[str, Ref]]:
    """Variables of a network and of its components, by full name."""
    state = _state_of(container, record)
    variables = state.get("variables")
    components = state.get("components", {})
    if not isinstance(variables, list) or not isinstance(components, dict) or depth > MAX_DEPTH:
        raise UserError(f"{container.label}: not a readable checkpoint (a network without variables)")
    container.visits.spend(1 + len(variables) + len(components))
    if len(variables) > MAX_TENSORS:
        raise UserError(f"{container.label}: more variables than any StyleGAN2 generator has")
    for item in variables:
        if not isinstance(item, (tuple, list)) or len(item) != 2 or not isinstance(item[0], str):
            raise UserError(f"{container.label}: not a readable checkpoint (a variable without a name)")
        if item[0] not in _OPTIMISER_STATE:
            yield path + item[0], container.reader.tensor(item[1], path + item[0])
    for name, component in components.items():
        yield from _variables(container, component, f"{path}{name}/", depth + 1)


def _check_variables(container: Container, names: dict[str, Ref]) -> None:
    if any(name.startswith(("G_synthesis/", "G_mapping/")) for name in names):
        raise Unsupported(f"{container.label}: refused, a StyleGAN1 network; only StyleGAN2 is read")
    sides = next((match for name in names if (match := re.match(r"synthesis/(\d{1,5})x(\d{1,5})/", name))), None)
    if sides is not None and sides[1] != sides[2]:
        raise Unsupported(
            f"{container.label}: refused, a network of non-square pictures (a block of {sides[2]} x {sides[1]} px); "
            "only square ones are read"
        )
    if any("ToRGB_lod" in name for name in names):
        raise Unsupported(f"{container.label}: refused, a StyleGAN2 of the orig architecture; only skip is read")
    if any(name.startswith("mapping/LabelConcat/") for name in names):
        raise Unsupported(
            f"{container.label}: refused, a class-conditional network of the first TensorFlow stylegan2, "
            "which concatenates labels differently; networks without classes are read"
        )


def _converted(name: str, ref: Ref) -> tuple[str, Ref]:
    """Name and tensor in NVIDIA's PyTorch layout of a TensorFlow variable; an unknown name is not changed.

    Dense weights are transposed, and convolutions change from HWIO to OIHW. TensorFlow stores flipped weights of
    up-convolutions and skips, and style biases that are smaller by 1.
    """
    if name == "dlatent_avg":
        return "mapping.w_avg", ref
    if match := re.fullmatch(r"mapping/(Dense\d{1,2}|LabelEmbed)/(weight|bias)", name):
        layer = match[1].replace("Dense", "fc").replace("LabelEmbed", "embed")
        return f"mapping.{layer}.{match[2]}", _transposed(ref, (1, 0)) if match[2] == "weight" else ref
    if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
        index = int(match[1])
        new = f"synthesis.b{4 << (index + 1) // 2}.conv{1 - index % 2}.noise_const"
        return new, ref.reshape(*ref.shape[-2:]) if ref.shape[:-2] == (1, 1) else ref
    if name == "synthesis/4x4/Const/const":
        return "synthesis.b4.const", ref.reshape(*ref.shape[1:]) if ref.shape[:1] == (1,) else ref
    if match := re.fullmatch(r"synthesis/(\d{1,5})x\1/(Conv|Conv0_up|Conv1|ToRGB|Skip)/(\w+)", name):
        layer = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}[match[2]]
        part = {"mod_weight": "affine.weight", "mod_bias": "affine.bias"}.get(match[3], match[3])
        if match[3] == "weight":
            ref = _convolution(ref, flip=match[2] in ("Conv0_up", "Skip"))
        elif match[3] == "mod_weight":
            ref = _transposed(ref, (1, 0))
        elif match[3] == "mod_bias":
            ref = ref.map(ref.shape, lambda x: x + np.float32(1))
        return f"synthesis.b{match[1]}.{layer}.{part}", ref
    return name, ref


def _transposed(ref: Ref, axes: tuple[int, ...]) -> Ref:
    if len(ref.shape) != len(axes):
        return ref
    return ref.map(tuple(ref.shape[axis] for axis in axes), lambda x: np.ascontiguousarray(x.transpose(axes)))


def _convolution(ref: Ref, flip: bool) -> Ref:
    turned = ref.map(ref.shape, lambda x: x[::-1, ::-1]) if flip and len(ref.shape) == 4 else ref
    return _transposed(turned, (3, 2, 0, 1))
