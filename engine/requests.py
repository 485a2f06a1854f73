"""What callers of `Engine` ask for, checked and turned into the inputs of a model.

Callers pass seeds, z, w or w+; a model takes z, w or w+ (`Artifact.input`). The mapping network of the file is applied
where the caller passes z and the model takes w or w+.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sgi.engine.artifact import Artifact
from sgi.engine.drawing import draw_ahead
from sgi.engine.errors import UserError, WrongTypeError, refuse_ignored
from sgi.engine.labels import labels_of, of_batches, of_seeds, one_class, one_label
from sgi.engine.mapping import MappingNetwork
from sgi.engine.rows import Rows
from sgi.engine.seeds import as_seeds, latents

LATER = ("w", "ws")
"""Latents after the mapping network and truncation."""


class Pass(NamedTuple):
    """The arguments of `Backend.run` for one pass."""

    latent: np.ndarray
    psi: float | None
    label: np.ndarray | None


class Requests:
    """Checks requests for one model.

    mapping: returns the mapping network of the model; raises UserError where there is none.
    """

    def __init__(self, artifact: Artifact, mapping: Callable[[], MappingNetwork]) -> None:
        self.artifact = artifact
        self.mapping = mapping

    def check(self, kind: str, psi: float, given: Mapping[str, object]) -> None:
        """Raise UserError where the model cannot take latents of a kind, before any of them is read.

        kind: seeds, z, w or ws. psi: truncation of the request. given: psi, class_index and labels as the caller passed
        them, which have no effect on w and ws.
        """
        takes = self.artifact.input
        if kind in LATER:
            refuse_ignored(given, f"on `{kind}`, which is after the mapping network and truncation; leave it out")
            if takes == "z":
                raise UserError(f"`{kind}`: the engine takes z; open the model with `input=w+`")
            if kind == "ws" and takes == "w":
                raise UserError("`ws`: the engine takes one w for all rows; pass `w`, or use a model that takes w+")
        elif takes != "z":
            has_equal_rows = self.mapping().has_equal_rows(psi)  # raises UserError for a file without a mapping network
            if takes == "w" and not has_equal_rows:
                raise UserError(
                    f"`{kind}`: with the cutoff {self.artifact.cutoff} of the model and psi {psi:g}, rows of w+ "
                    "differ, and the engine takes one w for all; open the model with `input=w+`"
                )

    def rows(self, kind: str, value: Any, class_index: Any = None, labels: ArrayLike | None = None) -> Rows:
        """The latents of a request.

        kind: seeds, z, w or ws. value: seeds as in `as_seeds`, or numbers [N, z_dim], [N, w_dim], [N, num_ws, w_dim].
        class_index, labels: see `labels_of`. Raises UserError for wrong seeds, shapes, numbers, classes and labels.
        """
        if kind == "seeds":
            latent = latents(as_seeds(value), self.artifact.z_dim)
            if not len(latent):
                raise UserError("`seeds` is empty: pass at least one seed")
            rows = Rows("z", np.ascontiguousarray(latent, np.float32))
        else:
            rows = Rows(kind, self._numbers(kind, value))
        if kind in LATER:
            return rows
        return replace(rows, label=labels_of(class_index, len(rows.latent), self.artifact.c_dim, labels))

    def passes(self, rows: Rows, psi: float, batch: int) -> Iterator[Pass]:
        """Inputs of passes of at most `batch` rows."""
        for start in range(0, len(rows.latent), batch):
            yield self._inputs(_sized(rows.part(start, start + batch), start, batch), psi)

    def passes_of_seeds(
        self, seeds: Sequence[int], psi: float, batch: int, class_index: Any, labels: Any
    ) -> Iterator[Pass]:
        """Inputs of passes of at most `batch` seeds, drawn ahead; class_index, labels: for all, or one for each."""
        classes = of_seeds("class_index", class_index, one_class(class_index), len(seeds))
        vectors = of_seeds("labels", labels, one_label(labels), len(seeds))

        def draw(start: int) -> Pass:
            part = slice(start, start + batch)
            rows = self.rows("seeds", seeds[part], classes(part), vectors(part))
            return self._inputs(_sized(rows, start, batch), psi)

        yield from draw_ahead(draw, range(0, len(seeds), batch))

    def passes_of_batches(
        self, kind: str, batches: Iterable[ArrayLike], psi: float, class_index: Any, labels: Any
    ) -> Iterator[Pass]:
        """Inputs of a pass for each batch; class_index, labels: for all images, or what belongs to each batch."""
        if not isinstance(batches, Iterable):
            raise WrongTypeError(
                "batches" if kind == "z" else kind, batches, "must be batches, such as a list of arrays"
            )
        classes, vectors = of_batches(class_index, one_class(class_index)), of_batches(labels, one_label(labels))
        for latent in batches:
            yield self._inputs(self.rows(kind, latent, next(classes, None), next(vectors, None)), psi)

    def _inputs(self, rows: Rows, psi: float) -> Pass:
        """What the model takes for rows; psi: truncation of z."""
        takes = self.artifact.input
        if takes == "z":
            return Pass(rows.latent, psi, rows.label)
        latent = self.mapping()(rows.latent, psi, rows.label) if rows.kind == "z" else rows.latent
        if takes == "w" and latent.ndim == 3:
            latent = np.ascontiguousarray(latent[:, 0])
        elif takes == "w+" and latent.ndim == 2:
            latent = np.repeat(latent[:, None], self.artifact.num_ws, axis=1)
        return Pass(latent, None, None)

    def _numbers(self, kind: str, value: ArrayLike) -> np.ndarray:
        artifact = self.artifact
        shape = {"z": (artifact.z_dim,), "w": (artifact.w_dim,), "ws": (artifact.num_ws, artifact.w_dim)}[kind]
        try:
            array = np.asarray(value)
        except ValueError:  # rows of different lengths
            array = np.empty(0, object)
        if array.dtype.kind not in "fiu":
            raise WrongTypeError(kind, value, "must be an array of numbers")
        if array.shape[1:] != shape or not len(array):
            wanted = ", ".join(map(str, ("N", *shape)))
            raise UserError(f"`{kind}` has shape {list(array.shape)}: the model needs [{wanted}] with N at least 1")
        with np.errstate(over="ignore"):
            latent = np.ascontiguousarray(array, np.float32)
        if not np.isfinite(latent).all():
            raise UserError(f"`{kind}` contains values that are not finite")
        return latent


def _sized(rows: Rows, start: int, batch: int) -> Rows:
    """The rows of a pass that begins at `start`.

    A new batch size makes some backends compile, so that a shorter pass after others is padded to their size.
    """
    return rows.padded(batch) if start else rows


def only_one(given: Mapping[str, object], names: str) -> tuple[str, Any]:
    """Name and value of the only parameter that is not None; raises UserError, naming `names`, for none and several."""
    found = [(name, value) for name, value in given.items() if value is not None]
    if len(found) != 1:
        raise UserError(f"pass {names}")
    return found[0]
