"""An open model that computes maps of screens.

A model whose .onnx takes z is opened with the input w+. A seed then becomes w+ by the mapping network of the file, and
mixing, interpolation and latents of files are rows of w+. An offset d in w or w+ is part of the model: its map of ws is
the picture of ws + d. With another factor alpha it is the picture of ws + alpha d, which is what the model computes for
ws + (alpha - 1) d. So the factor needs no other model, and no torch.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgi.engine.api import Engine
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.generator_model import ModelSource
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.labels import labels_of, parse_class
from sgi.engine.latents_file import Latents, LatentSizes
from sgi.engine.live.screen import Screen
from sgi.engine.offset_tensors import ROWS
from sgi.engine.offsets import Offset
from sgi.engine.seeds import Seeds, parse_seeds

Floats = NDArray[np.float32]
Maps = dict[str, Floats]
LATENTS_KEPT = 64
"""Files of latents that an open model keeps; the oldest is dropped for a new one."""
_NO_W = "the model takes z alone, as engines of TensorRT do; open its .onnx"


class Alpha(NamedTuple):
    """The factor of an offset. default: that of the model. reason: why another cannot be chosen; empty if it can.

    A factor that can be chosen multiplies the offset as its file has it, as `run --alpha` does; its default is 1.
    """

    default: float
    reason: str


@dataclass(frozen=True)
class Planned:
    """A screen that was checked, as inputs of the model.

    latent: z [z_dim] or ws [num_ws, w_dim], float32. psi, label: of z alone. parts: groups of types, each with what is
    added to w+, [num_ws, w_dim] float32 or None.
    """

    latent: Floats
    psi: float | None
    label: Floats | None
    parts: tuple[tuple[tuple[str, ...], Floats | None], ...]


class LiveModel:
    """An open model. Any number of threads may use it; one pass runs at a time.

    artifact: description of the model. types: of its maps, in its order. alphas: {type: factor of its offset}, without
    types that have no offset. sizes: the latents that it takes. engine: the engine, which takes z, w or w+.
    no_seeds, no_rows, fixed_psi: why seeds, rows of w+ (mixing, interpolation) and psi cannot be chosen; empty if they
    can.
    """

    def __init__(self, source: ModelSource, engine: Engine, offsets: Mapping[str, Offset]) -> None:
        self.artifact: Artifact = source.artifact
        self.types: tuple[Intrinsic, ...] = self.artifact.types
        self.sizes: LatentSizes = source.latent_sizes
        self.engine = engine
        takes = engine.artifact.input
        self.no_seeds = "" if self.artifact.input == "z" else f"the model takes {self.artifact.input}, not seeds"
        self.no_rows = "" if takes == "w+" else _NO_W if takes == "z" else "the model takes one w for all rows of w+"
        self.fixed_psi = self.no_seeds or ("the model truncates no rows" if self.artifact.cutoff == 0 else "")
        self._steps = {name: offset.rows(self.artifact.num_ws) for name, offset in offsets.items() if _is_rows(offset)}
        self.alphas = {
            name: Alpha(1.0 if name in self._steps else offset.get("alpha", 1.0), self._fixed_alpha(name))
            for name, offset in self.artifact.offsets.items()
        }
        self._latents: OrderedDict[str, Latents] = OrderedDict()
        self._lock = Lock()

    def maps(self, screen: Screen) -> Maps:
        """The maps of a screen, {type: [C, R, R] float32}; raises UserError for what the model cannot show."""
        return self.compute([self.plan(screen)])[0]

    def maps_of(self, screens: Sequence[Screen]) -> list[Maps]:
        """The maps of several screens, in passes of the engine's batch; raises UserError as `maps` does."""
        return self.compute([self.plan(screen) for screen in screens])

    def plan(self, screen: Screen) -> Planned:
        """A screen as inputs of the model; raises UserError, which names the field, for what the model cannot show."""
        screen.check()
        names = self.artifact.choose_types(screen.types)
        changed = self._changed(screen.alpha)
        plain = tuple(name for name in names if name not in changed)
        parts = ([(plain, None)] if plain else []) + [((name,), changed[name]) for name in names if name in changed]
        if self.engine.artifact.input == "z":
            return Planned(*self._z(screen), parts=tuple(parts))
        return Planned(self.ws(screen), None, None, tuple(parts))

    def compute(self, planned: Sequence[Planned]) -> list[Maps]:
        """The maps of planned screens; raises what the engine raises."""
        found: list[Maps] = [{} for _ in planned]
        groups: defaultdict[tuple[tuple[str, ...], float | None], list[tuple[int, Floats]]] = defaultdict(list)
        for i, item in enumerate(planned):
            for names, step in item.parts:
                groups[names, item.psi].append((i, item.latent if step is None else item.latent + step))
        with self._lock:
            for (names, psi), rows in groups.items():
                maps = self._run(np.stack([row for _, row in rows]), psi, [planned[i].label for i, _ in rows], names)
                for place, (i, _) in enumerate(rows):
                    found[i].update({name: stack[place] for name, stack in maps.items()})
        order = self.artifact.type_names
        return [{name: maps[name] for name in order if name in maps} for maps in found]

    def ws(self, screen: Screen) -> Floats:
        """w+ of a screen, [num_ws, w_dim] float32, truncated, without offsets; raises UserError as `maps` does."""
        if self.engine.artifact.input == "z":
            raise UserError(f"`latents`: {_NO_W}")
        found = self._start(screen)
        if screen.towards is not None:
            self._need_rows("towards")
            end = self._mapped(screen, screen.towards.seed)
            found = found + np.float32(screen.towards.share) * (end - found)
        if screen.mix is not None:
            self._need_rows("mix")
            rows = self.rows(screen.mix.rows)
            found = found.copy()
            found[rows] = self._mapped(screen, screen.mix.seed)[rows]
        return found

    def rows(self, text: str) -> list[int]:
        """The rows of w+ of `6-9`; raises UserError for others than the model has."""
        try:
            rows = list(parse_seeds(text).union())
        except UserError:
            rows = []
        if not rows or rows[-1] >= self.artifact.num_ws:
            raise UserError(
                f"`mix_rows={text[:60]}`: write rows of w+ from 0 to {self.artifact.num_ws - 1}, such as 0-3,5"
            )
        return rows

    def add_latents(self, found: Latents) -> str:
        """Keep latents of a file for screens; returns their id."""
        name = found.sha256[:16]
        with self._lock:
            self._latents[name] = found
            self._latents.move_to_end(name)
            while len(self._latents) > LATENTS_KEPT:
                self._latents.popitem(last=False)
        return name

    def latents(self, name: str) -> Latents:
        """Latents by their id; raises UserError for those that are not kept."""
        found = self._latents.get(name)
        if found is None:
            raise UserError(f"`latents={name[:60]}`: not loaded; load the file again")
        return found

    def close(self) -> None:
        """Free the model."""
        self.engine.close()

    def __enter__(self) -> LiveModel:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _fixed_alpha(self, name: str) -> str:
        if self.no_rows:
            return self.no_rows
        if name in self._steps:
            return ""
        space = self.artifact.offsets[name].get("space", "w+")
        if space not in ("w", "w+"):
            return f"the offset is in the space {space}, which is fixed in the model"
        return "the offset is fixed in the exported model; open its generator and offsets instead"

    def _changed(self, alpha: Mapping[str, float]) -> dict[str, Floats]:
        """Types with another factor than the model's, and what it adds to w+."""
        changed = {}
        for name, value in alpha.items():
            if name not in self.alphas:
                raise UserError(f"`alpha={name}`: the model has no offset of that type")
            default, reason = self.alphas[name]
            if value == default:
                continue
            if reason:
                raise UserError(f"`alpha={name}`: {reason}")
            changed[name] = np.float32(value - 1) * self._steps[name]
        return changed

    def _need_rows(self, field: str) -> None:
        if self.no_rows or self.no_seeds:
            raise UserError(f"`{field}`: {self.no_rows or self.no_seeds}")

    def _row(self, screen: Screen) -> tuple[Latents, Floats]:
        assert screen.latents is not None
        found = self.latents(screen.latents.id)
        if not 0 <= screen.latents.row < len(found.rows):
            raise UserError(f"`latents_row={screen.latents.row}`: the file has rows 0 to {len(found.rows) - 1}")
        return found, found.rows[screen.latents.row]

    def _start(self, screen: Screen) -> Floats:
        """w+ of the seed or the latent of a file."""
        if screen.latents is None:
            return self._mapped(screen, screen.seed)
        found, row = self._row(screen)
        if found.kind == "z":
            return self.engine.mapping(z=row[None], psi=screen.psi, labels=self._label(screen))[0]
        return row if found.kind == "w+" else np.repeat(row[None], self.artifact.num_ws, axis=0)

    def _mapped(self, screen: Screen, seed: int) -> Floats:
        if self.no_seeds:
            raise UserError(f"`seed={seed}`: {self.no_seeds}; load latents")
        ws: Floats = self.engine.mapping(seeds=seed, psi=screen.psi, labels=self._label(screen))[0]
        return ws

    def _label(self, screen: Screen) -> Floats | None:
        chosen = None if screen.class_index is None else parse_class(screen.class_index)
        if chosen is None and self.artifact.c_dim:
            chosen = 0
        labels = labels_of(chosen, 1, self.artifact.c_dim)
        return None if labels is None else labels[0]

    def _z(self, screen: Screen) -> tuple[Floats, float, Floats | None]:
        """Latent, psi and label for an engine that takes z."""
        for field in ("mix", "towards"):
            if getattr(screen, field) is not None:
                self._need_rows(field)
        from sgi.engine.seeds import latents

        if screen.latents is None:
            z = latents(Seeds([range(screen.seed, screen.seed + 1)]), self.artifact.z_dim)[0].astype(np.float32)
        else:
            z = self._row(screen)[1]
        return z, self.artifact.psi if screen.psi is None else screen.psi, self._label(screen)

    def _run(self, latent: Floats, psi: float | None, labels: Sequence[Floats | None], names: tuple[str, ...]) -> Maps:
        takes = self.engine.artifact.input
        if takes == "w+":
            return self.engine(ws=latent, types=names)
        if takes == "w":
            return self.engine(w=latent[:, 0], types=names)
        given = [label for label in labels if label is not None]
        return self.engine(z=latent, psi=psi, types=names, labels=np.stack(given) if given else None)


def _is_rows(offset: Offset) -> bool:
    return set(offset.tensors) == {ROWS}
