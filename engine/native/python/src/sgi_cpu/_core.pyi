from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float32]

class Error(RuntimeError): ...
class ArgumentError(Error): ...
class ModelError(Error): ...
class UnsupportedError(Error): ...

class Engine:
    def __init__(
        self,
        path: bytes | None,
        model: bytes | None,
        types: str | None,
        threads: int,
        batch: int,
        streams: int,
        precision: str | None,
        backend: str,
    ) -> None: ...
    def run(
        self,
        seeds: npt.NDArray[np.uint32] | None,
        z: _Floats | None,
        w: _Floats | None,
        ws: _Floats | None,
        labels: _Floats | None,
        psi: float | None,
        count: int,
        outputs: Sequence[tuple[str, _Floats]],
    ) -> None: ...
    def info(self) -> dict[str, Any]: ...
    def close(self) -> None: ...

def latent(seed: int, z: npt.NDArray[np.float64]) -> None: ...

__version__: str
