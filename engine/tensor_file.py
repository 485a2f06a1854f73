"""Safetensors files with a JSON header: the container of offsets, generators, teachers, discriminators and latents.

The header is one metadata string under a key of the file's kind. It holds `format`, a version number, and the fields
of the kind's `msgspec.Struct`; unknown fields are ignored. docs/formats.md lists all kinds. Torch-free: the framework
is chosen by the caller.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write

Header = TypeVar("Header", bound=msgspec.Struct)


@dataclass(frozen=True)
class FileKind(Generic[Header]):
    """One kind of file.

    key: metadata key of the header. format: version that this code reads and writes. header: schema of the header.
    noun: what messages call the file, such as "an offset". remedy: how to get one.
    """

    key: str
    format: int
    header: type[Header]
    noun: str
    remedy: str

    def write(self, path: str | Path, tensors: Mapping[str, Any], header: Header) -> None:
        """Write the file whole or not at all.

        tensors: all numpy arrays or all torch tensors, by name; torch tensors on the CPU and contiguous.
        """
        values = msgspec.to_builtins(header) | {"format": self.format}
        metadata = {self.key: json.dumps(values, sort_keys=True)}
        arrays = dict(tensors)
        framework = "numpy" if all(isinstance(array, np.ndarray) for array in arrays.values()) else "torch"
        save_file = import_module(f"safetensors.{framework}").save_file
        with atomic_write(path) as temporary:
            # save_file makes a file that only its owner can read; `save` would hold all tensors in memory twice.
            temporary.touch()
            mode = temporary.stat().st_mode
            save_file(arrays, temporary, metadata=metadata)
            temporary.chmod(mode)

    def read_header(self, path: str | Path) -> Header:
        """The header of a file; raises UserError as `read` does."""
        return self._open(path, None)[0]

    def read(self, path: str | Path, framework: str = "np") -> tuple[Header, dict[str, Any]]:
        """Header and tensors by name; framework: np for numpy arrays, pt for torch tensors.

        Raises UserError for a file that is missing, cut short, of another kind or version, or whose header does not
        match the schema.
        """
        return self._open(path, framework)

    def _open(self, path: str | Path, framework: str | None) -> tuple[Header, dict[str, Any]]:
        tensors: dict[str, Any] = {}
        try:
            with safe_open(str(path), framework=framework or "np") as file:
                text = (file.metadata() or {}).get(self.key)
                header = self._parse(path, text)
                if framework:
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: not a readable safetensors file ({error})") from None
        return header, tensors

    def _parse(self, path: str | Path, text: str | None) -> Header:
        if text is None:
            raise UserError(f"{path}: not {self.noun} file; {self.remedy}")
        try:
            version = msgspec.json.decode(text, type=_Version).format
            if version != self.format:
                raise UserError(
                    f"{path}: {self.noun} file of format {version}, this version reads {self.format}: "
                    f"upgrade sgi-engine, or {self.remedy}"
                )
            return msgspec.json.decode(text, type=self.header)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise UserError(f"{path}: damaged header ({error}); copy the file again") from None


class _Version(msgspec.Struct):
    format: int


def tensors_sha256(tensors: Mapping[str, NDArray[Any]], prefix: str = "") -> str:
    """SHA-256 of tensors as float32, in order of their names, after `prefix`: the same whatever file held them."""
    digest = hashlib.sha256(prefix.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}:{list(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor, np.float32).data)
    return digest.hexdigest()
