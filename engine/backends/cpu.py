"""The C++ library of this project, from the package sgi-engine-cpu: it runs models on CPUs without another runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import sgi_cpu

from sgi.engine.artifact import METADATA_KEY, Artifact
from sgi.engine.backends.backend import UnsupportedModelError, inputs_of, load_error
from sgi.engine.errors import UserError
from sgi.engine.mapping import MappingNetwork, read_mapping
from sgi.engine.model_file import graph_sha256, read_model
from sgi.engine.onnx_wire import with_metadata

_ENGINES_KEPT = 4
_ARGUMENTS = {"label": "labels"}  # names of inputs of a model -> those of `sgi_cpu.Engine.run`, where they differ


class CpuBackend:
    """A model in the C++ library. The maps do not depend on the batch and the number of threads.

    runtime: version of the library, the instructions that it uses and its number of threads.
    A call that asks for other types than the model was opened with opens it again for them.
    """

    name = "cpu"
    _streams = 1

    def __init__(
        self,
        path: Path,
        artifact: Artifact,
        *,
        device: str,
        types: tuple[str, ...],
        batch: int,
        threads: int | None = None,
        precision: str | None = None,
    ) -> None:
        self.device = device
        self.artifact = artifact
        self.path = path
        self._types = types
        self._batch = batch
        self._threads = threads
        self._precision = precision
        self._engine = lru_cache(maxsize=_ENGINES_KEPT)(self._open)
        self.runtime = self._engine(types).runtime

    def run(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """See `Backend.run`."""
        chosen = self._types if types is None else self.artifact.choose_types(types)
        engine = self._engine(self._types if set(chosen) <= set(self._types) else chosen)
        inputs = inputs_of(self.artifact, latent, psi, label)
        truncation = inputs.pop("psi", None)
        try:
            return engine.run(
                **{_ARGUMENTS.get(name, name): value for name, value in inputs.items()},
                psi=None if truncation is None else float(truncation),
                types=chosen,
            )
        except sgi_cpu.Error as error:
            raise UserError(f"{self.path}: {error}") from None

    def mapping(self) -> MappingNetwork:
        """See `Mapped.mapping`."""
        return read_mapping(self.path)

    def close(self) -> None:
        """See `Backend.close`."""
        self._engine.cache_clear()

    def _open(self, types: tuple[str, ...]) -> sgi_cpu.Engine:
        try:
            return sgi_cpu.Engine(
                self._model(),
                types=types,
                threads=self._threads,
                batch=self._batch,
                precision=self._precision,
                streams=self._streams,
            )
        except sgi_cpu.UnsupportedError as error:
            raise UnsupportedModelError(str(error)) from None
        except sgi_cpu.ArgumentError as error:
            raise UserError(str(error)) from None
        except sgi_cpu.Error as error:
            read_model(self.path, self.artifact)  # its message, where it finds the same
            raise load_error(self.path, f"sgi-engine-cpu {sgi_cpu.__version__}", error) from None

    def _model(self) -> Path | bytes:
        """The file, or its bytes changed to take the input that the model is opened for, with a description of them."""
        if self.artifact.input == Artifact.read(self.path).input:
            return self.path
        model = read_model(self.path, self.artifact)
        artifact = self.artifact
        if artifact.graph_sha256 is not None:
            artifact = replace(artifact, graph_sha256=graph_sha256(model))
        return with_metadata(model, METADATA_KEY, artifact.to_json())
