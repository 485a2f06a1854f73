"""Write a walk through the latents of seeds: what `sgi-engine interpolate` does, with keyword arguments."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sgi.engine import intrinsics
from sgi.engine.api import Engine
from sgi.engine.arguments import check_path, check_positive, check_psi, check_text, check_threads
from sgi.engine.artifact import MAX_TYPES
from sgi.engine.backends import AUTO
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.files import check_writable
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.seeds import as_seeds, parse_seeds
from sgi.engine.walk.drawing import Drawing, default_scale
from sgi.engine.walk.engine_of import open_engine
from sgi.engine.walk.frame_folder import check_folder, folder_writer
from sgi.engine.walk.frame_maps import FrameMaps, W, Z
from sgi.engine.walk.video_file import SUFFIXES, check_size, check_video, video_writer
from sgi.engine.writers.display import Span, is_coloured, span_of

W_PLUS = "w+"
FRAMES, FPS = 240, 30.0
MOST_FRAMES, LARGEST_SCALE = 1 << 20, 1024
SAMPLED = 32
"""Frames whose maps give the span of the colours of depth."""


@dataclass(frozen=True)
class WalkReport:
    """The result of a walk.

    out: the video, or the folder of frames. frames: their number. size: height and width of a frame in pixels. types:
    the maps side by side in it. key_frames: the frame of each seed. seconds: time of computing, drawing and writing,
    without loading the model. backend, device: what ran the model.
    """

    out: Path
    frames: int
    size: tuple[int, int]
    types: tuple[str, ...]
    key_frames: tuple[int, ...]
    seconds: float
    backend: str
    device: str


def interpolate(
    seeds: str | Iterable[int],
    *,
    out: str | Path,
    frames: int = FRAMES,
    model: Engine | str | Path | None = None,
    generator: str | Path | None = None,
    offsets: Sequence[str | Path | Offset] = (),
    types: str | Iterable[str] | None = None,
    psi: float | None = None,
    alpha: float | None = None,
    cutoff: int | None = None,
    noise_mode: str | None = None,
    class_index: int | Mapping[int, float] | None = None,
    space: str = W,
    loop: bool = False,
    fps: float | None = None,
    crf: int | None = None,
    scale: int | None = None,
    columns: int | None = None,
    backend: str = AUTO,
    device: str = AUTO,
    threads: int | None = None,
    batch: int | None = None,
    cache: bool = True,
    progress: Progress = SILENT,
) -> WalkReport:
    """Write a walk from seed to seed as a video or a folder of frames, each with the maps of an image side by side.

    seeds: at least two, as "0,5,9" or a list; a seed may occur several times. out: a video, .mp4, .mov or .mkv (H.264),
    .webm (VP9) or .gif, which replaces an older one; or a folder, a name without a suffix, for frame000000.png and so
    on. frames: their number; each seed has one. model: an exported model, None for the bundled one, or an open Engine,
    whose input must be w+ for the space w; it stays open. generator: instead of a model, a generator file or StyleGAN2
    checkpoint, or `bundled`; offsets, alpha, cutoff, noise_mode and cache are then as for `Engine.from_generator`.
    types: maps of a frame; None for all of the model, or those of the offsets; "all" for all.
    psi: truncation, None for the model's own. noise_mode: of a model, the noise that it must have; None for any.
    class_index: as for a call of Engine. space: w, a cubic spline through the w+ of the seeds; or z, arcs between their
    z. loop: return to the first seed; the last frame comes before it.
    fps: frames a second, None for 30. crf: constant rate factor of the encoder, less is better and larger; None for 18
    (H.264) or 24 (VP9). scale: each pixel of a map is repeated so often along both axes; None enlarges maps to 256
    pixels. columns: maps in a row, None for all. backend, device, threads, batch: as for `Engine.open`.

    Depth is drawn in colours that span its least to its largest value in up to 32 frames of the walk.
    Raises UserError for arguments that the model or this machine cannot satisfy, where PyAV is missing, and where the
    files cannot be written. After an error or Ctrl-C there is no video; frames in a folder remain.
    """
    path, count = check_path(out, "out"), check_positive("frames", frames, MOST_FRAMES)
    keys = _several(seeds, count)
    check_text(space=space)
    if space not in (W, Z):
        raise UserError(f"`space={space}`: choose {W} or {Z}")
    columns = None if columns is None else check_positive("columns", columns, MAX_TYPES)
    scale = None if scale is None else check_positive("scale", scale, LARGEST_SCALE)
    psi = None if psi is None else check_psi(psi)
    threads = check_threads(threads)
    is_video = _check_out(path, count, fps, crf)
    opened = open_engine(
        model, generator, offsets, input=W_PLUS if space == W else None, types=types, psi=psi, alpha=alpha,
        cutoff=cutoff, noise_mode=noise_mode, class_index=class_index, cache=cache, progress=progress, backend=backend,
        device=device, threads=threads, batch=batch,
    )  # fmt: skip
    with opened as (engine, chosen):
        artifact = engine.artifact
        walk = FrameMaps(engine, keys, count, chosen, space, loop, psi, class_index)
        began = time.perf_counter()
        names = chosen or _loaded(walk)
        kinds = [kind for kind in artifact.types if kind.name in names]
        scale = scale or default_scale(artifact.resolution)
        drawing = Drawing(kinds, artifact.resolution, {}, scale, columns)
        if is_video:
            check_size(path, drawing.size)
        drawing = replace(drawing, spans=_spans(walk, kinds, count, progress))
        writer = video_writer(path, drawing.size, fps or FPS, crf, threads) if is_video else folder_writer(path)
        with progress.stage("frames", count) as stage, writer as append:
            for maps in walk.of(np.arange(count)):
                append(drawing.draw(maps))
                stage.advance()
        return WalkReport(
            path, count, drawing.size, tuple(kind.name for kind in kinds), tuple(walk.key_frames.tolist()),
            time.perf_counter() - began, engine.backend.name, engine.backend.device,
        )  # fmt: skip


def _several(seeds: str | Iterable[int], frames: int) -> list[int]:
    """The seeds of a walk in their order, also those that occur again; raises UserError for less than two."""
    if isinstance(seeds, str):
        parsed = parse_seeds(seeds)
        count = len(parsed) + parsed.duplicates
        _check_count(count, frames)
        return [seed for item in seeds.split(",") for seed in parse_seeds(item)]
    found = as_seeds(seeds)
    _check_count(len(found), frames)
    return list(found)


def _check_count(seeds: int, frames: int) -> None:
    if seeds < 2:
        raise UserError("`seeds`: a walk needs at least two, such as 0,5")
    if frames < seeds:
        raise UserError(f"`frames={frames}`: there are {seeds} seeds, and each needs a frame; choose at least {seeds}")


def _check_out(path: Path, frames: int, fps: float | None, crf: int | None) -> bool:
    """Whether the output is a video and not a folder; raises UserError for one that cannot be written."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        check_video(path, FPS if fps is None else fps, crf)
        check_writable(path)
        return True
    if suffix and not path.is_dir():
        raise UserError(f"`out={path}`: choose one of {', '.join(SUFFIXES)}, or a name without a suffix for a folder")
    refuse_ignored({"fps": fps, "crf": crf}, "on a folder of frames")
    check_writable(path, folder=True, make=True)
    check_folder(path, frames)
    return False


def _loaded(walk: FrameMaps) -> tuple[str, ...]:
    """Types that an engine was opened with, which only its maps tell."""
    return tuple(next(walk.of(np.arange(1))))


def _spans(walk: FrameMaps, kinds: Sequence[Intrinsic], frames: int, progress: Progress) -> dict[str, Span]:
    """The span of each type that is drawn in colours, from frames that are spread evenly over the walk."""
    coloured = [kind for kind in kinds if is_coloured(kind)]
    if not coloured:
        return {}
    chosen = np.unique(np.linspace(0, frames - 1, min(frames, SAMPLED)).round().astype(np.int64))
    found: dict[str, list[Span]] = {kind.name: [] for kind in coloured}
    with progress.stage("range of depth", len(chosen), "frames") as stage:
        for maps in walk.of(chosen):
            for kind in coloured:
                found[kind.name].append(span_of([intrinsics.encode(kind, maps[kind.name])]))
            stage.advance()
    return {name: (min(low for low, _ in spans), max(high for _, high in spans)) for name, spans in found.items()}
