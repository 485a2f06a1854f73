"""File formats of maps: png for viewing and for most tools, npy for exact values.

A new format is one file beside this one, with a class like `MapFormat`, and its line in FORMATS. Another package adds
a format by an entry point that names such a class:

    [project.entry-points."sgi_engine.formats"]
    tiff = "my_package.tiff_format:Tiff"
"""

from __future__ import annotations

from functools import cache

from sgi.engine.errors import UserError
from sgi.engine.plugins import FORMATS as GROUP
from sgi.engine.plugins import load_plugin, names_with_plugins
from sgi.engine.writers.map_format import CodedFormat, MapFormat
from sgi.engine.writers.npy_format import Npy
from sgi.engine.writers.png_format import Png

__all__ = ["FORMATS", "CodedFormat", "MapFormat", "format_names", "get_format"]

FORMATS: dict[str, MapFormat] = {
    "png": Png(),
    "npy": Npy(),
}
_PARTS = ("suffix", "encode", "decode")


def format_names() -> tuple[str, ...]:
    """Names of the built-in formats and of those that plugins add."""
    return names_with_plugins(GROUP, FORMATS)


def get_format(name: str) -> MapFormat:
    """The format of a name; raises UserError for an unknown name and for a plugin that does not provide a format."""
    return FORMATS[name] if name in FORMATS else _plugin(name)


@cache
def _plugin(name: str) -> MapFormat:
    format_class = load_plugin(GROUP, name)
    if format_class is None:
        raise UserError(f"`file_format={name}`: choose from {', '.join(format_names())}")
    if not isinstance(format_class, type) or not all(hasattr(format_class, part) for part in _PARTS):
        raise UserError(f"`file_format={name}`: its plugin provides no class with {', '.join(_PARTS)}")
    made: MapFormat = format_class()
    return made
