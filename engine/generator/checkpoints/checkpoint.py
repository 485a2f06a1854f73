"""The result of every reader: a config, tensors by NVIDIA's names, and what was read or assumed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sgi.engine.errors import UserError, one_line
from sgi.engine.generator.checkpoints.tensors import Ref, filled
from sgi.engine.generator.config import MAX_MAPPING_LAYERS, GeneratorConfig
from sgi.engine.generator.file import materialise
from sgi.engine.generator.layers import FIR_TAPS
from sgi.engine.generator.model import Generator

W_AVG = "mapping.w_avg"
W_AVG_SAMPLES = 10_000
W_AVG_BATCH = 500
SEED = 0
MAX_TENSORS = 2000
MAX_NAME = 60
PUBLISHED_LR_MULTIPLIER = 0.01


class Unsupported(UserError):
    """A network that is recognised and not supported."""


@dataclass(frozen=True)
class Checkpoint:
    """A generator whose tensors have not been read from its file.

    label: name of the file in messages. format: name of the format. config: from shapes and attributes. tensors: state
    dict of `Generator` whose tensors are still in the file. facts: other facts in the file. assumed: settings that the
    file lacks, with the assumed values. dropped: parts of the file that are not the generator.
    """

    label: str
    format: str
    config: GeneratorConfig
    tensors: dict[str, Ref]
    facts: dict[str, Any] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of trained parameters: all tensors except the stored noise and the mean of w."""
        kept = [ref for name, ref in self.tensors.items() if not name.endswith(("noise_const", W_AVG))]
        return sum(int(np.prod(ref.shape, dtype=np.int64)) for ref in kept)

    def notes(self) -> dict[str, Any]:
        """Facts of the file for the notes of a generator file."""
        return {"format": self.format, **self.facts, "assumed": list(self.assumed)}

    def generator(self) -> Generator:
        """The network, float32, in eval mode, without gradients; reads its tensors from the file.

        Raises UserError for a tensor with numbers that are not finite.
        """
        state = {}
        for name, ref in self.tensors.items():
            array = ref.read()
            if not np.isfinite(array).all():
                raise UserError(f"{self.label}: {name} is not finite: the file is damaged, or its training diverged")
            state[name] = torch.from_numpy(array)
        if W_AVG in state:
            return materialise(self.config, state)
        state[W_AVG] = torch.zeros(self.config.w_dim)
        generator = materialise(self.config, state)
        generator.mapping.w_avg.copy_(sample_w_avg(generator))
        return generator


def assemble(
    label: str,
    format: str,
    tensors: Mapping[str, Ref],
    *,
    conv_clamp: float | None,
    lr_multiplier: float,
    facts: dict[str, Any] | None = None,
    assumed: Iterable[str] = (),
    dropped: Iterable[str] = (),
    has_noise: bool = True,
) -> Checkpoint:
    """Make a checkpoint from tensors with NVIDIA's names.

    has_noise: whether the network uses noise; if not, its stored noise is zero. The other parameters are the fields of
    `Checkpoint` and `GeneratorConfig`. Resampling filters are checked and left out. If the file lacks the stored noise
    or the mean of w, they are computed from seed 0 and listed in `assumed`. Raises UserError for any other tensor that
    is missing, unknown or of another shape.
    """
    if len(tensors) > MAX_TENSORS:
        raise UserError(f"{label}: {len(tensors)} tensors, more than any StyleGAN2 generator has")
    notes = list(assumed)
    state = {}
    for name, ref in tensors.items():
        if name.endswith("resample_filter"):
            check_filter(label, name, ref)
        else:
            state[name] = ref
    config = config_of(label, state, conv_clamp, lr_multiplier)
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in Generator(config).state_dict().items()}
    noises = [name for name in wanted if name.rpartition(".")[2] == "noise_const"]
    if not has_noise:
        state |= {name: filled(wanted[name]) for name in wanted if ".noise_" in name}
    elif not any(name in state for name in noises):
        notes.append(f"the file lacks the stored noise: drawn from seed {SEED}")
        random = np.random.RandomState(SEED)
        state |= {name: _constant(random.randn(*wanted[name]).astype(np.float32)) for name in noises}
    if W_AVG not in state:
        notes.append(f"the file lacks the mean of w: computed over {W_AVG_SAMPLES} z of seed {SEED}")
        del wanted[W_AVG]
    missing = sorted(wanted.keys() - state.keys())
    unknown = sorted(state.keys() - wanted.keys())
    if missing or unknown:
        what = f"no {missing[0]}" if missing else f"an unknown tensor {unknown[0][:60]!r}"
        raise UserError(f"{label}: not a StyleGAN2 generator of {config.resolution} px: {what}")
    for name, shape in wanted.items():
        if state[name].shape != shape:
            found = list(state[name].shape)
            raise UserError(f"{label}: {name} has the shape {found}, {list(shape)} expected")
    return Checkpoint(
        label, format, config, state, facts or {}, tuple(notes), tuple(one_line(name, MAX_NAME) for name in dropped)
    )


def config_of(
    label: str, tensors: Mapping[str, Ref], conv_clamp: float | None, lr_multiplier: float
) -> GeneratorConfig:
    """The config that follows from the shapes of the tensors; raises UserError if they are not those of a StyleGAN2."""

    def size(name: str, axis: int) -> int:
        ref = tensors.get(name)
        if ref is None or axis >= len(ref.shape) or ref.shape[axis] < 1:
            raise UserError(f"{label}: not a StyleGAN2 generator: no {name}")
        return ref.shape[axis]

    blocks = sorted({int(match[1]) for name in tensors if (match := re.match(r"synthesis\.b(\d{1,5})\.", name))})
    if not blocks or blocks != [4 << i for i in range(len(blocks))]:
        raise UserError(f"{label}: not a StyleGAN2 generator: its blocks are not 4, 8, 16 ... px")
    check_architecture(label, tensors, blocks)
    const = tensors.get("synthesis.b4.const")
    if const is not None and len(const.shape) == 3 and const.shape[1:] != (4, 4):
        height, width = (side * blocks[-1] // 4 for side in const.shape[1:])
        raise Unsupported(
            f"{label}: refused, a network of {'non-square ' if height != width else ''}pictures of {width} x {height} "
            f"px (its constant has {const.shape[2]} x {const.shape[1]}); only squares that begin at 4 x 4 are read"
        )
    widths = {side: size(f"synthesis.b{side}.conv1.weight", 0) for side in blocks}
    layers = 0
    while f"mapping.fc{layers}.weight" in tensors and layers <= MAX_MAPPING_LAYERS:
        layers += 1
    classes = size("mapping.embed.weight", 1) if "mapping.embed.weight" in tensors else 0
    w_dim = size("synthesis.b4.conv1.affine.weight", 1)
    embedded = size("mapping.embed.weight", 0) if classes else w_dim
    if embedded != w_dim:
        raise Unsupported(
            f"{label}: refused, its label embedding has {embedded} numbers, w has {w_dim} (label_fmaps or "
            "embed_features was set); only embeddings of the size of w are read"
        )
    # The embedded label, w_dim wide, is concatenated to z.
    z_dim = size("mapping.fc0.weight", 1) - (w_dim if classes else 0)
    sizes = {
        "resolution": blocks[-1],
        "z_dim": z_dim,
        "w_dim": w_dim,
        "c_dim": classes,
        "mapping_layers": layers,
        "mapping_lr_multiplier": lr_multiplier,
        "channel_base": max(side * width for side, width in widths.items()),
        "channel_max": max(widths.values()),
        "img_channels": size("synthesis.b4.torgb.weight", 0),
        "conv_clamp": conv_clamp,
    }
    try:
        config = GeneratorConfig.from_dict(sizes)
    except UserError as error:
        raise UserError(f"{label}: {error}") from None
    for side, width in widths.items():
        if config.channels(side) != width:
            raise Unsupported(
                f"{label}: refused, its channels {list(widths.values())} do not follow min(base / side, max)"
            )
    return config


def check_architecture(label: str, tensors: Iterable[str], blocks: list[int]) -> None:
    """Raise Unsupported for architectures other than skip."""
    names = set(tensors)
    if any(".skip.weight" in name for name in names):
        raise Unsupported(f"{label}: refused, a StyleGAN2 of the resnet architecture; only skip is read")
    to_rgbs = [side for side in blocks if f"synthesis.b{side}.torgb.weight" in names]
    if len(blocks) > 1 and to_rgbs == blocks[-1:]:
        raise Unsupported(f"{label}: refused, a StyleGAN2 of the orig architecture (one to-rgb); only skip is read")


def check_filter(label: str, name: str, ref: Ref, gain: float = 1.0) -> None:
    """Raise Unsupported unless a resampling filter is the outer product of [1, 3, 3, 1], with the sum `gain`."""
    taps = np.array(FIR_TAPS) / sum(FIR_TAPS)
    expected = np.outer(taps, taps) * gain
    if ref.shape != expected.shape or not np.allclose(ref.read(), expected, rtol=1e-5, atol=0):
        raise Unsupported(f"{label}: refused, {name} is not the filter [1, 3, 3, 1] of StyleGAN2")


@torch.no_grad()
def sample_w_avg(generator: Generator) -> torch.Tensor:
    """Mean of w over W_AVG_SAMPLES latents z of one seed: [w_dim] float32; sample i has class i mod c_dim."""
    random = np.random.RandomState(SEED)
    total = torch.zeros(generator.config.w_dim, dtype=torch.float64)
    classes = generator.config.c_dim
    for start in range(0, W_AVG_SAMPLES, W_AVG_BATCH):
        z = torch.from_numpy(random.randn(W_AVG_BATCH, generator.config.z_dim).astype(np.float32))
        label = None
        if classes:
            label = torch.zeros(W_AVG_BATCH, classes)
            label[torch.arange(W_AVG_BATCH), torch.arange(start, start + W_AVG_BATCH) % classes] = 1
        total += generator.mapping(z, label).double().sum(dim=0)
    return (total / W_AVG_SAMPLES).float()


def _constant(array: np.ndarray[Any, np.dtype[np.float32]]) -> Ref:
    return Ref(array.shape, "float32", lambda: array)
