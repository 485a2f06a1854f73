"""What a run computes the maps of: seeds, latents of files, or seeds with rows of w+ of another seed (style mixing)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgi.engine.api import Engine
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError, one_line
from sgi.engine.latents_file import Kind, Latents
from sgi.engine.run.record import RunRecord
from sgi.engine.seeds import SEED_MAX, Seeds, latents, parse_seeds


@dataclass(frozen=True)
class RunLatents:
    """The latents of a run by number.

    kind: z, w or w+. rows: function of N numbers to their latents, [N, z_dim], [N, w_dim] or [N, num_ws, w_dim].
    """

    kind: Kind
    rows: Callable[[Seeds], NDArray[np.floating]]

    def stream(
        self, engine: Engine, batches: Iterable[NDArray[np.floating]], record: RunRecord, as_codes: bool = False
    ) -> Iterator[dict[str, np.ndarray]]:
        """The maps of batches of latents, or their codes, as `Engine.stream` gives them."""
        if self.kind == "z":
            return engine.stream(
                batches, types=record.types, psi=record.psi, class_index=record.label, as_codes=as_codes
            )
        if self.kind == "w":
            return engine.stream(w=batches, types=record.types, as_codes=as_codes)
        return engine.stream(ws=batches, types=record.types, as_codes=as_codes)


def of_seeds(z_dim: int) -> RunLatents:
    """The latents z of seeds."""
    return RunLatents("z", lambda seeds: latents(seeds, z_dim))


def of_latents(found: Latents) -> RunLatents:
    """The latents of files; a number is that of a row."""
    return RunLatents(found.kind, lambda numbers: found.rows[list(numbers)])


def of_mixed(engine: Engine, record: RunRecord) -> RunLatents:
    """w+ of seeds, in which the rows `record.mix_rows` are those of the seed `record.mix_seed`.

    Raises UserError if the model has no mapping network.
    """
    rows = list(parse_seeds(record.mix_rows or ""))
    # The last bits of a product of matrices can depend on the number of rows, which must not depend on the seeds.
    count = record.batch or engine.batch

    def ws_of(seeds: Seeds) -> NDArray[np.floating]:
        padded = [*seeds, *[seeds[-1]] * (count - len(seeds))]
        return engine.mapping(seeds=padded, psi=record.psi, class_index=record.label)[: len(seeds)]

    other = ws_of(Seeds([range(record.mix_seed or 0, (record.mix_seed or 0) + 1)]))[:, rows]

    def mixed(seeds: Seeds) -> NDArray[np.floating]:
        ws = ws_of(seeds)
        ws[:, rows] = other
        return ws

    return RunLatents("w+", mixed)


def latents_of(engine: Engine, record: RunRecord, found: Latents | None) -> RunLatents:
    """The latents of a run. found: latents of files. Raises UserError as `of_mixed` does."""
    if found is not None:
        return of_latents(found)
    return of_seeds(engine.artifact.z_dim) if record.mix_seed is None else of_mixed(engine, record)


def input_of(artifact: Artifact, found: Latents | None, mix_seed: int | None) -> str:
    """The input, z, w or w+, with which to open the model of a run.

    Raises UserError for seeds with a model that does not take z.
    """
    if found is None:
        if artifact.input != "z":
            raise UserError(f"`seeds`: the model takes {artifact.input}, not z: give `latents`, or another model")
        return "z" if mix_seed is None else "w+"
    return artifact.input if found.kind == "w" and artifact.input != "z" else found.kind


def parse_rows(text: str, num_ws: int) -> str:
    """The rows of w+ `8-13` in ascending order, for a record; raises UserError for others than w+ has."""
    try:
        rows = parse_seeds(text).union()
    except UserError:
        rows = Seeds(())
    if not rows or max(rows.ranges[-1]) >= num_ws:
        raise UserError(f"`mix_rows={one_line(text, 60)}`: write rows of w+ from 0 to {num_ws - 1}, such as 0-3,5")
    return str(rows)


def check_mixing(mix_seed: int | None, mix_rows: str | None, others: Mapping[str, object]) -> None:
    """Raise UserError for a wrong `mix_seed`, for it or `mix_rows` alone, and with one of `others` that is not None."""
    if mix_seed is not None and not 0 <= mix_seed <= SEED_MAX:
        raise UserError(f"`mix_seed={mix_seed}`: a seed is an integer from 0 to {SEED_MAX}")
    if mix_seed is None and mix_rows is not None:
        raise UserError("`mix_rows` has no effect without `mix_seed`")
    if mix_seed is not None and mix_rows is None:
        raise UserError("`mix_seed`: say with `mix_rows` which rows of w+ are those of the other seed, such as 8-13")
    for name, value in others.items():
        if mix_seed is not None and value is not None:
            raise UserError(f"`mix_seed` mixes the latents of seeds; leave `{name}` out")
