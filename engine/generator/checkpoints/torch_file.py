"""Reading of torch's two file formats, the zip archive and the older stream, without torch.

Both consist of a pickle and raw storages. `SafePickle` reads the pickle. This module checks the positions of the
storages; their numbers are read later, and only for the tensors of the generator.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints.records import REMEDY, Blob, Name, Persistent
from sgi.engine.generator.checkpoints.safe_pickle import MAX_OPCODES, SafePickle

STREAM_MAGIC = 0x1950A86A20F9469CFC6C
ZIP_MAGIC = b"PK\x03\x04"
HEADER_OPCODES = 1000
MAX_ZIP_ENTRIES = 20_000
MAX_ZIP_DIRECTORY_BYTES = 1 << 22
MAX_ZIP_TAIL = 22 + (1 << 16)  # an end record and the longest comment
_CHUNK_BYTES = 1 << 20

ITEM_BYTES = {
    "Float": 4, "Half": 2, "BFloat16": 2, "Double": 8,
    "Byte": 1, "Char": 1, "Bool": 1, "Short": 2, "Int": 4, "Long": 8,
    "ComplexFloat": 8, "ComplexDouble": 16,
    "QInt8": 1, "QUInt8": 1, "QInt32": 4, "QUInt4x2": 1, "QUInt2x4": 1,
    "Untyped": 1, "_Untyped": 1,  # every newer dtype, such as float8 and uint16
}  # fmt: skip
"""Bytes of an item by the name of its storage class, as in torch/storage.py, `_dtype_to_storage_type_map`."""
_STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")


class Storage(NamedTuple):
    """Raw numbers: their type (a key of ITEM_BYTES), count and position.

    crc32: checksum, if the file has one. source: the open file that they are in, None for the checkpoint itself.
    """

    kind: str
    numel: int
    blob: Blob
    crc32: int | None = None
    source: BinaryIO | None = None


class TorchFile(NamedTuple):
    """The pickled object, the names in its pickle, and the storages by key."""

    root: Any
    names: dict[Name, None]
    storages: dict[str, Storage]


def storage_key(identifier: Any, label: str) -> tuple[str, str, int]:
    """(key, kind, count) of a persistent identifier ('storage', class, key, location, count[, view])."""
    parts = identifier if isinstance(identifier, tuple) else ()
    if len(parts) in (5, 6) and parts[0] == "storage" and isinstance(parts[1], Name):
        module, _, name = parts[1].rpartition(".")
        kind = name.removesuffix("Storage")
        count = parts[4]
        plain = isinstance(parts[2], str) and isinstance(count, int) and count >= 0
        if module in _STORAGE_MODULES and kind in ITEM_BYTES and plain:
            if len(parts) == 6 and parts[5] is not None:
                raise UserError(f"{label}: refused, a storage that is a view of another one (torch before 0.4)")
            return parts[2], kind, count
    raise UserError(f"{label}: not a readable checkpoint (a storage of unknown kind)")


def read_stream(
    file: BinaryIO, end: int, label: str, max_opcodes: int = MAX_OPCODES, is_inside_text: bool = False
) -> TorchFile:
    """Read the older format, from the current position of the file to `end`.

    is_inside_text: whether `file` is a text of the checkpoint in memory, and not the checkpoint.

    Layout: pickles of the magic number, the protocol version, the system, the object and the keys, then for each
    key its count (int64) and its raw numbers. Source: torch/serialization.py, `_legacy_save`.
    """
    magic, _, system = (SafePickle(file, end, label, HEADER_OPCODES).read() for _ in range(3))
    if magic != STREAM_MAGIC:
        raise UserError(f"{label}: not a readable checkpoint (not a file of torch.save)")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UserError(f"{label}: refused, written on a big-endian machine")
    pickle = SafePickle(file, end, label, max_opcodes)
    root = pickle.read()
    keys = SafePickle(file, end, label, max_opcodes).read()
    wanted = _wanted(pickle.persistent, label)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(wanted):
        raise UserError(f"{label}: not a readable checkpoint (its storages are not those of its pickle)")
    storages = {}
    for key in keys:
        kind, count = wanted[key]
        header = file.read(8)
        start = file.tell()
        length = count * ITEM_BYTES[kind]
        if len(header) != 8 or struct.unpack("<q", header)[0] != count or length > end - start:
            raise UserError(
                f"{label}: not a readable checkpoint (storage {key[:40]!r} is truncated or damaged): copy it again"
            )
        storages[key] = Storage(kind, count, Blob(start, length), source=file if is_inside_text else None)
        file.seek(start + length)
    return TorchFile(root, pickle.names, storages)


def read_zip(file: BinaryIO, end: int, label: str) -> TorchFile:
    """Read the zip format of torch.save since 1.6: stored entries `<name>/data.pkl` and `<name>/data/<key>`."""
    entries = _zip_entries(file, end, label)
    pickles = [name for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        what = "an .npz archive of NumPy" if any(name.endswith(".npy") for name in entries) else "a zip archive"
        raise UserError(f"{label}: {what} that torch did not write (no data.pkl); {REMEDY}")
    folder = pickles[0].removesuffix("data.pkl")
    if any(name.startswith((folder + "code/", folder + "constants.pkl")) for name in entries):
        raise UserError(
            f"{label}: refused, a TorchScript program; only weights are read: "
            "save `generator.state_dict()` by torch.save"
        )
    used = [entry for name, entry in entries.items() if name == pickles[0] or name.startswith(folder + "data/")]
    if any(entry.is_compressed for entry in used):
        raise UserError(
            f"{label}: a .pt file that was unpacked and packed again with compression; pack it with `zip -0 -r`, or "
            "use the original file"
        )
    order = entries.get(folder + "byteorder")
    if order is not None and not order.is_compressed and _read_small(file, order.blob) != b"little":
        raise UserError(f"{label}: refused, written on a big-endian machine")
    blob = entries[pickles[0]].blob
    file.seek(blob.start)
    pickle = SafePickle(file, blob.start + blob.length, label)
    root = pickle.read()
    storages = {}
    for key, (kind, count) in _wanted(pickle.persistent, label, skip_unknown=True).items():
        entry = entries.get(f"{folder}data/{key}")
        if entry is None or entry.blob.length != count * ITEM_BYTES[kind]:
            raise UserError(f"{label}: not a readable checkpoint (storage {key[:40]!r} is missing or of another size)")
        storages[key] = Storage(kind, count, entry.blob, entry.crc32)
    return TorchFile(root, pickle.names, storages)


def check_crc32(file: BinaryIO, storage: Storage, label: str) -> None:
    """Raise UserError if the checksum of a zip entry is wrong."""
    value = 0
    file.seek(storage.blob.start)
    left = storage.blob.length
    while left:
        chunk = file.read(min(left, _CHUNK_BYTES))
        if not chunk:
            break
        value = zlib.crc32(chunk, value)
        left -= len(chunk)
    if left or value != storage.crc32:
        raise UserError(f"{label}: damaged, the checksum of a tensor is wrong: fetch the file again")


def _read_small(file: BinaryIO, blob: Blob) -> bytes:
    file.seek(blob.start)
    return file.read(min(blob.length, 64))


def _wanted(persistent: Iterable[Persistent], label: str, skip_unknown: bool = False) -> dict[str, tuple[str, int]]:
    """Kind and count of every storage by key; those of unknown kind can be skipped where their size is not needed."""
    wanted: dict[str, tuple[str, int]] = {}
    for record in persistent:
        try:
            key, kind, count = storage_key(record.identifier, label)
        except UserError:
            if skip_unknown:
                continue
            raise
        if wanted.setdefault(key, (kind, count)) != (kind, count):
            raise UserError(f"{label}: not a readable checkpoint (storage {key[:40]!r} has two sizes)")
    return wanted


class _Entry(NamedTuple):
    """An entry of a zip archive; `blob` is its compressed data if it is compressed."""

    blob: Blob
    crc32: int
    is_compressed: bool


def _zip_entries(file: BinaryIO, end: int, label: str) -> dict[str, _Entry]:
    """The entries by name. Layout: PKWARE APPNOTE 6.3, sections 4.3.7 to 4.3.16.

    Python's zipfile is not used because it reads a directory of any size. Archives of torch are not compressed.
    """

    def bad(reason: str) -> UserError:
        return UserError(f"{label}: not a readable checkpoint (zip: {reason})")

    def at(position: int, form: str) -> tuple[Any, ...]:
        size = struct.calcsize(form)
        if position < 0 or position + size > end:
            raise bad("truncated")
        file.seek(position)
        return struct.unpack(form, file.read(size))

    last = _end_record(file, end)
    if last is None:
        raise bad("truncated: download it again")
    _, _, _, _, entries, length, start, _ = at(last, "<4sHHHHIIH")
    if last >= 20 and at(last - 20, "<4s")[0] == b"PK\x06\x07":
        (place,) = at(last - 20 + 8, "<Q")
        magic, entries, length, start = at(place, "<4s28xQQQ") if place < end else (b"", 0, 0, 0)
        if magic != b"PK\x06\x06":
            raise bad("no directory")
    if entries > MAX_ZIP_ENTRIES or length > MAX_ZIP_DIRECTORY_BYTES or start + length > end:
        raise bad("a directory out of bounds")
    file.seek(start)
    directory = file.read(length)
    found: dict[str, _Entry] = {}
    place = 0
    for _ in range(entries):
        if place + 46 > len(directory):
            raise bad("a truncated directory")
        magic, method, crc32, packed, size, n_name, n_extra, n_comment, local = struct.unpack_from(
            "<4s6xH4xIIIHHH8xI", directory, place
        )
        raw = directory[place + 46 : place + 46 + n_name]
        extra = directory[place + 46 + n_name : place + 46 + n_name + n_extra]
        place += 46 + n_name + n_extra + n_comment
        size, packed, local = _zip64(extra, size, packed, local)
        if magic != b"PK\x01\x02" or (method == 0 and packed != size):
            raise bad("an entry that is damaged")
        magic, n_name, n_extra = at(local, "<4s22xHH")
        data = local + 30 + n_name + n_extra
        if magic != b"PK\x03\x04" or data + packed > end:
            raise bad("an entry out of bounds")
        found[raw.decode("utf-8", "replace")] = _Entry(Blob(data, packed), crc32, method != 0)
    return found


def _end_record(file: BinaryIO, end: int) -> int | None:
    """Position of the end record: the last one, before a comment or other bytes that somebody appended."""
    start = max(0, end - MAX_ZIP_TAIL)
    file.seek(start)
    tail = file.read(end - start)
    place = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - 18))
    return None if place < 0 else start + place


def _zip64(extra: bytes, *fields: int) -> list[int]:
    """Fields of a directory entry; a field with all bits set is replaced by its value in the zip64 part of `extra`."""
    place = 0
    wide: list[int] = []
    while place + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, place)
        if tag == 1:
            body = extra[place + 4 : place + 4 + length]
            wide = [value for (value,) in struct.iter_unpack("<Q", body[: len(body) // 8 * 8])]
        place += 4 + length
    return [wide.pop(0) if field == 0xFFFFFFFF and wide else field for field in fields]
