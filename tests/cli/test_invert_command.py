"""`invert` from a picture file to latents, maps and preview, and its errors."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from tolerances import OPTIMISED
from typer.testing import CliRunner

from sgi.cli.errors import flags_of, with_flags
from sgi.cli.invert import invert
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256, random_generator, save_generator
from sgi.engine.offsets import Offset
from sgi.engine.pictures import read_picture
from sgi.trainer.studies.truth.latents_file import Latents


@pytest.fixture
def file(tmp_path, generator):
    path = tmp_path / "tiny.safetensors"
    save_generator(path, generator)
    return path


@pytest.fixture
def offset(tmp_path, generator, known_offset):
    path = tmp_path / "depth.safetensors"
    Offset("depth", "w+", {"offset": known_offset["offset"].numpy()}, generator_sha256(generator)).save(path)
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    pixels = np.random.RandomState(0).randint(0, 256, (30, 50, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run(*arguments):
    app = typer.Typer()
    app.command()(invert)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if isinstance(result.exception, UserError):
        raise UserError(with_flags(str(result.exception), flags_of(typer.main.get_command(app))))
    assert result.exit_code == 0, result.output
    return result.output


def test_writes_latents_maps_and_preview(tmp_path, file, offset, photo, generator):
    out = tmp_path / "out"
    printed = run(photo, "--generator", file, "--offset", offset, "--out", out, "--steps", 3, "--threads", 1)
    names = {"photo_ws.safetensors", "photo_picture.png", "photo_image.png", "photo_depth.png", "inverted.png"}
    assert {path.name for path in out.iterdir()} == names
    assert "low: the maps are those of another picture" in printed
    assert "The paper is about generated pictures" in " ".join(printed.split())
    latents = Latents.load(out / "photo_ws.safetensors")
    assert (latents.picture, latents.noise_mode, latents.settings["steps"]) == ("photo.jpg", "none", 3)
    latents.check_generator(generator_sha256(generator))
    with torch.no_grad():
        reproduced = (generator.synthesize(latents.ws[None], "none")[0] * 0.5 + 0.5).clamp(0, 1)
    stored = np.asarray(Image.open(out / "photo_image.png")).transpose(2, 0, 1) / 255
    assert np.abs(stored - reproduced.numpy()).max() < 0.5 / 255 + OPTIMISED
    with pytest.raises(UserError, match="belong to generator"):
        latents.check_generator("0" * 64)


def test_without_offsets_latents_and_picture_are_written(tmp_path, file, photo):
    run(photo, "--generator", file, "--out", tmp_path / "out", "--steps", 1, "--format", "npy")
    names = {"photo_ws.safetensors", "photo_picture.png", "photo_image.npy", "inverted.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_the_last_line_runs_the_latents_of_the_generator(tmp_path, command, file, offset, photo):
    out = tmp_path / "out"
    words = last_command(run(photo, "--generator", file, "--offset", offset, "--out", out, "--steps", 1))
    code, printed, err = command(*words[1:], "--device", "cpu")
    assert (code, err.count("\n")) == (0, 1), err  # the message of the export
    assert "wrote 1 latent, 2 maps (image, depth)" in printed
    with Image.open(out / "photo_depth.png") as inverted, Image.open(out / "run" / "latent0000_depth.png") as found:
        assert np.abs(np.asarray(inverted, int) - np.asarray(found, int)).max() <= 65535 * OPTIMISED + 1
    plain = tmp_path / "plain"
    words = last_command(run(photo, "--generator", file, "--out", plain, "--steps", 1, "--noise-mode", "none"))
    code, printed, err = command(*words[1:], "--device", "cpu")
    assert code == 0, err
    inverted, found = (Image.open(plain / name) for name in ("photo_image.png", "run/latent0000_image.png"))
    assert np.abs(np.asarray(inverted, int) - np.asarray(found, int)).max() <= 1


def last_command(printed):
    return shlex.split(printed.splitlines()[-1].partition(": ")[2])


def test_picture_is_rotated_cropped_and_reduced(tmp_path):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :40, 1] = 255  # the green half is below, once the picture is upright
    pixels[:, :10, 2] = pixels[:, 70:, 2] = 255  # blue is outside the middle square
    exif = Image.Exif()
    exif[0x0112] = 8  # stored with its top at the right
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    picture = read_picture(tmp_path / "turned.png", side=8)
    assert picture.shape == (3, 8, 8)
    assert picture[1, :3].max() < 0.1
    assert picture[1, 5:].min() > 0.9
    assert picture[2].max() < 0.1


def test_refuses(tmp_path, file, offset, photo, generator):
    out = tmp_path / "out"
    other = tmp_path / "other.safetensors"
    save_generator(other, random_generator(generator.config, seed=9))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:200])
    for arguments, message in (
        ((tmp_path / "none.png", "--generator", file), "none.png: no such file"),
        ((file, "--generator", file), "tiny.safetensors: not a picture but a generator file of sgi-engine"),
        ((broken, "--generator", file), "broken.jpg: not a readable picture"),
        ((photo, photo), "photo: two pictures of one name"),
        ((photo, "--generator", other, "--offset", offset), "was fitted on generator"),
        ((photo, "--generator", file, "--noise-mode", "random"), "--noise-mode random"),
        (
            (photo, "--generator", file, "--offset", offset, "--noise-mode", "const"),
            "--noise-mode and --class: the offsets' files fix both",
        ),
        ((photo, "--generator", file, "--steps", 0), "--steps 0"),
    ):
        with pytest.raises(UserError, match=message):
            run(*arguments, "--out", out)
    assert not out.exists()
    with pytest.raises(UserError, match="not a w\\+ file"):
        Latents.load(file)
