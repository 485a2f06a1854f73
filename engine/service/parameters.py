"""Parameters of a request for maps, read from its query string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sgi.engine.arguments import check_psi
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError, one_line
from sgi.engine.labels import labels_of, parse_class
from sgi.engine.seeds import Seeds, parse_seeds
from sgi.engine.service.encoding import choose_format

PARAMETERS = ("seeds", "types", "psi", "class_index", "format")
"""Parameters of /maps."""


@dataclass(frozen=True)
class Parameters:
    """What a request asks for.

    seeds: distinct. types: in the order of the model. psi: truncation. label: [c_dim] float32, None for a
    model without classes. format: png, npy or npz.
    """

    seeds: Seeds
    types: tuple[str, ...]
    psi: float
    label: np.ndarray | None
    format: str

    @classmethod
    def parse(
        cls, query: Sequence[tuple[str, str]], artifact: Artifact, served: tuple[str, ...], request_seeds: int
    ) -> Parameters:
        """Read the pairs of a query string.

        served: types of the service. request_seeds: most seeds of one request.
        Raises UserError for a parameter that is missing, unknown, repeated or wrong.
        """
        given = _unique(query)
        if "seeds" not in given:
            raise UserError("`seeds` is missing: write seeds and inclusive ranges such as seeds=0-5,9")
        seeds = parse_seeds(given["seeds"])
        if len(seeds) > request_seeds:
            raise UserError(f"`seeds={given['seeds']}`: {len(seeds)} seeds; one request takes {request_seeds}")
        types = _types(given["types"], artifact, served) if "types" in given else served
        class_index = parse_class(given["class_index"]) if "class_index" in given else None
        labels = labels_of(class_index, 1, artifact.c_dim)
        return cls(
            seeds=seeds,
            types=types,
            psi=_psi(given["psi"]) if "psi" in given else artifact.psi,
            label=None if labels is None else labels[0],
            format=choose_format(given.get("format"), len(seeds), len(types)),
        )


def _unique(query: Sequence[tuple[str, str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in query:
        if name not in PARAMETERS:
            raise UserError(f"`{one_line(name)}`: choose from {', '.join(PARAMETERS)}")
        if name in given:
            raise UserError(f"`{name}`: was given twice")
        given[name] = value
    return given


def _types(text: str, artifact: Artifact, served: tuple[str, ...]) -> tuple[str, ...]:
    types = artifact.choose_types([name.strip() for name in text.split(",")])
    for name in types:
        if name not in served:
            raise UserError(f"`types={name}`: the service has {', '.join(served)}")
    return types


def _psi(text: str) -> float:
    try:
        return check_psi(float(text))
    except ValueError:
        raise UserError(f"`psi={one_line(text)}`: must be a number, such as 0.7") from None
