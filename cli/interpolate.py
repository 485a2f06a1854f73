"""`sgi-engine interpolate`: a walk from seed to seed, as a video or a folder of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import (
    OffsetFiles,
    Quiet,
    RunAlpha,
    RunBackend,
    RunCache,
    RunCutoff,
    RunDevice,
    RunGenerator,
    RunModel,
    RunNoise,
    Threads,
    Types,
)
from sgi.cli.progress import progress
from sgi.cli.terminal import echo
from sgi.engine.backends import AUTO, DEFAULT_BATCH


def interpolate(
    seeds: Annotated[str, typer.Option("--seeds", help="At least two, in the order of the walk, such as 0,5,9.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Video: .mp4, .mov, .mkv, .webm or .gif. A name without a suffix is a folder of PNG frames."
        ),
    ],
    frames: Annotated[int, typer.Option("--frames", min=2, help="Number of frames of the whole walk.")] = 240,
    model: RunModel = None,
    generator: RunGenerator = None,
    offsets: OffsetFiles = None,
    types: Types = None,
    psi: Annotated[float | None, typer.Option("--trunc", help="Truncation psi. Default: the model's.")] = None,
    alpha: RunAlpha = None,
    cutoff: RunCutoff = None,
    class_index: Annotated[
        str | None,
        typer.Option("--class", help="Class of a conditional model, or a mix of classes, as 3:0.7,5:0.3."),
    ] = None,
    noise_mode: RunNoise = None,
    space: Annotated[str, typer.Option("--space", help="w: a smooth curve in w. z: arcs in z.")] = "w",
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first seed, so that the video repeats.")] = False,
    fps: Annotated[float | None, typer.Option("--fps", help="Frames a second of a video. Default: 30.")] = None,
    crf: Annotated[
        int | None,
        typer.Option("--crf", help="Quality of a video, less is better. Default: 18 for H.264, 24 for .webm."),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option("--scale", min=1, help="Enlarge maps by this factor. Default: to at least 256 pixels."),
    ] = None,
    columns: Annotated[
        int | None, typer.Option("--columns", min=1, help="Maps side by side. Default: all in one row.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help=f"Images in one pass. Default: {DEFAULT_BATCH}.")
    ] = None,
    backend: RunBackend = AUTO,
    device: RunDevice = AUTO,
    threads: Threads = None,
    cache: RunCache = True,
    quiet: Quiet = False,
) -> None:
    """Walk from seed to seed and write the image beside its maps, as a video or as PNG frames.

    One frame of the walk shows each seed. Videos need the extra `video` (PyAV), frames do not. Depth is drawn in
    colours that span its range on the walk.
    """
    from sgi.engine.labels import parse_class
    from sgi.engine.walk import interpolate as walk

    with progress(quiet) as shown:
        report = walk(
            seeds, out=out, frames=frames, model=model, generator=generator, offsets=offsets or [], types=types,
            psi=psi, alpha=alpha, cutoff=cutoff, noise_mode=noise_mode,
            class_index=None if class_index is None else parse_class(class_index), space=space, loop=loop, fps=fps,
            crf=crf, scale=scale, columns=columns, batch=batch, backend=backend, device=device, threads=threads,
            cache=cache, progress=shown,
        )  # fmt: skip
    height, width = report.size
    echo(
        f"wrote {report.frames} frames of {width} x {height} pixels ({', '.join(report.types)}) in "
        f"{report.seconds:.1f} s: {report.frames / report.seconds:.1f} frames/s ({report.backend}, {report.device})"
    )
    echo(f"seeds at frames {', '.join(map(str, report.key_frames))}")
    echo(f"{'video' if report.out.is_file() else 'frames'}  {report.out}")
