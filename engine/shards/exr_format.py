"""The shard format `exr`: a folder with one OpenEXR file a seed, whose layers are the types.

Layers and channels have the names that renderers use: `R`, `G`, `B` for the picture, `depth.Z`, `normal.X`,
`albedo.R`, `shading.Y`. Colours are linear, as the OpenEXR documentation requires.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgi.engine.decoding import srgb_decode, srgb_encode
from sgi.engine.intrinsics import IMAGE, Intrinsic
from sgi.engine.seeds import Seeds, seed_stem
from sgi.engine.shards.semantics import KEY, require, semantics
from sgi.engine.shards.shard_format import NO_COMPRESSION, ShardSettings, Stored

_COMPRESSIONS = {
    "zip": "ZIP_COMPRESSION",
    "zips": "ZIPS_COMPRESSION",
    "piz": "PIZ_COMPRESSION",
    "dwaa": "DWAA_COMPRESSION",
    NO_COMPRESSION: "NO_COMPRESSION",
}
_COLOURS = {1: "Y", 3: "RGB", 4: "RGBA"}


class Exr:
    """Half or single floats; class indices are 32-bit integers."""

    name = "exr"
    suffix = ""
    extra = "exr"
    dtypes: tuple[str, ...] = ("float16", "float32")
    compressions: tuple[str, ...] = tuple(_COMPRESSIONS)

    def check(self, settings: ShardSettings) -> None:
        """See `ShardFormat.check`."""
        require("OpenEXR", self)

    def open(self, path: Path, kinds: Sequence[Intrinsic], numbers: Seeds, settings: ShardSettings) -> _Writer:
        """See `ShardFormat.open`."""
        path.mkdir()
        return _Writer(path, kinds, settings)

    def read(self, path: Path, number: int, kinds: Sequence[Intrinsic], settings: ShardSettings) -> Stored:
        """See `ShardFormat.read`; `dwaa` and the linear light of pictures make values inexact."""
        import OpenEXR

        file = path / file_name(number, settings)
        if not file.exists():
            raise KeyError(number)
        channels = OpenEXR.File(str(file), separate_channels=True).channels()
        found = {}
        for kind in kinds:
            planes = np.stack([channels[name].pixels for name in channel_names(kind)])
            found[kind.name] = _encoded(kind, planes).astype(settings.dtype)
        return found

    def encoding(self, kind: Intrinsic, dtype: str) -> str:
        """See `ShardFormat.encoding`."""
        names = ", ".join(channel_names(kind))
        if kind.decoding == "palette":
            return f"channel {names}: the index of the class in `classes`"
        if _is_srgb(kind):
            return f"channels {names}: value = the sRGB transfer function (IEC 61966-2-1) of the number" + (
                "; of A, the number" if kind.channels == 4 else ""
            )
        return f"channels {names}: the values"


def file_name(number: int, settings: ShardSettings) -> str:
    """Name of the file of a seed or latent in the folder of its shard: `seed000042.exr`."""
    return f"{seed_stem(number, settings.digits, settings.item)}.exr"


def channel_names(kind: Intrinsic) -> tuple[str, ...]:
    """Names of the channels of a type in a file, in the order of the type's channels."""
    if kind.name == IMAGE:
        return tuple(_COLOURS[kind.channels])
    if kind.name == "depth":
        letters = "Z"
    elif kind.decoding == "unit":
        letters = "XYZ"
    elif kind.decoding == "palette":
        return (f"{kind.name}.ID",)
    else:
        letters = _COLOURS[kind.channels]
    return tuple(f"{kind.name}.{letter}" for letter in letters)


class _Writer:
    def __init__(self, path: Path, kinds: Sequence[Intrinsic], settings: ShardSettings) -> None:
        import OpenEXR

        self._library = OpenEXR
        self._path = path
        self._kinds = {kind.name: kind for kind in kinds}
        self._settings = settings
        self._header = {
            "compression": getattr(OpenEXR, _COMPRESSIONS[settings.compression]),
            "type": OpenEXR.scanlineimage,
            KEY: json.dumps(semantics(Exr(), kinds, settings), sort_keys=True),
            **{name: _attribute(value) for name, value in settings.facts.items() if value is not None},
        }

    def encode(self, numbers: Sequence[int], maps: Stored) -> None:
        """See `ShardWriter.encode`; it also writes the files, because OpenEXR before 3.5 writes to names only."""
        planes = {name: _linear(self._kinds[name], stack) for name, stack in maps.items()}
        for row, number in enumerate(numbers):
            self._write(number, {name: planes[name][row] for name in maps})

    def write(self, encoded: None) -> None:
        """See `ShardWriter.write`."""

    def close(self) -> None:
        """See `ShardWriter.close`."""

    def _write(self, number: int, maps: Stored) -> None:
        channels = {
            channel: np.ascontiguousarray(plane)
            for name, stack in maps.items()
            for channel, plane in zip(channel_names(self._kinds[name]), stack, strict=True)
        }
        # The integers of OpenEXR have 31 bits and a sign, seeds 32.
        header = {**self._header, self._settings.item: str(number)}
        file = self._path / file_name(number, self._settings)
        try:
            self._library.File(header, channels).write(str(file))
        except RuntimeError as error:
            size = sum(stack.nbytes for stack in maps.values())
            full = shutil.disk_usage(self._path).free < size
            raise OSError(errno.ENOSPC if full else errno.EIO, f"OpenEXR cannot write ({error})", str(file)) from None


def _is_srgb(kind: Intrinsic) -> bool:
    """Whether values are sRGB codes, which the file contains as linear light."""
    return kind.name == IMAGE


def _linear(kind: Intrinsic, values: NDArray[Any]) -> NDArray[Any]:
    """The numbers in a file of values [..., C, R, R]; a fourth channel of a picture is not light."""
    if kind.decoding == "palette":
        return values.astype(np.uint32)
    if not _is_srgb(kind):
        return values
    linear = values.astype(np.float32)
    linear[..., :3, :, :] = srgb_decode(linear[..., :3, :, :])
    return linear.astype(values.dtype)


def _encoded(kind: Intrinsic, planes: NDArray[Any]) -> NDArray[Any]:
    """The values [C, R, R] of the numbers in a file: the inverse of `_linear`."""
    if not _is_srgb(kind):
        return planes
    values = planes.astype(np.float64)
    values[:3] = srgb_encode(values[:3])
    return values


def _attribute(value: object) -> Any:
    """A fact of a run as an attribute of a file: a number, or text, JSON for what is neither."""
    return value if isinstance(value, (str, float)) else json.dumps(value, sort_keys=True)
