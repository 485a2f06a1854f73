"""Check an output folder against its records, and merge the manifests of its shards."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sgi.engine.errors import UserError
from sgi.engine.progress import SILENT, Progress
from sgi.engine.run import pipeline
from sgi.engine.run.job import Job
from sgi.engine.run.manifest import MANIFEST, SHARD_MANIFEST, Manifest
from sgi.engine.run.map_files import is_intact
from sgi.engine.run.record import MAP_NAME, RUN_FILE, maps_in, read_run
from sgi.engine.seeds import Seeds


@dataclass(frozen=True)
class FolderReport:
    """The state of an output folder.

    outdir, manifest: paths of the folder and of its manifest. seeds: seeds of all runs in the folder. finished: number
    of seeds whose files have the recorded hashes. unfinished: seeds without a line in a manifest. damaged: seeds with a
    line whose files are missing or changed. foreign: names of maps that no manifest describes. merged: number of
    manifests of shards that were merged. wrong_lines: lines of manifests that are not of this folder;
    the next run drops them. item: seed, or latent where the numbers are of latents and not of seeds.
    """

    outdir: Path
    manifest: Path
    seeds: Seeds
    finished: int
    unfinished: Seeds
    damaged: Seeds
    foreign: tuple[str, ...]
    merged: int
    wrong_lines: int = 0
    item: str = "seed"

    @property
    def is_complete(self) -> bool:
        """Whether all seeds are finished."""
        return not self.unfinished and not self.damaged


def verify_folder(outdir: str | Path, *, progress: Progress = SILENT) -> FolderReport:
    """Compare the files of a folder that `run_seeds` wrote with the hashes in its manifests.

    When all seeds of run.json are finished, the manifests of shards are merged: manifest.jsonl and metadata.jsonl
    become those of one run without shards, and manifest-k-of-n.jsonl are removed.

    Raises UserError for a folder without run.json, and while a run writes to the folder.
    """
    outdir = Path(outdir)
    run = read_run(outdir)
    if run is None:
        raise UserError(f"`outdir={outdir}`: it has no {RUN_FILE}; name a folder that `sgi-engine run` wrote")
    job = Job(outdir, run.seeds, run.record)
    with pipeline.disk_errors(outdir), ExitStack() as opened:
        shards = sorted(path for path in outdir.iterdir() if SHARD_MANIFEST.fullmatch(path.name))
        whole = outdir / MANIFEST
        paths = [*([whole] if whole.exists() else []), *shards]
        accept = pipeline.lines_of(job.record, run.seeds)
        manifests = [opened.enter_context(Manifest(path, accept=accept, item=job.record.item)) for path in paths]
        intact, unfinished, damaged = _check(job, manifests, progress)
        foreign = _foreign(job, manifests)
        merged = 0
        if shards and not unfinished and not damaged:
            target = (
                manifests[0]
                if paths[0] == whole
                else opened.enter_context(Manifest(whole, accept=accept, item=job.record.item))
            )
            for seed, manifest in zip(run.seeds, intact, strict=True):
                if manifest is not target:
                    target.append(manifest[seed])
            target.sort()
            target.write_metadata()
            for path in shards:
                path.unlink()
            merged = len(shards)
    wrong = sum(manifest.wrong for manifest in manifests)
    return FolderReport(
        outdir, whole, run.seeds, len(intact), unfinished, damaged, foreign, merged, wrong, run.record.item
    )


def _check(job: Job, manifests: list[Manifest], progress: Progress) -> tuple[list[Manifest], Seeds, Seeds]:
    """The manifest with the correct line of each finished seed, unfinished seeds, and damaged seeds.

    run.json can name billions of seeds, so only those with a line are visited one by one.
    """
    intact: list[Manifest] = []
    damaged: list[int] = []
    noted = sorted(set().union(*(manifest.seeds for manifest in manifests)))
    unfinished = job.seeds.without(noted)
    with progress.stage(f"{job.record.item}s", len(job.seeds)) as stage:
        for seed in noted:
            known = [manifest for manifest in manifests if seed in manifest]
            right = next((manifest for manifest in known if is_intact(job, manifest[seed], verify=True)), None)
            if right is not None:
                intact.append(right)
            else:
                damaged.append(seed)
            stage.advance()
        stage.advance(len(unfinished))
    return intact, unfinished, Seeds(range(seed, seed + 1) for seed in damaged).union()


def _foreign(job: Job, manifests: list[Manifest]) -> tuple[str, ...]:
    """Names of maps in the folder that are in no manifest."""
    found = []
    for name in maps_in(job.outdir):
        seed = int(MAP_NAME.sub(r"\1", name.rpartition("/")[2]))
        known = any(seed in manifest for manifest in manifests) and name in job.record.file_names(seed).values()
        if not known:
            found.append(name)
    return tuple(sorted(found))
