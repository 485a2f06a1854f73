"""The meaning of arrays as JSON, for files that have one place for it, and checks that shard formats share."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.shards.shard_format import ShardFormat, ShardSettings

FORMAT = 1
KEY = "sgi_engine"
"""Name of the metadata, as of the description in an exported model."""


def semantics(form: ShardFormat, kinds: Sequence[Intrinsic], settings: ShardSettings) -> dict[str, Any]:
    """JSON-ready description of arrays: version, item, dtype, facts of the run, and types with encodings.

    See docs/formats.md, "Shards".
    """
    return {
        "format": FORMAT,
        "item": settings.item,
        "dtype": settings.dtype,
        **settings.facts,
        "types": [{**kind.to_dict(), "encoding": form.encoding(kind, settings.dtype)} for kind in kinds],
    }


def require(package: str, form: ShardFormat) -> Any:
    """A package that a format needs, imported; raises UserError, naming the extra, where it does not import."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f'the format {form.name} needs the package {package} ({error}): pip install "sgi-engine[{form.extra}]"'
        ) from None


def check_columns(kinds: Sequence[Intrinsic], taken: Sequence[str], form: ShardFormat) -> None:
    """Raise UserError for a type whose name is that of a column or array which the format adds."""
    for kind in kinds:
        if kind.name in taken:
            raise UserError(
                f"`types={kind.name}`: format {form.name} has its own {kind.name}; give the type another name, or "
                "choose another `file_format`"
            )
