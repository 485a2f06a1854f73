"""Walks: the frames of seeds are their maps, others lie between them, and wrong arguments stop before any work."""

from __future__ import annotations

import io
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_models import describe, write_model
from tolerances import BACKEND_PARITY

from sgi.engine import Engine
from sgi.engine.errors import UserError, WrongTypeError
from sgi.engine.walk import interpolate
from sgi.engine.walk.frame_maps import FrameMaps
from sgi.engine.walk.video_file import count_frames
from sgi.engine.writers import get_format

SEEDS = [3, 0, 5]
SIDE = 64  # of the bundled model
RUNTIME: dict[str, Any] = {"backend": "onnxruntime", "threads": 1}


@pytest.fixture(scope="module")
def engine():
    """The bundled model with input w+ and two of its types."""
    with Engine.open(types=("image", "depth"), batch=4, input="w+", **RUNTIME) as opened:
        yield opened


def frame(folder: Path, number: int) -> np.ndarray:
    with Image.open(folder / f"frame{number:06d}.png") as picture:
        return np.asarray(picture)


def png(kind: str, value: np.ndarray) -> np.ndarray:
    """The pixels of a map in its own PNG file."""
    with Image.open(io.BytesIO(get_format("png").encode(kind, value))) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("space", ["w", "z"])
@pytest.mark.parametrize("loop", [False, True])
def test_the_frames_of_seeds_are_their_maps(engine, space, loop):
    walk = FrameMaps(engine, SEEDS, 8, None, space, loop)
    found = list(walk.of(np.arange(8)))
    assert len(found) == 8
    expected = engine(seeds=SEEDS)
    for i, number in enumerate(walk.key_frames):
        for name, stack in expected.items():
            assert np.abs(found[number][name] - stack[i]).max() <= BACKEND_PARITY
    steps = [np.abs(one["image"] - other["image"]).mean() for one, other in pairwise(found)]
    assert min(steps) > 0.001  # every frame differs from the one before


def test_a_loop_ends_one_step_before_its_first_frame(engine):
    open_walk, closed = (FrameMaps(engine, [0, 5], 16, None, "w", loop) for loop in (False, True))

    def distance(walk: FrameMaps) -> float:
        first, last = walk.of(np.array([0, 15]))
        return float(np.abs(first["image"] - last["image"]).mean())

    assert distance(closed) < distance(open_walk) / 3


def test_psi_truncates_w_and_z(engine):
    for space in ("w", "z"):
        [found] = FrameMaps(engine, SEEDS, 4, ["depth"], space, psi=0.2).of(np.array([0]))
        assert list(found) == ["depth"]
        expected = engine(seeds=SEEDS[:1], psi=0.2, types="depth")["depth"][0]
        assert np.abs(found["depth"] - expected).max() <= BACKEND_PARITY


def test_a_folder_of_frames_shows_the_codes_of_map_files(engine, tmp_path):
    report = interpolate("3,0", out=tmp_path / "new" / "frames", frames=5, model=engine, scale=2)
    assert (report.frames, report.size, report.types) == (5, (SIDE * 2, SIDE * 4), ("image", "depth"))
    assert report.key_frames == (0, 4)
    assert report.backend == "onnxruntime"
    assert len(list(report.out.iterdir())) == 5
    image = engine(seeds=3)["image"][0]
    shown = frame(report.out, 0)
    assert shown.shape == (*report.size, 3)
    difference = shown[::2, : SIDE * 2 : 2].astype(int) - png("image", image)
    assert np.abs(difference).max() <= 1  # another pass may round a code otherwise
    spread = frame(report.out, 2)[:, SIDE * 2 :].reshape(-1, 3).astype(int)
    assert (spread.max(axis=1) - spread.min(axis=1)).mean() > 30  # depth has colours


def test_a_seed_may_occur_again(engine, tmp_path):
    for seeds in ("3,0,3", [3, 0, 3]):
        report = interpolate(seeds, out=tmp_path, frames=5, model=engine, types="image")
        assert report.key_frames == (0, 2, 4)
        np.testing.assert_array_equal(frame(tmp_path, 0), frame(tmp_path, 4))


def test_an_open_engine_stays_open_and_draws_what_it_loaded(engine, tmp_path):
    assert interpolate([0, 1], out=tmp_path, frames=2, model=engine, space="z").types == ("image", "depth")
    assert interpolate([0, 1], out=tmp_path, frames=2, model=engine, types="all").types == engine.artifact.type_names
    assert set(engine(seeds=0)) == {"image", "depth"}
    with pytest.raises(UserError, match="`batch=2` has no effect on an open Engine"):
        interpolate([0, 1], out=tmp_path, model=engine, batch=2)


def test_an_engine_that_takes_z_walks_in_z_only(tmp_path):
    with Engine.open(types="image", **RUNTIME) as opened:
        interpolate([0, 1], out=tmp_path / "z", frames=2, model=opened, space="z")
        with pytest.raises(UserError, match=r"input=w\+"):
            interpolate([0, 1], out=tmp_path / "w", frames=2, model=opened)
    assert not (tmp_path / "w").exists()


def test_a_video_of_the_bundled_model_is_complete(tmp_path):
    pytest.importorskip("av")
    report = interpolate([0, 1], out=tmp_path / "walk.mp4", frames=4, types="normal", scale=1, columns=1, **RUNTIME)
    assert count_frames(report.out) == 4
    assert report.size == (SIDE, SIDE)
    assert [path.name for path in tmp_path.iterdir()] == ["walk.mp4"]


def test_classes_walk_in_z_of_models_of_any_form(class_model, tmp_path):
    report = interpolate(
        [0, 1], out=tmp_path, frames=2, model=class_model, class_index={0: 0.5, 2: 0.5}, space="z", scale=1, **RUNTIME
    )
    with Engine.open(class_model, **RUNTIME) as opened:
        image = opened(seeds=1, class_index={0: 0.5, 2: 0.5})["image"][0]
    assert np.abs(frame(report.out, 1)[:, :16].astype(int) - png("image", image)).max() <= 1


def test_classes_and_a_cutoff_hold_in_w(conditional_generator, tmp_path):
    from sgi.export.onnx import export_onnx

    path = tmp_path / "classes.onnx"
    export_onnx(conditional_generator, {"image": None}, path, psi=0.6, cutoff=3)
    with Engine.open(path, input="w+", batch=3, **RUNTIME) as opened:
        for mix in (2, {0: 0.25, 1: 0.75}):
            first, _, last = FrameMaps(opened, SEEDS[:2], 3, class_index=mix).of(np.arange(3))
            expected = opened(seeds=SEEDS[:2], class_index=mix)["image"]
            assert np.abs(np.stack([first["image"], last["image"]]) - expected).max() <= BACKEND_PARITY
    with pytest.raises(UserError, match="`class_index`: the model needs a class"):
        interpolate([0, 1], out=tmp_path / "walk", model=path)


def test_a_class_that_the_offset_was_not_fitted_on_is_warned_of(tmp_path):
    offsets = {"depth": {"sha256": "b" * 64, "space": "w+", "class_index": 1}}
    model = write_model(tmp_path / "fitted.onnx", describe(c_dim=3, offsets=offsets))
    with pytest.warns(UserWarning, match="an offset was fitted on another class"):
        interpolate([0, 1], out=tmp_path / "walk", frames=2, model=model, class_index=2, space="z", **RUNTIME)


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_model_without_a_mapping_network_makes_no_folder(conditional_generator, tmp_path, space):
    from sgi.export.onnx import export_onnx

    path = tmp_path / "later.onnx"
    export_onnx(conditional_generator, {"image": None}, path, input="w+")
    with pytest.raises(UserError, match="has no mapping network for seeds and z"):
        interpolate([0, 1], out=tmp_path / "walk", model=path, class_index=0, space=space, **RUNTIME)
    assert not (tmp_path / "walk").exists()


def test_a_map_that_is_not_finite_names_the_frame(tmp_path):
    model = write_model(tmp_path / "damaged.onnx", describe(), damage="depth")
    with pytest.raises(UserError, match="the depth map of frame 0 contains values that are not finite"):
        interpolate([0, 1], out=tmp_path / "out", frames=3, model=model, space="z", **RUNTIME)


def test_ctrl_c_leaves_no_video_and_whole_frames(engine, tmp_path, monkeypatch):
    pytest.importorskip("av")
    calls = []

    def draw(self, maps):
        calls.append(maps)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.zeros((*self.size, 3), np.uint8)

    monkeypatch.setattr("sgi.engine.walk.drawing.Drawing.draw", draw)
    with pytest.raises(KeyboardInterrupt):
        interpolate([0, 1], out=tmp_path / "walk.mp4", frames=6, model=engine)
    assert not any(tmp_path.iterdir())
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        interpolate([0, 1], out=tmp_path / "walk", frames=6, model=engine)
    assert sorted(path.name for path in (tmp_path / "walk").iterdir()) == ["frame000000.png", "frame000001.png"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": "4"}, "`seeds`: a walk needs at least two"),
        ({"seeds": []}, "`seeds`: a walk needs at least two"),
        ({"seeds": 4}, "`seeds`: a walk needs at least two"),
        ({"seeds": "0,x"}, "neither a seed nor a range"),
        ({"seeds": "0-4294967295"}, "`frames=3`: there are 4294967296 seeds, and each needs a frame"),
        ({"seeds": "0,1,2,0"}, "`frames=3`: there are 4 seeds, and each needs a frame; choose at least 4"),
        ({"frames": 0}, "`frames=0`: must be at least 1"),
        ({"frames": 2.5}, "`frames=2.5`: must be an integer"),
        ({"out": "walk.avi"}, r"`out=walk.avi`: choose one of .mp4, .mov, .mkv, .webm, .gif, or a name without"),
        ({"out": 3}, "`out=3`: must be the path of a file"),
        ({"out": "walk", "fps": 30}, "`fps=30` has no effect on a folder of frames"),
        ({"out": "walk", "crf": 18}, "`crf=18` has no effect on a folder of frames"),
        ({"out": "walk", "columns": 0}, "`columns=0`: must be at least 1"),
        ({"out": "walk", "scale": 0}, "`scale=0`: must be at least 1"),
        ({"out": "walk", "space": "w+"}, r"`space=w\+`: choose w or z"),
        ({"out": "walk", "psi": 1000}, "`psi=1000.0`: must be a number"),
        ({"out": "walk", "types": "albedo"}, "`types=albedo`: the model has image, depth"),
        ({"out": "walk", "class_index": 1}, "`class_index`: the model has no classes"),
        ({"out": "walk", "model": "none.onnx"}, "none.onnx: no such file"),
        ({"out": "walk", "batch": 0}, "`batch=0`: must be at least 1"),
        ({"out": "walk", "threads": 0}, "`threads=0`: must be at least 1"),
        ({"out": "walk", "backend": "none"}, "`backend=none`"),
        ({"out": "walk.mp4", "fps": 0}, "`fps=0`"),
        ({"out": "walk.mp4", "scale": 600}, "frames of 19200 x 9600 pixels"),
    ],
)
def test_wrong_arguments_are_refused_and_nothing_is_written(model, tmp_path, monkeypatch, changes, message):
    if str(changes.get("out")).endswith(".mp4"):
        pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    arguments = {"seeds": "0,1", "out": "walk", "frames": 3, "model": model, "space": "z", **changes}
    with pytest.raises(UserError, match=message):
        interpolate(arguments.pop("seeds"), **arguments)
    assert not any(tmp_path.iterdir())


def test_wrong_python_types_are_type_errors(model):
    for wrong in ({"space": 3}, {"scale": "2"}, {"fps": "fast", "out": "walk.mp4"}, {"crf": 1.5, "out": "walk.mp4"}):
        with pytest.raises(WrongTypeError):
            interpolate([0, 1], **{"out": "walk", "model": model, **wrong})


def test_frames_of_a_longer_walk_are_not_mixed_with_new_ones(model, tmp_path):
    interpolate([0, 1], out=tmp_path, frames=4, model=model, space="z")
    interpolate([0, 2], out=tmp_path, frames=4, model=model, space="z")
    with pytest.raises(UserError, match=r"it has frame000003.png of a longer walk; remove its frames or choose"):
        interpolate([0, 1], out=tmp_path, frames=3, model=model, space="z")
    assert len(list(tmp_path.iterdir())) == 4


def test_a_folder_of_frames_needs_no_pyav(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    interpolate([0, 1], out=tmp_path / "walk", frames=2, model=model, space="z")
    with pytest.raises(UserError, match=r'pip install "sgi-engine\[video\]"'):
        interpolate([0, 1], out=tmp_path / "walk.mp4", frames=2, model=tmp_path / "not looked at.onnx")


def test_a_model_without_a_mapping_network_walks_in_z_only(model, tmp_path):
    with pytest.raises(UserError, match="export the model again"):
        interpolate([0, 1], out=tmp_path / "walk", frames=2, model=model)
    assert not any(tmp_path.iterdir())
