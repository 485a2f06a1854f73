"""What a run writes, and where: `Job`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sgi.engine.run.manifest import MANIFEST
from sgi.engine.run.record import RunRecord
from sgi.engine.seeds import Seeds


@dataclass(frozen=True)
class Job:
    """What to write, and where.

    outdir: folder of the files. seeds: of the complete run. record: settings of the folder; `record.types` are written.
    shard: (k, n), only part k of n of the seeds, so that n processes can share the work; in a folder of shards, of the
    shards. verify: compare the hashes of finished files instead of their sizes.
    """

    outdir: Path
    seeds: Seeds
    record: RunRecord
    shard: tuple[int, int] = (1, 1)
    verify: bool = False

    @property
    def part(self) -> Seeds:
        """The seeds of this part."""
        if self.shard == (1, 1):
            return self.seeds
        if not self.record.shard_size:
            return self.seeds.shard(*self.shard)
        size = self.record.shard_size
        return self.seeds[self.shards.start * size : self.shards.stop * size]

    @property
    def all_shards(self) -> Seeds:
        """The numbers of the shards of the complete run."""
        return Seeds([range(-(-len(self.seeds) // (self.record.shard_size or 1)))])

    @property
    def shards(self) -> range:
        """The numbers of the shards of this part."""
        return range(*self.all_shards.bounds(*self.shard))

    def shard_seeds(self, number: int) -> Seeds:
        """The seeds of a shard, in order."""
        size = self.record.shard_size or 1
        return self.seeds[number * size : (number + 1) * size]

    def named(self, name: str) -> Path:
        """Path of a file of the run itself: `preview.png`, or `preview-2-of-4.png` for a part."""
        path = self.outdir / name
        k, n = self.shard
        return path if n == 1 else path.with_name(f"{path.stem}-{k}-of-{n}{path.suffix}")

    @property
    def manifest(self) -> Path:
        """Path of the manifest of this part."""
        return self.named(MANIFEST)

    def files(self, seed: int) -> dict[str, Path]:
        """Paths of a seed's maps, {type: path}: `seed000042_depth.png`."""
        return {name: self.outdir / file for name, file in self.record.file_names(seed).items()}
