"""The Triton backend: a generator file and its offsets, baked and run by the fused kernels.

On a CUDA device each batch size is one CUDA graph. On the CPU the same code runs the torch references or, with
TRITON_INTERPRET=1, Triton's interpreter; this is slow and meant for checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from sgi.engine.artifact import INPUTS, NOISE_MODES
from sgi.engine.backends.triton.cuda_graph import CudaGraph
from sgi.engine.backends.triton.fused_network import FusedNetwork, Selection
from sgi.engine.backends.triton.values import values
from sgi.engine.describe import describe_generator
from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, generator_sha256, load_generator
from sgi.engine.generator.offset_styles import tensors_of
from sgi.engine.mapping import MappingNetwork
from sgi.engine.offsets import Offset
from sgi.kernels.gpu import tune

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
# A captured graph keeps the activations of its batch size in memory.
GRAPHS_KEPT = 4


class TritonBackend:
    """A generator with baked offsets on the fused kernels; see `sgi.engine.backends.Backend`."""

    name = "triton"

    def __init__(
        self,
        generator: Generator,
        offsets: Mapping[str, Offset | None],
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise_mode: str = "const",
        precision: str = "fp16",
        device: str = "cuda",
        types: Sequence[str] | None = None,
        deterministic: bool = True,
        input: str = "z",
    ) -> None:
        """Pack a generator for one device.

        offsets: type -> offset, None for the plain image; the outputs have this order. psi, cutoff: default truncation.
        noise_mode: none or const. precision: fp16, bf16 or fp32, of weights and activations. device: cuda or cpu.
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
        self._types = self.artifact.choose_types(types)
        tensors = [tensors_of(offset, device) for offset in offsets.values()]
        self._network = FusedNetwork(generator.to(device), tensors, PRECISIONS[precision], noise_mode)
        self._deterministic = deterministic
        self._select = lru_cache(maxsize=None)(self._network.select)
        self._captured = lru_cache(maxsize=GRAPHS_KEPT)(self._capture)

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
        # The next call overwrites the outputs of a captured graph.
        with self._lock:
            outputs = self.run_on_device(latent, psi, label, types)
            # A copy on the CPU too, because the caller owns the arrays.
            return {name: value.to("cpu", copy=True).numpy() for name, value in outputs.items()}

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
        chosen = self._types if types is None else self.artifact.choose_types(types)
        given = (latent, self.artifact.psi if psi is None else psi, label)[: len(self.artifact.inputs)]
        inputs = [torch.as_tensor(v, dtype=torch.float32, device=self.device) for v in given if v is not None]
        with torch.inference_mode():
            if self.device == "cpu":
                return self._outputs(chosen, *inputs)
            return self._captured(chosen, len(latent))(*inputs)

    def close(self) -> None:
        """See `Backend.close`."""
        self._captured.cache_clear()
        self._select.cache_clear()
        del self._network

    def mapping(self) -> MappingNetwork:
        """See `Mapped.mapping`."""
        return self._network.packed_mapping.on_host(self.artifact.num_ws, self.artifact.cutoff)

    def _outputs(self, types: tuple[str, ...], *inputs: Tensor) -> dict[str, Tensor]:
        names = self.artifact.type_names
        selection = self._select(tuple(names.index(name) for name in types))
        raw = self._network.render(self._styles(selection, *inputs), selection)
        return {name: values(raw[k], self.artifact.output(name)) for k, name in enumerate(types)}

    def _styles(
        self, selection: Selection, latent: Tensor, psi: Tensor | None = None, label: Tensor | None = None
    ) -> Tensor:
        network = self._network
        if psi is not None:
            return network.styles(network.mapping(latent, label), psi, self.artifact.cutoff, selection)
        if self.artifact.input == "w+":
            return network.styles_of_rows(latent, selection)
        return network.styles(latent, torch.ones([], device=latent.device), 0, selection)

    def _capture(self, types: tuple[str, ...], batch: int) -> CudaGraph:
        shapes = [[batch if size is None else size for size in shape] for shape in self.artifact.inputs.values()]
        # psi is 1, the only input without rows.
        inputs = [(torch.zeros if shape else torch.ones)(shape, device=self.device) for shape in shapes]
        with tune.tuning(not self._deterministic):
            return CudaGraph(lambda *given: self._outputs(types, *given), tuple(inputs))
