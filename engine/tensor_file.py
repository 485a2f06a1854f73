"""Safetensors files with a JSON header: the container of offsets, generators, teachers, discriminators and latents.

The header is one metadata string under the key of the file's kind. It contains `format`, a version number, and the
fields of the kind's `msgspec.Struct`. Unknown fields are ignored. docs/formats.md describes every kind. This module
does not import torch; the caller chooses the framework of the tensors.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sgi.engine.budget import check_safetensors, parse_json
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.foreign_file import foreign

_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how the library states a full disk
Header = TypeVar("Header", bound=msgspec.Struct)


@dataclass(frozen=True)
class FileKind(Generic[Header]):
    """One kind of file.

    key: metadata key of the header. format: version that this code reads and writes. header: schema of the header.
    noun: what messages call the file, such as "an offset". remedy: how to get one. facts: schemas of the fields of the
    header that are dicts, as far as this code reads them.
    """

    key: str
    format: int
    header: type[Header]
    noun: str
    remedy: str
    facts: Mapping[str, type[msgspec.Struct]] = field(default_factory=dict)

    def write(self, path: str | Path, tensors: Mapping[str, Any], header: Header) -> None:
        """Write the file. It appears complete or not at all.

        tensors: name -> array, all numpy arrays or all torch tensors; torch tensors on the CPU and contiguous.
        The file gets the permissions of any new file.
        """
        values = {**msgspec.structs.asdict(header), "format": self.format}
        metadata = {self.key: json.dumps(values, sort_keys=True, default=msgspec.to_builtins)}
        arrays = dict(tensors)
        framework = "numpy" if all(isinstance(array, np.ndarray) for array in arrays.values()) else "torch"
        save_file = import_module(f"safetensors.{framework}").save_file
        with atomic_write(path) as temporary:
            # save_file creates files with mode 0600, and `save` needs twice the memory of the tensors.
            temporary.touch()
            mode = temporary.stat().st_mode
            try:
                save_file(arrays, temporary, metadata=metadata)
            except SafetensorError as error:
                number = _OS_ERROR.search(str(error))
                if not number:
                    raise
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
            temporary.chmod(mode)

    def read_header(self, path: str | Path) -> Header:
        """The header of a file; raises UserError as `read` does."""
        return self._open(path, None)[0]

    def read(self, path: str | Path, framework: str = "np") -> tuple[Header, dict[str, Any]]:
        """Header and tensors, name -> array, of a file.

        framework: np for numpy arrays, pt for torch tensors on the CPU.
        Raises UserError for a file that is missing, truncated, of another kind or version, or whose header does not
        match the schema; the message contains the path of the wrong field, such as `$.fit.rank`.
        """
        return self._open(path, framework)

    def _open(self, path: str | Path, framework: str | None) -> tuple[Header, dict[str, Any]]:
        tensors: dict[str, Any] = {}
        try:
            check_safetensors(path)
            with safe_open(str(path), framework=framework or "np") as file:
                header = self._parse(path, (file.metadata() or {}).get(self.key))
                if framework:
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except OSError as error:
            what = foreign(path, self.remedy) if Path(path).is_dir() else None
            reason = f"not {self.noun} file but {what}" if what else f"cannot be read ({error.strerror or error})"
            raise UserError(f"{path}: {reason}") from None
        except (SafetensorError, ValueError, TypeError, AttributeError) as error:
            # TypeError and AttributeError: numbers that the framework does not have.
            what = foreign(path, self.remedy) or f"a damaged safetensors file ({error}): download or copy it again"
            raise UserError(f"{path}: not {self.noun} file but {what}") from None
        return header, tensors

    def _parse(self, path: str | Path, text: str | None) -> Header:
        if text is None:
            what = foreign(path, self.remedy) or f"a safetensors file; {self.remedy}"
            raise UserError(f"{path}: not {self.noun} file but {what}")
        try:
            # Not msgspec.json: figures in files of earlier versions can be NaN, which strict JSON does not have.
            values = parse_json(text, finite=False)
            version = msgspec.convert(values, _Version).format
            if version != self.format:
                raise UserError(
                    f"{path}: {self.noun} file of format {version}, this version reads {self.format}: "
                    f"upgrade sgi-engine, or {self.remedy}"
                )
            header = msgspec.convert(values, self.header)
            facts = msgspec.defstruct("Facts", list(self.facts.items()))
            msgspec.convert({name: getattr(header, name) for name in self.facts}, facts)
            return header
        except ValueError as error:
            raise UserError(f"{path}: damaged header ({error}); copy the file again") from None


class _Version(msgspec.Struct):
    format: int


def tensors_sha256(tensors: Mapping[str, NDArray[Any]], prefix: str = "") -> str:
    """SHA-256 of tensors as float32, 64 hexadecimal digits, the same for every dtype and order in the file.

    The hashed bytes are `prefix` in UTF-8 and then, for each tensor in the order of names, the text
    `NAME:[d0, d1, ...]` and the numbers as little-endian float32 in C order.
    """
    digest = hashlib.sha256(prefix.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}:{list(tensor.shape)}".encode())
        digest.update(np.ascontiguousarray(tensor, np.float32).data)
    return digest.hexdigest()
