"""The reader of picture files that users have: one function for every mode, with stated conversions.

Modes and their conversion to sRGB codes from 0 to 1:

- 1, L, P, RGB and their variants with alpha: code / 255. Files of 16 bits a channel in colour are read at 8 bits.
- 16-bit grey: code / 65535. Floats: as they are, if all are from 0 to 1. 32-bit integers are refused, because files do
  not state their range.
- Alpha and transparent colours: composited over white, on sRGB codes.
- CMYK, YCbCr, HSV: by Pillow's formulas; LAB, and RGB, grey and CMYK with an ICC profile of that kind: by littlecms.
- Colour to grey: 0.299 R + 0.587 G + 0.114 B of the codes (ITU-R BT.601). Grey to colour: three equal channels.

The orientation that EXIF states is applied. Files with several frames or pages are refused, except for JPEG files with
further pictures after the photograph (MPO).
"""

from __future__ import annotations

import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgi.engine.errors import UserError, one_line
from sgi.engine.foreign_file import foreign

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
"""Pillow's names of the formats that are read, where this Pillow has them; others can start programs or are rare."""
MAX_PIXELS = 50_000_000
"""Pixels of the largest picture; it takes less than 500 MB while it is read. Cameras of 48 megapixels stay below."""
_STRIP = 256  # rows that are converted at a time, so that few copies of a picture are in memory
_REMEDY = "use a PNG or JPEG file"
_WHITE = 255
_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")
# ICC name of a profile's colours -> modes that it describes.
_PROFILES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def read_picture(path: str | Path, channels: int = 3, side: int | None = None) -> NDArray[np.float32]:
    """A picture file as [channels, H, W] float32 sRGB codes in [0, 1]; the module describes the conversions.

    channels: 3, or 1 for grey. side: H and W of the result, the middle square of the picture resampled by Lanczos;
    None for the whole picture at its own size. Raises UserError, one line with the file, for one that is missing, not
    a picture, damaged, larger than 50 megapixels, of several frames, or of a mode without a stated range.
    """
    with open_picture(path) as picture:
        return _codes(picture, path, channels, side)


@contextmanager
def open_picture(path: str | Path) -> Iterator[Picture]:
    """A picture file, opened and not decoded; errors of Pillow while it is used become a UserError."""
    from PIL import Image

    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise UserError(f"{path}: not a file")
        Image.init()
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])
        with opened as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UserError(
                    f"{path}: {picture.width} x {picture.height} pixels, more than {MAX_PIXELS}; make it smaller"
                )
            yield picture
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UserError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(f"{path}: a picture of more than {MAX_PIXELS} pixels; make it smaller") from None
    except Image.UnidentifiedImageError:
        what = foreign(path, _REMEDY)
        detail = f"not a picture but {what}" if what else f"not a picture of a known format; {_REMEDY}"
        raise UserError(f"{path}: {detail}") from None
    except Exception as error:  # Pillow's decoders raise errors of many kinds for damaged files
        reason = one_line(" ".join(str(error).split()) or type(error).__name__, 80)
        raise UserError(f"{path}: not a readable picture ({reason}); {_REMEDY}") from None


def _codes(picture: Picture, path: str | Path, channels: int, side: int | None) -> NDArray[np.float32]:
    from PIL import Image, ImageOps

    frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
    if frames > 1:
        raise UserError(f"{path}: it has {frames} frames or pages; save the one that you mean as a PNG file")
    wide_integers = picture.mode == "I" and picture.format not in ("PNG", "PPM")
    if wide_integers:
        raise UserError(f"{path}: 32-bit integers, whose range the file does not state; save it with 8 or 16 bits")
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    upright = _converted(picture, path)
    if side is not None:
        upright = ImageOps.fit(upright, (side, side), Image.Resampling.LANCZOS)
    if channels == 1 and upright.mode == "RGB":
        upright = upright.convert("L")
    values = np.asarray(upright, np.float32)
    # Resampling of floats may overshoot; that of bytes is clipped by Pillow.
    codes = values.clip(0, 1) if upright.mode == "F" else values / 255
    codes = codes[None] if codes.ndim == 2 else codes.transpose(2, 0, 1)
    return np.ascontiguousarray(np.repeat(codes, channels, axis=0) if len(codes) < channels else codes)


def _converted(picture: Picture, path: str | Path) -> Picture:
    """A picture of mode L, RGB or F, see `_composited`; made in strips."""
    from PIL import Image

    whole: Picture | None = None
    for top in range(0, picture.height, _STRIP):
        bottom = min(top + _STRIP, picture.height)
        strip = _composited(picture.crop((0, top, picture.width, bottom)), path)
        if whole is None:
            whole = Image.new(strip.mode, picture.size)
        whole.paste(strip, (0, top))
    assert whole is not None
    return whole


def _composited(picture: Picture, path: str | Path) -> Picture:
    """A picture of mode L or RGB, or F with codes from 0 to 1, without alpha."""
    from PIL import Image

    if picture.mode in ("I", "F", *_SIXTEEN):
        return _wide(picture, path)
    transparent = picture.info.get("transparency") is not None
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or transparent:
        if picture.mode in ("La", "RGBa"):  # colours multiplied by alpha
            picture = picture.convert(picture.mode.upper())
        whole = picture.convert("RGBA")
        alpha = whole.getchannel("A")
        colours = _srgb(whole.convert("RGB"), picture.info.get("icc_profile"), path)
        return Image.composite(colours, Image.new("RGB", whole.size, (_WHITE,) * 3), alpha)
    if picture.mode in ("1", "L"):
        return _srgb(picture.convert("L"), picture.info.get("icc_profile"), path)
    if picture.mode in ("CMYK", "LAB"):
        return _srgb(picture, picture.info.get("icc_profile"), path)
    if picture.mode in ("P", "RGB", "RGBX", "YCbCr", "HSV"):
        return _srgb(picture.convert("RGB"), picture.info.get("icc_profile"), path)
    raise UserError(f"{path}: a picture of mode {picture.mode}; save it as RGB or grey, such as a PNG file")


def _wide(picture: Picture, path: str | Path) -> Picture:
    """Grey of more than 8 bits as mode F with codes from 0 to 1."""
    from PIL import Image

    values = np.asarray(picture)  # mode I: 16-bit codes of a PNG or PPM file
    if picture.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not 0 <= low <= high <= 1:  # False for NaN
            raise UserError(f"{path}: floats from {low:g} to {high:g}, not from 0 to 1; save it with 8 or 16 bits")
        return picture
    codes = values.astype(np.float32) / 65535
    key = picture.info.get("transparency")  # of a PNG: the level that is transparent
    if isinstance(key, int):
        codes[values == key] = 1
    return Image.fromarray(codes)


def _srgb(picture: Picture, profile: Any, path: str | Path) -> Picture:
    """A picture of mode L, RGB, CMYK or LAB as sRGB of mode L or RGB."""
    from PIL import ImageCms

    try:
        if picture.mode == "LAB":
            source = ImageCms.createProfile("LAB")
            return _transformed(picture, source, "RGB")
        if profile:
            described = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            # A profile of other colours, such as one of RGB in a grey file, says nothing about these.
            if _PROFILES.get(described.profile.xcolor_space.strip()) == picture.mode:
                return _transformed(picture, described, "L" if picture.mode == "L" else "RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        reason = one_line(" ".join(str(error).split()), 80)
        raise UserError(f"{path}: its colour profile cannot be used ({reason}); save it as sRGB") from None
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def _transformed(picture: Picture, source: Any, mode: str) -> Picture:
    from PIL import ImageCms

    changed = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert changed is not None  # None only for a change in place
    return changed.convert(mode)
