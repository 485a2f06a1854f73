"""The shards of a run in the format `zarr` as one store, without a copy: arrays [N, ...] over all seeds of the run.

Chunk K of an array of a run is chunk 0 of shard K. The metadata is that of shard 0 with the length of the run.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import msgspec

from sgi.engine.budget import parse_json
from sgi.engine.errors import UserError
from sgi.engine.seeds import parse_seeds
from sgi.engine.shards.zarr_files import METADATA

try:
    import zarr
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
    from zarr.storage import FsspecStore, LocalStore
except ImportError as missing:
    raise ImportError(f'zarr of version 3 is needed ({missing}): pip install "sgi-engine[zarr]"') from None

_RUN, _MANIFEST = "run.json", "manifest.jsonl"


def open_run(outdir: str | Path) -> zarr.Group:
    """The arrays of a finished run, read-only, such as `open_run("out")["depth"]` [N, 1, R, R], and `seed` [N].

    outdir: the folder of the run, or its URL, which needs the package fsspec. Raises UserError for a folder that does
    not exist or has no shards of the format `zarr`, and for a run that is not finished.
    """
    text = str(outdir)
    if "://" not in text and not Path(text).is_dir():
        raise UserError(f"`outdir={text}`: no such folder")
    inner = FsspecStore.from_url(text, read_only=True) if "://" in text else LocalStore(text, read_only=True)
    return zarr.open_group(RunStore(inner, text), mode="r")


class RunStore(Store):
    """A read-only store of Zarr with the arrays of a run. store: of its folder. name: of the folder, for messages."""

    supports_writes = False
    supports_deletes = False
    supports_partial_writes = False
    supports_listing = True

    def __init__(self, store: Store, name: str) -> None:
        super().__init__(read_only=True)
        self._store = store
        self._name = name
        self._count: int | None = None  # seeds of the run
        self._shards = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunStore) and self._store == other._store

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """See `zarr.abc.store.Store`."""
        count = await self._length()
        if key.rpartition("/")[2] != METADATA:
            return await self._store.get(_in_shard(key), prototype, byte_range)
        found = await self._store.get(f"{_shard(0)}/{key}", prototype)
        if found is None:
            return None
        values = json.loads(found.to_bytes())
        if values["node_type"] == "array":
            values["shape"][0] = count
        return prototype.buffer.from_bytes(json.dumps(values).encode())

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """See `zarr.abc.store.Store`."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """See `zarr.abc.store.Store`."""
        return await self._store.exists(_in_shard(key))

    async def list(self) -> AsyncIterator[str]:
        """See `zarr.abc.store.Store`."""
        await self._length()
        for number in range(self._shards):
            async for key in self._store.list_prefix(f"{_shard(number)}/"):
                own = _of_run(key, number)
                if own is not None:
                    yield own

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """See `zarr.abc.store.Store`."""
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """See `zarr.abc.store.Store`; the names in a group, for which all shards are alike."""
        async for name in self._store.list_dir(f"{_shard(0)}/{prefix}".rstrip("/")):
            yield name

    async def set(self, key: str, value: Buffer) -> None:
        """Raises ValueError: the store is read-only."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Raises ValueError: the store is read-only."""
        self._check_writable()

    async def _length(self) -> int:
        """Seeds of the run, counted once."""
        if self._count is None:
            record = await self._read(_RUN)
            values = parse_json(record) if record else None
            if not isinstance(values, dict) or values.get("file_format") != "zarr":
                raise UserError(f"`outdir={self._name}`: it is not the folder of a run with `file_format=zarr`")
            lines = [msgspec.json.decode(line, type=_Line) for line in (await self._read(_MANIFEST)).splitlines()]
            numbers = sorted({line.shard for line in lines})
            seeds = msgspec.convert(values.get("seeds", values.get("rows")), str)
            count = len(parse_seeds(seeds))
            size = msgspec.convert(values.get("shard_size"), int)
            if numbers != list(range(-(-count // size))):
                raise UserError(
                    f"`outdir={self._name}`: {len(numbers)} of {-(-count // size)} shards are finished; run the same "
                    "command again, and `sgi-engine verify` after a run in parts"
                )
            self._shards = len(numbers)
            self._count = count
        return self._count

    async def _read(self, name: str) -> bytes:
        found = await self._store.get(name, default_buffer_prototype())
        return found.to_bytes() if found else b""


class _Line(msgspec.Struct):
    shard: int


def _shard(number: int) -> str:
    return f"shard-{number:06d}.zarr"


def _in_shard(key: str) -> str:
    """The key in the folder of a run, of a key in the store: `depth/c/3/0/0/0` is in shard 3."""
    name, is_chunk, place = key.partition("/c/")
    if not is_chunk:
        return f"{_shard(0)}/{key}"
    number, *others = place.split("/")
    return "/".join([_shard(int(number)), name, "c", "0", *others])


def _of_run(key: str, number: int) -> str | None:
    """The key in the store of a key in the folder of shard `number`; None for metadata of others than shard 0."""
    inner = key.partition("/")[2]
    name, is_chunk, place = inner.partition("/c/")
    if not is_chunk:
        return inner if number == 0 else None
    return "/".join([name, "c", str(number), *place.split("/")[1:]])
