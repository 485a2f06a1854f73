"""The Triton backend: a generator file and its offsets, baked and run by the fused kernels.

On a CUDA device each batch size is one CUDA graph. On the CPU the same code runs the torch references or, with
TRITON_INTERPRET=1, Triton's interpreter; this is slow and meant for checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from sgi.engine.artifact import INPUTS, NOISE_MODES
from sgi.engine.backends.triton.cuda_graph import CudaGraph
from sgi.engine.backends.triton.device_codes import device_codes
from sgi.engine.backends.triton.fused_network import FusedNetwork, Selection
from sgi.engine.backends.triton.host_copies import CpuQueue, CudaQueue, HostCopies
from sgi.engine.backends.triton.values import values
from sgi.engine.codes import pixels_of, steps
from sgi.engine.describe import describe_generator
from sgi.engine.errors import UserError
from sgi.engine.finite import NotFiniteError
from sgi.engine.generator import Generator, generator_sha256, load_generator
from sgi.engine.generator.offset_styles import tensors_of
from sgi.engine.generator.stored_noise import with_noise
from sgi.engine.mapping import MappingNetwork
from sgi.engine.offsets import Offset
from sgi.kernels.gpu import tune
from sgi.kernels.gpu.dispatch import interpreted

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
# A captured graph keeps the activations of its batch size in memory.
GRAPHS_KEPT = 4
# Name of an output beside the maps, which no type has: sums [K, N] of values, not finite where a value is not. Values
# are inside their range, at most 1e30, so finite ones have finite sums.
_SUMS = "sums of values"


class TritonBackend:
    """A generator with baked offsets on the fused kernels; see `sgi.engine.backends.Backend`.

    It is also `Overlapping`, `Coding` and `OnDevice`: while a batch is computed, the maps or codes of the previous one
    are copied to page-locked memory, which the returned arrays own.
    """

    name = "triton"
    checks_finite = True

    def __init__(
        self,
        generator: Generator,
        offsets: Mapping[str, Offset | None],
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise_mode: str = "const",
        noise_seed: int | None = None,
        precision: str = "fp16",
        device: str = "cuda",
        types: Sequence[str] | None = None,
        deterministic: bool = True,
        input: str = "z",
    ) -> None:
        """Pack a generator for one device.

        offsets: type -> offset, None for the plain image; the outputs have this order. psi, cutoff: default truncation.
        noise_mode: none or const. noise_seed: use noise drawn from this seed in place of the generator's.
        precision: fp16, bf16 or fp32, of weights and activations. device: cuda or cpu.
        types: outputs that `run` computes by default, None for all.
        deterministic: block shapes from the cost model, so that two runs agree to the bit; False measures them on the
        GPU, once per shape. input: what `run` takes, z, w or w+. Raises UserError for an offset of another generator, a
        missing CUDA device and an unknown precision, noise mode, type or input.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise UserError("`device=cuda`: torch finds no CUDA device; use `device=cpu`")
        if precision not in PRECISIONS:
            raise UserError(f"`precision={precision}`: choose from {', '.join(PRECISIONS)}")
        if noise_mode not in NOISE_MODES:
            raise UserError(f"`noise_mode={noise_mode}`: choose from {', '.join(NOISE_MODES)}")
        if input not in INPUTS:
            raise UserError(f"`input={input}`: choose from {', '.join(INPUTS)}")
        self.device = device
        self._lock = Lock()
        self.artifact = describe_generator(
            generator.config,
            generator_sha256(generator),
            offsets,
            psi=psi,
            cutoff=cutoff,
            noise_mode=noise_mode,
            precision=precision,
            input=input,
        )
        if noise_seed is not None:
            self.artifact = replace(self.artifact, generator={**self.artifact.generator, "noise_seed": noise_seed})
            generator = with_noise(generator, noise_seed)
        self._types = self.artifact.choose_types(types)
        tensors = [tensors_of(offset, device) for offset in offsets.values()]
        self._network = FusedNetwork(generator.to(device), tensors, PRECISIONS[precision], noise_mode)
        self._deterministic = deterministic
        self._select = lru_cache(maxsize=None)(self._network.select)
        self._copies = HostCopies(CudaQueue() if device == "cuda" else CpuQueue())
        self._captured = lru_cache(maxsize=GRAPHS_KEPT)(self._capture)

    @property
    def way(self) -> str:
        """What runs the network: the kernels, Triton's interpreter, or the kernels' torch references."""
        if self.device == "cuda":
            return "the kernels"
        return "Triton's interpreter" if interpreted() else "the kernels' torch references"

    @classmethod
    def load(cls, path: str | Path, offsets: Mapping[str, str | Path | None], **options: object) -> TritonBackend:
        """Open a generator file and offset files, type -> path (None: the plain image).

        options: keyword arguments of the constructor. Raises UserError for an offset file of another type.
        """
        loaded = {name: None if file is None else Offset.load(file) for name, file in offsets.items()}
        for name, offset in loaded.items():
            if offset is not None and offset.type != name:
                raise UserError(f"{offsets[name]}: the offset has type {offset.type}, not {name}")
        return cls(load_generator(path), loaded, **options)  # type: ignore[arg-type]

    def run(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """See `Backend.run`."""
        return self.start(latent, psi, label, types)()

    def start(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> Callable[[], dict[str, np.ndarray]]:
        """See `Overlapping.start`; on the CPU the batch is computed before this returns."""
        return self._start(latent, psi, label, types, as_codes=False)

    def start_codes(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> Callable[[], dict[str, np.ndarray]]:
        """See `Coding.start_codes`; on the CPU the batch is computed before this returns."""
        kinds = [self.artifact.output(name) for name in self._chosen(types)]
        if all(steps(kind) for kind in kinds):
            return self._start(latent, psi, label, types, as_codes=True)
        maps = self.start(latent, psi, label, types)
        return lambda: {name: pixels_of(self.artifact.output(name), stack) for name, stack in maps().items()}

    def _start(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None,
        types: Sequence[str] | None,
        as_codes: bool,
    ) -> Callable[[], dict[str, np.ndarray]]:
        # The next call overwrites the outputs of a captured graph.
        with self._lock:
            copied = self._copies.start(self._compute(latent, psi, label, self._chosen(types), as_codes))

        def finish() -> dict[str, np.ndarray]:
            maps = dict(copied())
            _check_sums(maps.pop(_SUMS), tuple(maps))
            return maps

        return finish

    def run_on_device(
        self,
        latent: np.ndarray | Tensor,
        psi: float | None,
        label: np.ndarray | Tensor | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """See `OnDevice.run_on_device`; latent and label can also be tensors on any device.

        On CUDA the tensors belong to a captured graph: the next call with the same N and types overwrites them.
        """
        outputs = self._compute(latent, psi, label, self._chosen(types), as_codes=False)
        return {name: output for name, output in outputs.items() if name != _SUMS}

    def _chosen(self, types: Sequence[str] | None) -> tuple[str, ...]:
        return self._types if types is None else self.artifact.choose_types(types)

    def _compute(
        self,
        latent: np.ndarray | Tensor,
        psi: float | None,
        label: np.ndarray | Tensor | None,
        types: tuple[str, ...],
        as_codes: bool,
    ) -> dict[str, Tensor]:
        given = (latent, self.artifact.psi if psi is None else psi, label)[: len(self.artifact.inputs)]
        inputs = [_on_device(value, self.device) for value in given if value is not None]
        with torch.inference_mode():
            if self.device == "cpu":
                return self._outputs(types, as_codes, *inputs)
            return self._captured(types, as_codes, len(latent))(*inputs)

    def close(self) -> None:
        """See `Backend.close`."""
        self._captured.cache_clear()
        self._select.cache_clear()
        del self._network

    def mapping(self) -> MappingNetwork:
        """See `Mapped.mapping`."""
        return self._network.packed_mapping.on_host(self.artifact.num_ws, self.artifact.cutoff)

    def _outputs(self, types: tuple[str, ...], as_codes: bool, *inputs: Tensor) -> dict[str, Tensor]:
        names = self.artifact.type_names
        selection = self._select(tuple(names.index(name) for name in types))
        raw = self._network.render(self._styles(selection, *inputs), selection)
        kinds = [self.artifact.output(name) for name in types]
        maps = [values(raw[k], kind) for k, kind in enumerate(kinds)]
        found = [device_codes(stack, kind) if as_codes else stack for stack, kind in zip(maps, kinds, strict=True)]
        sums = torch.stack([stack.sum((1, 2, 3)) for stack in maps])
        return {**dict(zip(types, found, strict=True)), _SUMS: sums}

    def _styles(
        self, selection: Selection, latent: Tensor, psi: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        network = self._network
        if psi is not None:
            return network.styles(network.mapping(latent, label), psi, self.artifact.cutoff, selection)
        if self.artifact.input == "w+":
            return network.styles_of_rows(latent, selection)
        return network.styles(latent, torch.ones([], device=latent.device), 0, selection)

    def _capture(self, types: tuple[str, ...], as_codes: bool, batch: int) -> CudaGraph:
        shapes = [[batch if size is None else size for size in shape] for shape in self.artifact.inputs.values()]
        # psi is 1, the only input without rows.
        inputs = [(torch.zeros if shape else torch.ones)(shape, device=self.device) for shape in shapes]
        with tune.tuning(not self._deterministic):
            return CudaGraph(lambda *given: self._outputs(types, as_codes, *given), tuple(inputs))


def _on_device(value: np.ndarray | Tensor | float, device: str) -> Tensor:
    """A float32 tensor on the device; numbers and arrays are copied without waiting for the work of the device."""
    if isinstance(value, float | int):
        return torch.full([], value, dtype=torch.float32, device=device)
    tensor = torch.as_tensor(value, dtype=torch.float32)
    if device == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _check_sums(sums: np.ndarray, types: Sequence[str]) -> None:
    """Raise NotFiniteError for the first map whose sum [K, N] is not finite."""
    for kind, row in np.argwhere(~np.isfinite(sums))[:1]:
        raise NotFiniteError(types[kind], int(row))
