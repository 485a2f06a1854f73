"""A cache of teachers' targets on disk, so that a slow teacher runs once per picture.

There is one folder for each (generator, sampling, teacher, type), with one .npy file of float16 codes for each block of
seeds. Blocks start at multiples of their length, so pools of different counts over the same seeds share blocks. Files
are written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgi.engine.budget import read_npy
from sgi.engine.errors import UserError, one_line
from sgi.engine.files import atomic_write

BLOCK = 64
FORMAT = 1
FACTS = "facts.json"


def blocks(seeds: range) -> list[range]:
    """Return consecutive seeds cut at the multiples of `BLOCK`."""
    cuts = [seeds.start, *range((seeds.start // BLOCK + 1) * BLOCK, seeds.stop, BLOCK), seeds.stop]
    return [range(start, stop) for start, stop in pairwise(cuts) if start < stop]


class CodeCache:
    """Codes of one type by one teacher, for the pictures of one generator under one sampling.

    root: folder of all caches, created if it is missing. name: of the type. facts: JSON-ready values of everything that
    the codes depend on besides the type and the seed. Raises UserError, naming `cache`, for a folder that cannot be
    created.
    """

    def __init__(self, root: str | Path, name: str, facts: Mapping[str, Any]) -> None:
        self.root = Path(root)
        self._described = json.dumps({"format": FORMAT, "type": name, **facts}, sort_keys=True, indent=2)
        key = hashlib.sha256(self._described.encode()).hexdigest()
        self.folder = self.root / f"{name}-{key[:24]}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"`cache={root}`: cannot create the folder ({error.strerror})") from None

    def load(self, seeds: range, shape: tuple[int, int]) -> Tensor | None:
        """Return codes [len(seeds), C, *shape] float16 of seeds within one block, or None where they are not stored.

        A damaged file counts as not stored; `store` replaces it.
        """
        whole = range(seeds.start // BLOCK * BLOCK, seeds.start // BLOCK * BLOCK + BLOCK)
        for stored in dict.fromkeys((whole, seeds)):
            try:
                codes = read_npy(self._path(stored))
            except (OSError, ValueError):
                continue
            if codes.dtype == np.float16 and codes.ndim == 4 and codes.shape[2:] == shape and len(codes) == len(stored):
                first = seeds.start - stored.start
                return torch.from_numpy(codes[first : first + len(seeds)].copy())
        return None

    def store(self, seeds: range, codes: Tensor) -> None:
        """Store codes [len(seeds), C, H, W] float16 of seeds within one block.

        Raises UserError, naming `cache`, if they cannot be written.
        """
        try:
            self.folder.mkdir(exist_ok=True)
            if not (self.folder / FACTS).exists():
                with atomic_write(self.folder / FACTS) as temporary:
                    temporary.write_text(self._described)
            with atomic_write(self._path(seeds)) as temporary:
                np.save(temporary, codes.numpy(), allow_pickle=False)
        except OSError as error:
            raise UserError(f"`cache={self.root}`: cannot write ({one_line(error.strerror or str(error))})") from None

    def _path(self, seeds: range) -> Path:
        return self.folder / f"{seeds.start}-{len(seeds)}.npy"
