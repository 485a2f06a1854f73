"""The Python API of an exported model.

from sgi.engine import Engine
with Engine.open("depth.onnx") as engine:
    maps = engine(seeds=[0, 1])  # {"depth": [2, 1, R, R] float32, ...}
    for maps in engine.stream(seeds="0-9999", types="depth"):  # {"depth": [8, 1, R, R]}, batch by batch
        ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sgi.engine.arguments import check_batch, check_psi, names_of_types
from sgi.engine.artifact import Artifact
from sgi.engine.backends import AUTO, DEFAULT_BATCH, Backend, Mapped, open_backend
from sgi.engine.backends.passes import run_passes
from sgi.engine.errors import UserError
from sgi.engine.finite import NotFiniteError
from sgi.engine.in_flight import InFlight
from sgi.engine.labels import ClassIndex
from sgi.engine.mapping import MappingNetwork
from sgi.engine.progress import SILENT, Progress
from sgi.engine.requests import Pass, Requests, only_one
from sgi.engine.seeds import as_seeds

if TYPE_CHECKING:
    from sgi.engine.offsets import Offset
    from sgi.engine.writers.notebook import ShownMaps


class Engine:
    """A loaded model, which computes maps of seeds or latents.

    artifact: the description of the model: its types with ranges and meaning, resolution, z_dim, default psi, and what
    the engine takes (`artifact.input`).
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
        self._requests = Requests(self.artifact, cache(self._read_mapping))

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
        input: str | None = None,
    ) -> Engine:
        """Load an exported model; without `path`, the bundled one.

        backend: cpu, openvino, onnxruntime, tensorrt (for engines), the name of a plugin, or auto, the fastest of the
        installed ones that can run the model.
        device: cpu, cuda, tensorrt or auto. types: outputs to load, None for all. batch: images in one pass.
        threads: CPU threads, None for all cores. precision: bf16 is faster on CPUs that support it and precise enough
        for 8-bit pictures; None for the precision of the model. input: z, w or w+, what the engine takes; None for the
        input of the file. An .onnx file that takes z can be opened with w or w+; the engine then takes seeds and z too.

        Raises UserError for a file that is not an exported model, a type it does not have, a backend that is not
        installed, a device that is not available and an input that the file cannot take.
        """
        path = bundled_model() if path is None else path
        check_batch(batch)
        opened = open_backend(path, backend, device, types, batch, threads, precision=precision, input=input)
        return cls(opened, batch)

    @classmethod
    def from_generator(
        cls,
        generator: str | Path,
        offsets: Sequence[str | Path | Offset] = (),
        *,
        types: str | Sequence[str] | None = None,
        alpha: float = 1.0,
        psi: float | None = None,
        cutoff: int | None = None,
        noise_mode: str | None = None,
        backend: str = AUTO,
        device: str = AUTO,
        precision: str | None = None,
        batch: int = DEFAULT_BATCH,
        threads: int | None = None,
        input: str | None = None,
        cache: bool = True,
        progress: Progress = SILENT,
    ) -> Engine:
        """Load a generator with offsets, without an export by hand.

        generator: a generator file or a StyleGAN2 checkpoint of any format, or `bundled`. offsets: files, or `Offset`s.
        types, alpha, psi, cutoff, noise_mode: as for `sgi.export.export_model`. backend: triton, a backend of `open`,
        or auto: the Triton kernels on a GPU where they are installed, otherwise a backend of `open`, which runs an
        export. device, batch, threads: as for `open`. precision: on triton fp16, bf16 or fp32, None for fp16 on a GPU;
        otherwise as for `open`. input: z, w or w+, what the engine takes; None for z. cache: keep the export in the
        user's cache folder, and use a kept one. progress: receives the stages of an export, which takes up to minutes.

        Raises UserError as `open` does, for a file that is not a generator, offsets of another generator, and a cache
        that cannot be written.
        """
        from sgi.engine.generator_model import generator_source

        check_batch(batch)
        source = generator_source(
            generator, offsets, types=types, alpha=alpha, psi=psi, cutoff=cutoff, noise_mode=noise_mode,
            backend=backend, device=device, precision=precision, cache=cache, progress=progress,
        )  # fmt: skip
        engine = cls(source.open(backend, device, None, batch, threads, precision=precision, input=input), batch)
        if psi is not None:  # not in the exported file, which serves every psi
            engine.artifact = replace(engine.artifact, psi=check_psi(psi))
        return engine

    def __call__(
        self,
        seeds: str | int | Iterable[int] | None = None,
        *,
        z: ArrayLike | None = None,
        w: ArrayLike | None = None,
        ws: ArrayLike | None = None,
        psi: float | None = None,
        types: str | Sequence[str] | None = None,
        class_index: ClassIndex | None = None,
        labels: ArrayLike | None = None,
    ) -> dict[str, np.ndarray]:
        """Compute maps of any number of images, in passes of at most `batch`.

        Pass one of seeds, such as 5, [0, 1] or "0-5,9"; z: [N, z_dim]; w: [N, w_dim]; ws: [N, num_ws, w_dim]. w and ws
        need an engine that takes w or w+ (`open(input="w+")`).
        psi: truncation, None for the model's default. types: outputs to compute, None for all that were loaded.
        class_index: for a conditional model, one class for all images, one for each, or {class: weight}, whose label is
        the weighted sum of those of the classes. labels: instead of it, label vectors [N, c_dim], or [c_dim] for all.
        psi, class_index and labels are not allowed with w and ws, which are after truncation.

        Returns {type: [N, C, R, R] float32}; `artifact.types` contains the range and the meaning of the values.
        Raises UserError for wrong seeds, types, shapes, classes and labels.
        """
        given = {"seeds": seeds, "z": z, "w": w, "ws": ws}
        kind, value = only_one(given, "one of `seeds`, `z`, `w` and `ws`")
        truncation = self._check(kind, psi, class_index, labels)
        rows = self._requests.rows(kind, value, class_index, labels)
        if rows.label is not None:
            self._warn_of_class(types, np.flatnonzero(rows.label.any(axis=0)))
        starts = range(0, len(rows.latent), self.batch)
        passes = self._requests.passes(rows, truncation, self.batch)
        parts: list[dict[str, np.ndarray]] = []
        try:
            parts.extend(self._run(passes, types))
        except NotFiniteError as error:
            row = starts[len(parts)] + error.row
            what = f"row {row}" if seeds is None else f"seed {as_seeds(seeds)[row]}"
            raise NotFiniteError(error.type, row, what) from None
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts])[: len(rows.latent)] for name in parts[0]}

    def show(
        self,
        seeds: str | int | Iterable[int] | None = None,
        *,
        z: ArrayLike | None = None,
        w: ArrayLike | None = None,
        ws: ArrayLike | None = None,
        psi: float | None = None,
        types: str | Sequence[str] | None = None,
        class_index: ClassIndex | None = None,
        labels: ArrayLike | None = None,
    ) -> ShownMaps:
        """Compute maps and display them in a notebook, as a table of images by types.

        The arguments are those of a call, for at most 64 images. The maps are in `maps` of the result, and its
        `save(path)` writes a .png or .html file. Raises UserError as a call does, and for more images.
        """
        from sgi.engine.writers.notebook import ShownMaps, row_labels

        wanted = None if seeds is None else as_seeds(seeds)
        rows = row_labels({"seeds": wanted, "z": z, "w": w, "ws": ws}, class_index)
        maps = self(wanted, z=z, w=w, ws=ws, psi=psi, types=types, class_index=class_index, labels=labels)
        return ShownMaps(maps, [kind for kind in self.artifact.types if kind.name in maps], rows)

    def stream(
        self,
        batches: Iterable[ArrayLike] | None = None,
        *,
        seeds: str | int | Iterable[int] | None = None,
        w: Iterable[ArrayLike] | None = None,
        ws: Iterable[ArrayLike] | None = None,
        psi: float | None = None,
        types: str | Sequence[str] | None = None,
        class_index: ClassIndex | Iterable[ClassIndex] | None = None,
        labels: ArrayLike | Iterable[ArrayLike] | None = None,
        as_codes: bool = False,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Compute batch after batch; yields the maps of each, in order, with the memory of two batches.

        Pass one of batches, latents [N, z_dim], each N at most `batch`; w or ws, batches of [N, w_dim] or
        [N, num_ws, w_dim]; or seeds as in a call: the maps number i are those of seeds[i * batch : (i + 1) * batch]; an
        empty list yields nothing. psi, types: as in a call.
        class_index: one class or {class: weight} for all images; or, with seeds, the class of each seed; or, with
        batches, what belongs to each: a class, one for each row, or weights. labels: instead of it, [c_dim] for all
        images; or, with seeds, [N, c_dim]; or, with batches, an iterable of what belongs to each: [c_dim] or
        [rows, c_dim]. as_codes: yield the codes that PNG files store instead of values, {type: [N, R, R, C] uint8 or
        uint16}; see `sgi.engine.codes.codes`. A TensorRT engine, and Triton kernels on a GPU, compute a batch while the
        maps of the previous one are copied and used, so this reads one batch ahead. Triton kernels compute codes on the
        GPU, so that no values are copied.

        Raises UserError as a call does: for seeds, psi and types at once, for latents and classes at their batch.
        """
        given = {"z": batches, "seeds": seeds, "w": w, "ws": ws}
        kind, value = only_one(given, "one of `batches`, `seeds`, `w` and `ws`")
        truncation = self._check(kind, psi, class_index, labels)
        if class_index is None or isinstance(class_index, (int, np.integer, Sequence, Mapping)):
            self._warn_of_class(types, class_index)
        if kind == "seeds":
            wanted = as_seeds(value)
            passes = self._requests.passes_of_seeds(wanted, truncation, self.batch, class_index, labels)
            return self._stream_seeds(wanted, self._run(passes, types, as_codes))
        passes = self._requests.passes_of_batches(kind, value, truncation, class_index, labels)
        return self._run(passes, types, as_codes)

    def mapping(
        self,
        seeds: str | int | Iterable[int] | None = None,
        *,
        z: ArrayLike | None = None,
        psi: float | None = None,
        class_index: ClassIndex | None = None,
        labels: ArrayLike | None = None,
    ) -> np.ndarray:
        """w+ of seeds or z, after truncation: ws [N, num_ws, w_dim] float32.

        The arguments are those of a call. The rows that the model truncates are truncated by psi. An engine that takes
        w+ computes the maps of the result, also after it was changed. Raises UserError as a call does, and for a model
        without a mapping network: one that takes w or w+, and an engine file of TensorRT.
        """
        kind, value = only_one({"seeds": seeds, "z": z}, "either `seeds` or `z`")
        truncation = check_psi(self.artifact.psi if psi is None else psi)
        mapping = self._requests.mapping()
        rows = self._requests.rows(kind, value, class_index, labels)
        with self._passes:
            return mapping(rows.latent, truncation, rows.label)

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

    def _read_mapping(self) -> MappingNetwork:
        if not isinstance(self.backend, Mapped):
            raise UserError(
                f"the backend {self.backend.name} has no mapping network; open an .onnx file that takes z with another"
            )
        with self._passes:
            return self.backend.mapping()

    def _check(self, kind: str, psi: float | None, class_index: Any, labels: Any) -> float:
        """The truncation of a request, whose kind of latents the model can take."""
        given = {"psi": psi, "class_index": class_index, "labels": labels}
        truncation = check_psi(self.artifact.psi if psi is None else psi)
        self._requests.check(kind, truncation, given)
        return truncation

    def _run(
        self, passes: Iterable[Pass], types: str | Sequence[str] | None, as_codes: bool = False
    ) -> Iterator[dict[str, np.ndarray]]:
        chosen = None if types is None else self.artifact.choose_types(types)
        return run_passes(self.backend, self._passes, passes, chosen, as_codes)

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


def bundled_model() -> Path:
    """Path of the bundled model."""
    from sgi.engine import bundle

    return bundle.MODEL
