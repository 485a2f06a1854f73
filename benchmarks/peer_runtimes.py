"""What benchmarks/peers.py compares: this project's backends, torch, and the code of NVIDIA and of rosinality.

Each opens the same weights and computes pictures of z, with psi 1 and the stored noise. Nothing is imported before it
is opened, because the start of a process is measured too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Values = np.ndarray
Render = Callable[[np.ndarray], Values]
"""z [N, z_dim] float32 -> the picture's values [N, 3, R, R], 0 to 1."""
TESTS = Path(__file__).parents[1] / "tests"


@dataclass(frozen=True)
class Files:
    """The same generator in two forms. model: exported. generator: for torch. types: outputs, None for all."""

    model: Path
    generator: Path
    types: tuple[str, ...] | None = ("image",)


@dataclass(frozen=True)
class Peer:
    """An implementation. open: of files, batch and threads. exported: whether it runs exported models."""

    name: str
    open: Callable[[Files, int, int], Render]
    exported: bool = False
    slow_start: bool = False


def backend(name: str, precision: str | None = None) -> Peer:
    """A backend of this project."""

    def start(files: Files, batch: int, threads: int) -> Render:
        from sgi.engine.backends import open_backend

        opened = open_backend(files.model, name, "cpu", files.types, batch=batch, threads=threads, precision=precision)

        def render(z: np.ndarray) -> Values:
            maps = opened.run(z, 1.0)
            return maps.get("image", next(iter(maps.values())))

        return render

    return Peer(f"{name} {precision or 'fp32'}", start, exported=True)


def eager(precision: str) -> Peer:
    """The generator of this project in torch, channels last."""

    def start(files: Files, batch: int, threads: int) -> Render:
        return in_torch(*ours(files, precision, threads))

    return Peer(f"torch eager {precision}", start)


def compiled(precision: str) -> Peer:
    """The same by torch.compile, with weights as constants."""

    def start(files: Files, batch: int, threads: int) -> Render:
        torch, run = ours(files, precision, threads)
        inductor: Any = import_module("torch._inductor.config")
        dynamo: Any = import_module("torch._dynamo.config")
        inductor.freezing, dynamo.recompile_limit = True, 64
        return in_torch(torch, torch.compile(run, fullgraph=True, dynamic=False))

    return Peer(f"torch.compile {precision}", start, slow_start=True)


def nvidia(folder: Path) -> Peer:
    """NVIDIA's stylegan2-ada-pytorch at `folder`."""

    def start(files: Files, batch: int, threads: int) -> Render:
        torch, generator = loaded(files, threads)
        sys.path.insert(0, str(folder))
        config = generator.config
        network = import_module("training.networks").Generator(
            z_dim=config.z_dim, c_dim=config.c_dim, w_dim=config.w_dim, img_resolution=config.resolution,
            img_channels=3, mapping_kwargs={"num_layers": config.mapping_layers},
            synthesis_kwargs={"channel_base": config.channel_base, "channel_max": config.channel_max},
        )  # fmt: skip
        missing, _ = network.load_state_dict(generator.state_dict(), strict=False)
        check_only_filters(missing, "resample_filter")
        network.eval().requires_grad_(False)
        return in_torch(torch, lambda z: network(z, None, noise_mode="const", force_fp32=True))

    return Peer("NVIDIA's code fp32", start)


def rosinality(folder: Path) -> Peer:
    """The stylegan2-pytorch of rosinality at `folder`, whose channels are those of bases 16384 and 32768."""

    def start(files: Files, batch: int, threads: int) -> Render:
        torch, generator = loaded(files, threads)
        config = generator.config
        multiplier = config.channel_base // 16384
        if config.channel_base != 16384 * multiplier or config.channel_max != 512:
            raise NotImplementedError("it has other channels")
        # On import it compiles CUDA code, which a CPU does not use.
        cpp_extension: Any = import_module("torch.utils.cpp_extension")
        cpp_extension.load = lambda *_, **__: ModuleType("unused")
        sys.path[:0] = [str(folder), str(TESTS)]
        network = import_module("model").Generator(
            config.resolution, config.w_dim, config.mapping_layers, channel_multiplier=multiplier
        )
        state = import_module("checkpoint_files.rosinality").rosinality_state(generator)
        missing, _ = network.load_state_dict(state, strict=False)
        check_only_filters(missing, "kernel")
        network.eval().requires_grad_(False)
        return in_torch(torch, lambda z: network([z], randomize_noise=False)[0])

    return Peer("rosinality's code fp32", start)


def reference(files: Files, z: np.ndarray) -> Values:
    """The picture's values in float64."""
    torch, generator = loaded(files, threads=0)
    generator.double()
    return in_torch(torch, lambda given: generator(given.double(), dtype=torch.float64))(z)


def peers(folder_of_nvidia: Path | None, folder_of_rosinality: Path | None) -> list[Peer]:
    """All that run here, NVIDIA's code first, to which the others are compared."""
    from sgi.engine.backends import BACKENDS

    found = [] if folder_of_nvidia is None else [nvidia(folder_of_nvidia)]
    for precision in (None, "bf16"):
        for name, row in BACKENDS.items():
            able = "cpu" in row.install and (precision is None or ("cpu", precision) in row.casts)
            if able and ".onnx" in row.suffixes and row.is_installed:
                found.append(backend(name, precision))
    found += [make(precision) for precision in ("fp32", "bf16") for make in (compiled, eager)]
    return found if folder_of_rosinality is None else [*found, rosinality(folder_of_rosinality)]


def loaded(files: Files, threads: int) -> tuple[Any, Any]:
    """torch and the generator; threads: 0 leaves their number as it is."""
    import torch

    from sgi.engine.generator import load_generator

    if threads:
        torch.set_num_threads(threads)
    generator = load_generator(files.generator)
    return torch, generator


def ours(files: Files, precision: str, threads: int) -> tuple[Any, Callable[[Any], Any]]:
    """torch and the forward pass of the generator."""
    torch, generator = loaded(files, threads)
    generator.to(memory_format=torch.channels_last)
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    return torch, lambda z: generator(z, dtype=dtype)


def in_torch(torch: Any, run: Callable[[Any], Any]) -> Render:
    """The values of the pictures that a function of torch computes."""

    def render(z: np.ndarray) -> Values:
        with torch.inference_mode():
            picture: Values = (run(torch.from_numpy(z)) * 0.5 + 0.5).clamp(0, 1).numpy()
        return picture

    return render


def check_only_filters(missing: list[str], suffix: str) -> None:
    """Raise ValueError unless only constant filters are missing in a state dict."""
    other = [name for name in missing if not name.endswith(suffix)]
    if other:
        raise ValueError(f"no weights for {', '.join(other[:3])}")
