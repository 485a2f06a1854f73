"""Generators of grey and four-channel pictures from a checkpoint to files: each command works or says what it needs."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from checkpoint_files.nvidia import nvidia
from PIL import Image
from starlette.testclient import TestClient
from tiny_models import ONNX_BACKENDS
from tolerances import BACKEND_PARITY

from sgi.engine import Engine, intrinsics
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, GeneratorConfig, random_generator
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.seeds import latents
from sgi.engine.service import create_app
from sgi.engine.writers import get_format
from sgi.engine.writers.preview import draw_sheet
from sgi.trainer.offsets.baselines import global_affine, pixel_affine
from sgi.trainer.offsets.readout import readout

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def _network(channels: int) -> Generator:
    config = GeneratorConfig(
        16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=8, img_channels=channels
    )
    return random_generator(config, seed=4)


@pytest.fixture(params=[1, 4], ids=["grey", "RGBA"])
def channels(request) -> int:
    return request.param


@pytest.fixture
def generator(channels) -> Generator:
    return _network(channels)


@pytest.fixture
def folder(tmp_path, generator, monkeypatch):
    """A working folder with network.pkl."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.pkl").write_bytes(nvidia(generator))
    return tmp_path


def test_from_a_checkpoint_to_files(folder, generator, channels, command):
    assert command("import", "network.pkl", "--out", "network.safetensors")[0] == 0
    code, _, err = command("export", "--generator", "network.safetensors", "--type", "image", "--quiet")
    assert (code, err) == (0, "")
    artifact = Artifact.read("image.onnx")
    assert artifact.types == (intrinsics.image_of(channels),)
    with torch.no_grad():
        shown = generator(torch.from_numpy(latents([7], 8)).float())
    expected = (shown * 0.5 + 0.5).clamp(0, 1).numpy()
    for backend in ONNX_BACKENDS:
        with Engine.open("image.onnx", backend=backend, device="cpu") as engine:
            assert np.abs(engine([7])["image"] - expected).max() <= BACKEND_PARITY
    code, _, err = command("run", "--model", "image.onnx", "--seeds", "7", "--quiet")
    assert (code, err) == (0, "")
    with Image.open("out/seed000007_image.png") as picture:
        assert picture.mode == MODES[channels]
        stored = np.asarray(picture).reshape(16, 16, channels).transpose(2, 0, 1) / 255
    assert np.abs(stored - expected[0]).max() <= 0.5 / 255 + BACKEND_PARITY
    assert (folder / "out" / "preview.png").is_file()
    for name in ("image.onnx", "out", "out/run.json", "out/seed000007_image.png"):
        assert command("inspect", name)[0] == 0
    with Engine.open("image.onnx") as engine, TestClient(create_app(engine)) as client:
        served = client.get("/maps?seeds=7&format=png").content
    assert Image.open(io.BytesIO(served)).mode == MODES[channels]


@pytest.mark.parametrize("channels", [1])
def test_offsets_of_a_grey_generator_are_fitted_scored_exported_and_inverted(folder, command):
    few = ("--generator", "network.pkl", "--quiet", "--holdout", "8")
    given = (*few, "--images", "16", "--steps", "2", "--teacher", "analytic:sobel")
    code, _, err = command("train", "--type", "edges", *given)
    assert (code, err) == (0, "")
    assert command("score", "--offset", "edges.safetensors", "--teacher", "analytic:sobel", *few)[0] == 0
    names = ("--generator", "network.pkl", "--offset", "edges.safetensors")
    code, _, err = command("export", *names, "--type", "image,edges", "--out", "maps.onnx", "--quiet")
    assert (code, err) == (0, "")
    assert [kind.channels for kind in Artifact.read("maps.onnx").types] == [1, 1]
    Image.new("RGB", (20, 20), (90, 90, 90)).save("photo.png")
    code, _, err = command("invert", "photo.png", *names, "--steps", "1", "--quiet")
    assert (code, err) == (0, "")
    with Image.open("inverted/photo_image.png") as picture:
        assert picture.mode == "L"


@pytest.mark.parametrize("channels", [1])
def test_types_in_colour_need_a_generator_in_colour(folder, command):
    given = ("--generator", "network.pkl", "--type", "normal")
    for name in ("train", "eval", "ablate"):
        more = ("--what", "alpha") if name == "ablate" else ()
        code, _, err = command(name, *given, *more)
        assert (code, err.count("\n")) == (2, 1)
        assert "--type normal: it is shown in 3 channels, and pictures of the generator have 1" in err
    code, _, err = command("eval", *given[:2], "--type", "depth", "--rooms", "calm")
    assert (code, err) == (
        2,
        "error: --rooms calm: rooms are RGB pictures, and those of the generator are grey; use none\n",
    )


@pytest.mark.parametrize("channels", [4])
@pytest.mark.parametrize(
    "arguments",
    [("train", "--type", "depth"), ("invert", "photo.png"), ("eval", "--type", "depth")],
)
def test_commands_with_a_teacher_or_a_picture_refuse_four_channels(folder, command, arguments):
    Image.new("RGB", (20, 20)).save("photo.png")
    code, _, err = command(*arguments, "--generator", "network.pkl", "--quiet")
    assert (code, err.count("\n")) == (2, 1)
    assert "--generator: its pictures have 4 channels, and teachers take grey or RGB pictures" in err


@pytest.mark.parametrize("channels", [2])
def test_pictures_of_other_channels_are_refused(folder, command):
    code, _, err = command("export", "--generator", "network.pkl", "--type", "image", "--quiet")
    assert (code, err) == (2, "error: --type image: the pictures of the generator have 2 channels, not 1, 3 or 4\n")


def test_only_images_have_four_channels():
    for count in (1, 3, 4):
        row = intrinsics.image_of(count)
        assert Intrinsic.from_dict(row.to_dict()) == row
    with pytest.raises(UserError, match="type heat: has 4 channels, not 1 or 3"):
        Intrinsic("heat", 4, 0, 1, "identity", "")
    with pytest.raises(UserError, match="type image: has 2 channels, not 1, 3 or 4"):
        Intrinsic("image", 2, 0, 1, "identity", "")
    with pytest.raises(UserError, match="type depth: 3 channels decoded by inverse are not the built-in depth"):
        Intrinsic.from_dict({"name": "depth", "channels": 3, "png_bits": 8})


def test_png_files_of_four_channels_are_read_back():
    value = np.random.RandomState(0).rand(4, 5, 5).astype(np.float32)
    found = get_format("png").decode(intrinsics.image_of(4), get_format("png").encode(intrinsics.image_of(4), value))
    assert np.abs(found - value).max() <= 0.5 / 255 + 1e-6


def test_four_channels_are_drawn_on_the_paper_of_a_sheet():
    black = np.zeros((3, 16, 16))
    drawn = [draw_sheet({"a": {"b": np.concatenate([black, np.full((1, 16, 16), alpha)])}}) for alpha in (0, 1)]
    shown = [np.asarray(Image.open(io.BytesIO(sheet)).convert("L")) for sheet in drawn]
    assert shown[0].min() > 50  # only the labels are darker than the paper
    assert shown[1].min() == 0


def test_readout_and_baselines_of_grey_pictures():
    grey = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(readout(grey * 2 - 1, intrinsics.get("depth")), grey, atol=1e-6)
    with pytest.raises(UserError, match="`types=normal`: it is shown in 3 channels"):
        readout(grey, intrinsics.get("normal"))
    for fit in (global_affine, pixel_affine):
        assert (fit(grey, 0.5 * grey + 0.1)(grey) - (0.5 * grey + 0.1)).abs().max() < 1e-2
