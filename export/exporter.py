"""The interface of exporters: a file format that a verified ONNX model is written in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sgi.engine.artifact import Artifact
from sgi.engine.progress import Progress


@dataclass(frozen=True)
class Source:
    """The model to export.

    name: name of its type, or `maps` for several types. write_onnx: writes the model to a path as a verified .onnx and
    returns its description.
    """

    name: str
    write_onnx: Callable[[Path], Artifact]


@dataclass(frozen=True)
class Exported:
    """A finished export.

    path: the file or folder that was written. artifact: description of the verified ONNX model that it was made from.
    remark: one line for the user, such as how to serve the result; may be empty.
    """

    path: Path
    artifact: Artifact
    remark: str = ""


@runtime_checkable
class Exporter(Protocol):
    """One file format.

    suffixes: of the file, such as `.onnx` or `.tar.gz`; the first is the default; empty for a format that is a folder.
    settings: dataclass of the format's options; all fields have defaults, and the constructor raises UserError for
    invalid values.
    """

    suffixes: tuple[str, ...]
    settings: type[Any]

    def check(self, settings: Any) -> None:
        """Raise UserError if something that `write` needs is missing; called before the work begins."""
        ...

    def write(self, source: Source, out: Path, settings: Any, progress: Progress) -> Exported:
        """Write the format to `out`, completely or not at all; `source.write_onnx` writes the model to a given path."""
        ...


@dataclass(frozen=True)
class NoSettings:
    """The settings of a format that has no options of its own."""
