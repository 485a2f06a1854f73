"""Videos: the frames that are read back, their number, and what is refused."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tolerances import GIF_PSNR, VIDEO_MEAN, VIDEO_PSNR

from sgi.engine.errors import UserError
from sgi.engine.walk import video_file
from sgi.engine.walk.video_file import MAX_SIDE, SUFFIXES, check_size, check_video, count_frames, video_writer

av = pytest.importorskip("av")

COUNT = 7
CODECS = (".mp4", ".webm", ".gif")
"""A suffix of each encoder."""


def frames(height: int = 64, width: int = 256, count: int = COUNT) -> list[np.ndarray]:
    """Coloured waves that move: saturated red, green and blue, which a wrong matrix of colours would change."""
    y, x = np.mgrid[:height, :width] / 48
    waves = [
        np.stack([np.sin(x * 2 + i / 5), np.cos(y * 3 + i / 7), np.sin(x + y + i / 3)], axis=-1) for i in range(count)
    ]
    return [((wave + 1) * 127.5).astype(np.uint8) for wave in waves]


def write(path: Path, pictures: list[np.ndarray], fps: float = 30.0, crf: int | None = None) -> Path:
    with video_writer(path, pictures[0].shape[:2], fps, crf, threads=1) as append:
        for picture in pictures:
            append(picture)
    return path


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_frames_read_back_are_close_to_those_written(tmp_path, suffix):
    pictures = frames()
    path = write(tmp_path / f"walk{suffix}", pictures)
    found = read(path)
    assert len(found) == count_frames(path) == COUNT
    assert found[0].shape == pictures[0].shape
    least = GIF_PSNR if suffix == ".gif" else VIDEO_PSNR
    for one, other in zip(pictures, found, strict=True):
        assert psnr(one, other) > least
        assert np.abs(one.mean(axis=(0, 1)) - other.mean(axis=(0, 1))).max() < VIDEO_MEAN
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", CODECS)
def test_a_single_frame_is_a_video(tmp_path, suffix):
    assert count_frames(write(tmp_path / f"walk{suffix}", frames(count=1))) == 1


@pytest.mark.parametrize(("suffix", "size"), [(".mp4", (66, 258)), (".webm", (66, 258)), (".gif", (65, 257))])
def test_frames_of_odd_sizes_are_padded_where_the_encoder_needs_it(tmp_path, suffix, size):
    pictures = frames(65, 257)
    found = read(write(tmp_path / f"walk{suffix}", pictures))
    assert found[0].shape == (*size, 3)
    assert psnr(pictures[3], found[3][:65, :257]) > (GIF_PSNR if suffix == ".gif" else VIDEO_PSNR)


@pytest.mark.parametrize(("fps", "rate"), [(30.0, Fraction(30)), (29.97, Fraction(2997, 100)), (0.5, Fraction(1, 2))])
def test_the_rate_and_the_colours_are_in_the_file(tmp_path, fps, rate):
    with av.open(str(write(tmp_path / "walk.mp4", frames(), fps))) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == rate
        context = stream.codec_context
        assert (context.pix_fmt, context.colorspace, context.color_range) == ("yuv420p", 1, 1)
        assert float(stream.duration * stream.time_base) == pytest.approx(COUNT / fps, rel=1e-3)


def test_less_crf_is_better_and_larger(tmp_path):
    pictures = frames()
    good, bad = (write(tmp_path / f"{crf}.mp4", pictures, crf=crf) for crf in (10, 45))
    assert good.stat().st_size > bad.stat().st_size
    assert psnr(pictures[3], read(good)[3]) > psnr(pictures[3], read(bad)[3]) + 3


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_the_older_file_and_no_other(tmp_path, suffix, error):
    path = tmp_path / f"walk{suffix}"
    path.write_text("older")
    pictures = frames()

    def interrupted() -> None:
        with video_writer(path, pictures[0].shape[:2], 30.0) as append:
            append(pictures[0])
            append(pictures[1])
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "older"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_video_that_lacks_frames_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(video_file, "count_frames", lambda path: COUNT - 1)
    with pytest.raises(UserError, match=r"walk.mp4`: 7 frames were written, and it has 6; write it again"):
        write(tmp_path / "walk.mp4", frames())
    assert not any(tmp_path.iterdir())


def test_a_file_that_is_no_video_has_no_count(tmp_path):
    path = tmp_path / "walk.mp4"
    path.write_text("text")
    with pytest.raises(UserError, match="cannot be read"):
        count_frames(path)


def test_a_full_disk_is_a_user_error_with_the_name_of_the_video(tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        raise av.error.OSError(28, "No space left on device", "temporary")

    monkeypatch.setattr(video_file, "_to_yuv", full)
    with pytest.raises(UserError, match=r"`out=.*walk.mp4`: cannot be written \(No space left on device\); free"):
        write(tmp_path / "walk.mp4", frames())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "fps", "crf", "message"),
    [
        ("walk.mp4", 0, None, "`fps=0`: choose 0.1 to 240 for .mp4 files"),
        ("walk.mp4", float("nan"), None, "`fps=nan`"),
        ("walk.webm", 241, None, "`fps=241`: choose 0.1 to 240 for .webm files"),
        ("walk.gif", 60, None, "`fps=60`: choose 0.1 to 50 for .gif files"),
        ("walk.gif", 30, 18, "`crf=18` has no effect on .gif files"),
        ("walk.mp4", 30, 52, "`crf=52`: choose 0, the best, to 51 for .mp4 files"),
        ("walk.mkv", 30, -1, "`crf=-1`: choose 0"),
        ("walk.webm", 30, 64, "`crf=64`: choose 0, the best, to 63 for .webm files"),
    ],
)
def test_rates_and_qualities_that_a_file_cannot_have_are_refused(name, fps, crf, message):
    with pytest.raises(UserError, match=message):
        check_video(Path(name), fps, crf)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_suffixes_in_capitals_are_the_same(suffix):
    check_video(Path(f"walk{suffix.upper()}"), 30, None)


def test_frames_that_are_too_large_for_encoders_are_refused():
    check_size(Path("walk.mp4"), (256, MAX_SIDE))
    with pytest.raises(UserError, match=r"frames of 16386 x 256 pixels; a video has at most 16384 along a side"):
        check_size(Path("walk.mp4"), (256, MAX_SIDE + 2))


def test_pyav_missing_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r'walk.mp4`: videos need PyAV .*pip install "sgi-engine\[video\]"; a folder'):
        check_video(Path("walk.mp4"), 30, None)


def test_a_build_without_the_encoder_is_refused(monkeypatch):
    monkeypatch.setattr(av.codec, "codecs_available", {"gif"})
    with pytest.raises(UserError, match="this build of PyAV has no encoder libx264"):
        check_video(Path("walk.mp4"), 30, None)
    check_video(Path("walk.gif"), 30, None)
