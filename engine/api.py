"""The Python API of an exported model.

from sgi.engine import Engine
with Engine.open("depth.onnx") as engine:
    maps = engine(seeds=[0, 1])  # {"depth": [2, 1, R, R] float32, ...}
    for maps in engine.stream(seeds="0-9999", types="depth"):  # {"depth": [8, 1, R, R]}, batch by batch
        ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sgi.engine.arguments import check_batch, check_psi, names_of_types
from sgi.engine.artifact import Artifact
from sgi.engine.backends import AUTO, DEFAULT_BATCH, Backend, Coding, Overlapping, open_backend
from sgi.engine.backends.backend import pad_rows
from sgi.engine.backends.ports import check_codes, check_maps
from sgi.engine.codes import pixels_of
from sgi.engine.drawing import draw_ahead
from sgi.engine.errors import UserError, WrongTypeError
from sgi.engine.finite import NotFiniteError, check_finite
from sgi.engine.in_flight import InFlight
from sgi.engine.labels import ClassIndex, labels_of, of_batches, of_seeds, one_class, one_label
from sgi.engine.seeds import as_seeds, latents

Pass = tuple[np.ndarray, np.ndarray | None]
"""The inputs of a backend for one pass: z [N, z_dim] and label [N, c_dim]."""


class Engine:
    """A loaded model, which computes maps of seeds or latents.

    artifact: the description of the model: its types with ranges and meaning, resolution, z_dim, default psi.
    backend: the runtime. batch: largest number of images in one pass.

    Thread safety: any number of threads may share an engine, call it and stream from it, also while one of them closes
    it; each iterator of `stream` belongs to one thread. As a context manager it closes itself.
    NotFiniteError, a UserError, is raised where a model computes NaN or infinity. A warning names offsets that were
    fitted on another class than that of the images.
    """

    def __init__(self, backend: Backend, batch: int = DEFAULT_BATCH) -> None:
        self.backend = backend
        self.artifact: Artifact = backend.artifact
        self.batch = check_batch(batch)
        self._passes = InFlight("the engine is closed: open the model again")

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        backend: str = AUTO,
        device: str = AUTO,
        types: str | Iterable[str] | None = None,
        batch: int = DEFAULT_BATCH,
        threads: int | None = None,
        precision: str | None = None,
    ) -> Engine:
        """Load an exported model; without `path`, the bundled one.

        backend: openvino, onnxruntime, tensorrt (for engines), the name of a plugin, or auto, the faster installed one.
        device: cpu, cuda, tensorrt or auto. types: outputs to load, None for all. batch: images in one pass.
        threads: CPU threads, None for all cores. precision: bf16 is faster on CPUs that support it and precise enough
        for 8-bit pictures; None for the precision of the model.

        Raises UserError for a file that is not an exported model, a type it does not have, a backend that is not
        installed and a device that is not available.
        """
        path = bundled_model() if path is None else path
        check_batch(batch)
        return cls(open_backend(path, backend, device, types, batch, threads, precision=precision), batch)

    def __call__(
        self,
        seeds: str | int | Iterable[int] | None = None,
        *,
        z: ArrayLike | None = None,
        psi: float | None = None,
        types: str | Sequence[str] | None = None,
        class_index: ClassIndex | None = None,
        labels: ArrayLike | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute maps of any number of images, in passes of at most `batch`.

        Pass either seeds, such as 5, [0, 1] or "0-5,9", or z: [N, z_dim]. psi: truncation, None for the model's
        default. types: outputs to compute, None for all that were loaded.
        class_index: for a conditional model, one class for all images, one for each, or {class: weight}, whose label is
        the weighted sum of those of the classes. labels: instead of it, label vectors [N, c_dim], or [c_dim] for all.

        Returns {type: [N, C, R, R] float32}; `artifact.types` contains the range and the meaning of the values.
        Raises UserError for wrong seeds, types, shapes, classes and labels.
        """
        latent = self._latents(seeds, z)
        label = labels_of(class_index, len(latent), self.artifact.c_dim, labels)
        if label is not None:
            self._warn_of_class(types, np.flatnonzero(label.any(axis=0)))
        starts = range(0, len(latent), self.batch)
        parts: list[dict[str, np.ndarray]] = []
        try:
            parts.extend(self._run((self._pass(latent, label, start) for start in starts), psi, types))
        except NotFiniteError as error:
            row = starts[len(parts)] + error.row
            what = f"row {row}" if seeds is None else f"seed {as_seeds(seeds)[row]}"
            raise NotFiniteError(error.type, row, what) from None
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts])[: len(latent)] for name in parts[0]}

    def stream(
        self,
        batches: Iterable[ArrayLike] | None = None,
        *,
        seeds: str | int | Iterable[int] | None = None,
        psi: float | None = None,
        types: str | Sequence[str] | None = None,
        class_index: ClassIndex | Iterable[ClassIndex] | None = None,
        labels: ArrayLike | Iterable[ArrayLike] | None = None,
        as_codes: bool = False,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Compute batch after batch; yields the maps of each, in order, with the memory of two batches.

        Pass either batches, latents [N, z_dim], each N at most `batch`, or seeds as in a call: the maps number i are
        those of seeds[i * batch : (i + 1) * batch]; an empty list yields nothing. psi, types: as in a call.
        class_index: one class or {class: weight} for all images; or, with seeds, the class of each seed; or, with
        batches, what belongs to each: a class, one for each row, or weights. labels: instead of it, [c_dim] for all
        images; or, with seeds, [N, c_dim]; or, with batches, an iterable of what belongs to each: [c_dim] or
        [rows, c_dim]. as_codes: yield the codes that PNG files store instead of values, {type: [N, R, R, C] uint8 or
        uint16}; see `sgi.engine.codes.codes`. A TensorRT engine, and Triton kernels on a GPU, compute a batch while the
        maps of the previous one are copied and used, so this reads one batch ahead. Triton kernels compute codes on the
        GPU, so that no values are copied.

        Raises UserError as a call does: for seeds, psi and types at once, for latents and classes at their batch.
        """
        if (seeds is None) == (batches is None):
            raise UserError("pass either `batches` or `seeds`")
        if class_index is None or isinstance(class_index, (int, np.integer, Sequence, Mapping)):
            self._warn_of_class(types, class_index)
        if batches is None:
            wanted = as_seeds(seeds if seeds is not None else ())
            return self._stream_seeds(
                wanted, self._run(self._passes_of(wanted, class_index, labels), psi, types, as_codes)
            )
        return self._run(self._labelled(batches, class_index, labels), psi, types, as_codes)

    def close(self) -> None:
        """Free the model, after the passes that other threads run; a call that starts later raises UserError."""
        if self._passes.close():
            self.backend.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _warn_of_class(self, types: str | Sequence[str] | None, class_index: Any) -> None:
        if self.artifact.c_dim and class_index is not None:
            given = list(class_index) if isinstance(class_index, Mapping) else class_index
            classes = np.ravel(np.asarray(given, dtype=object)).tolist()
            with suppress(TypeError, ValueError):  # wrong classes are refused at their batch
                self.artifact.warn_of_class(names_of_types(types), classes, stacklevel=3)

    def _run(
        self,
        requests: Iterable[Pass],
        psi: float | None,
        types: str | Sequence[str] | None,
        as_codes: bool = False,
    ) -> Iterator[dict[str, np.ndarray]]:
        psi = self.artifact.psi if psi is None else psi
        chosen = None if types is None else self.artifact.choose_types(types)
        return self._maps(requests, check_psi(psi), chosen, as_codes)

    def _maps(
        self,
        requests: Iterable[Pass],
        psi: float,
        types: tuple[str, ...] | None,
        as_codes: bool,
    ) -> Iterator[dict[str, np.ndarray]]:
        start = self._start(as_codes)
        if start is None:
            for latent, label in requests:
                with self._passes:
                    maps = self.backend.run(latent, psi, label, types)
                yield self._checked(maps, len(latent), types, as_codes)
            return
        waiting: deque[tuple[Callable[[], dict[str, np.ndarray]], int]] = deque()
        for latent, label in requests:
            with self._passes:
                waiting.append((start(latent, psi, label, types), len(latent)))
                ready = _finish(waiting) if len(waiting) > 1 else None
            if ready:
                yield self._checked(*ready, types, as_codes)
        while waiting:
            with self._passes:
                ready = _finish(waiting)
            yield self._checked(*ready, types, as_codes)

    def _start(self, as_codes: bool) -> Callable[..., Callable[[], dict[str, np.ndarray]]] | None:
        """The method of the backend that starts a batch; None for a backend that has none."""
        if as_codes and isinstance(self.backend, Coding):
            return self.backend.start_codes
        return self.backend.start if isinstance(self.backend, Overlapping) else None

    def _checked(
        self, maps: dict[str, np.ndarray], rows: int, types: tuple[str, ...] | None, as_codes: bool
    ) -> dict[str, np.ndarray]:
        model = getattr(self.backend, "path", None) or f"backend {self.backend.name}"
        if as_codes and isinstance(self.backend, Coding):
            return check_codes(model, self.artifact, maps, rows, types)
        maps = check_maps(model, self.artifact, maps, rows, types)
        if not getattr(self.backend, "checks_finite", False):
            check_finite(maps)
        return {n: pixels_of(self.artifact.output(n), maps[n]) for n in maps} if as_codes else maps

    def _labelled(
        self,
        batches: Iterable[ArrayLike],
        class_index: ClassIndex | Iterable[ClassIndex] | None,
        labels: ArrayLike | Iterable[ArrayLike] | None,
    ) -> Iterator[Pass]:
        """Inputs of a backend for batches of latents."""
        classes, vectors = of_batches(class_index, one_class(class_index)), of_batches(labels, one_label(labels))
        for z in batches:
            latent = self._latents(None, z)
            yield latent, labels_of(next(classes, None), len(latent), self.artifact.c_dim, next(vectors, None))

    def _passes_of(self, seeds: Sequence[int], class_index: Any, labels: Any) -> Iterator[Pass]:
        """Inputs of a backend for seeds, `batch` at a time; the last pass is padded to that size."""
        classes = of_seeds("class_index", class_index, one_class(class_index), len(seeds))
        vectors = of_seeds("labels", labels, one_label(labels), len(seeds))
        starts = range(0, len(seeds), self.batch)
        drawn = draw_ahead((seeds[start : start + self.batch] for start in starts), self.artifact.z_dim)
        for start, latent in zip(starts, drawn, strict=True):
            part = slice(start, start + self.batch)
            label = labels_of(classes(part), len(latent), self.artifact.c_dim, vectors(part))
            missing = self.batch - len(latent) if start else 0
            yield pad_rows(latent, missing), None if label is None else pad_rows(label, missing)

    def _stream_seeds(
        self, seeds: Sequence[int], passes: Iterator[dict[str, np.ndarray]]
    ) -> Iterator[dict[str, np.ndarray]]:
        start = 0
        try:
            for maps in passes:
                yield {name: stack[: len(seeds) - start] for name, stack in maps.items()}
                start += self.batch
        except NotFiniteError as error:
            raise NotFiniteError(error.type, error.row, f"seed {seeds[start + error.row]}") from None

    def _pass(self, latent: np.ndarray, label: np.ndarray | None, start: int) -> Pass:
        stop = min(start + self.batch, len(latent))
        # A new batch size makes some backends compile: pad a shorter last pass with copies of its last row.
        missing = start + self.batch - stop if start else 0
        return pad_rows(latent[start:stop], missing), None if label is None else pad_rows(label[start:stop], missing)

    def _latents(self, seeds: str | int | Iterable[int] | None, z: ArrayLike | None) -> np.ndarray:
        if (seeds is None) == (z is None):
            raise UserError("pass either `seeds` or `z`")
        z_dim = self.artifact.z_dim
        latent = latents(as_seeds(seeds), z_dim) if seeds is not None else _numbers(z)
        if seeds is not None and not len(latent):
            raise UserError("`seeds` is empty: pass at least one seed")
        if latent.ndim != 2 or latent.shape[1] != z_dim or not len(latent):
            raise UserError(f"`z` has shape {list(latent.shape)}: the model needs [N, {z_dim}] with N at least 1")
        latent = np.ascontiguousarray(latent, np.float32)
        if not np.isfinite(latent).all():
            raise UserError("`z` contains values that are not finite")
        return latent


def _numbers(z: ArrayLike | None) -> np.ndarray:
    try:
        array = np.asarray(z)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "fiu":
        raise WrongTypeError("z", z, "must be an array of numbers")
    return array


def _finish(
    waiting: deque[tuple[Callable[[], dict[str, np.ndarray]], int]],
) -> tuple[dict[str, np.ndarray], int]:
    maps, rows = waiting.popleft()
    return maps(), rows


def bundled_model() -> Path:
    """Path of the bundled model."""
    from sgi.engine import bundle

    return bundle.MODEL
