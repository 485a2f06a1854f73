"""The result of a task, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgi.engine.budget import read_npz
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.trainer.measures.by_type import Statistics

_KEPT, _TENSOR = "kept", "tensor"


@dataclass(frozen=True)
class TaskResult:
    """Result of a task.

    tensors: of the offset. kept: by predictor, the statistics of each measure for each picture. seconds: of the task.
    """

    tensors: dict[str, Tensor]
    kept: dict[str, Statistics]
    seconds: float

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        arrays: dict[str, NDArray] = {f"{_TENSOR}/{key}": tensor.numpy() for key, tensor in self.tensors.items()}
        for predictor, by_measure in self.kept.items():
            arrays |= {f"{_KEPT}/{predictor}/{key}": array.astype(np.float32) for key, array in by_measure.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, seconds=np.array(self.seconds), **arrays)

    @classmethod
    def load(cls, path: Path) -> TaskResult:
        """Read a file that `save` wrote; raises UserError for a damaged one."""
        try:
            arrays = read_npz(path)
            result = cls({}, {}, float(arrays.pop("seconds")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: damaged ({error}); delete it, and the same command computes it again") from None
        for name, array in arrays.items():
            kind, _, rest = name.partition("/")
            if kind == _TENSOR:
                result.tensors[rest] = torch.from_numpy(array.copy())
            else:
                predictor, _, key = rest.partition("/")
                result.kept.setdefault(predictor, {})[key] = array
        return result
