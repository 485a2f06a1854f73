"""NVIDIA's PyTorch pickles: stylegan2-ada-pytorch, and StyleGAN2 from the stylegan3 repository.

Every persistent object in them contains the source code of its class, which NVIDIA's loader executes. This reader does
not execute it: the modules of G_ema become inert records, from which the reader takes tensors and plain attributes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sgi.engine.errors import UserError, one_line
from sgi.engine.generator.checkpoints.checkpoint import MAX_NAME, MAX_TENSORS, Checkpoint, Unsupported, assemble
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.records import Call, shown
from sgi.engine.generator.checkpoints.tensors import Ref

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
PERSISTENCE_VERSION = 6
MAX_DEPTH = 6
_SIZES = frozenset({"z_dim", "c_dim", "w_dim", "num_ws", "img_resolution", "img_channels"})
_WIDTHS = frozenset({"in_channels", "out_channels", "w_dim"})
ATTRIBUTES: dict[str, frozenset[str]] = {
    "Generator": _SIZES,
    "MappingNetwork": _SIZES | {"num_layers", "w_avg_beta"},
    "SynthesisNetwork": _SIZES | {"img_resolution_log2", "block_resolutions", "num_fp16_res"},
    "SynthesisBlock": _SIZES
    | {
        "in_channels", "resolution", "is_last", "architecture", "use_fp16", "channels_last", "fused_modconv_default",
        "num_conv", "num_torgb",
    },
    "SynthesisLayer": _WIDTHS
    | {"resolution", "up", "use_noise", "activation", "conv_clamp", "padding", "act_gain"},
    "ToRGBLayer": _WIDTHS | {"conv_clamp", "weight_gain"},
    "FullyConnectedLayer": frozenset(
        {"in_features", "out_features", "activation", "weight_gain", "bias_gain", "bias"}
    ),
    "Conv2dLayer": _WIDTHS | {"bias", "activation", "up", "down", "conv_clamp", "padding", "weight_gain", "act_gain"},
}  # fmt: skip
"""Public attributes of the modules in both repositories (training/networks.py, training/networks_stylegan2.py)."""
OTHER_CLASSES = {
    "SuperresGenerator": "a StyleGAN-XL network",
    "SynthesisInput": "a StyleGAN3 or StyleGAN-XL network",
    "TriPlaneGenerator": "an EG3D network, whose pictures are rendered from planes",
}


@dataclass(frozen=True)
class Module:
    """One module of the network: its path, its class, and its plain attributes."""

    path: str
    kind: str
    attributes: dict[str, Any]


def detect(container: Container) -> bool:
    """Whether a container is a persistent network, or a dict that contains one as G_ema, G or under another name."""
    return _network(container)[1] is not None


def load(container: Container) -> Checkpoint:
    """The G_ema of a file; raises UserError for other networks and for settings other than StyleGAN2's."""
    modules: list[Module] = []
    tensors: dict[str, Ref] = {}
    used, network = _network(container)
    for module, own in _walk(container, network, "", 0):
        modules.append(module)
        tensors.update(own)
        if len(tensors) > MAX_TENSORS or len(modules) > MAX_TENSORS:
            raise UserError(f"{container.label}: more modules than any StyleGAN2 generator has")
    by_path = {module.path: module for module in modules}
    _check_settings(container.label, modules)
    _check_kinds(container.label, by_path)
    reading = _Attributes(container, by_path)
    checkpoint = assemble(
        container.label,
        "NVIDIA PyTorch pickle",
        tensors,
        conv_clamp=reading.conv_clamp(),
        lr_multiplier=reading.lr_multiplier(),
        has_noise=reading.check_layers(),
        dropped=[str(key) for key in container.root if key != used] if isinstance(container.root, dict) else (),
        facts={"fp16_blocks": reading.fp16_blocks()},
    )
    reading.check_sizes(checkpoint)
    return checkpoint


def _network(container: Container) -> tuple[Any, Any]:
    """Key and record of the generator: G_ema, else the only generator; (None, None) without one."""
    root = container.root
    if not isinstance(root, dict):
        network = _unwrapped(root)
        return None, network if _is_persistent(network) else None
    found = {key: _unwrapped(value) for key, value in root.items() if isinstance(value, Call)}
    generators = {key: value for key, value in found.items() if _is_persistent(value) and _is_generator(value)}
    averaged = [key for key in generators if "ema" in str(key).lower().split("_")]
    keys = ["G_ema"] if _is_persistent(found.get("G_ema")) else averaged or list(generators)
    if len(keys) > 1:
        names = one_line(", ".join(str(key) for key in keys[:3]), MAX_NAME)
        raise Unsupported(
            f"{container.label}: refused, it contains several generators ({names}); save one of them alone"
        )
    return (keys[0], found[keys[0]]) if keys else (None, None)


def _unwrapped(record: Any) -> Any:
    """The module inside of torch's DataParallel or DistributedDataParallel; another record is not changed."""
    modules = record.state.get("_modules") if isinstance(record, Call) and isinstance(record.state, dict) else None
    return modules["module"] if isinstance(modules, dict) and len(modules) == 1 and "module" in modules else record


def _is_generator(record: Call) -> bool:
    meta = record.args[0] if len(record.args) == 1 else None
    kind = meta.get("class_name") if isinstance(meta, dict) else None
    return isinstance(kind, str) and kind.endswith("Generator")


def _is_persistent(record: Any) -> bool:
    return isinstance(record, Call) and record.target == PERSISTENT


def _walk(container: Container, record: Any, path: str, depth: int) -> Iterator[tuple[Module, dict[str, Ref]]]:
    """Modules of a persistent record, each with its own tensors by full name."""
    where = path.rstrip(".") or "G_ema"
    if not _is_persistent(record):
        target = f" ({record.target})" if isinstance(record, Call) else ""
        raise UserError(f"{container.label}: refused, {where} is not a persistent module{target}")
    meta = record.args[0] if len(record.args) == 1 else None
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict) or depth > MAX_DEPTH:
        raise UserError(f"{container.label}: not a readable checkpoint ({where} is damaged)")
    if meta.get("type") != "class" or meta.get("version") != PERSISTENCE_VERSION:
        raise UserError(
            f"{container.label}: refused, {where} has another persistence version than {PERSISTENCE_VERSION}"
        )
    state = meta["state"]
    kind = _class_of(container.label, where, meta.get("class_name"), path)
    attributes = {name: value for name, value in state.items() if not str(name).startswith("_") and name != "training"}
    parts = [state.get(key) for key in ("_parameters", "_buffers", "_modules")]
    if not all(isinstance(part, dict) and all(isinstance(key, str) for key in part) for part in parts):
        raise UserError(f"{container.label}: not a readable checkpoint ({where} lacks its tensors)")
    container.visits.spend(1 + len(state) + sum(map(len, parts)))
    values = {**parts[0], **parts[1]}
    if len(values) > MAX_TENSORS:
        raise UserError(f"{container.label}: more tensors in {where} than any StyleGAN2 generator has")
    own = {
        path + name: container.reader.tensor(value, path + name) for name, value in values.items() if value is not None
    }
    yield Module(path.rstrip("."), kind, attributes), own
    for name, child in parts[2].items():
        yield from _walk(container, child, f"{path}{name}.", depth + 1)


def _class_of(label: str, where: str, kind: Any, path: str) -> str:
    if not isinstance(kind, str):
        raise UserError(f"{label}: not a readable checkpoint ({where} has no class)")
    other = OTHER_CLASSES.get("SynthesisInput" if path.startswith("synthesis.L") else kind)
    if other is not None:
        raise Unsupported(f"{label}: refused, {other}; only StyleGAN2 is read")
    if kind not in ATTRIBUTES:
        raise Unsupported(f"{label}: refused, {where} is a {shown(kind)}, which is not a class of StyleGAN2")
    return kind


def _check_settings(label: str, modules: list[Module]) -> None:
    """Raise Unsupported for a setting that NVIDIA's classes do not have."""
    for module in modules:
        unknown = next((name for name in module.attributes if name not in ATTRIBUTES[module.kind]), None)
        if unknown is not None:
            raise Unsupported(
                f"{label}: refused, {module.path or 'G_ema'} has the setting {one_line(str(unknown), MAX_NAME)}, which "
                f"NVIDIA's {module.kind} does not have: the code was changed, and what the setting does is unknown"
            )


def _check_kinds(label: str, modules: dict[str, Module]) -> None:
    for path, kind in (("", "Generator"), ("mapping", "MappingNetwork"), ("synthesis", "SynthesisNetwork")):
        if path not in modules or modules[path].kind != kind:
            raise UserError(f"{label}: not a StyleGAN2 generator: its {path or 'G_ema'} is not a {kind}")


class _Attributes:
    """Reads and checks the plain attributes of modules; a missing attribute is an error."""

    def __init__(self, container: Container, modules: dict[str, Module]) -> None:
        self._box = container
        self._modules = modules

    def _of(self, *kinds: str) -> list[Module]:
        return [module for module in self._modules.values() if module.kind in kinds]

    def _get(self, module: Module, name: str) -> Any:
        if name not in module.attributes:
            raise UserError(f"{self._box.label}: not a readable checkpoint ({module.path} has no {name})")
        return module.attributes[name]

    def _number(self, module: Module, name: str) -> float:
        return self._box.reader.number(self._get(module, name), f"{module.path}.{name}")

    def _require(self, module: Module, name: str, expected: Any) -> None:
        found = self._get(module, name)
        same = (
            math.isclose(self._number(module, name), expected, rel_tol=1e-6)
            if isinstance(expected, float)
            else type(found) is type(expected) and found == expected
        )
        if not same:
            raise Unsupported(f"{self._box.label}: refused, {module.path}.{name} is {shown(found)}, not {expected}")

    def conv_clamp(self) -> float | None:
        """The clamp of all layers, or None."""
        layers = self._of("SynthesisLayer", "ToRGBLayer")
        clamps = {None if self._get(m, "conv_clamp") is None else self._number(m, "conv_clamp") for m in layers}
        if len(clamps) > 1:
            raise Unsupported(f"{self._box.label}: refused, its layers differ in conv_clamp")
        return next(iter(clamps), None)

    def lr_multiplier(self) -> float:
        """The learning-rate multiplier of the mapping network, from the gain of its biases."""
        path = "mapping.fc0"
        if path not in self._modules:
            raise UserError(f"{self._box.label}: not a StyleGAN2 generator: no {path}")
        return self._number(self._modules[path], "bias_gain")

    def fp16_blocks(self) -> list[int]:
        """Sides of the blocks that NVIDIA's code computes in float16; here they are float32."""
        blocks = self._of("SynthesisBlock")
        return [int(self._number(m, "resolution")) for m in blocks if self._get(m, "use_fp16") is True]

    def check_layers(self) -> bool:
        """Whether the layers use noise; raises Unsupported for another architecture, activation, gain or padding."""
        lr = self.lr_multiplier()
        for module in self._of("SynthesisBlock"):
            if self._get(module, "architecture") != "skip":
                name = shown(self._get(module, "architecture"))
                raise Unsupported(
                    f"{self._box.label}: refused, a StyleGAN2 of the {name} architecture; only skip is read"
                )
        for module in self._of("FullyConnectedLayer"):
            mapped = module.path.startswith("mapping.fc")
            self._require(module, "activation", "lrelu" if mapped else "linear")
            self._require(module, "bias_gain", lr if mapped else 1.0)
        layers = self._of("SynthesisLayer")
        for module in layers:
            self._require(module, "activation", "lrelu")
            self._require(module, "act_gain", math.sqrt(2.0))
            self._require(module, "up", 2 if module.path.endswith("conv0") else 1)
            self._require(module, "padding", 1)
        noisy = [self._get(module, "use_noise") is True for module in layers]
        if any(noisy) != all(noisy):
            raise Unsupported(f"{self._box.label}: refused, some of its layers use noise and some do not")
        return any(noisy)

    def check_sizes(self, checkpoint: Checkpoint) -> None:
        """Raise UserError unless the gains and sizes in the attributes are those of the tensors."""
        config = checkpoint.config
        for name, size in (
            ("z_dim", config.z_dim),
            ("c_dim", config.c_dim),
            ("w_dim", config.w_dim),
            ("img_resolution", config.resolution),
            ("img_channels", config.img_channels),
            ("num_ws", config.num_ws),
        ):
            self._require(self._modules[""], name, size)
        self._require(self._modules["mapping"], "num_layers", config.mapping_layers)
        for module in self._of("FullyConnectedLayer", "ToRGBLayer"):
            inputs = checkpoint.tensors[f"{module.path}.weight"].shape[1]
            lr = config.mapping_lr_multiplier if module.path.startswith("mapping.fc") else 1.0
            self._require(module, "weight_gain", lr / math.sqrt(inputs))
