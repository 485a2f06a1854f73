"""File formats of many seeds: shards that training reads in order.

A new format is one file beside this one, with a class like `ShardFormat`, and its line in SHARD_FORMATS. Its methods
import the packages that it needs, so that the table costs nothing.
"""

from __future__ import annotations

from sgi.engine.errors import UserError
from sgi.engine.shards.exr_format import Exr
from sgi.engine.shards.npy_stack import NpyStack
from sgi.engine.shards.parquet_format import Parquet
from sgi.engine.shards.shard_format import ShardFormat
from sgi.engine.shards.webdataset import WebDataset
from sgi.engine.shards.zarr_format import Zarr
from sgi.engine.writers import format_names, get_format

__all__ = ["SHARD_FORMATS", "ShardFormat", "all_format_names", "check_format"]

SHARD_FORMATS: dict[str, ShardFormat] = {
    "webdataset": WebDataset(),
    "parquet": Parquet(),
    "npy-stack": NpyStack(),
    "zarr": Zarr(),
    "exr": Exr(),
}


def all_format_names() -> tuple[str, ...]:
    """Names of the formats of one map, with those of plugins, and of the shard formats."""
    return (*(name for name in format_names() if name not in SHARD_FORMATS), *SHARD_FORMATS)


def check_format(name: str, *others: str) -> None:
    """Raise UserError for a name that is neither a shard format nor one of `sgi.engine.writers`.

    others: further names that the message offers.
    """
    if name not in SHARD_FORMATS:
        if name not in format_names():
            raise UserError(f"`file_format={name}`: choose from {', '.join((*all_format_names(), *others))}")
        get_format(name)
