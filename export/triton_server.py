"""A model repository for NVIDIA's Triton Inference Server: REPOSITORY/NAME/config.pbtxt and NAME/1/model.onnx or .plan.

The server batches requests, so every input must have the batch as its first axis: `psi` is [batch, 1] here, and each
request truncates as it likes. The configuration follows model_config.proto of the server.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import onnx

from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.files import TEMPORARY_MARK
from sgi.export.tensorrt import BuildSettings, build_engine

MODELS = {"onnx": ("onnxruntime_onnx", "model.onnx"), "tensorrt": ("tensorrt_plan", "model.plan")}
QUEUE_DELAY = 1000  # microseconds that a request waits for company: below a frame, above what a batch gains
VERSION = "1"


def write_repository(
    model: str | Path, repository: str | Path, name: str, settings: BuildSettings, kind: str = "onnx"
) -> Path:
    """Write a verified .onnx export as model `name` of a repository, made if needed; returns the model's folder.

    settings: its batch gives the largest batch and the preferred one, and the engine's profile for kind tensorrt.
    kind: onnx or tensorrt, which the server runs on the GPU that the engine was built on.
    Raises UserError for a name that is taken or not a plain one, and what `build_engine` raises; then nothing is left.
    """
    repository = Path(repository)
    folder = repository / name
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"--name {name}: give a plain name, it becomes a folder")
    if kind not in MODELS:
        raise UserError(f"--server-model {kind}: choose from {', '.join(MODELS)}")
    if folder.exists():
        raise UserError(f"--out {repository}: it has a model {name} already; remove it or choose another --name")
    if repository.exists() and not repository.is_dir():
        raise UserError(f"--out {repository}: a repository is a folder, and this is a file")
    if not repository.parent.is_dir():
        raise UserError(f"--out {repository}: there is no folder {repository.parent}; make it first")
    artifact = Artifact.read(model)
    repository.mkdir(exist_ok=True)
    # Outside the repository: a server that watches it must not see half a model.
    temporary = repository.with_name(f".{repository.name}{TEMPORARY_MARK}{os.urandom(4).hex()}")
    try:
        (temporary / VERSION).mkdir(parents=True)
        batched = temporary / VERSION / "model.onnx"
        onnx.save(with_psi_per_row(onnx.load(model)), batched)
        if kind == "tensorrt":
            # Its inputs are the server's, not those that our backend gives: it cannot be run here.
            build_engine(batched, temporary / VERSION / "model.plan", settings, run=False)
            batched.unlink()
        (temporary / "config.pbtxt").write_text(config(artifact, name, settings.batch, kind), encoding="utf-8")
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def with_psi_per_row(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with `psi` of [batch, 1] in place of []: its only use, a product with rows, broadcasts either."""
    for value in model.graph.input:
        if value.name == "psi":
            shape = value.type.tensor_type.shape
            shape.dim.add().dim_param = "batch"
            shape.dim.add().dim_value = 1
    onnx.checker.check_model(model, full_check=True)
    return model


def config(artifact: Artifact, name: str, batch: tuple[int, int, int], kind: str) -> str:
    """The text of config.pbtxt; the model's description stands in its parameters, for clients to read."""
    platform, file = MODELS[kind]
    inputs = {"z": [artifact.z_dim], "psi": [1]} | ({"label": [artifact.c_dim]} if artifact.c_dim else {})
    side = artifact.resolution
    outputs = {output.name: [output.channels, side, side] for output in artifact.types}
    preferred = sorted({batch[1], batch[2]})
    lines = [
        f"name: {json.dumps(name)}",
        f'platform: "{platform}"',
        f'default_model_filename: "{file}"',
        f"max_batch_size: {batch[2]}",
        *(_tensor("input", key, dims) for key, dims in inputs.items()),
        *(_tensor("output", key, dims) for key, dims in outputs.items()),
        f"dynamic_batching {{ preferred_batch_size: {preferred} max_queue_delay_microseconds: {QUEUE_DELAY} }}",
        f'parameters {{ key: "sgi_engine" value {{ string_value: {json.dumps(artifact.to_json())} }} }}',
    ]
    return "\n".join(lines) + "\n"


def _tensor(role: str, name: str, dims: list[int]) -> str:
    return f'{role} {{ name: "{name}" data_type: TYPE_FP32 dims: {dims} }}'
