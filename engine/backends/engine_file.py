"""What a TensorRT engine says of its build, in the JSON beside it, and whether it can run here.

An engine holds machine code for one version of its library and one kind of GPU, so both are checked before a library
is loaded, and a mismatch is one line with the command that builds it again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.gpu import Gpu

TENSORRT, RTX = "tensorrt", "tensorrt_rtx"
MODULES = {TENSORRT: "tensorrt", RTX: "tensorrt-rtx"}  # Python module -> pip extra


@dataclass(frozen=True)
class EngineFacts:
    """The `builder` entry of a sidecar.

    module, version: what built it. gpu, compute_capability: the GPU it was built on, None for a build for targets;
    targets: compute capabilities such as SM120. batch: least, best and largest number of rows.
    optimization_level: 0 to 5, None for the builder's own. onnx_sha256, engine_sha256: of the graph and the file.
    """

    module: str
    version: str
    gpu: str | None
    compute_capability: tuple[int, int] | None
    targets: tuple[str, ...]
    batch: tuple[int, int, int]
    optimization_level: int | None
    onnx_sha256: str
    engine_sha256: str

    @classmethod
    def read(cls, path: Path) -> EngineFacts:
        """Read the sidecar of an engine; raises UserError where it does not tell how the engine was built."""
        try:
            values: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["builder"]
            capability = values["compute_capability"]
            values["compute_capability"] = None if capability is None else (int(capability[0]), int(capability[1]))
            values["targets"] = tuple(str(target) for target in values["targets"])
            least, best, largest = (int(rows) for rows in values["batch"])
            return cls(**{**values, "batch": (least, best, largest)})
        except (KeyError, IndexError, TypeError, ValueError):
            raise UserError(
                f"{path}: {path.with_suffix('.json').name} does not say how it was built; build it again with "
                "`sgi-engine export --format tensorrt`"
            ) from None

    def check_gpu(self, path: Path, artifact: Artifact, gpus: Sequence[Gpu]) -> None:
        """Raise UserError where the first GPU of this machine cannot run the engine."""
        if not gpus:
            raise UserError(
                f"{path}: an engine runs on an NVIDIA GPU, and none with a driver is here; use an .onnx export"
            )
        here = gpus[0]
        if self.compute_capability is not None and (self.gpu, self.compute_capability) != (here.name, here.capability):
            raise UserError(f"{path}: built on {self.gpu}, and this is {here.name}; {rebuild(path, artifact, self)}")
        name = "SM{}{}".format(*here.capability)
        if self.targets and name not in self.targets:
            raise UserError(
                f"{path}: built for {', '.join(self.targets)}, and {here.name} is {name}; "
                f"{rebuild(path, artifact, self)}"
            )

    def check_version(self, path: Path, artifact: Artifact, version: str) -> None:
        """Raise UserError where the library here is another than the one that built the engine."""
        if version != self.version:
            raise UserError(
                f"{path}: built by {self.module} {self.version}, and {version} is installed; "
                f"{rebuild(path, artifact, self)}"
            )


def rebuild(path: Path, artifact: Artifact, facts: EngineFacts) -> str:
    """The advice to build an engine again, with the flags that it was built with."""
    types = " ".join(f"--type {name}" for name in artifact.type_names)
    batch = ",".join(map(str, facts.batch))
    return (
        "build it again here, with its --generator and --offset if it has its own: `sgi-engine export "
        f"--format tensorrt --precision {artifact.precision} --batch-profile {batch} {types} --out {path}`"
    )


def is_installed(module: str) -> bool:
    """Whether a module of MODULES is installed."""
    return find_spec(module) is not None
