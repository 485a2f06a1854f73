"""`sgi-engine run`: the maps of seeds or latents as files."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgi.cli.options import (
    ClassIndices,
    Json,
    MapFormat,
    OffsetFiles,
    Preview,
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
    folder_or_url,
)
from sgi.cli.progress import progress
from sgi.cli.run_report import show_interruption, show_report
from sgi.cli.termination import termination
from sgi.engine.backends import AUTO, DEFAULT_BATCH
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.shards import SHARD_FORMATS

if TYPE_CHECKING:
    from sgi.engine.cluster import RayCluster

PANELS = {
    "What to compute": (
        "seeds", "seeds_file", "latents", "latents_kind", "mix_seed", "mix_rows", "types", "psi", "class_index",
    ),
    "Model": ("model", "generator", "offsets", "alpha", "cutoff", "noise_mode", "cache"),
    "Files": (
        "outdir", "file_format", "shard_size", "dtype", "compression", "digits", "seeds_per_folder", "preview",
        "verify",
    ),
    "Speed": ("backend", "device", "precision", "batch", "threads"),
    "Several machines": ("shard", "cluster", "workers", "worker_cpus", "worker_gpus"),
}  # fmt: skip


def _compressions() -> str:
    """The compressions of the formats that have a choice."""
    offered = {name: form.compressions for name, form in SHARD_FORMATS.items() if len(form.compressions) > 1}
    return "; ".join(f"{name}: {', '.join(names)}" for name, names in offered.items())


def run(
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Seeds and inclusive ranges, such as 0-999 or 0-5,9.")
    ] = None,
    seeds_file: Annotated[
        Path | None,
        typer.Option(
            "--seeds-file", help="File of seeds and ranges, in lines or with commas or spaces; # is a comment."
        ),
    ] = None,
    latents: Annotated[
        list[Path] | None,
        typer.Option(
            "--latents",
            metavar="FILE...",
            help="Instead of seeds, files of z, w or w+: .npz of NVIDIA's projector, .npy, or what `invert` writes.",
        ),
    ] = None,
    more_latents: Annotated[list[Path] | None, typer.Argument(metavar="FILE", hidden=True)] = None,
    latents_kind: Annotated[
        str | None, typer.Option("--latents-kind", help="z, w or w+, where the file leaves it open.")
    ] = None,
    mix_seed: Annotated[
        str | None,
        typer.Option(
            "--mix-seeds",
            help="Style mixing: seeds that give rows of w+ to every seed. Of several, each has a folder mix000100, ...",
        ),
    ] = None,
    mix_rows: Annotated[
        str | None, typer.Option("--mix-rows", help="Rows of w+ that are those of the mix seed, such as 8-13.")
    ] = None,
    model: RunModel = None,
    generator: RunGenerator = None,
    offsets: OffsetFiles = None,
    types: Types = None,
    outdir: Annotated[
        Any,
        typer.Option(
            "--outdir",
            parser=folder_or_url,
            metavar="FOLDER or URL",
            help="Folder for the maps; for shards also a URL such as s3://bucket/pairs. A run there is continued.",
        ),
    ] = Path("out"),
    psi: Annotated[float | None, typer.Option("--trunc", help="Truncation psi. Default: the model's.")] = None,
    alpha: RunAlpha = None,
    cutoff: RunCutoff = None,
    class_index: ClassIndices = None,
    noise_mode: RunNoise = None,
    file_format: MapFormat = "png",
    batch: Annotated[
        int | None,
        typer.Option("--batch", min=1, help=f"Images in one pass. Default: the folder's, or {DEFAULT_BATCH}."),
    ] = None,
    backend: RunBackend = AUTO,
    device: RunDevice = AUTO,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="bf16: faster on CPUs that support it, precise to 8 bits. Default: the model's. On triton: fp16, bf16 "
            "or fp32. Default: fp16 on a GPU, fp32 on a CPU.",
        ),
    ] = None,
    threads: Threads = None,
    shard: Annotated[
        str,
        typer.Option(
            "--shard",
            help="k/n: only part k of n of the seeds, or of the shards, counted from 1; `verify` merges them.",
        ),
    ] = "1/1",
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="auto|ray://HOST:PORT",
            help="Make the shards on workers of a Ray cluster. auto: that of RAY_ADDRESS or of this machine, or a new "
            "one.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Workers. Default: as many as the cluster has room for.")
    ] = None,
    worker_cpus: Annotated[
        float | None,
        typer.Option("--worker-cpus", help="CPU cores of a worker, or a fraction. Default: 1, or its share of a GPU."),
    ] = None,
    worker_gpus: Annotated[
        float | None,
        typer.Option("--worker-gpus", help="GPUs of a worker, or a fraction. Default: 1 where the cluster has GPUs."),
    ] = None,
    digits: Annotated[
        int | None,
        typer.Option(
            "--digits",
            help="Digits of seeds or latents in file names. Default: the folder's; 6 or more, 4 for latents.",
        ),
    ] = None,
    seeds_per_folder: Annotated[
        int | None,
        typer.Option(
            "--seeds-per-folder",
            help="Seeds from this number on are in subfolders of as many; 0 for none. Default: the folder's, or 1000.",
        ),
    ] = None,
    shard_size: Annotated[
        int | None,
        typer.Option(
            "--shard-size", help="Seeds of a shard, 1 to 100000. For formats of shards. Default: the folder's, or 1000."
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype", help="What shards contain: codes, float16 or float32. Default: the folder's, or the format's."
        ),
    ] = None,
    compression: Annotated[
        str | None,
        typer.Option(
            "--compression",
            help=f"Compression of shards. {_compressions()}. Default: the folder's, or the first of the format.",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the hashes of files that are finished, not only their sizes.")
    ] = False,
    cache: RunCache = True,
    preview: Preview = True,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the maps of seeds or latents as files; the same command continues a stopped run.

    --latents takes one file or several, each with one or more latents; the maps are `latent0007_depth.png` by row.
    w and w+ are after truncation, so --trunc and --class do not apply to them.

    Ctrl-C and SIGTERM keep all finished seeds; the exit code is 130 or 143. The progress names the stage that limits
    the speed: generate, encode or write.

    The first run in a folder writes run.json with the settings, the backend and a description of the data set. Later
    runs and shards in the folder must have the same settings and use the same backend and batch.
    """
    from sgi.engine.run import run_classes
    from sgi.engine.seeds import parse_seeds, read_seeds

    files = _latents(latents, more_latents)
    given = [value for value in (seeds, seeds_file, files) if value is not None]
    if len(given) != 1:
        raise UserError("give " + ("one of " if given else "") + "--seeds, --seeds-file or --latents")
    wanted = read_seeds(seeds_file) if seeds_file else None if seeds is None else parse_seeds(seeds)
    with termination() as ending:
        try:
            with (
                progress(quiet, as_json) as shown,
                _cluster(cluster, workers=workers, worker_cpus=worker_cpus, worker_gpus=worker_gpus) as machines,
            ):
                reports = run_classes(
                    wanted, class_index, latents=files, latents_kind=latents_kind, mix_seed=mix_seed, mix_rows=mix_rows,
                    model=model, generator=generator, offsets=offsets or [], types=types, outdir=outdir, psi=psi,
                    alpha=alpha, cutoff=cutoff, noise_mode=noise_mode, file_format=file_format, batch=batch,
                    backend=backend, device=device, precision=precision, cache=cache, threads=threads, shard=shard,
                    digits=digits, seeds_per_folder=seeds_per_folder, shard_size=shard_size, dtype=dtype,
                    compression=compression, verify=verify, preview=preview, cluster=machines, progress=shown,
                )  # fmt: skip
        except KeyboardInterrupt as stop:
            show_interruption(stop, as_json)
            raise typer.Exit(ending.exit_code) from None
    for report in reports:
        show_report(report, as_json)


def _cluster(address: str | None, **size: Any) -> RayCluster | nullcontext[None]:
    """The cluster of --cluster, None without it; its package is imported only here."""
    if address is None:
        refuse_ignored(size, "without `cluster`")
        return nullcontext()
    from sgi.engine.cluster import RayCluster

    return RayCluster(address, **size)


def _latents(first: list[Path] | None, rest: list[Path] | None) -> list[Path] | None:
    """The files of --latents: its value, and the arguments after it, which a pattern of the shell gives."""
    if rest and not first:
        raise UserError(f"{rest[0]}: an argument without an option; seeds are given by --seeds, files by --latents")
    if rest and first and len(first) > 1:
        raise UserError("give all files after one --latents, or one file after each")
    return [*first, *(rest or [])] if first else None
