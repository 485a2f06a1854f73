"""A model repository for NVIDIA's Triton Inference Server: REPOSITORY/NAME/config.pbtxt and NAME/1/model.onnx or .plan.

The server batches requests, so every input has the batch as its first axis: `psi` is [batch, 1] here, and each request
has its own truncation. A model that takes w or w+ has no `psi`. The configuration follows model_config.proto of the
server.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.files import TEMPORARY_MARK
from sgi.engine.progress import Progress
from sgi.export.exporter import Exported, Source
from sgi.export.tensorrt import build_engine
from sgi.export.tensorrt_settings import BuildSettings, load_module

MODELS = {"onnx": ("onnxruntime_onnx", "model.onnx"), "tensorrt": ("tensorrt_plan", "model.plan")}
QUEUE_DELAY = 1000  # microseconds that a request waits for others to share its batch; less than a video frame
VERSION = "1"


@dataclass(frozen=True)
class ServerSettings(BuildSettings):
    """Options of a repository, and of the engine in it.

    name: of the model in the repository, None for the name of its type. server_model: onnx or tensorrt.
    batch_profile: its second and third number are the server's preferred and largest batch.
    """

    name: str | None = None
    server_model: str = "onnx"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.server_model == "onnx":
            for option in ("builder", "optimization_level", "timing_cache", "compute_capability"):
                value = getattr(self, option)
                if value != BuildSettings.__dataclass_fields__[option].default:
                    refuse_ignored({option: value}, "with `server_model=onnx`, which builds no engine")


class TritonServerExporter:
    """A model in a repository folder; see `sgi.export.exporter.Exporter`."""

    suffixes: tuple[str, ...] = ()
    settings: type[Any] = ServerSettings

    def check(self, settings: ServerSettings) -> None:
        """See `Exporter.check`."""
        if settings.server_model == "tensorrt":
            load_module(settings)

    def write(self, source: Source, out: Path, settings: ServerSettings, progress: Progress) -> Exported:
        """See `Exporter.write`."""
        with TemporaryDirectory() as folder:
            model = Path(folder) / f"{source.name}.onnx"
            artifact = source.write_onnx(model)
            with progress.stage("repository", 1) as stage:
                written = write_repository(model, out, settings.name or source.name, settings, settings.server_model)
                stage.advance()
        return Exported(written, artifact, f"serve it with `tritonserver --model-repository {out.resolve()}`")


def write_repository(
    model: str | Path, out: str | Path, name: str, settings: BuildSettings, server_model: str = "onnx"
) -> Path:
    """Write a verified .onnx export as model `name` of the repository `out`; returns the model's folder.

    The repository is created if it does not exist. settings: `batch_profile` gives the preferred and the largest batch.
    server_model: onnx or tensorrt; an engine runs on the GPU that it was built on.
    Raises UserError for a name that exists or is not a plain name, and as `build_engine`; then nothing is written.
    """
    repository = Path(out)
    folder = repository / name
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"`name={name}`: must be a plain name, because it names a folder")
    if server_model not in MODELS:
        raise UserError(f"`server_model={server_model}`: choose from {', '.join(MODELS)}")
    if folder.exists():
        raise UserError(f"`out={repository}`: it already has a model {name}; remove it or choose another `name`")
    if repository.exists() and not repository.is_dir():
        raise UserError(f"`out={repository}`: a repository is a folder, and this is a file")
    if not repository.parent.is_dir():
        raise UserError(f"`out={repository}`: there is no folder {repository.parent}; make it first")
    artifact = Artifact.read(model)
    repository.mkdir(exist_ok=True)
    # Outside the repository, because a server that watches it must not load an unfinished model.
    temporary = repository.with_name(f".{repository.name}{TEMPORARY_MARK}{os.urandom(4).hex()}")
    try:
        (temporary / VERSION).mkdir(parents=True)
        batched = temporary / VERSION / "model.onnx"
        onnx.save(with_psi_per_row(onnx.load(model)), batched)
        if server_model == "tensorrt":
            # Not run: our backend does not support the server's shape of psi.
            build_engine(batched, temporary / VERSION / "model.plan", settings, run=False)
            batched.unlink()
        (temporary / "config.pbtxt").write_text(
            config(artifact, name, settings.batch_profile, server_model), encoding="utf-8"
        )
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def with_psi_per_row(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with `psi` of shape [batch, 1] instead of []; its only use, a product with rows, allows both."""
    for value in model.graph.input:
        if value.name == "psi":
            shape = value.type.tensor_type.shape
            shape.dim.add().dim_param = "batch"
            shape.dim.add().dim_value = 1
    onnx.checker.check_model(model, full_check=True)
    return model


def config(artifact: Artifact, name: str, batch_profile: tuple[int, int, int], server_model: str) -> str:
    """The text of config.pbtxt; its parameter `sgi_engine` is the model's description, which clients can read."""
    platform, file = MODELS[server_model]
    inputs = {key: [size or 1 for size in shape[1:]] or [1] for key, shape in artifact.inputs.items()}
    side = artifact.resolution
    outputs = {output.name: [output.channels, side, side] for output in artifact.types}
    preferred = sorted({*batch_profile[1:]})
    lines = [
        f"name: {json.dumps(name)}",
        f'platform: "{platform}"',
        f'default_model_filename: "{file}"',
        f"max_batch_size: {batch_profile[2]}",
        *(_tensor("input", key, dims) for key, dims in inputs.items()),
        *(_tensor("output", key, dims) for key, dims in outputs.items()),
        f"dynamic_batching {{ preferred_batch_size: {preferred} max_queue_delay_microseconds: {QUEUE_DELAY} }}",
        f'parameters {{ key: "sgi_engine" value {{ string_value: {json.dumps(artifact.to_json())} }} }}',
    ]
    return "\n".join(lines) + "\n"


def _tensor(role: str, name: str, dims: list[int]) -> str:
    return f'{role} {{ name: "{name}" data_type: TYPE_FP32 dims: {dims} }}'
