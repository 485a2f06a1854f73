"""The engine of a walk: an open one, or that of an exported model or a generator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sgi.engine.api import Engine, bundled_model
from sgi.engine.arguments import check_batch, check_path, check_text, names_of_types
from sgi.engine.artifact import Artifact
from sgi.engine.backends import AUTO, DEFAULT_BATCH
from sgi.engine.errors import refuse_ignored
from sgi.engine.generator_model import check_model_or_generator
from sgi.engine.labels import labels_of
from sgi.engine.offsets import Offset
from sgi.engine.progress import Progress


@contextmanager
def open_engine(
    model: Engine | str | Path | None,
    generator: str | Path | None,
    offsets: Sequence[str | Path | Offset],
    *,
    input: str | None,
    types: str | Iterable[str] | None,
    psi: float | None,
    alpha: float | None,
    cutoff: int | None,
    noise_mode: str | None,
    class_index: int | Mapping[int, float] | None,
    cache: bool,
    progress: Progress,
    backend: str,
    device: str,
    threads: int | None,
    batch: int | None,
) -> Iterator[tuple[Engine, tuple[str, ...] | None]]:
    """A context with the engine and the types to draw, None for those that an open engine was opened with.

    An engine that is opened here takes `input` and is closed at the end. The other arguments are those of
    `interpolate`. Raises UserError for arguments that the model cannot satisfy, and for those that have no effect.
    """
    check_text(backend=backend, device=device, noise_mode=noise_mode)
    check_model_or_generator(
        model, generator, backend=backend, offsets=offsets, alpha=alpha, cutoff=cutoff, cache=cache
    )  # fmt: skip
    if isinstance(model, Engine):
        chosen = {"backend": backend, "device": device}
        settings = {name: None if value == AUTO else value for name, value in chosen.items()}
        refuse_ignored({**settings, "threads": threads, "batch": batch}, "on an open Engine, which has its own")
        labels_of(class_index, 1, model.artifact.c_dim)
        if noise_mode is not None:
            model.artifact.check_noise_mode(noise_mode)
        yield model, None if types is None else model.artifact.choose_types_or_all(types)
        return
    size = DEFAULT_BATCH if batch is None else check_batch(batch)
    if generator is not None:
        opened = Engine.from_generator(
            generator, offsets, types=names_of_types(types), alpha=1.0 if alpha is None else alpha, psi=psi,
            cutoff=cutoff, noise_mode=noise_mode, backend=backend, device=device, batch=size, threads=threads,
            input=input, cache=cache, progress=progress,
        )  # fmt: skip
        with opened as engine:
            labels_of(class_index, 1, engine.artifact.c_dim)
            yield engine, engine.artifact.type_names
        return
    path = bundled_model() if model is None else check_path(model, "model")
    artifact = Artifact.read(path)
    if noise_mode is not None:
        artifact.check_noise_mode(noise_mode)
    names = artifact.choose_types_or_all(types)
    labels_of(class_index, 1, artifact.c_dim)
    with Engine.open(path, backend, device, names, size, threads, input=input) as engine:
        yield engine, names
