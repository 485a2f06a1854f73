"""Opening of a checkpoint file of any kind as a tree of inert records; names in a file are not imported or called."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sgi.engine.budget import Budget, check_safetensors, open_regular
from sgi.engine.errors import UserError
from sgi.engine.foreign_file import OWN_KINDS, foreign
from sgi.engine.generator.checkpoints.records import REMEDY, Name
from sgi.engine.generator.checkpoints.safe_pickle import SafePickle
from sgi.engine.generator.checkpoints.tensors import Ref, TensorReader
from sgi.engine.generator.checkpoints.torch_file import STREAM_MAGIC, ZIP_MAGIC, read_stream, read_zip
from sgi.engine.generator.file import GENERATOR_FILE

MAX_FILE_BYTES = 1 << 34
MAX_VISITS = 100_000  # a pickle of NVIDIA's network for 1024 px has about 3000 objects
_SAFETENSORS_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Container:
    """An open checkpoint.

    label: name of the file in messages. kind: its packing (pickle, torch zip, torch stream, safetensors).
    root: its tree of objects. names: classes and functions that its pickle names. reader: converts records to tensors.
    visits: objects that readers may still visit; an object that is referred to several times counts each time.
    is_generator_file: whether it is a generator file of this project.
    """

    label: str
    kind: str
    root: Any
    names: tuple[Name, ...]
    reader: TensorReader
    is_generator_file: bool = False
    visits: Budget = field(init=False)

    def __post_init__(self) -> None:
        reason = f"{self.label}: refused, its parts refer to each other more than {MAX_VISITS} times"
        object.__setattr__(self, "visits", Budget(MAX_VISITS, reason))


@contextmanager
def open_container(path: str | Path) -> Iterator[Container]:
    """Open a file; raises UserError for one that is not a checkpoint."""
    label = str(path)
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            if size > MAX_FILE_BYTES:
                raise UserError(f"{label}: {size >> 30} GiB, larger than any StyleGAN2 checkpoint")
            yield _open(path, file, size, label)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        if what := foreign(path, REMEDY) if Path(path).is_dir() else None:
            raise UserError(f"{path}: not a generator checkpoint: it is {what}") from None
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _open(path: str | Path, file: BufferedReader, size: int, label: str) -> Container:
    head = file.read(9)
    file.seek(0)
    if len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] + 8 <= size:
        return _open_safetensors(path, file, size, label)
    if head.startswith(ZIP_MAGIC):
        archive = read_zip(file, size, label)
        reader = TensorReader(file, size, label, archive.storages)
        return Container(label, "torch zip", archive.root, tuple(archive.names), reader)
    if head[:1] != b"\x80" or head[4:] == b"\0\0\0\0{":  # the latter: a truncated safetensors file
        what = foreign(path, REMEDY)
        detail = f"it is {what}" if what else f"neither a pickle, a torch file nor safetensors; {REMEDY}"
        raise UserError(f"{label}: not a generator checkpoint: {detail}")
    pickle = SafePickle(file, size, label)
    root = pickle.read()
    if root == STREAM_MAGIC:
        file.seek(0)
        stream = read_stream(file, size, label)
        reader = TensorReader(file, size, label, stream.storages)
        return Container(label, "torch stream", stream.root, tuple(stream.names), reader)
    if pickle.persistent:
        raise UserError(
            f"{label}: the data.pkl of an unpacked .pt file, whose tensors are in other files of its folder: "
            "use the .pt file, or pack the folder with `zip -0 -r`"
        )
    return Container(label, "pickle", root, tuple(pickle.names), TensorReader(file, size, label))


def _open_safetensors(path: str | Path, file: BufferedReader, size: int, label: str) -> Container:
    """Open a safetensors file from any source: a flat dict of tensors."""
    try:
        check_safetensors(path)
        tensors = safe_open(str(path), framework="pt")
        metadata = tensors.metadata() or {}
        is_generator_file = GENERATOR_FILE.key in metadata
        if not is_generator_file and any(f"sgi_{kind}" in metadata for kind in OWN_KINDS):
            raise UserError(f"{label}: not a generator checkpoint: it is {foreign(path, REMEDY)}")
        root = {name: _safetensors_ref(tensors, name) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{label}: not a readable safetensors file ({error}: download or copy it again)") from None
    return Container(label, "safetensors", root, (), TensorReader(file, size, label), is_generator_file)


def _safetensors_ref(tensors: Any, name: str) -> Ref:
    part = tensors.get_slice(name)
    dtype = _SAFETENSORS_TYPES.get(part.get_dtype(), part.get_dtype())
    return Ref(tuple(part.get_shape()), dtype, lambda: tensors.get_tensor(name).float().numpy())
