"""Baselines that are fitted once: fitted on a pool, kept as a file, and read again.

Fitting them needs the teacher's targets of every fitting picture, thousands of them, and the file does not. Its name
contains the hash of everything that the fit depends on, so a file is never out of date.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.tensor_file import FileKind, tensors_sha256
from sgi.engine.user_cache import user_cache
from sgi.trainer.offsets import baselines
from sgi.trainer.offsets.baselines import GlobalAffine, PixelAffine, Ridge
from sgi.trainer.offsets.pool import Pool

FOLDER = "baselines"


class BaselinesHeader(msgspec.Struct):
    """Header of a file of fitted baselines. facts: everything that they depend on. sha256: of the tensors."""

    facts: dict[str, Any]
    sha256: str


BASELINES_FILE = FileKind(
    "sgi_baselines", 1, BaselinesHeader, "fitted baselines", "delete it, and `sgi-engine score` writes another"
)


class PoolBaselines:
    """The baselines of one type, each fitted when it is read. pool: the fitting pictures, with codes of `name`."""

    def __init__(self, pool: Pool, name: str) -> None:
        self._pool, self._codes = pool, pool.codes[name]

    @property
    def mean(self) -> Tensor:
        """The mean map [1, C, H, W] float32."""
        return baselines.mean_map(self._codes)

    @property
    def global_affine(self) -> GlobalAffine:
        """See `baselines.global_affine`."""
        return baselines.global_affine(self._pool.images, self._codes)

    @property
    def pixel_affine(self) -> PixelAffine:
        """See `baselines.pixel_affine`."""
        return baselines.pixel_affine(self._pool.images, self._codes)

    @property
    def ridge(self) -> Ridge:
        """See `baselines.ridge`. A truncated row is an affine function of w, so regressions on both are equal."""
        return baselines.ridge(self._pool.ws[:, -1], self._codes)[0]


@dataclass(frozen=True)
class FittedBaselines:
    """The baselines of one type, fitted; the fields are those of `PoolBaselines`."""

    mean: Tensor
    global_affine: GlobalAffine
    pixel_affine: PixelAffine
    ridge: Ridge

    @classmethod
    def fit(cls, pool: Pool, name: str) -> FittedBaselines:
        """Fit all of them."""
        lazy = PoolBaselines(pool, name)
        return cls(lazy.mean, lazy.global_affine, lazy.pixel_affine, lazy.ridge)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, such as `ridge.weights`."""
        parts = (("global_affine", self.global_affine), ("pixel_affine", self.pixel_affine), ("ridge", self.ridge))
        named = {f"{name}.{key}": tensor for name, part in parts for key, tensor in vars(part).items()}
        return {"mean": self.mean, **named}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> FittedBaselines:
        """The inverse of `tensors`. Raises KeyError for a missing tensor."""

        def part(kind: Any, name: str) -> Any:
            return kind(*(tensors[f"{name}.{field.name}"] for field in fields(kind)))

        return cls(
            tensors["mean"],
            part(GlobalAffine, "global_affine"),
            part(PixelAffine, "pixel_affine"),
            part(Ridge, "ridge"),
        )


class BaselinesCache:
    """Fitted baselines as files. root: folder of the cache; None for `user_cache`."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.folder = (user_cache() if root is None else Path(root)) / FOLDER

    def path(self, facts: Mapping[str, Any]) -> Path:
        """The file of the baselines with these facts, which contain `type`."""
        text = json.dumps({"format": BASELINES_FILE.format, **facts}, sort_keys=True)
        return self.folder / f"{facts['type']}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.safetensors"

    def load(self, facts: Mapping[str, Any]) -> FittedBaselines | None:
        """Read baselines; None if they are not stored. Warns of a damaged file, which counts as not stored."""
        path = self.path(facts)
        if not path.exists():
            return None
        try:
            header, tensors = BASELINES_FILE.read(path, "pt")
            if header.facts == json.loads(json.dumps(facts)) and header.sha256 == _hash(tensors):
                return FittedBaselines.of(tensors)
            problem = "damaged"
        except KeyError as error:
            problem = f"lacks {error}"
        except UserError as error:
            problem = str(error)
        warnings.warn(f"cached baselines are fitted again ({path}: {problem})", stacklevel=3)
        return None

    def store(self, facts: Mapping[str, Any], fitted: FittedBaselines) -> None:
        """Write baselines, whole or not at all. Warns where they cannot be written, because the score needs no file."""
        path = self.path(facts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tensors = {name: tensor.contiguous().to(torch.float32) for name, tensor in fitted.tensors().items()}
            BASELINES_FILE.write(path, tensors, BaselinesHeader(dict(facts), _hash(tensors)))
        except OSError as error:
            warnings.warn(f"the fitted baselines were not kept: {path.parent}: {error.strerror}", stacklevel=3)


def _hash(tensors: Mapping[str, Tensor]) -> str:
    return tensors_sha256({name: tensor.numpy() for name, tensor in tensors.items()})


def baseline_facts(
    name: str, generator_sha256: str, teacher_sha256: str, sampling: Any, seeds: range
) -> dict[str, Any]:
    """Everything that the baselines of the type `name` depend on, JSON-ready. sampling: a `Sampling`."""
    return {
        "type": name,
        "generator": generator_sha256,
        "teacher": teacher_sha256,
        "sampling": asdict(sampling),
        "seeds": [seeds.start, len(seeds)],
    }
