"""A grid of maps as one picture, with rows of seeds, of psi or of alpha: what `sgi-engine sheet` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sgi.engine import intrinsics
from sgi.engine.arguments import check_factor, check_path, check_psi, check_text, names_of_types
from sgi.engine.backends import AUTO, DEFAULT_BATCH
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write, check_writable
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.live.live_model import LiveModel
from sgi.engine.live.opening import open_live
from sgi.engine.live.screen import Screen
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.seeds import as_seeds
from sgi.engine.writers.preview import draw_sheet

SEEDS, PSI, ALPHA = "seeds", "psi", "alpha"
ROWS = (SEEDS, PSI, ALPHA)
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""psi or alpha of the rows, where none are given."""
MOST_MAPS = 1024
"""Maps of a picture; their cells take up to 200 MB of memory."""

Numbers = float | Iterable[float]


@dataclass(frozen=True)
class SheetReport:
    """The result of `write_grid`.

    out: the file. rows: number of rows of the grid. types: of its maps. seconds: time of computing and drawing, without
    loading the model. backend, device: what ran the model.
    """

    out: Path
    rows: int
    types: tuple[str, ...]
    seconds: float
    backend: str
    device: str


def write_grid(
    out: str | Path,
    *,
    seeds: str | int | Iterable[int] | None = None,
    rows: str = SEEDS,
    types: str | Iterable[str] | None = None,
    psi: Numbers | None = None,
    alpha: Numbers | None = None,
    class_index: str | None = None,
    model: str | Path | None = None,
    generator: str | Path | None = None,
    offsets: Sequence[str | Path | Offset] = (),
    backend: str = AUTO,
    device: str = AUTO,
    threads: int | None = None,
    cache: bool = True,
    progress: Progress = SILENT,
) -> SheetReport:
    """Write a PNG file with maps in rows and columns.

    out: the file, which replaces an older one. rows: `seeds`, a row for each seed and a column for each type; `psi` or
    `alpha`, a row for each of its values and a column for each type of each seed. seeds: None for 0 to 7, or 0 where
    the rows are not seeds. types: None or "all" for all of the model. psi, alpha: one number, None for that of the
    model; or several of what the rows are, None for STEPS. alpha: factor of the offsets of all types that have one.
    class_index: class or weights, such as "3" or "3:0.7,5:0.3". model, generator, offsets and the rest: as for
    `sgi.engine.live.open_live`.

    Depth is drawn in colours that span its least to its largest value in the grid. Raises UserError for arguments that
    the model or this machine cannot satisfy, more than MOST_MAPS maps, and a file that cannot be written.
    """
    path = check_path(out, "out")
    if path.suffix.lower() != ".png":
        raise UserError(f"`out={path}`: choose a name with .png")
    check_text(rows=rows)
    if rows not in ROWS:
        raise UserError(f"`rows={rows}`: choose from {', '.join(ROWS)}")
    numbers = list(dict.fromkeys(as_seeds(_default_seeds(rows) if seeds is None else seeds)))
    if not numbers:
        raise UserError("`seeds` is empty: pass at least one seed")
    psis = _values(PSI, psi, rows, check_psi)
    alphas = _values(ALPHA, alpha, rows, partial(check_factor, ALPHA))
    check_writable(path)
    opened = open_live(
        model, generator, offsets, backend=backend, device=device, threads=threads, batch=DEFAULT_BATCH, cache=cache,
        progress=progress,
    )  # fmt: skip
    with opened as live:
        kinds = [live.artifact.output(name) for name in live.artifact.choose_types_or_all(names_of_types(types))]
        grid = _Grid(live, numbers, rows, kinds, psis, alphas, class_index)
        began = time.perf_counter()
        picture = grid.draw(progress)
        with atomic_write(path) as temporary:
            temporary.write_bytes(picture)
        return SheetReport(
            path, len(grid.lines), tuple(kind.name for kind in kinds), time.perf_counter() - began,
            live.engine.backend.name, live.engine.backend.device,
        )  # fmt: skip


class _Grid:
    """The rows and columns of a picture.

    lines: {row label: screens, from left to right}; each screen gives a column for each type. labels: of the columns of
    each screen. Raises UserError for what the model cannot show.
    """

    def __init__(
        self,
        live: LiveModel,
        seeds: Sequence[int],
        rows: str,
        kinds: Sequence[Intrinsic],
        psis: Sequence[float | None],
        alphas: Sequence[float | None],
        class_index: str | None,
    ) -> None:
        count = len(seeds) * len(psis) * len(alphas) * len(kinds)
        if count > MOST_MAPS:
            raise UserError(
                f"`seeds`: the picture would have {count} maps, more than {MOST_MAPS}; choose fewer seeds or types, "
                "or write files with `sgi-engine run`"
            )
        if live.no_seeds:
            raise UserError(f"`seeds`: {live.no_seeds}")
        if live.fixed_psi and psis != [None]:
            raise UserError(f"`psi`: {live.fixed_psi}")
        names = tuple(kind.name for kind in kinds)
        moved = [name for name in names if name in live.alphas]
        if alphas != [None] and not moved:
            raise UserError(f"`alpha`: none of the types {', '.join(names)} has an offset")

        def screen(seed: int, psi: float | None, alpha: float | None) -> Screen:
            factors = {} if alpha is None else dict.fromkeys(moved, alpha)
            return Screen(seed, psi=psi, alpha=factors, class_index=class_index, types=names)

        self.live, self.kinds = live, kinds
        if rows == SEEDS:
            self.labels = [[kind.name for kind in kinds]]
            self.lines = {f"seed {seed}": [screen(seed, psis[0], alphas[0])] for seed in seeds}
        else:
            self.labels = [[f"{kind.name}, seed {seed}" for kind in kinds] for seed in seeds]
            self.lines = {
                f"{rows} {alpha if rows == ALPHA else psi:g}": [screen(seed, psi, alpha) for seed in seeds]
                for psi in psis
                for alpha in alphas
            }

    def draw(self, progress: Progress) -> bytes:
        """The bytes of the PNG file."""
        screens = [screen for line in self.lines.values() for screen in line]
        maps: list[dict[str, np.ndarray]] = []
        with progress.stage("maps", len(screens), "images") as stage:
            for start in range(0, len(screens), DEFAULT_BATCH):
                part = screens[start : start + DEFAULT_BATCH]
                maps += self.live.maps_of(part)
                stage.advance(len(part))
        following = iter(maps)
        codes: dict[str, dict[str, np.ndarray]] = {}
        for label in self.lines:
            codes[label] = {}
            for names in self.labels:
                found = next(following)
                for name, kind in zip(names, self.kinds, strict=True):
                    codes[label][name] = intrinsics.encode(kind, found[kind.name])
        columns = {name: kind for names in self.labels for name, kind in zip(names, self.kinds, strict=True)}
        return draw_sheet(codes, columns)


def _default_seeds(rows: str) -> str:
    return "0-7" if rows == SEEDS else "0"


def _values(name: str, given: Numbers | None, rows: str, check: Callable[[float], float]) -> list[float] | list[None]:
    """The values of psi or alpha; several only where they are those of the rows."""
    if given is None:
        return list(STEPS) if rows == name else [None]
    # Text is one wrong number, not many.
    numbers = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    values = list(dict.fromkeys(map(check, numbers)))
    if not values:
        raise UserError(f"`{name}` is empty: pass at least one number")
    if len(values) > 1 and rows != name:
        shown = ",".join(f"{value:g}" for value in values)
        raise UserError(f"`{name}={shown}`: several values are the rows of the picture: `rows={name}`")
    return values
