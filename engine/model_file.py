"""The bytes of a model file, compared with the checksum in its description."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sgi.engine.artifact import Artifact
from sgi.engine.budget import LARGEST_MODEL, read_bytes
from sgi.engine.errors import UserError
from sgi.engine.onnx_operators import check_graph
from sgi.engine.onnx_wire import NotOnnxError, find_graph


def read_model(path: Path, artifact: Artifact) -> bytes:
    """The bytes of an .onnx file; a file of an older export has no checksum.

    Raises UserError where the graph and its weights differ from the checksum in the description, and for a graph that
    the exporter cannot have written.
    """
    model = _read(path)
    try:
        if artifact.graph_sha256 is not None and graph_sha256(model) != artifact.graph_sha256:
            raise damaged(path)
        check_graph(model, artifact.resolution)
    except NotOnnxError as error:
        raise UserError(f"{path}: {error}; copy it again or export it again with `sgi-engine export`") from None
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
    return model


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
