"""Check an output folder against its records and its model, and merge the manifests of its shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from sgi.engine.arguments import check_integer
from sgi.engine.errors import UserError
from sgi.engine.foreign_file import foreign
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.run import pipeline
from sgi.engine.run.folder_report import FolderReport
from sgi.engine.run.job import Job
from sgi.engine.run.manifest import MANIFEST, SHARD_MANIFEST, Manifest
from sgi.engine.run.map_files import is_intact
from sgi.engine.run.record import MAP_NAME, RUN_FILE, maps_in, read_run
from sgi.engine.run.rerender import FEW, ModelOfFolder, Opened, Rendering, open_model, render_again
from sgi.engine.seeds import Seeds


def verify_folder(
    outdir: str | Path,
    *,
    render: int | None = 0,
    model: str | Path | None = None,
    generator: str | Path | None = None,
    offsets: Sequence[str | Path | Offset] = (),
    alpha: float | None = None,
    latents: str | Path | Sequence[str | Path] = (),
    cache: bool = True,
    progress: Progress = SILENT,
) -> FolderReport:
    """Compare the files of a folder that `run_seeds` wrote with the hashes in its manifests, and with its model.

    When all seeds of run.json are finished, the manifests of shards are merged: manifest.jsonl and metadata.jsonl
    become those of one run without shards, and manifest-k-of-n.jsonl are removed.

    render: number of random finished seeds to render again and to compare with their files; None for a few, if the
    model of the folder is the bundled one or named. model, or generator with offsets and alpha: the folder's model.
    latents: the files of a run of latents. cache: as for `run_seeds`.

    Raises UserError for a folder without run.json, while a run writes to the folder, and for a model or latents that
    are not those of the folder.
    """
    render = check_integer("render", render)
    if render is not None and render < 0:
        raise UserError(f"`render={render}`: a number of seeds, 0 for none")
    outdir = Path(outdir)
    run = read_run(outdir)
    if run is None:
        missing = f"it is no folder but {foreign(outdir) or 'a file'}" if outdir.exists() else "no such folder"
        reason = f"it has no {RUN_FILE}" if outdir.is_dir() else missing
        raise UserError(f"`outdir={outdir}`: {reason}; name a folder that `sgi-engine run` wrote")
    found = Opened()
    if render != 0:
        files = (latents,) if isinstance(latents, (str, Path)) else latents
        where = ModelOfFolder(model, generator, offsets, alpha, files, cache)
        found = open_model(outdir, run, where, render is not None, progress)
    job = Job(outdir, run.seeds, run.record)
    with pipeline.disk_errors(outdir), ExitStack() as opened:
        shards = sorted(path for path in outdir.iterdir() if SHARD_MANIFEST.fullmatch(path.name))
        whole = outdir / MANIFEST
        paths = [*([whole] if whole.exists() else []), *shards]
        accept = pipeline.lines_of(job.record, run.seeds)
        manifests = [opened.enter_context(Manifest(path, accept=accept, item=job.record.item)) for path in paths]
        intact, unfinished, damaged = _check(job, manifests, progress)
        unknown = _unknown(job, manifests)
        merged = 0
        if shards and not unfinished and not damaged:
            target = (
                manifests[0]
                if paths[0] == whole
                else opened.enter_context(Manifest(whole, accept=accept, item=job.record.item))
            )
            for seed, manifest in intact.items():
                if manifest is not target:
                    target.append(manifest[seed])
            target.sort()
            target.write_metadata()
            for path in shards:
                path.unlink()
            merged = len(shards)
    wrong = sum(manifest.wrong for manifest in manifests)
    rendering = Rendering()
    if render != 0:
        rendering = render_again(outdir, run, _seeds_of(intact), FEW if render is None else render, found, progress)
    return FolderReport(
        outdir, whole, run.seeds, len(intact), unfinished, damaged, unknown, merged, wrong, run.record.item, rendering
    )


def _check(job: Job, manifests: list[Manifest], progress: Progress) -> tuple[dict[int, Manifest], Seeds, Seeds]:
    """{finished seed: the manifest with its correct line} in the order of seeds, unfinished seeds, and damaged seeds.

    run.json can name billions of seeds, so only those with a line are visited one by one.
    """
    intact: dict[int, Manifest] = {}
    damaged: list[int] = []
    noted = sorted(set().union(*(manifest.seeds for manifest in manifests)))
    unfinished = job.seeds.without(noted)
    with progress.stage(f"{job.record.item}s", len(job.seeds)) as stage:
        for seed in noted:
            known = [manifest for manifest in manifests if seed in manifest]
            right = next((manifest for manifest in known if is_intact(job, manifest[seed], verify=True)), None)
            if right is not None:
                intact[seed] = right
            else:
                damaged.append(seed)
            stage.advance()
        stage.advance(len(unfinished))
    return intact, unfinished, _seeds_of(damaged)


def _seeds_of(numbers: Iterable[int]) -> Seeds:
    return Seeds(range(seed, seed + 1) for seed in numbers).union()


def _unknown(job: Job, manifests: list[Manifest]) -> tuple[str, ...]:
    """Names of maps in the folder that are in no manifest."""
    found = []
    for name in maps_in(job.outdir):
        seed = int(MAP_NAME.sub(r"\1", name.rpartition("/")[2]))
        known = any(seed in manifest for manifest in manifests) and name in job.record.file_names(seed).values()
        if not known:
            found.append(name)
    return tuple(sorted(found))
