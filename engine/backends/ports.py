"""The inputs and outputs of a loaded model and the maps of a batch, compared with the model's description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.codes import dtype_of
from sgi.engine.errors import UserError, one_line

_REMEDY = "export it again with `sgi-engine export`"


@dataclass(frozen=True)
class Port:
    """An input or output of a loaded model.

    dtype: `float32`, or the runtime's name of another type. shape: sizes; None for one that is not fixed.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{one_line(self.dtype, 40)} [{', '.join('?' if size is None else str(size) for size in self.shape)}]"


def check_ports(
    model: object, artifact: Artifact, inputs: Iterable[Port], outputs: Iterable[Port], types: Sequence[str]
) -> None:
    """Raise UserError unless a loaded model has the inputs of its description and outputs for `types`.

    model: its file. A size that is not fixed matches any: the batch is not, and a runtime may not infer the others.
    """
    wanted = artifact.inputs
    found = {port.name: port for port in inputs}
    for name, shape in wanted.items():
        _check(model, f"input {name}", found.get(name), shape)
    if extra := sorted(set(found) - set(wanted)):
        raise UserError(
            f"{model}: its inputs differ from its description, which has no input {one_line(extra[0], 60)}; {_REMEDY}"
        )
    found = {port.name: port for port in outputs}
    for name in types:
        _check(model, f"output {name}", found.get(name), (None, *_map_shape(artifact, name)))


def check_maps(
    model: object, artifact: Artifact, maps: Mapping[str, Any], rows: int, types: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """The maps of a batch; raises UserError unless each is [rows, C, R, R] float32 of its description.

    model: its file. types: those that the batch must have, None for any of the model's.
    """
    return _check_arrays(model, artifact, maps, types, lambda name: (np.float32, (rows, *_map_shape(artifact, name))))


def check_codes(
    model: object, artifact: Artifact, maps: Mapping[str, Any], rows: int, types: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """The codes of a batch; raises UserError unless each is [rows, R, R, C] uint8 or uint16 of its description.

    model, types: as for `check_maps`.
    """

    def expected(name: str) -> tuple[Any, tuple[int, ...]]:
        channels, *sides = _map_shape(artifact, name)
        return dtype_of(artifact.output(name)), (rows, *sides, channels)

    return _check_arrays(model, artifact, maps, types, expected)


def _check_arrays(
    model: object,
    artifact: Artifact,
    maps: Mapping[str, Any],
    types: Sequence[str] | None,
    expected: Callable[[str], tuple[Any, tuple[int, ...]]],
) -> dict[str, np.ndarray]:
    """The arrays of `types`; raises UserError unless each has the dtype and shape that are expected of its name."""
    for name in types if types is not None else maps:
        value = maps.get(name)
        dtype, shape = expected(name) if name in artifact.type_names else (None, None)
        if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape != shape:
            kind = f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
            wanted = "no such output" if shape is None else f"{np.dtype(dtype)} {list(shape)}"
            raise UserError(
                f"{model}: its output {one_line(name, 60)} is {kind}, and its description gives {wanted}; {_REMEDY}"
            )
    return {name: maps[name] for name in (types if types is not None else maps)}


def check_map_port(model: object, artifact: Artifact, port: Port, rows: int) -> None:
    """Raise UserError unless a map of `rows` rows that is on a device has the shape and type of its description."""
    _check(model, f"output {port.name}", port, (rows, *_map_shape(artifact, port.name)))


def _map_shape(artifact: Artifact, name: str) -> tuple[int, int, int]:
    return artifact.output(name).channels, artifact.resolution, artifact.resolution


def _check(model: object, what: str, port: Port | None, shape: tuple[int | None, ...]) -> None:
    if port is None:
        raise UserError(f"{model}: it has no {what}, which its description gives; {_REMEDY}")
    fits = len(port.shape) == len(shape) and all(
        given is None or size is None or given == size for given, size in zip(port.shape, shape, strict=True)
    )
    if port.dtype != "float32" or not fits:
        expected = Port(port.name, "float32", shape)
        raise UserError(f"{model}: its {what} is {port}, and its description gives {expected}; {_REMEDY}")
