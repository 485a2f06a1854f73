"""The bytes of a model file, compared with the checksum in its description."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from sgi.engine.artifact import INPUTS, SIDECAR_SUFFIXES, Artifact
from sgi.engine.budget import LARGEST_MODEL, read_bytes
from sgi.engine.errors import UserError, one_line
from sgi.engine.model_input import width_of_w, with_input
from sgi.engine.onnx_operators import check_graph
from sgi.engine.onnx_wire import NotOnnxError, find_graph


def read_model(path: Path, artifact: Artifact) -> bytes:
    """The bytes of an .onnx file, changed to take the input of `artifact`; a file of an older export has no checksum.

    Raises UserError where the graph and its weights differ from the checksum in the description, and for a graph that
    the exporter cannot have written.
    """
    model = _read(path)
    try:
        if artifact.graph_sha256 is not None and graph_sha256(model) != artifact.graph_sha256:
            raise damaged(path)
        check_graph(model, artifact.resolution)
        if artifact.input != "z":
            model = with_input(model, artifact.input, artifact.num_ws)
    except NotOnnxError as error:
        raise UserError(f"{path}: {error}; copy it again or export it again with `sgi-engine export`") from None
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
    return model


def taking(path: Path, artifact: Artifact, input: str | None) -> Artifact:
    """The description of a model opened to take `input`, one of `INPUTS`; None for the input of the file.

    An .onnx that takes z can take w and w+ (`sgi.engine.model_input`). Raises UserError for other changes.
    """
    if input is None or input == artifact.input:
        return artifact
    if input not in INPUTS:
        raise UserError(f"`input={one_line(input, 40)}`: choose from {', '.join(INPUTS)}")
    if artifact.input != "z":
        raise UserError(
            f"`input={input}`: {path} takes {artifact.input}; leave it out, or export the model again with this input"
        )
    if path.suffix in SIDECAR_SUFFIXES:
        command = f"sgi-engine export --input {input} --format tensorrt"
        raise UserError(f"`input={input}`: {path} takes z, which is fixed in an engine; make another with `{command}`")
    try:
        return replace(artifact, input=input, w_dim=width_of_w(read_model(path, artifact)))
    except UserError as error:
        raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def read_engine(path: Path, expected: str) -> bytes:
    """The bytes of an engine; raises UserError where their SHA-256 is not `expected`, of the file beside it."""
    engine = _read(path)
    if hashlib.sha256(engine).hexdigest() != expected:
        raise damaged(path)
    return engine


def graph_sha256(model: bytes) -> str:
    """SHA-256 of the graph of an .onnx file, weights included: the bytes of the field `graph` of its ModelProto."""
    return hashlib.sha256(find_graph(model)).hexdigest()


def damaged(path: Path) -> UserError:
    """The error for a file whose checksum is wrong."""
    return UserError(
        f"{path}: its contents differ from the checksum in its description: the file is damaged; copy it again or "
        "export it again with `sgi-engine export`"
    )


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, LARGEST_MODEL)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
