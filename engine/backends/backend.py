"""The interface of a backend, and the checks that all backends share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.mapping import MappingNetwork


class UnsupportedModelError(UserError):
    """A model that a backend cannot run, while another may; with `backend=auto` the next one is opened."""


class Backend(Protocol):
    """A loaded model. Any number of threads may call `run` at once; `close` is called when no run is in progress.

    name: name of the backend. device: cpu, cuda or tensorrt. artifact: description of the model. An attribute `path`,
    the file of the model, is optional; messages name it. So is `checks_finite`: True where `run` itself raises
    NotFiniteError (`sgi.engine.finite`) for maps with values that are not finite. `open_backend` sets `remark` where a
    backend that `auto` prefers cannot run the model: which one, and why.

    A class that implements this is called as
    `Class(path, artifact, device=..., types=..., batch=..., threads=...)`, with `precision=...` where the caller passes
    one; `sgi.engine.backends.open_backend` describes the arguments. It reads an .onnx by
    `sgi.engine.model_file.read_model`, which changes a graph that takes z where `artifact.input` is w or w+. It raises
    UnsupportedModelError before any work for a model that another backend may run.
    """

    name: str
    device: str
    artifact: Artifact

    def run(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute one batch.

        latent: what the model takes, `artifact.inputs`: z [N, z_dim], w [N, w_dim] or ws [N, num_ws, w_dim], float32.
        psi: truncation. label: [N, c_dim] float32, None if and only if c_dim is 0. A model that takes w or w+ has
        neither: both are None or ignored.
        types: outputs to compute, None for those the backend was opened with.
        Returns {type: [N, C, R, R] float32}, arrays that later runs do not change.
        """
        ...

    def close(self) -> None:
        """Free the model; the backend cannot run any more."""
        ...


@runtime_checkable
class Overlapping(Backend, Protocol):
    """A backend that computes a batch while the maps of the previous one are copied to the host and used there."""

    def start(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> Callable[[], dict[str, np.ndarray]]:
        """Start one batch, with the arguments of `run`; returns a function that waits for its maps and returns them.

        Two batches overlap. A third waits until the maps of the first are on the host, where they are kept. A backend
        with an attribute `ahead` takes that many batches and one more before the maps of the first are used.
        """
        ...


@runtime_checkable
class Coding(Backend, Protocol):
    """A backend that computes the codes of PNG files on its device, so that no values are copied to the host."""

    def start_codes(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> Callable[[], dict[str, np.ndarray]]:
        """Start one batch as `Overlapping.start` does; the function returns {type: codes [N, R, R, C]}.

        The codes are those of `sgi.engine.codes.codes` of the maps that `run` returns, to the bit. The function raises
        NotFiniteError for a map with values that are not finite.
        """
        ...


class DeviceMap(Protocol):
    """Maps of one type on a device, which DLPack passes to torch, CuPy, JAX and others: [N, C, R, R] float32."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __dlpack__(self, *, stream: Any = None) -> Any: ...

    def __dlpack_device__(self) -> Any: ...


@runtime_checkable
class OnDevice(Backend, Protocol):
    """A backend that can leave its maps on the device."""

    def run_on_device(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> Mapping[str, DeviceMap]:
        """Compute one batch, with the arguments of `run`, and leave the maps on the device.

        A backend may use their memory again in the next run of the same N and types.
        """
        ...


@runtime_checkable
class Mapped(Backend, Protocol):
    """A backend that has the weights of the model's mapping network."""

    def mapping(self) -> MappingNetwork:
        """The network from z to w+; raises UserError for a file that has none."""
        ...


def inputs_of(
    artifact: Artifact, latent: np.ndarray, psi: float | None, label: np.ndarray | None
) -> dict[str, np.ndarray]:
    """The inputs of a model, name -> array, from the arguments of `Backend.run`."""
    values = {"psi": np.array(artifact.psi if psi is None else psi, np.float32), "label": label}
    found: dict[str, np.ndarray] = {}
    for i, name in enumerate(artifact.inputs):
        value = values[name] if i else latent
        if value is not None:
            found[name] = value
    return found


def load_error(path: Path, runtime: str, error: Exception) -> UserError:
    """The UserError for an exception that a runtime raised while it loaded a model."""
    reason = " ".join(str(error).split())[:200]
    return UserError(f"{path}: {runtime} cannot load it ({reason}); export it again, or choose another `backend`")
