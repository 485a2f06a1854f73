"""How a TensorRT engine was built, from the JSON beside it, and whether it can run on this machine.

An engine contains machine code for one version of its library and one kind of GPU. Both are checked before the library
is loaded, and an error names the command that builds the engine again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec

from sgi.engine.artifact import Artifact
from sgi.engine.budget import parse_json, read_bytes
from sgi.engine.errors import UserError
from sgi.engine.gpu import Gpu

TENSORRT, RTX = "tensorrt", "tensorrt_rtx"
MODULES = {TENSORRT: "tensorrt", RTX: "tensorrt-rtx"}  # Python module -> pip extra


@dataclass(frozen=True)
class EngineFacts:
    """The `builder` entry of a sidecar.

    module, version: Python module that built it, and its version. gpu, compute_capability: name and (major, minor) of
    the GPU it was built on, None for a build for targets. targets: compute capabilities it was built for, such as
    SM120. batch: smallest, optimal and largest number of rows. optimization_level: 0 to 5, None for the builder's
    default. onnx_sha256, engine_sha256: hashes of the ONNX file and of the engine.
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
        """Read the sidecar of an engine; raises UserError where its `builder` entry is missing or wrong."""
        sidecar = path.with_suffix(".json")
        try:
            return msgspec.convert(parse_json(read_bytes(sidecar), finite=False), _Sidecar).builder
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: {sidecar.name} does not describe how it was built ({error}); build it again with "
                "`sgi-engine export --format tensorrt`"
            ) from None

    def check_gpu(self, path: Path, artifact: Artifact, gpus: Sequence[Gpu]) -> None:
        """Raise UserError where the first GPU of this machine cannot run the engine."""
        if not gpus:
            raise UserError(
                f"{path}: an engine needs an NVIDIA GPU, and none with a driver was found; use an .onnx export"
            )
        here = gpus[0]
        if self.compute_capability is not None and (self.gpu, self.compute_capability) != (here.name, here.capability):
            raise UserError(
                f"{path}: built on {self.gpu}, and this GPU is {here.name}; {rebuild(path, artifact, self)}"
            )
        name = "SM{}{}".format(*here.capability)
        if self.targets and name not in self.targets:
            raise UserError(
                f"{path}: built for {', '.join(self.targets)}, and {here.name} is {name}; "
                f"{rebuild(path, artifact, self)}"
            )

    def check_version(self, path: Path, artifact: Artifact, version: str) -> None:
        """Raise UserError where the installed library is not the version that built the engine."""
        if version != self.version:
            raise UserError(
                f"{path}: built by {self.module} {self.version}, and {version} is installed; "
                f"{rebuild(path, artifact, self)}"
            )


class _Sidecar(msgspec.Struct):
    builder: EngineFacts


def rebuild(path: Path, artifact: Artifact, facts: EngineFacts) -> str:
    """The remedy for an engine that cannot run here: the command that builds it again with the same options."""
    types = " ".join(f"--type {name}" for name in artifact.type_names)
    batch = ",".join(map(str, facts.batch))
    return (
        "build it again here, with its --generator and --offset if it has its own: `sgi-engine export "
        f"--format tensorrt --precision {artifact.precision} --batch-profile {batch} {types} --out {path}`"
    )


def is_installed(module: str) -> bool:
    """Whether a module of MODULES is installed."""
    return find_spec(module) is not None
