"""Check an output folder against its records and its model, and merge the manifests of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sgi.engine.arguments import check_integer
from sgi.engine.errors import UserError
from sgi.engine.foreign_file import foreign
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.run.accepted_lines import AcceptedLines
from sgi.engine.run.disk_errors import disk_errors
from sgi.engine.run.folder_report import FolderReport
from sgi.engine.run.job import Job
from sgi.engine.run.line_file import LineFile
from sgi.engine.run.manifest import MANIFEST, SHARD_MANIFEST, Manifest
from sgi.engine.run.map_files import is_intact
from sgi.engine.run.rerender import FEW, ModelOfFolder, Opened, Rendering, open_model, render_again
from sgi.engine.run.run_file import MAP_NAME, RUN_FILE, SHARD_NAME, maps_in, read_run
from sgi.engine.run.shard_files import ShardManifest, is_finished, shard_name
from sgi.engine.run.stores.opening import open_store
from sgi.engine.run.stores.store import Store
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
    """Compare the files of a folder or URL that `run_seeds` wrote with the hashes in its manifests, and with its model.

    When all seeds of run.json are finished, the manifests of parts are merged: manifest.jsonl and metadata.jsonl become
    those of one run without parts, and manifest-k-of-n.jsonl are removed.

    outdir: the folder, or the URL as text; the shards of a URL are read once, and those of rendered seeds again.
    render: number of random finished seeds to render again and to compare with their files; None for a few, if the
    model of the folder is the bundled one or named. model, or generator with offsets and alpha: the folder's model.
    latents: the files of a run of latents. cache: as for `run_seeds`.

    Raises UserError for a folder without run.json, while a run writes to the folder, and for a model or latents that
    are not those of the folder.
    """
    render = check_integer("render", render)
    if render is not None and render < 0:
        raise UserError(f"`render={render}`: a number of seeds, 0 for none")
    with open_store(outdir, progress.message) as store:
        given = (latents,) if isinstance(latents, (str, Path)) else latents
        return _verify(store, render, ModelOfFolder(model, generator, offsets, alpha, given, cache), progress)


def _verify(store: Store, render: int | None, where: ModelOfFolder, progress: Progress) -> FolderReport:
    outdir = store.folder
    store.read_records()
    run = read_run(outdir)
    if run is None and store.shown(outdir) != outdir:
        raise UserError(f"`outdir={outdir}`: it has no {RUN_FILE}; name a URL that `sgi-engine run` wrote")
    if run is None:
        missing = f"it is no folder but {foreign(outdir) or 'a file'}" if outdir.exists() else "no such folder"
        reason = f"it has no {RUN_FILE}" if outdir.is_dir() else missing
        # A run of several classes or mix seeds has a folder for each.
        inner = next((path.parent for path in sorted(outdir.glob(f"*/{RUN_FILE}"))), None)
        remedy = (
            f"verify its folders one by one, such as {inner}" if inner else "name a folder that `sgi-engine run` wrote"
        )
        raise UserError(f"`outdir={outdir}`: {reason}; {remedy}")
    found = Opened()
    if render != 0:
        found = open_model(outdir, run, where, render is not None, progress)
    job = Job(outdir, run.seeds, run.record)
    with disk_errors(outdir), ExitStack() as opened:
        parts = sorted(path for path in outdir.iterdir() if SHARD_MANIFEST.fullmatch(path.name))
        whole = outdir / MANIFEST
        paths = [*([whole] if whole.exists() else []), *parts]
        files = _Shards(job, store, opened) if run.record.shard_size else _Maps(job, opened)
        manifests = [files.manifest(path) for path in paths]
        intact, unfinished, damaged = _check(files, manifests, progress)
        merged = 0
        if parts and not unfinished and not damaged:
            target = manifests[0] if paths[0] == whole else files.manifest(whole)
            for number, manifest in intact.items():
                if manifest is not target:
                    target.append(manifest[number])
            target.sort()
            if isinstance(target, Manifest):
                target.write_metadata()
            for path in parts:
                path.unlink()
            merged = store.publish_manifest(whole) or len(parts)
        unknown = files.unknown(manifests)
    wrong = sum(manifest.wrong for manifest in manifests)
    finished = files.seeds(Seeds(range(number, number + 1) for number in intact))
    rendering = Rendering()
    if render != 0:
        rendering = render_again(store, run, finished, FEW if render is None else render, found, progress)
    return FolderReport(
        store.shown(outdir), store.shown(whole), run.seeds, len(finished), files.seeds(unfinished),
        files.seeds(damaged), unknown, merged, wrong, run.record.item, rendering,
    )  # fmt: skip


class _Maps:
    """A folder with a file for each map: what its manifests number is a seed."""

    def __init__(self, job: Job, opened: ExitStack) -> None:
        self.job = job
        self.item = job.record.item
        self.numbers = job.seeds
        self._opened = opened

    def manifest(self, path: Path) -> LineFile[Any]:
        """A manifest of the folder, which stays open as long as the context."""
        accept = AcceptedLines(self.job.record, self.job.seeds)
        return self._opened.enter_context(Manifest(path, accept=accept, item=self.job.record.item))

    def is_intact(self, line: Any) -> bool:
        """Whether the files of a line have the recorded hashes."""
        return is_intact(self.job, line, verify=True)

    def seeds(self, numbers: Seeds) -> Seeds:
        """The seeds of numbers."""
        return numbers

    def unknown(self, manifests: list[LineFile[Any]]) -> tuple[str, ...]:
        """Names of files in the folder that look like maps and are in no manifest."""
        found = []
        for name in maps_in(self.job.outdir):
            seed = int(MAP_NAME.sub(r"\1", name.rpartition("/")[2]))
            known = any(seed in manifest for manifest in manifests)
            if not known or name not in self.job.record.file_names(seed).values():
                found.append(name)
        return tuple(sorted(found))


class _Shards(_Maps):
    """A folder of shards: what its manifests number is a shard."""

    def __init__(self, job: Job, store: Store, opened: ExitStack) -> None:
        super().__init__(job, opened)
        self.store = store
        self.item = "shard"
        self.numbers = job.all_shards

    def manifest(self, path: Path) -> LineFile[Any]:
        """See `_Maps.manifest`."""
        return self._opened.enter_context(ShardManifest(path, self.job))

    def is_intact(self, line: Any) -> bool:
        """Whether a shard has all its seeds and the recorded hash."""
        return is_finished(self.job, self.store, line, verify=True)

    def seeds(self, numbers: Seeds) -> Seeds:
        """The seeds of the shards of these numbers."""
        return Seeds(part for number in numbers for part in self.job.shard_seeds(number).ranges).union()

    def unknown(self, manifests: list[LineFile[Any]]) -> tuple[str, ...]:
        """Names that look like shards and are in no manifest."""
        known = {shard_name(self.job.record, number) for manifest in manifests for number in manifest.numbers}
        return tuple(sorted({name for name in self.store.names() if SHARD_NAME.fullmatch(name)} - known))


def _check(
    files: _Maps, manifests: list[LineFile[Any]], progress: Progress
) -> tuple[dict[int, LineFile[Any]], Seeds, Seeds]:
    """The manifest with the correct line of each finished number, numbers without a line, and damaged numbers.

    run.json can name billions of seeds, so only those with a line are visited one by one.
    """
    intact: dict[int, LineFile[Any]] = {}
    damaged: list[int] = []
    noted = sorted(set().union(*(manifest.numbers for manifest in manifests)))
    unfinished = files.numbers.without(noted)
    with progress.stage(f"{files.item}s", len(files.numbers)) as stage:
        for number in noted:
            known = [(manifest, line) for manifest in manifests if (line := manifest.find(number)) is not None]
            right = next((manifest for manifest, line in known if files.is_intact(line)), None)
            if right is not None:
                intact[number] = right
            else:
                damaged.append(number)
            stage.advance()
        stage.advance(len(unfinished))
    return intact, unfinished, Seeds(range(number, number + 1) for number in damaged).union()
