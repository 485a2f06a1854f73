"""Map formats: the codes of each type, and PNG files that Pillow reads."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image
from sheet_colours import has_depth_colours
from tiny_models import ALL_KINDS, ROOM, kind_name

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Kind
from sgi.engine.writers import FORMATS, deflate, get_format
from sgi.engine.writers.colour_map import viridis
from sgi.engine.writers.npy_format import npy_bytes
from sgi.engine.writers.png import encode_png, encode_pngs
from sgi.engine.writers.png_format import Png
from sgi.engine.writers.preview import draw_sheet

SMOOTH_KINDS = [kind for kind in ALL_KINDS if kind is not ROOM]


COLOURS = np.arange(256 * 3, dtype=np.uint8).reshape(256, 3)


@pytest.fixture(params=["isal", "zlib"])
def library(request, monkeypatch):
    """What compresses the files: the package isal, or zlib where it is not installed."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(deflate, "isal_zlib", None)
    assert deflate.library()[0] == request.param


def pictures(content: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Pixels of three pictures: noise, equal pixels, or a slope with a little noise."""
    random, top = np.random.RandomState(0), np.iinfo(dtype).max
    if content == "noise":
        return random.randint(0, top + 1, (3, *shape)).astype(dtype)
    if content == "flat":
        return np.full((3, *shape), top // 3, dtype)
    slope = np.linspace(0, top, shape[0] * shape[1]).reshape(*shape[:2], *[1] * (len(shape) - 2))
    return (slope + random.randn(3, *shape) * top / 100).clip(0, top).astype(dtype)


_COMPRESS = """
import hashlib, random
from sgi.engine.writers.deflate import compress
bytes_of = random.Random(0).randbytes
for _ in range(4000):
    head = bytes_of(8)
    print(hashlib.sha256(compress(head + bytes_of(40) + head + bytes_of(20))).hexdigest())
"""


def test_every_process_compresses_to_the_same_bytes():
    """ISA-L stores one position under a hash of an address; about 1 of 300 of these data showed it in a process."""
    processes = [subprocess.Popen([sys.executable, "-c", _COMPRESS], stdout=subprocess.PIPE) for _ in range(3)]
    printed = [process.communicate()[0] for process in processes]
    assert len(printed[0].splitlines()) == 4000
    assert printed[1:] == printed[:1] * 2


@pytest.mark.parametrize("window", [9, 15])
@pytest.mark.parametrize("size", [0, 1, 4, 8, 9, 100, 100_000])
def test_streams_keep_to_their_window(library, window, size):
    data = (np.random.RandomState(0).randint(0, 4, size) ** 2).astype(np.uint8)
    stream = deflate.compress(data, window)
    used = window if deflate.library()[0] == "isal" else 15
    assert stream[0] == (used - 8) * 16 + 8
    unpacker = zlib.decompressobj(used)
    assert unpacker.decompress(stream) + unpacker.flush() == data.tobytes()
    assert unpacker.eof


@pytest.mark.parametrize("content", ["noise", "flat", "slope"])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (64, 64), (300, 200)])
@pytest.mark.parametrize(
    ("mode", "channels", "dtype"),
    [
        ("L", (), np.uint8),
        ("P", (), np.uint8),
        ("I;16", (), np.uint16),
        ("RGB", (3,), np.uint8),
        ("RGBA", (4,), np.uint8),
    ],
)
def test_pillow_reads_every_pixel(library, size, mode, channels, dtype, content):
    pixels = pictures(content, (*size, *channels), dtype)
    colours = COLOURS if mode == "P" else None
    files = encode_pngs(pixels, colours)
    assert files == [encode_png(one, colours) for one in pixels]
    for file, expected in zip(files, pixels, strict=True):
        with Image.open(io.BytesIO(file)) as picture:
            picture.load()
            assert picture.mode == mode
            np.testing.assert_array_equal(np.asarray(picture), expected)


def test_other_python_threads_run_while_a_file_is_compressed(library):
    """If the lock were not released, the other thread would wait for the whole call, as the switch interval says."""
    data = np.random.RandomState(0).randint(0, 256, 8 << 20).astype(np.uint8)
    spans: list[tuple[float, float]] = []
    seen: list[float] = []

    def inside() -> bool:
        return any(start + 1e-3 < moment < end - 1e-3 for start, end in spans for moment in seen)

    def work() -> None:
        while len(spans) < 20 and not inside():
            start = time.perf_counter()
            deflate.compress(data)
            spans.append((start, time.perf_counter()))

    before = sys.getswitchinterval()
    sys.setswitchinterval(100)
    worker = threading.Thread(target=work)
    try:
        worker.start()
        while worker.is_alive():
            seen.append(time.perf_counter())
            time.sleep(0.0002)
    finally:
        sys.setswitchinterval(before)
        worker.join()
    assert inside()


def test_pixels_that_are_not_contiguous_are_encoded():
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(3, 2, 4).transpose(1, 2, 0)
    with Image.open(io.BytesIO(encode_png(pixels))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "uint16"])
@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 5, 7), (1024, 1024, 3)])
def test_npy_files_are_those_of_numpy(shape, dtype):
    array = np.random.RandomState(0).rand(*shape).astype(dtype)
    for view in (array, array[..., ::-1]):
        expected = io.BytesIO()
        np.save(expected, np.ascontiguousarray(view))
        assert npy_bytes(view) == expected.getvalue()


def codes(kind: Kind, value: np.ndarray) -> np.ndarray:
    with Image.open(io.BytesIO(Png().encode(kind, value.astype(np.float32)))) as picture:
        return np.asarray(picture).astype(int)


def flat(*values: float) -> np.ndarray:
    """Values as one row of pixels, equal in all channels."""
    return np.array(values)[None, None, :]


def test_png_codes_of_each_type():
    np.testing.assert_array_equal(codes("depth", flat(0, 0.25, 1)), [[0, 16384, 65535]])
    np.testing.assert_array_equal(codes("shading", flat(0, 0.75, 1.5)), [[0, 32768, 65535]])
    rgb = flat(0, 0.5, 1).repeat(3, 0)
    np.testing.assert_array_equal(codes("image", rgb)[0, :, 0], [0, 128, 255])
    np.testing.assert_array_equal(codes("albedo", rgb)[0, :, 0], [0, 188, 255])
    np.testing.assert_array_equal(codes("normal", rgb * 2 - 1)[0, :, 0], [0, 128, 255])
    normal = np.zeros((3, 1, 1))
    normal[2] = 1  # facing the viewer
    np.testing.assert_array_equal(codes("normal", normal)[0, 0], [128, 128, 255])


def test_images_are_rounded_like_nvidia():
    x = np.linspace(-1, 1, 4096, dtype=np.float32)
    theirs = np.floor(x.astype(np.float64) * 127.5 + 128).clip(0, 255).astype(int)
    ours = codes("image", flat(*(x.astype(np.float64) * 0.5 + 0.5)).repeat(3, 0))[0, :, 0]
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", SMOOTH_KINDS, ids=kind_name)
def test_values_out_of_range_are_clipped_not_wrapped(kind):
    row = intrinsics.get(kind)
    ends = np.array([row.low - 0.3, row.high + 0.3])[None, None, :].repeat(row.channels, 0)
    np.testing.assert_array_equal(np.unique(codes(kind, ends)), [0, 2**row.png_bits - 1])


@pytest.mark.parametrize("kind", SMOOTH_KINDS, ids=kind_name)
@pytest.mark.parametrize("name", FORMATS)
def test_decoded_values_are_within_half_a_step(kind, name):
    row = intrinsics.get(kind)
    u = np.random.RandomState(0).rand(row.channels, 8, 8)
    value = intrinsics.decode(row, u).astype(np.float32)
    back = get_format(name).decode(row, get_format(name).encode(row, value))
    assert back.shape == value.shape
    assert back.dtype == np.float32
    if name == "npy":
        np.testing.assert_array_equal(back, value)
    elif row.png_bits == 16:
        assert np.abs(back - value).max() <= 0.51 * (row.high - row.low) / 65535
    else:
        error = np.abs(intrinsics.encode(row, back) - intrinsics.encode(row, value))
        # Decoding normalises the rounded code of a normal, which adds up to half a step.
        assert error.max() <= (1.5 if row.decoding == "unit" else 0.51) / 255


def test_classes_are_an_indexed_png():
    value = np.array([[0.0, 0.6, 1.4], [2.0, 7.0, -1.0]], np.float32)[None]
    with Image.open(io.BytesIO(Png().encode(ROOM, value))) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), [[0, 1, 1], [2, 2, 0]])
        shown = np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
    colours = np.floor(intrinsics.encode(ROOM, value) * 255 + 0.5)
    np.testing.assert_array_equal(shown, colours)
    inside = np.rint(value).clip(0, 2)
    for name in FORMATS:
        back = get_format(name).decode(ROOM, get_format(name).encode(ROOM, inside))
        assert back.dtype == np.float32
        np.testing.assert_array_equal(back, inside)


def test_npy_contains_the_values_as_chw():
    value = np.arange(12, dtype=np.float64).reshape(3, 2, 2)
    loaded = np.load(io.BytesIO(get_format("npy").encode("image", value)))
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, value)


def test_unknown_format():
    with pytest.raises(UserError, match="`file_format=jpg`: choose from png, npy"):
        get_format("jpg")


def test_sheets_draw_depth_in_colours_over_its_own_range():
    depth = intrinsics.get("depth")
    flat = np.linspace(0.40, 0.42, 64 * 64, dtype=np.float32).reshape(1, 64, 64)
    grey = draw_sheet({"seed 0": {"map": intrinsics.encode(depth, flat)}})
    shown = draw_sheet({"seed 0": {"map": intrinsics.encode(depth, flat)}}, {"map": depth})
    assert has_depth_colours(shown)
    assert not has_depth_colours(grey)
    with Image.open(io.BytesIO(grey)) as plain, Image.open(io.BytesIO(shown)) as coloured:
        assert coloured.width == plain.width
        assert coloured.height > plain.height  # a line for the range
    rows = {"target": {"seed 0": 1 - flat}, "prediction": {"seed 0": np.full_like(flat, 0.5)}}
    draw_sheet(rows, {"target": depth, "prediction": depth})
    picture = np.stack([np.zeros((64, 64)), np.ones((64, 64)), np.zeros((64, 64))])
    mixed = draw_sheet({"depth": {"picture": picture, "map": flat}}, {"depth": depth})
    with Image.open(io.BytesIO(mixed)) as sheet:
        assert (np.asarray(sheet) == (0, 255, 0)).all(axis=2).sum() == 192 * 192  # the picture as it is
    assert has_depth_colours(mixed)
    with Image.open(io.BytesIO(draw_sheet({"a": {"b": np.full_like(flat, 0.5)}}, {"b": depth}))) as constant:
        assert constant.width > 0


def test_the_colour_map_is_viridis():
    colormaps = pytest.importorskip("matplotlib").colormaps
    share = np.linspace(0, 1, 256)
    assert np.abs(viridis(share[None, None])[:, 0].T - colormaps["viridis"](share)[:, :3]).max() < 6 / 255


def test_a_map_is_only_read_from_a_png_file_of_a_possible_size():
    absurd = bytearray(encode_png(np.zeros((4, 4), np.uint8)))
    absurd[16:24] = struct.pack(">2I", 60_000, 60_000)
    absurd[29:33] = struct.pack(">I", zlib.crc32(absurd[12:29]))
    with pytest.raises(ValueError, match="more pixels than any map has"):
        Png().decode("edges", bytes(absurd))
    with pytest.raises(OSError, match="cannot identify image file"):
        Png().decode("edges", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
