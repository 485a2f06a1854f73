"""Opening a live model: an exported file, or a generator with offsets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sgi.engine import bundle, intrinsics
from sgi.engine.api import Engine, bundled_model
from sgi.engine.artifact import Artifact
from sgi.engine.backends import AUTO
from sgi.engine.generator_model import BUNDLED, ExportedModel, ModelSource, check_model_or_generator, generator_source
from sgi.engine.live.live_model import LiveModel
from sgi.engine.offsets import Offset, as_offsets
from sgi.engine.progress import SILENT, Progress


def open_live(
    model: str | Path | None = None,
    generator: str | Path | None = None,
    offsets: Sequence[str | Path | Offset] = (),
    *,
    backend: str = AUTO,
    device: str = AUTO,
    threads: int | None = None,
    precision: str | None = None,
    batch: int = 1,
    cache: bool = True,
    progress: Progress = SILENT,
) -> LiveModel:
    """Open an exported model, or a generator with offsets, or without both the bundled model.

    The maps of a generator are the image and those of its offsets. batch: images in one pass. The other arguments are
    those of `Engine.open` and `Engine.from_generator`, which say what is raised.
    """
    check_model_or_generator(model, generator, backend=backend, offsets=offsets, cache=cache)
    source: ModelSource
    if generator is None:
        source = ExportedModel(bundled_model() if model is None else model)
        known = _bundled_offsets(source.artifact)
    else:
        loaded = [item if isinstance(item, Offset) else Offset.load(item) for item in as_offsets(offsets)]
        source = generator_source(
            generator, loaded, types=[intrinsics.IMAGE] if not loaded and generator != BUNDLED else ["all"],
            backend=backend, device=device, precision=precision, cache=cache, progress=progress,
        )  # fmt: skip
        known = _bundled_offsets(source.artifact) | _matching(source.artifact, loaded)
    kinds = source.latent_sizes.kinds
    takes = "w+" if "w+" in kinds or source.artifact.input == "w+" else kinds[0]
    opened = source.open(backend, device, None, batch, threads, images=1, precision=precision, input=takes)
    return LiveModel(source, Engine(opened, batch), known)


def _matching(artifact: Artifact, offsets: Sequence[Offset]) -> dict[str, Offset]:
    """Those of `offsets` that the model contains as they are."""
    return {
        offset.type: offset
        for offset in offsets
        if artifact.offsets.get(offset.type, {}).get("sha256") == offset.sha256
    }


def _bundled_offsets(artifact: Artifact) -> dict[str, Offset]:
    files = [bundle.offset(name) for name in artifact.offsets]
    return _matching(artifact, [Offset.load(path) for path in files if path.exists()])
