"""Models whose outputs differ from their description: refused when they are opened, or at the first batch."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fake_tensorrt import opened
from lying_models import AT_A_BATCH, AT_OPENING, empty, of_another_side, of_another_type
from tiny_models import ONNX_BACKENDS, SIDE, describe, package_of

from sgi.engine import Engine
from sgi.engine.backends import open_backend
from sgi.engine.backends.ports import Port, check_map_port, check_maps
from sgi.engine.errors import UserError


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
@pytest.mark.parametrize("write", AT_OPENING.values(), ids=AT_OPENING)
def test_an_output_of_another_shape_or_type_is_refused_at_opening(write, backend, tmp_path):
    pytest.importorskip(package_of(backend))
    path = write(tmp_path / "lies.onnx")
    with pytest.raises(UserError, match=r"lies\.onnx: .*output (image|depth).*its description.*export it again"):
        open_backend(path, backend=backend, device="cpu", batch=2)


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
@pytest.mark.parametrize("write", AT_A_BATCH.values(), ids=AT_A_BATCH)
def test_a_map_of_another_shape_is_refused_at_its_batch(write, backend, tmp_path):
    pytest.importorskip(package_of(backend))
    path = write(tmp_path / "lies.onnx")
    with pytest.raises(UserError, match=r"lies\.onnx: .*output depth is .*its description gives float32 \["):
        Engine.open(path, backend=backend, device="cpu", batch=2)(seeds=[0, 1])


def test_types_that_are_not_loaded_are_not_compared(tmp_path):
    path = of_another_type(tmp_path / "lies.onnx")
    maps = Engine.open(path, device="cpu", types="image")(seeds=[0])
    assert maps["image"].shape == (1, 3, SIDE, SIDE)


@pytest.mark.parametrize("write", [of_another_side, empty, of_another_type])
def test_run_writes_no_map_and_exits_with_2(write, command, tmp_path):
    path = write(tmp_path / "lies.onnx")
    code, _, printed = command("run", "--model", path, "--seeds", "0-3", "--outdir", tmp_path / "out", "--quiet")
    assert code == 2
    assert re.search(r"lies\.onnx: its (output|image|depth)", printed)
    assert len(printed.splitlines()) == 1
    assert not list((tmp_path / "out").glob("seed*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shapes": {"depth": (-1, 1, 8, 8)}}, r"output depth is float32 \[\?, 1, 8, 8\]"),
        ({"dtypes": {"image": "DataType.HALF"}}, "output image is DataType.HALF"),
        ({"dtypes": {"z": "DataType.HALF"}}, "input z is DataType.HALF"),
    ],
)
def test_an_engine_is_compared_too(changes, message, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=rf"maps\.engine: its {message}"), opened(tmp_path, monkeypatch, **changes):
        pass


def test_maps_on_a_device_are_compared():
    artifact = describe()
    check_map_port("m.onnx", artifact, Port("depth", "float32", (2, 1, SIDE, SIDE)), 2)
    for port, shown in {
        Port("depth", "float32", (1, 1, SIDE, SIDE)): r"float32 \[1, 1, 16, 16\]",
        Port("depth", "int64", (2, 1, SIDE, SIDE)): r"int64 \[2, 1, 16, 16\]",
    }.items():
        with pytest.raises(UserError, match=rf"m\.onnx: its output depth is {shown}, and its description gives"):
            check_map_port("m.onnx", artifact, port, 2)


def test_what_a_plugin_returns_is_compared():
    artifact = describe()
    good = {"depth": np.zeros((2, 1, SIDE, SIDE), np.float32)}
    assert list(check_maps("m.onnx", artifact, good, 2, None)) == ["depth"]
    wrong = {
        "is float64": good["depth"].astype(np.float64),
        r"is float32 \[2, 1, 16\]": good["depth"][..., 0],
        "is list": good["depth"].tolist(),
    }
    for message, value in wrong.items():
        with pytest.raises(UserError, match=rf"m\.onnx: its output depth {message}"):
            check_maps("m.onnx", artifact, {"depth": value}, 2, None)
    with pytest.raises(UserError, match=r"output image is NoneType"):
        check_maps("m.onnx", artifact, good, 2, ("image",))
    with pytest.raises(UserError, match=r"its output fish is float32 .* no such output"):
        check_maps("m.onnx", artifact, {"fish": good["depth"]}, 2, None)
