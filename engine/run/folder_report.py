"""The state of an output folder: what `verify` found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sgi.engine.run.rerender import Rendering
from sgi.engine.seeds import Seeds

_AGAIN = "run the same `sgi-engine run` command again"


class Finding(NamedTuple):
    """kind: unfinished, damaged, foreign, wrong lines or different. what: numbers or names. remedy: what to do."""

    kind: str
    what: str
    remedy: str


@dataclass(frozen=True)
class FolderReport:
    """The state of an output folder.

    outdir, manifest: paths of the folder and of its manifest, or their URLs. seeds: seeds of all runs in the folder.
    finished: number of seeds whose files have the recorded hashes. unfinished: seeds without a line in a manifest.
    damaged: seeds with a line whose files are missing or changed. foreign: names of maps or shards that no manifest
    describes. merged: number of manifests of parts that were merged. wrong_lines: lines of manifests that are not of
    this folder; the next run drops them. item: seed, or latent where the numbers are of latents and not of seeds.
    rendering: result of rendering finished seeds again.
    """

    outdir: Path | str
    manifest: Path | str
    seeds: Seeds
    finished: int
    unfinished: Seeds
    damaged: Seeds
    foreign: tuple[str, ...]
    merged: int
    wrong_lines: int = 0
    item: str = "seed"
    rendering: Rendering = field(default_factory=Rendering)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that is not as a run leaves it, each with what to do."""
        return _findings_of(self)

    @property
    def is_complete(self) -> bool:
        """Whether all seeds are finished."""
        return not self.unfinished and not self.damaged


def _findings_of(report: FolderReport) -> tuple[Finding, ...]:
    """Everything in a folder that is not as a run leaves it."""
    different = report.rendering.different
    maps = ", ".join(
        f"{report.item} {one.seed} {one.type} ({one.share:.1%} of it, by up to {one.largest:.2g} of the range)"
        for one in different
    )
    found = [
        Finding("unfinished", str(report.unfinished), f"{_AGAIN}; it makes them"),
        Finding(
            "damaged",
            str(report.damaged),
            f"{_AGAIN} with --verify; it keeps changed files as NAME.set-aside and makes the maps again",
        ),
        Finding(
            "foreign",
            ", ".join(report.foreign),
            "no manifest describes them; move them elsewhere, or remove them",
        ),
        Finding(
            "wrong lines",
            str(report.wrong_lines or ""),
            "in manifests; the next run copies the manifest to manifest.jsonl.set-aside and drops them",
        ),
        Finding(
            "different",
            maps,
            "the files are as recorded, and the model gives other maps: another version computed them (`versions` in "
            "run.json), or file and manifest were changed together; do not mix them with new maps: make the folder "
            "again in another one",
        ),
    ]
    return tuple(finding for finding in found if finding.what)
