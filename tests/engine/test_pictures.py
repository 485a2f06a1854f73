"""The reader of pictures: known values of every mode, orientation, and files that it refuses."""

from __future__ import annotations

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from tolerances import CLOSED_FORM

from sgi.engine.errors import UserError
from sgi.engine.pictures import MAX_PIXELS, read_picture

ONE_CODE = 1 / 255  # conversions of colours round to 8 bits
RED = (255, 0, 0)
RAMP = np.linspace(0, 65535, 64).round()


def saved(folder, picture, name="picture.png", **options):
    picture.save(folder / name, **options)
    return folder / name


def of_colour(mode, colour):
    return Image.new(mode, (2, 2), colour)


def transparent_palette():
    picture = Image.new("P", (2, 2), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    return picture


# Name -> picture, name of its file, options, and the RGB codes of its pixels in 255ths.
CASES = {
    "1": (of_colour("1", 1), "a.png", {}, (255, 255, 255)),
    "L": (of_colour("L", 51), "a.png", {}, (51, 51, 51)),
    "L with a transparent level": (of_colour("L", 51), "a.png", {"transparency": 51}, (255, 255, 255)),
    "LA": (of_colour("LA", (0, 51)), "a.png", {}, (204, 204, 204)),
    "P": (transparent_palette(), "a.png", {}, RED),
    "P with a transparent colour": (transparent_palette(), "a.png", {"transparency": 1}, (255, 255, 255)),
    "P with alpha": (transparent_palette(), "a.png", {"transparency": bytes([0, 51])}, (255, 204, 204)),
    "RGB": (of_colour("RGB", (1, 2, 3)), "a.png", {}, (1, 2, 3)),
    "RGB with a transparent colour": (of_colour("RGB", (1, 2, 3)), "a.png", {"transparency": (1, 2, 3)}, (255,) * 3),
    "RGBA": (of_colour("RGBA", (255, 0, 0, 51)), "a.png", {}, (255, 204, 204)),
    "RGBA, transparent": (of_colour("RGBA", (255, 0, 0, 0)), "a.png", {}, (255, 255, 255)),
    "I;16": (of_colour("I;16", 0x3333), "a.png", {}, (51, 51, 51)),
    "I;16 of TIFF": (of_colour("I;16", 0x3333), "a.tiff", {}, (51, 51, 51)),
    "I;16B of TIFF": (of_colour("I;16B", 0x3333), "a.tiff", {}, (51, 51, 51)),
    "I of PGM": (of_colour("I", 0x3333), "a.pgm", {}, (51, 51, 51)),
    "F": (of_colour("F", 0.2), "a.tiff", {}, (51, 51, 51)),
    "CMYK": (of_colour("CMYK", (0, 255, 255, 0)), "a.tiff", {}, RED),
    "YCbCr": (of_colour("YCbCr", (76, 85, 255)), "a.tiff", {}, (254, 0, 0)),
    "LAB": (of_colour("LAB", (255, 128, 128)), "a.tiff", {}, (255, 255, 255)),
    "JPEG": (of_colour("RGB", (90, 90, 90)), "a.jpg", {"quality": 95}, (90, 90, 90)),
    "grey JPEG": (of_colour("L", 90), "a.jpg", {"quality": 95}, (90, 90, 90)),
    "BMP": (of_colour("RGB", (1, 2, 3)), "a.bmp", {}, (1, 2, 3)),
    "GIF": (of_colour("RGB", RED), "a.gif", {}, RED),
    "WebP": (of_colour("RGBA", (255, 0, 0, 51)), "a.webp", {"lossless": True, "exact": True}, (255, 204, 204)),
}


@pytest.mark.parametrize(("picture", "name", "options", "expected"), CASES.values(), ids=CASES)
def test_known_values_of_every_mode(picture, name, options, expected, tmp_path):
    path = saved(tmp_path, picture, name, **options)
    codes = read_picture(path)
    assert (codes.shape, codes.dtype) == ((3, 2, 2), np.float32)
    wanted = np.array(expected)[:, None, None] / 255
    assert np.abs(codes - wanted).max() <= ONE_CODE + CLOSED_FORM
    grey = read_picture(path, channels=1)
    assert grey.shape == (1, 2, 2)
    assert np.abs(grey - np.array([0.299, 0.587, 0.114]) @ wanted[:, 0, 0]).max() <= 2 * ONE_CODE
    assert read_picture(path, side=1).shape == (3, 1, 1)


@pytest.mark.parametrize("name", ["ramp.png", "ramp.tiff", "ramp.pgm"])
def test_16_bits_of_grey_are_kept(tmp_path, name):
    ramp = RAMP.astype(np.uint16)[None].repeat(8, axis=0)
    picture = Image.fromarray(ramp)
    path = saved(tmp_path, picture.convert("I") if name.endswith("pgm") else picture, name)
    codes = read_picture(path)
    assert abs(codes.mean() - 0.5) < 1e-3
    np.testing.assert_allclose(codes, np.broadcast_to(RAMP / 65535, (3, 8, 64)), atol=CLOSED_FORM)
    np.testing.assert_allclose(read_picture(path, channels=1, side=8).mean(), 0.5, atol=2e-2)


def _png(width, height, bits, kind, rows, extra=()):
    """A PNG file chunk by chunk, as the specification (W3C PNG, third edition) describes it."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


def test_16_bit_files_that_pillow_does_not_write(tmp_path):
    files = {
        "grey with a transparent level": (0, struct.pack(">2H", 0x3333, 0x6666), [(b"tRNS", b"\x33\x33")], (255, 102)),
        "RGB": (2, struct.pack(">6H", *[0x3333] * 3, *[0x6666] * 3), [], (51, 102)),
        "grey with alpha": (4, struct.pack(">4H", 0, 0x3333, 0, 0xFFFF), [], (204, 0)),
        "RGBA": (6, struct.pack(">8H", 0, 0, 0, 0x3333, 0, 0, 0, 0xFFFF), [], (204, 0)),
    }
    for name, (kind, row, extra, expected) in files.items():
        (tmp_path / "deep.png").write_bytes(_png(2, 1, 16, kind, [row], extra))
        codes = read_picture(tmp_path / "deep.png")
        assert np.abs(codes[:, 0] - np.array(expected) / 255).max() <= ONE_CODE, name


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16", "P"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_applied(tmp_path, mode, orientation):
    """A picture stored by the inverse of each orientation is read upright; EXIF 2.32, tag 0x0112."""
    upright = np.arange(6, dtype=np.uint16).reshape(2, 3) * (8000 if mode == "I;16" else 40)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T,
        6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    grey = Image.fromarray(np.ascontiguousarray(stored if mode == "I;16" else stored.astype(np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, grey if mode in ("I;16", "L") else grey.convert(mode), exif=exif)
    np.testing.assert_allclose(read_picture(path)[0], upright / (65535 if mode == "I;16" else 255), atol=CLOSED_FORM)


def test_colour_profiles_are_applied_where_they_describe_the_colours(tmp_path):
    """A profile with the primaries exchanged, which no reader could miss."""
    swapped = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = swapped.index(b"rXYZ"), swapped.index(b"gXYZ")
    swapped[red : red + 4], swapped[green : green + 4] = swapped[green : green + 4], swapped[red : red + 4]
    path = saved(tmp_path, of_colour("RGB", RED), icc_profile=bytes(swapped))
    assert read_picture(path)[:, 0, 0].round(1).tolist() == [0, 1, 0]
    path = saved(tmp_path, of_colour("RGBA", (*RED, 255)), icc_profile=bytes(swapped))
    assert read_picture(path)[:, 0, 0].round(1).tolist() == [0, 1, 0]
    path = saved(tmp_path, of_colour("L", 51), icc_profile=bytes(swapped))
    assert read_picture(path)[:, 0, 0] * 255 == pytest.approx([51] * 3)
    path = saved(tmp_path, of_colour("RGB", RED), icc_profile=b"no profile")
    with pytest.raises(UserError, match=r"picture.png: its colour profile cannot be used .*; save it as sRGB"):
        read_picture(path)


def test_a_picture_of_several_strips_is_read_whole(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (600, 5, 4)).astype(np.uint8)
    pixels[..., 3] = 255
    codes = read_picture(saved(tmp_path, Image.fromarray(pixels)))
    np.testing.assert_allclose(codes, pixels[..., :3].transpose(2, 0, 1) / 255, atol=CLOSED_FORM)


def test_the_photograph_of_a_file_with_previews_is_read(tmp_path):
    path = saved(
        tmp_path, of_colour("RGB", (90, 90, 90)), "photo.mpo", save_all=True, append_images=[of_colour("RGB", RED)]
    )
    assert np.abs(read_picture(path) * 255 - 90).max() <= 1


def _animated(folder, name):
    second = Image.new("RGB", (2, 2), RED)
    return saved(folder, Image.new("RGB", (2, 2)), name, save_all=True, append_images=[second])


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tiff"])
def test_files_of_several_frames_are_refused(tmp_path, name):
    path = _animated(tmp_path, name)
    with pytest.raises(UserError, match=rf"{name}: it has 2 frames or pages; save the one that you mean"):
        read_picture(path)


def _written(folder, data):
    (folder / "a.png").write_bytes(data)
    return folder / "a.png"


def _fifo(folder):
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


def _whole(folder):
    return saved(folder, Image.fromarray(np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)))


REFUSED = {
    "missing": (lambda folder: folder / "none.png", "none.png: no such file"),
    "a folder": (lambda folder: folder, "not a file"),
    "a pipe": (_fifo, "pipe.png: not a file"),
    "empty": (lambda folder: _written(folder, b""), "not a picture but an empty file: download or copy it again"),
    "text": (lambda folder: _written(folder, b"<html>"), "not a picture but a web page"),
    "PostScript": (
        lambda folder: _written(folder, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "not a picture but a text that begins with '%!PS-Adobe-3.0 EPSF-3.0'; use a PNG or JPEG file",
    ),
    "cut short": (lambda folder: _written(folder, _whole(folder).read_bytes()[:2000]), "a.png: not a readable picture"),
    "damaged": (lambda folder: _written(folder, _png(4, 4, 8, 2, [b"\0" * 3])), "a.png: not a readable picture"),
    "too many pixels": (lambda folder: _written(folder, _png(10_000, 5_001, 8, 0, [])), f"more than {MAX_PIXELS}"),
    "absurd": (lambda folder: _written(folder, _png(50_000, 50_000, 8, 0, [])), f"more than {MAX_PIXELS} pixels"),
    "warned of": (lambda folder: _written(folder, _png(10_000, 10_000, 8, 0, [])), f"more than {MAX_PIXELS} pixels"),
    "32-bit integers": (lambda folder: saved(folder, of_colour("I", 7), "a.tiff"), "32-bit integers, whose range"),
    "large floats": (lambda folder: saved(folder, of_colour("F", 7.5), "a.tiff"), "floats from 7.5 to 7.5, not from 0"),
    "negative floats": (lambda folder: saved(folder, of_colour("F", -0.5), "a.tiff"), "floats from -0.5 to -0.5"),
    "NaN": (lambda folder: saved(folder, of_colour("F", float("nan")), "a.tiff"), "floats from nan to nan"),
}


@pytest.mark.parametrize(("write", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_are_one_line(write, message, tmp_path):
    path = write(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=message) as error:
            read_picture(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
