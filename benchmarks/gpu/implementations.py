"""The implementations that are compared: the kernels, torch eager and compiled, and NVIDIA's.

An implementation is a function of (size, batch, device) that returns a callable without arguments. The callable does
one pass from z to the raw picture, in float16 on a GPU.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from forms import Winners, using
from packaging.version import Version
from torch import Tensor
from torch.utils import cpp_extension
from workload import Size, build

from sgi.engine.backends.triton.cuda_graph import CudaGraph
from sgi.engine.backends.triton.fused_network import FusedNetwork
from sgi.engine.generator import Generator
from sgi.engine.offset_tensors import ROWS
from sgi.kernels.gpu.dispatch import dependent_convolutions, weight_prefetch

Run = Callable[[], object]
PSI = 0.7


def latents(size: Size, batch: int, device: str) -> Tensor:
    """Random z [batch, z_dim] float32."""
    return torch.randn(batch, size.config.z_dim, device=device)


def recorded(function: Callable[[Tensor], Tensor], z: Tensor) -> Run:
    """The function as a replayed CUDA graph; on the CPU the function itself."""
    if z.device.type == "cpu":
        return lambda: function(z)
    graph = CudaGraph(lambda given: {"picture": function(given)}, (z,))
    return lambda: graph(z)


@dataclass(frozen=True)
class Variant:
    """The kernels with other choices.

    winners: layers by the measured winners of the stage `forms`. prefetch: weights come to L2 before a layer's input is
    finished (`weight_prefetch`). dependent: convolutions of many pixels start early, too (`dependent_convolutions`).
    largest: batch size up to which it is measured.
    """

    name: str
    winners: Winners = field(default_factory=dict)
    prefetch: bool = False
    dependent: bool = False
    largest: int = sys.maxsize


PLAIN = Variant("kernels")


def variants(winners: Winners, device: str) -> list[Variant]:
    """The kernels as they are, with options that no GPU has measured and, if there are any, with the winners."""
    few = 8
    found = [PLAIN]
    if device != "cpu":  # the interpreter has no launches that could depend on others
        found.append(Variant("kernels, prefetch", prefetch=True, largest=few))
        found.append(Variant("kernels, dependent", dependent=True, largest=few))
    return [*found, Variant("kernels, winners", winners)] if winners else found


@lru_cache(maxsize=2)
def shared_generator(size: Size, device: str) -> Generator:
    """The generator of several measurements in turn, which do not change it."""
    return build(size, device)


def kernels(
    size: Size,
    batch: int,
    device: str,
    kinds: int = 1,
    offsets: list[Tensor | None] | None = None,
    variant: Variant = PLAIN,
) -> Run:
    """The kernels in one CUDA graph; `kinds` types by `offsets`, None for the plain picture alone."""
    generator = shared_generator(size, device)
    tensors = [{} if offset is None else {ROWS: offset.to(device)} for offset in offsets or [None]]
    network = FusedNetwork(generator, tensors, torch.float16)
    selection = network.select(range(kinds))
    psi = torch.tensor(PSI, device=device)

    def run(z: Tensor) -> Tensor:
        w = network.mapping(z)
        options = weight_prefetch(variant.prefetch), dependent_convolutions(variant.dependent)
        with using(variant.winners), options[0], options[1]:
            return network.render(network.styles(w, psi, None, selection), selection)

    with torch.inference_mode():
        return inference(recorded(run, latents(size, batch, device)))


def eager(size: Size, batch: int, device: str) -> Run:
    """The torch generator, channels last."""
    generator = shared_generator(size, device)
    z = latents(size, batch, device)
    return inference(lambda: generator(z, psi=PSI, dtype=torch.float16))


def has_onnx_runtime(device: str) -> bool:
    """Whether ONNX Runtime can run on the device."""
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        return False
    provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
    return provider in import_module("onnxruntime").get_available_providers()


def onnx_runtime(size: Size, batch: int, device: str) -> Run:
    """The exported generator in ONNX Runtime, in float16 from z on the host to values in [0, 1] on the device."""
    import onnx

    from sgi.engine.backends.onnxruntime import OnnxRuntimeBackend
    from sgi.export.onnx import build as build_graph
    from sgi.export.onnx import describe

    generator = build(size, "cpu")
    artifact = describe(generator, {"image": None}, psi=PSI, precision="fp16")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(build_graph(generator, {"image": None}, artifact), path)
        backend = OnnxRuntimeBackend(path, artifact, device=device, types=("image",), batch=batch)
    z = latents(size, batch, "cpu").numpy()
    # On a GPU a run ends when the outputs are complete.
    run = backend.run if device == "cpu" else backend.run_on_device
    return lambda: run(z, PSI)


def compiled(size: Size, batch: int, device: str, mode: str = "reduce-overhead") -> Run:
    """The torch generator compiled by torch.compile, channels last; both modes replay CUDA graphs."""
    generator = build(size, device)
    z = latents(size, batch, device)
    torch._dynamo.config.recompile_limit = 64

    def run(given: Tensor) -> Tensor:
        return generator(given, psi=PSI, dtype=torch.float16)

    if device == "cpu":  # for tests
        function = torch.compile(run, backend="eager", fullgraph=True)
    else:
        function = torch.compile(run, mode=mode, fullgraph=True, dynamic=False)
    return inference(lambda: function(z))


def prepare_nvidia(folder: Path) -> None:
    """Make NVIDIA's stylegan3 repository at `folder` importable, with two repairs for current packages.

    Its `torch_utils.custom_ops` imports a plugin by name after building it, which torch's loader no longer allows, and
    two of its modules import a function of pkg_resources, which setuptools has removed.
    """
    if str(folder) in sys.path:
        return
    sys.path.insert(0, str(folder))
    if find_spec("pkg_resources") is None:
        stand_in = ModuleType("pkg_resources")
        stand_in.parse_version = Version  # type: ignore[attr-defined]
        sys.modules["pkg_resources"] = stand_in
    load = cpp_extension.load

    def load_by_name(name: str, *arguments: Any, **options: Any) -> Any:
        module = load(name, *arguments, **options)
        sys.modules[name] = module
        return module

    cpp_extension.load = load_by_name


def build_plugins(folder: Path) -> None:
    """Compile the CUDA plugins that NVIDIA's StyleGAN2 uses; torch keeps them on disk."""
    prepare_nvidia(folder)
    for name in ("bias_act", "upfirdn2d"):
        import_module(f"torch_utils.ops.{name}")._init()


def nvidia(folder: Path) -> Callable[[Size, int, str], Run]:
    """StyleGAN2 of NVIDIA's stylegan3 repository at `folder`, with its CUDA plugins, in float16."""

    @lru_cache(maxsize=1)
    def network(size: Size, device: str) -> Any:
        prepare_nvidia(folder)
        config = size.config
        generator = import_module("training.networks_stylegan2").Generator(
            z_dim=config.z_dim, c_dim=0, w_dim=config.w_dim, img_resolution=config.resolution, img_channels=3,
            mapping_kwargs={"num_layers": config.mapping_layers}, channel_base=config.channel_base,
            channel_max=config.channel_max, num_fp16_res=len(config.resolutions), conv_clamp=256,
        )  # fmt: skip
        return generator.eval().requires_grad_(False).to(device)

    def make(size: Size, batch: int, device: str) -> Run:
        generator, z = network(size, device), latents(size, batch, device)
        given = {"force_fp32": True} if device == "cpu" else {}
        return inference(lambda: generator(z, None, truncation_psi=PSI, noise_mode="const", **given))

    return make


def inference(run: Run) -> Run:
    """The callable in inference mode."""

    def wrapped() -> object:
        with torch.inference_mode():
            return run()

    return wrapped
