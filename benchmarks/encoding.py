"""PNG encoders side by side: CPU time a map, bytes, pictures that they can store, and whether they release the lock.

    PYTHONPATH=FOLDER python benchmarks/encoding.py [ROUNDS]

All encoders take turns in one process with one thread each, and the medians of CPU time are compared, so that other
programs on the machine matter little. Those that are not installed are left out; FOLDER can hold them: imagecodecs,
opencv-python-headless, deflate, zlib-ng and fpng, with `pip install --target FOLDER`. The pictures are the image and
the depth of the bundled model: at 64 px as they are, larger ones enlarged by a bicubic filter, without or with noise.
The noise has a standard deviation of 2 / 255 of the range for pictures and 1 / 1000 for depth.
"""

from __future__ import annotations

import io
import statistics
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from PIL import Image
from record import append

from sgi.engine import Engine
from sgi.engine.codes import pixels_of
from sgi.engine.writers.png import encode_png, encode_pngs

PICTURES = 8
NOISE = {"image": 2 / 255, "depth": 1 / 1000}
BEFORE = "Up filter and zlib 1 (before)"
OURS = "engine/writers/png.py, one map"
BATCH = "engine/writers/png.py, a batch"
KINDS: dict[str, np.ndarray] = {
    "grey 8": np.zeros((9, 7), np.uint8),
    "grey 16": np.zeros((9, 7), np.uint16),
    "RGB": np.zeros((9, 7, 3), np.uint8),
    "RGBA": np.zeros((9, 7, 4), np.uint8),
}
Encoder = Callable[[np.ndarray], bytes]


def main(rounds: int) -> None:
    """Measure all encoders on all contents, and append the figures."""
    found = encoders()
    rows: dict[str, dict[str, Any]] = {
        name: {"stores": stored(encode), "releases the lock": releases_lock(encode)} for name, encode in found.items()
    }
    for label, pictures in contents().items():
        usable = {name: encode for name, encode in found.items() if encodes(encode, pictures[0])}
        work: dict[str, Callable[[], list[bytes]]] = {name: each(encode, pictures) for name, encode in usable.items()}
        work[BATCH] = partial(encode_pngs, pictures)
        repeats = max(1, 2_000_000 // pictures.nbytes)
        took: dict[str, list[float]] = {name: [] for name in work}
        for turn in range(rounds + 1):
            for name, run in work.items():
                start = time.process_time()
                for _ in range(repeats):
                    run()
                if turn:
                    took[name].append((time.process_time() - start) / repeats / len(pictures) * 1000)
        medians = {name: statistics.median(times) for name, times in took.items()}
        for name, run in work.items():
            share = sum(map(len, run())) / pictures.nbytes
            rows.setdefault(name, {})[label] = {
                "ms": round(medians[name], 3), "times": round(medians[BEFORE] / medians[name], 2),
                "size": round(share, 3),
            }  # fmt: skip
    append("encoding", {"rounds": rounds, "encoders": rows})


def each(encode: Encoder, pictures: np.ndarray) -> Callable[[], list[bytes]]:
    """Encode every picture."""
    return lambda: [encode(picture) for picture in pictures]


def contents() -> dict[str, np.ndarray]:
    """Name -> pictures [N, H, W, 3] uint8 or [N, H, W] uint16."""
    maps = Engine.open()(seeds=list(range(PICTURES)), types=list(NOISE))
    codes = {name: pixels_of(name, value) for name, value in maps.items()}
    codes["depth"] = codes["depth"][..., 0]
    random = np.random.RandomState(0)
    found = {f"{name} 64": pixels for name, pixels in codes.items()}
    for side in (256, 1024):
        for name, pixels in codes.items():
            smooth = np.stack([enlarged(one, side) for one in pixels[: PICTURES if side < 1024 else 2]])
            top = np.iinfo(pixels.dtype).max
            noise = random.randn(*smooth.shape) * NOISE[name] * top
            found[f"{name} {side}"] = (smooth + noise).clip(0, top).astype(pixels.dtype)
            found[f"{name} {side} without noise"] = smooth.clip(0, top).astype(pixels.dtype)
    return found


def enlarged(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture [side, side] or [side, side, 3], float."""
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.atleast_3d(pixels).transpose(2, 0, 1)]
    grown = [np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC)) for plane in planes]
    return np.stack(grown, -1) if pixels.ndim == 3 else grown[0]


def encoders() -> dict[str, Encoder]:
    """Name -> encoder of one picture, for every one that is installed."""
    found: dict[str, Encoder] = {
        BEFORE: lambda pixels: file_of(pixels, zlib.compress(up(pixels).tobytes(), 1)),
        OURS: encode_png,
        "Pillow, level 1": pillow,
        "Up, zlib 1, Huffman only": lambda pixels: file_of(pixels, huffman(zlib, pixels)),
    }
    with suppress(ImportError):
        from isal import igzip_lib

        for level, bits in ((0, 15), (1, 15), (1, 9), (1, 2), (3, 15)):
            compress = partial(igzip_lib.compress, level=level, flag=igzip_lib.COMP_ZLIB, hist_bits=bits)
            found[f"Up, isal {level}, distance 2^{bits}"] = partial(compressed, compress)
    with suppress(ImportError):
        import deflate

        found["Up, libdeflate 1"] = lambda pixels: file_of(pixels, deflate.zlib_compress(up(pixels).tobytes(), 1))
    with suppress(ImportError):
        from zlib_ng import zlib_ng

        for level in (1, 2):
            found[f"Up, zlib-ng {level}"] = partial(compressed, partial(zlib_ng.compress, level=level))
        found["Up, zlib-ng 1, Huffman only"] = lambda pixels: file_of(pixels, huffman(zlib_ng, pixels))
    with suppress(ImportError):
        import imagecodecs

        for level in (0, 1, 3):
            found[f"imagecodecs png {level}"] = partial(by_imagecodecs, level=level)
        found["imagecodecs spng 1"] = lambda pixels: bytes(imagecodecs.spng_encode(np.ascontiguousarray(pixels), 1))
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
        found["OpenCV, as it is set"] = lambda pixels: cv2.imencode(".png", pixels)[1].tobytes()
        fast = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
        found["OpenCV, level 1, runs"] = lambda pixels: cv2.imencode(".png", pixels, fast)[1].tobytes()
    with suppress(ImportError):
        import fpng

        found["fpng"] = lambda pixels: fpng.from_ndarray(np.ascontiguousarray(pixels))
    return found


def compressed(compress: Callable[[bytes], bytes], pixels: np.ndarray) -> bytes:
    """The file of the rows after the Up filter."""
    return file_of(pixels, compress(up(pixels).tobytes()))


def by_imagecodecs(pixels: np.ndarray, level: int) -> bytes:
    """The file by libpng."""
    import imagecodecs

    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level))


def up(pixels: np.ndarray) -> np.ndarray:
    """Rows after the Up filter, as the project encoded them before."""
    height = len(pixels)
    rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def huffman(library, pixels: np.ndarray) -> bytes:
    """A zlib stream without matches."""
    packer = library.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
    return packer.compress(up(pixels)) + packer.flush()


def file_of(pixels: np.ndarray, stream: bytes) -> bytes:
    """A PNG file of a stream of filtered rows."""
    color = {1: 0, 3: 2, 4: 6}[pixels.shape[2] if pixels.ndim == 3 else 1]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], pixels.dtype.itemsize * 8, color, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
        for kind, data in chunks
    )


def pillow(pixels: np.ndarray) -> bytes:
    """A PNG file by Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def encodes(encode: Encoder, pixels: np.ndarray) -> bool:
    """Whether the file of an encoder has the pixels; OpenCV takes those in colour as BGR."""
    with suppress(Exception), Image.open(io.BytesIO(encode(pixels))) as picture:
        back = np.asarray(picture)
        swapped = pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]] if pixels.ndim == 3 else pixels
        return back.dtype == pixels.dtype and any(np.array_equal(back, right) for right in (pixels, swapped))
    return False


def stored(encode: Encoder) -> list[str]:
    """The kinds of pictures that an encoder stores without loss."""
    return [name for name, pixels in KINDS.items() if encodes(encode, pixels)]


def releases_lock(encode: Encoder) -> bool:
    """Whether Python code runs on another thread while a picture is encoded."""
    pixels = np.random.RandomState(0).randint(0, 256, (3072, 3072, 3)).astype(np.uint8)
    span: list[float] = []

    def work() -> None:
        encode(pixels)  # imports
        span.append(time.perf_counter())
        encode(pixels)
        span.append(time.perf_counter())

    before = sys.getswitchinterval()
    sys.setswitchinterval(100)  # a thread that does not release the lock keeps it until it has finished
    worker = threading.Thread(target=work)
    seen: list[float] = []
    try:
        worker.start()
        while worker.is_alive():
            seen.append(time.perf_counter())
            time.sleep(0.0002)
        worker.join()
    finally:
        sys.setswitchinterval(before)
    begin, end = span
    # NumPy releases the lock in the filter before, and zlib in the checksum after.
    return sum(0.3 < (moment - begin) / (end - begin) < 0.6 for moment in seen) > 2


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
