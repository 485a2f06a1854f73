"""`sgi-engine interpolate`: what it writes and prints, and its errors on one line."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sgi.engine.generator import GeneratorConfig, random_generator, save_generator
from sgi.engine.offsets import Offset
from sgi.engine.walk import interpolate
from sgi.engine.walk.video_file import count_frames

FEW = ("--frames", "3", "--backend", "onnxruntime", "--threads", "1", "--quiet")


def test_a_video_of_the_bundled_model(command, tmp_path):
    pytest.importorskip("av")
    out = tmp_path / "walk.mp4"
    out.write_text("older")
    arguments = ("--seeds", "0,5,9", "--type", "image,depth", "--loop", "--fps", "12", "--scale", "1", "--batch", "2")
    code, printed, error = command("interpolate", *arguments, "--out", out, *FEW)
    assert (code, error) == (0, "")
    first, second, third = printed.splitlines()
    assert first.startswith("wrote 3 frames of 128 x 64 pixels (image, depth) in ")
    assert first.endswith(" frames/s (onnxruntime, cpu)")
    assert (second, third) == ("seeds at frames 0, 1, 2", f"video  {out}")
    assert count_frames(out) == 3


def test_frames_of_a_conditional_model(command, class_model, tmp_path):
    out = tmp_path / "frames"
    arguments = ("--model", class_model, "--class", "0:0.5,2:0.5", "--space", "z", "--trunc", "0.5")
    code, printed, error = command("interpolate", "--seeds", "0,1", *arguments, "--out", out, *FEW)
    assert (code, error) == (0, "")
    assert printed.splitlines()[1:] == ["seeds at frames 0, 2", f"frames  {out}"]
    assert len(list(out.iterdir())) == 3


@pytest.fixture
def network(tmp_path, user_cache, monkeypatch):
    """A generator file and an offset of it, with exports that are not verified."""
    monkeypatch.setattr("sgi.export.onnx.verify", lambda *arguments: {"seeds": 1, "runtimes": {}, "left_out": {}})
    config = GeneratorConfig(16, z_dim=12, w_dim=12, mapping_layers=2, channel_base=256, channel_max=16)
    path = tmp_path / "network.safetensors"
    sha256 = save_generator(path, random_generator(config, seed=8))
    rows = np.random.RandomState(0).randn(config.num_ws, config.w_dim).astype(np.float32) / np.float32(2)
    Offset("edges", "w+", {"offset": rows}, sha256, psi=0.7, noise_mode="const").save(tmp_path / "edges.safetensors")
    return path, tmp_path / "edges.safetensors"


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_generator_gives_the_frames_of_its_export(command, network, tmp_path, space):
    recipe = (
        "--generator", network[0], "--offset", network[1], "--type", "image,edges", "--alpha", "0.5",
        "--trunc-cutoff", "3", "--noise-mode", "none",
    )  # fmt: skip
    assert command("export", *recipe, "--out", tmp_path / "model.onnx", "--quiet")[0] == 0
    walk = ("--seeds", "0,5", "--space", space, *FEW, "--out")
    assert command("interpolate", "--model", tmp_path / "model.onnx", *walk, tmp_path / "model")[0] == 0
    code, printed, error = command("interpolate", *recipe, *walk, tmp_path / "generator")
    assert (code, error) == (0, "")
    assert printed.startswith("wrote 3 frames of 512 x 256 pixels (image, edges) in ")
    for number in range(3):
        name = f"frame{number:06d}.png"
        assert (tmp_path / "generator" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_the_frames_of_a_generator_on_triton_are_those_of_its_export(network, tmp_path, monkeypatch):
    pytest.importorskip("triton")
    import sgi.engine.backends.triton  # noqa: F401  kernels are made for the interpreter when they are imported

    monkeypatch.setenv("TRITON_INTERPRET", "0")
    given = {"generator": network[0], "offsets": [network[1]], "frames": 2, "scale": 1, "device": "cpu"}
    for backend in ("triton", "onnxruntime"):
        report = interpolate("0,5", out=tmp_path / backend, backend=backend, **given)
        assert (report.types, report.backend) == (("edges",), backend)
    found, expected = (
        np.asarray(Image.open(tmp_path / backend / "frame000001.png")).astype(int)
        for backend in ("triton", "onnxruntime")
    )
    assert np.abs(found - expected).max() <= 1  # a code may be rounded otherwise


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--alpha", "0.5"), "--alpha 0.5 has no effect without --generator"),
        (("--offset", "d.safetensors"), "--offset d.safetensors has no effect without --generator"),
        (("--no-cache",), "--no-cache has no effect without --generator"),
        (("--backend", "triton"), "--backend triton: it runs a generator, not an exported model; pass --generator"),
        (("--noise-mode", "const"), "--noise-mode const: the noise is fixed at export, and this model has none"),
        (("--generator", "bundled", "--model", "m.onnx"), "--model and --generator: pass only one of the two"),
        (("--generator", "none.pkl"), "--generator none.pkl: no such file"),
        (("--generator", "bundled", "--offset", "none.safetensors"), "none.safetensors: no such file"),
    ],
)
def test_wrong_generators_are_one_line_and_nothing_is_written(command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, printed, error = command("interpolate", "--seeds", "0,1", "--out", "w", *arguments)
    assert (code, printed) == (2, "")
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seeds", "0", "--out", "w"), "--seeds: a walk needs at least two, such as 0,5"),
        (("--seeds", "0-9", "--out", "w", "--frames", "9"), "--frames 9: there are 10 seeds, and each needs a frame"),
        (("--seeds", "0,1", "--out", "w.avi"), "--out w.avi: choose one of .mp4, .mov, .mkv, .webm, .gif, or a name"),
        (("--seeds", "0,1", "--out", "w", "--type", "sky"), "--type sky: the model has image, depth"),
        (("--seeds", "0,1", "--out", "w", "--class", "1"), "--class: the model has no classes"),
        (("--seeds", "0,1", "--out", "w", "--class", "a"), "--class a: write one class such as 3, or weights"),
        (("--seeds", "0,1", "--out", "w", "--space", "x"), "--space x: choose w or z"),
        (("--seeds", "0,1", "--out", "w", "--trunc", "nan"), "--trunc nan: must be a number"),
        (("--seeds", "0,1", "--out", "w", "--model", "none.onnx"), "none.onnx: no such file"),
        (("--seeds", "0,1"), "Missing option '--out'"),
        (("--out", "w"), "Missing option '--seeds'"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, printed, error = command("interpolate", *arguments)
    assert (code, printed) == (2, "")
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_pyav_missing_is_one_line_with_the_extra(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    code, _, error = command("interpolate", "--seeds", "0,1", "--out", tmp_path / "walk.mp4", "--model", "none.onnx")
    assert code == 2
    assert error.startswith(f"error: --out {tmp_path}/walk.mp4: videos need PyAV ")
    assert 'pip install "sgi-engine[video]"' in error
    assert error.count("\n") == 1


def test_ctrl_c_is_exit_code_130_and_leaves_no_file(command, tmp_path, monkeypatch):
    pytest.importorskip("av")

    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("sgi.engine.walk.drawing.Drawing.draw", interrupted)
    result = command("interpolate", "--seeds", "0,1", "--type", "image", "--out", tmp_path / "walk.mp4", *FEW)
    assert result == (130, "", "interrupted\n")
    assert not any(tmp_path.iterdir())


def test_a_walk_imports_no_torch(tmp_path):
    """Torch and onnx are not needed, as in an installation with the extras cpu and video alone."""
    code = (
        "import sys\nfor name in ('torch', 'onnx', 'triton'): sys.modules[name] = None\n"
        "from sgi.engine.walk import interpolate\n"
        f"interpolate('0,1', out={str(tmp_path / 'w')!r}, frames=2, types='image', backend='onnxruntime', threads=1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(list((tmp_path / "w").iterdir())) == 2
