"""Video files through PyAV, which brings FFmpeg: H.264, VP9 and GIF."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgi.engine.arguments import check_integer
from sgi.engine.errors import UserError, WrongTypeError
from sgi.engine.files import atomic_write

if TYPE_CHECKING:
    import av

MAX_SIDE = 16384
"""Largest side of an H.264 picture that x264 encodes."""
MIN_FPS, MAX_FPS = 0.1, 240.0
MAX_GIF_FPS = 50.0
"""GIF files count hundredths of a second, and programs show shorter times than two of them as long ones."""
_BT709, _LIMITED, _FULL = 1, 1, 2
"""Codes of ITU-T H.273: matrix, primaries and curve of BT.709; of FFmpeg: ranges 16 to 235 and 0 to 255."""

Encode = Callable[["av.VideoFrame | None"], Iterator[Any]]


@dataclass(frozen=True)
class _Codec:
    """encoder: FFmpeg's name. crf: default constant rate factor, less is better; None for an encoder without one.
    max_crf: the largest. max_fps: most frames a second. options: further options of the encoder."""

    encoder: str
    pixels: str
    crf: int | None = None
    max_crf: int = 0
    max_fps: float = MAX_FPS
    options: tuple[tuple[str, str], ...] = ()


_H264 = _Codec("libx264", "yuv420p", 18, 51)
_VP9 = _Codec("libvpx-vp9", "yuv420p", 24, 63, options=(("b", "0"), ("row-mt", "1"), ("cpu-used", "4")))
_CODECS = {
    ".mp4": _H264,
    ".mov": _H264,
    ".mkv": _H264,
    ".webm": _VP9,
    ".gif": _Codec("gif", "pal8", max_fps=MAX_GIF_FPS),
}
SUFFIXES = tuple(_CODECS)


def check_video(path: Path, fps: float, crf: int | None) -> None:
    """Raise UserError unless a video can be written to a path with one of SUFFIXES at this rate and quality.

    Also raises it where PyAV is not installed or has no encoder for the suffix.
    """
    codec = _CODECS[path.suffix.lower()]
    if isinstance(fps, bool) or not isinstance(fps, Real):
        raise WrongTypeError("fps", fps, "must be a number such as 30")
    crf = check_integer("crf", crf)
    if not MIN_FPS <= fps <= codec.max_fps:  # False for NaN
        raise UserError(f"`fps={float(fps):g}`: choose {MIN_FPS:g} to {codec.max_fps:g} for {path.suffix} files")
    if crf is not None and codec.crf is None:
        raise UserError(f"`crf={crf}` has no effect on {path.suffix} files")
    if crf is not None and not 0 <= crf <= codec.max_crf:
        raise UserError(f"`crf={crf}`: choose 0, the best, to {codec.max_crf} for {path.suffix} files")
    av = _pyav(path)
    if codec.encoder not in av.codec.codecs_available:
        raise UserError(
            f"`out={path}`: this build of PyAV has no encoder {codec.encoder}; install PyAV's own wheel with "
            "`pip install --force-reinstall av`, or write a folder of frames"
        )


def check_size(path: Path, size: tuple[int, int]) -> None:
    """Raise UserError for a video of this height and width in pixels that no encoder takes."""
    if max(size) > MAX_SIDE:
        raise UserError(
            f"`out={path}`: frames of {size[1]} x {size[0]} pixels; a video has at most {MAX_SIDE} along a side. "
            "Choose fewer `types`, fewer `columns` or a smaller `scale`"
        )


@contextmanager
def video_writer(
    path: Path, size: tuple[int, int], fps: float, crf: int | None = None, threads: int | None = None
) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """A context with a function that appends a frame [H, W, 3] uint8, sRGB, of this height and width, to a new video.

    A frame of an odd size is enlarged by a copy of its last row or column, except in GIF files: H.264 and VP9 store one
    colour for two by two pixels. threads: of the encoder, None for all cores.
    When the context ends, the file is closed, all its frames are read again, and it gets its name; after an error there
    is no file. Raises UserError where it cannot be written, or has another number of frames.
    """
    with atomic_write(path) as temporary:
        with _encoder(path, temporary, size, fps, crf, threads) as (append, appended):
            yield append
        if (found := count_frames(temporary)) != appended():
            raise UserError(f"`out={path}`: {appended()} frames were written, and it has {found}; write it again")


@contextmanager
def _encoder(
    path: Path, temporary: Path, size: tuple[int, int], fps: float, crf: int | None, threads: int | None
) -> Iterator[tuple[Callable[[NDArray[np.uint8]], None], Callable[[], int]]]:
    """A context with a function that appends a frame, and one that returns how many were."""
    av = _pyav(path)
    codec = _CODECS[path.suffix.lower()]
    height, width = (side + side % 2 if codec.pixels == "yuv420p" else side for side in size)
    quality = {} if codec.crf is None else {"crf": str(codec.crf if crf is None else crf)}
    flags = {"movflags": "+faststart"} if path.suffix.lower() in (".mp4", ".mov") else {}
    with _writing(av, path), av.open(str(temporary), "w", options=flags) as container:
        rate = Fraction(str(float(fps))).limit_denominator(1001)
        stream = container.add_stream(codec.encoder, rate=rate, options={**quality, **dict(codec.options)})
        stream.codec_context.thread_count = threads or 0
        stream.width, stream.height, stream.pix_fmt = width, height, codec.pixels
        prepare = _through_palette(av, width, height, rate) if codec.pixels == "pal8" else _to_yuv(stream)
        count = 0

        def append(pixels: NDArray[np.uint8]) -> None:
            nonlocal count
            missing = ((0, height - len(pixels)), (0, width - pixels.shape[1]), (0, 0))
            frame = av.VideoFrame.from_ndarray(np.pad(pixels, missing, mode="edge"), format="rgb24")
            frame.pts, frame.time_base = count, 1 / rate
            count += 1
            for ready in prepare(frame):
                container.mux(stream.encode(ready))

        yield append, lambda: count
        for ready in prepare(None):
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))


def count_frames(path: Path) -> int:
    """Number of frames of a video, by decoding all of them; raises UserError where that fails."""
    av = _pyav(path)
    try:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))
    except av.FFmpegError as error:
        raise UserError(f"`out={path}`: the video that was written cannot be read ({error.strerror})") from None


def _to_yuv(stream: Any) -> Encode:
    """Conversion from RGB to the pixels of `stream`, and its description in the file."""
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED

    def convert(frame: av.VideoFrame | None) -> Iterator[Any]:
        if frame is not None:
            yield frame.reformat(
                format=stream.pix_fmt, src_color_range=_FULL, dst_color_range=_LIMITED, dst_colorspace=_BT709
            )

    return convert


def _through_palette(av: Any, width: int, height: int, rate: Fraction) -> Encode:
    """Conversion from RGB to 256 colours, which are chosen anew for each frame; others are mixed of them by dots."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=1 / rate)
    split, sink = graph.add("split"), graph.add("buffersink")
    choose, apply = (
        graph.add("palettegen", "stats_mode=single"),
        graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4"),
    )
    source.link_to(split)
    split.link_to(choose, 0, 0)
    split.link_to(apply, 1, 0)
    choose.link_to(apply, 0, 1)
    apply.link_to(sink)
    graph.configure()

    def convert(frame: av.VideoFrame | None) -> Iterator[Any]:
        graph.push(frame)
        while True:
            try:
                yield graph.pull()
            except (BlockingIOError, EOFError):  # it needs the next frame; there is none
                return

    return convert


@contextmanager
def _writing(av: Any, path: Path) -> Iterator[None]:
    """Turn errors of FFmpeg that the user can correct, such as a full disk, into a UserError."""
    try:
        yield
    except av.FFmpegError as error:
        if not isinstance(error, OSError):
            raise
        raise UserError(
            f"`out={path}`: cannot be written ({error.strerror}); free space or choose another place"
        ) from None


def _pyav(path: Path) -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise UserError(
            f'`out={path}`: videos need PyAV ({error}): pip install "sgi-engine[video]"; a folder of frames needs '
            "nothing: give a name without a suffix"
        ) from None
