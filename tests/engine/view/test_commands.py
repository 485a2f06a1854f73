"""Copied commands and Python lines are run, and give the maps that the viewer shows."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tolerances import BACKEND_PARITY, CLOSED_FORM

from sgi.cli import main
from sgi.engine.latents_file import Latents
from sgi.engine.live import Mix, Row, Screen, Towards, open_live
from sgi.engine.offsets import Offset
from sgi.engine.view.commands import SAVED, Commands, Light, parse_request
from sgi.engine.view.latents import LoadedLatents, latents_file, load_latents
from sgi.engine.view.opening import Source, open_viewed
from sgi.engine.walk.drawing import Drawing, default_scale
from sgi.engine.writers import get_format

LIGHT = Light(azimuth=-60, elevation=20, strength=1.2, ambient=0.1)


@pytest.fixture(scope="module")
def live():
    with open_live(backend="onnxruntime", threads=1) as live:
        yield live


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Commands write into the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bundled(live, loaded=()):
    return Commands(live, Source(backend="onnxruntime"), {found.id: found for found in loaded})


def run_shell(text, capsys):
    """The folders that the commands wrote."""
    folders = []
    for line in text.split(" &&\n"):
        words = shlex.split(line)
        assert words[0] == "sgi-engine"
        assert main([*words[1:], "--quiet"]) == 0, capsys.readouterr().err
        folders.append(words[words.index("--outdir") + 1])
    return folders


def maps_of(folder, paths, kinds):
    """{type: values} of the first image in folders, as PNG files have them."""
    found = {}
    for written in paths:
        for kind in kinds:
            for path in sorted((folder / written).glob(f"*_{kind.name}.png"))[:1]:
                assert kind.name not in found
                found[kind.name] = get_format("png").decode(kind, path.read_bytes())
    return found


def assert_files_show(found, expected, live):
    """PNG files have the nearest code: of 8 bits for colours and 16 for others."""
    assert set(found) == set(expected)
    for name, values in expected.items():
        kind = live.artifact.output(name)
        png = get_format("png")
        exact = png.decode(kind, png.encode(kind, values))
        different = np.abs(found[name] - exact) > BACKEND_PARITY * (kind.high - kind.low)
        # A value between two codes can be rounded to the other one.
        assert different.mean() < 0.01, name
        assert np.abs(found[name] - exact).max() < 0.05 * (kind.high - kind.low), name


def assert_lines_show(text, expected, live):
    space: dict[str, Any] = {}
    exec(compile(text, "copied", "exec"), space)
    maps = space["maps"]
    assert set(maps) == set(expected)
    for name, values in expected.items():
        kind = live.artifact.output(name)
        limit = BACKEND_PARITY * (kind.high - kind.low)
        np.testing.assert_allclose(maps[name][0], values, rtol=0, atol=limit, err_msg=name)
    return space


@pytest.mark.parametrize(
    "screen",
    [
        Screen(seed=7),
        Screen(seed=8, psi=-0.5, types=("image", "depth")),
        Screen(seed=7, psi=0.6, mix=Mix(9, "6-9")),
    ],
    ids=["seed", "psi", "mix"],
)
def test_seeds(screen, live, folder, capsys):
    found = bundled(live).of(screen, LIGHT)
    expected = live.maps(screen)
    assert_files_show(maps_of(folder, run_shell(found["shell"], capsys), live.types), expected, live)
    space = assert_lines_show(found["python"], expected, live)
    assert found["note"] == ""
    if "albedo" in expected:
        angles = np.radians([LIGHT.azimuth, LIGHT.elevation])
        light = [np.sin(angles[0]) * np.cos(angles[1]), np.sin(angles[1]), np.cos(angles[0]) * np.cos(angles[1])]
        facing = np.tensordot(light, space["maps"]["normal"][0], 1)
        relit = space["maps"]["albedo"][0] * (LIGHT.ambient + LIGHT.strength * np.maximum(0, facing))
        np.testing.assert_allclose(space["relit"][0], relit, atol=CLOSED_FORM)
    else:
        assert "relit" not in space


def test_towards_is_a_frame_of_a_walk(live, folder, capsys):
    screen = Screen(seed=7, psi=0.8, towards=Towards(12, 0.25), types=("image", "normal"))
    found = bundled(live).of(screen)
    words = shlex.split(found["shell"])
    assert found["note"] == "frame 1 of the folder is what is shown"
    assert main([*words[1:], "--quiet"]) == 0
    expected = live.maps(screen)
    kinds = [live.artifact.output(name) for name in expected]
    drawn = Drawing(kinds, 64, {}, default_scale(64)).draw(expected)
    frame = np.asarray(Image.open(folder / words[-1] / "frame000001.png")).astype(int)
    assert np.abs(frame - drawn).max() <= 1
    assert_lines_show(found["python"], expected, live)


def test_what_no_seed_gives_is_saved_first(live, folder, capsys):
    screen = Screen(seed=7, towards=Towards(12, 0.3), mix=Mix(9, "0-3,5"), types=("image", "depth"))
    found = bundled(live).of(screen)
    assert found["note"] == f"save the latents as {SAVED} first"
    (folder / SAVED).write_bytes(latents_file(live, screen))
    expected = live.maps(screen)
    assert_files_show(maps_of(folder, run_shell(found["shell"], capsys), live.types), expected, live)
    assert_lines_show(found["python"], expected, live)


def test_latents_of_a_file(live, folder, capsys):
    ws = live.engine.mapping([3, 4], psi=0.5)
    np.savez(folder / "two projected.npz", w=ws)
    loaded = load_latents(live, "two projected.npz", (folder / "two projected.npz").read_bytes())
    screen = Screen(latents=Row(loaded.id, 1), types=("image", "depth"))
    found = bundled(live, [loaded]).of(screen)
    assert found["note"] == "latent 1 is what is shown"
    expected = live.maps(screen)
    run_shell(found["shell"], capsys)
    for kind in map(live.artifact.output, expected):
        png = get_format("png")
        read = png.decode(kind, (folder / "latents" / f"latent0001_{kind.name}.png").read_bytes())
        assert np.abs(read - expected[kind.name]).max() < 0.02
    assert_lines_show(found["python"], expected, live)
    mixed = Screen(latents=Row(loaded.id, 0), mix=Mix(9, "2"), types=("image",))
    assert_lines_show(bundled(live, [loaded]).of(mixed)["python"], live.maps(mixed), live)


def test_latents_z_keep_psi(live, folder):
    z = np.random.RandomState(3).randn(2, live.artifact.z_dim).astype(np.float32)
    np.save(folder / "z.npy", z)
    kept = Latents("z", z, (("z.npy", 2),))
    loaded = LoadedLatents(live.add_latents(kept), "z.npy", kept, ("z.npy",))
    screen = Screen(psi=0.4, latents=Row(loaded.id, 1), types=("image",))
    found = bundled(live, [loaded]).of(screen)
    assert "--latents z.npy --latents-kind z --trunc 0.4" in found["shell"]
    assert_lines_show(found["python"], live.maps(screen), live)
    moved = Screen(psi=0.4, latents=Row(loaded.id, 1), towards=Towards(5, 0.5), types=("image",))
    assert_lines_show(bundled(live, [loaded]).of(moved)["python"], live.maps(moved), live)


def test_alpha_of_the_bundled_offsets(live, folder, capsys):
    """Types of one factor are one command: the factor of `run` is that of all its offsets."""
    pytest.importorskip("torch")
    alpha = {"depth": 0.5, "normal": 0.5, "albedo": 0.2}
    assert bundled(live).of(Screen(seed=7, alpha=alpha))["shell"].count(" &&\n") == 2
    screen = Screen(seed=7, psi=0.9, alpha=alpha, types=("depth",))
    found = bundled(live).of(screen)
    expected = live.maps(screen)
    assert_files_show(maps_of(folder, run_shell(found["shell"], capsys), live.types), expected, live)
    assert_lines_show(found["python"], expected, live)


def test_a_generator_with_offsets(folder, tiny_generator, capsys):
    from sgi.engine.generator import generator_sha256, save_generator

    save_generator("my tiny.safetensors", tiny_generator)
    random = np.random.RandomState(0)
    for name in ("depth", "albedo"):
        offset = Offset(
            name, "w+", {"offset": random.randn(6, 12).astype(np.float32)}, generator_sha256(tiny_generator)
        )
        offset.scaled(0.5).save(f"{name}.safetensors")
    offsets = ["depth.safetensors", "albedo.safetensors"]
    with open_viewed("my tiny.safetensors", offsets=offsets, backend="onnxruntime", threads=1) as viewed:
        live, source = viewed.live, viewed.source
        assert live
        assert viewed.title == "my tiny.safetensors"
        for screen in (Screen(seed=3, psi=0.7), Screen(seed=3, psi=0.7, alpha={"depth": 0.3})):
            found = Commands(live, source, {}).of(screen)
            expected = live.maps(screen)
            assert_lines_show(found["python"], expected, live)
        assert_files_show(maps_of(folder, run_shell(found["shell"], capsys), live.types), expected, live)


def test_classes(class_model, folder, capsys):
    source = Source(model=str(class_model), backend="onnxruntime")
    with open_live(class_model, backend="onnxruntime", threads=1) as live:
        for text in (None, "2", "0:0.7,2:0.3"):
            screen = Screen(seed=1, class_index=text, types=("image",))
            found = Commands(live, source, {}).of(screen)
            assert_lines_show(found["python"], live.maps(screen), live)
        assert found["shell"].endswith(
            f"--class {text} --model {class_model} --type image --backend onnxruntime --outdir seed1_class0-0.7-2-0.3"
        )
        assert_files_show(maps_of(folder, run_shell(found["shell"], capsys), live.types), live.maps(screen), live)


def test_requests_name_what_is_wrong():
    assert parse_request({"screen": {"seed": 3}, "light": None}) == (Screen(seed=3), None)
    assert parse_request({"screen": {}, "light": {"azimuth": -75}})[1] == Light(-75)
    from sgi.engine.errors import UserError

    for values, words in (
        ([], "`screen`"),
        ({}, "`screen`"),
        ({"screen": {"seed": -1}}, "`seed=-1`"),
        ({"screen": {}, "light": {"azimuth": "left"}}, "`light`"),
        ({"scren": {}}, "`screen`"),
    ):
        with pytest.raises(UserError, match=words):
            parse_request(values)
