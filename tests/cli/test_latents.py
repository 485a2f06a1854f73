"""`run --latents` and `--mix-seeds` on the command line, and the command that `invert` prints."""

from __future__ import annotations

import shlex
from functools import partial

import numpy as np
import pytest
from PIL import Image
from tiny_models import Z_DIM
from tolerances import BACKEND_PARITY

from sgi.engine.generator import save_generator
from sgi.engine.seeds import latents
from sgi.trainer.studies.truth import inversion_study


@pytest.fixture
def z(tmp_path):
    np.save(tmp_path / "z.npy", latents(range(3), Z_DIM))
    return tmp_path / "z.npy"


def test_latents_of_several_files(command, model, z, tmp_path):
    np.savez(tmp_path / "more.npz", z=latents([9], Z_DIM))
    arguments = ("--model", model, "--outdir", tmp_path / "out")
    code, out, err = command("run", "--latents", z, tmp_path / "more.npz", *arguments)
    assert (code, err) == (0, "")
    assert "wrote 4 latents, 8 maps (image, depth)" in out
    assert (tmp_path / "out" / "latent0003_depth.png").exists()
    code, out, _ = command("run", "--latents", z, "--latents", tmp_path / "more.npz", *arguments)
    assert code == 0
    assert "found 4 latents finished before" in out
    code, out, _ = command("verify", tmp_path / "out")
    assert (code, out.splitlines()[0]) == (0, "finished    4 of 4 latents")


def test_wrong_flags_are_one_line(command, model, z, tmp_path):
    nan = tmp_path / "nan.npy"
    np.save(nan, np.full((1, Z_DIM), np.nan))
    pairs = (
        (("--latents", z, "--seeds", "0"), "give one of --seeds, --seeds-file or --latents"),
        ((), "give --seeds, --seeds-file or --latents"),
        ((z,), f"{z}: an argument without an option; seeds are given by --seeds, files by --latents"),
        (("--latents", z, z, "--latents", z), "give all files after one --latents, or one file after each"),
        (("--latents", z, "--latents-kind", "v"), "--latents-kind v: choose from z, w, w+"),
        (
            ("--latents", z, "--latents-kind", "w"),
            "--latents-kind w: the model takes z [N, 8]; make one with `sgi-engine export --input w`",
        ),
        (("--latents", tmp_path / "none.npy"), f"--latents {tmp_path / 'none.npy'}: no such file"),
        (("--latents", nan), f"--latents {nan}: latent 0 contains values that are not finite"),
        (
            ("--latents", z, "--mix-seeds", "1", "--mix-rows", "0"),
            "--mix-seeds mixes the latents of seeds; leave --lat",
        ),
        (("--seeds", "0", "--mix-rows", "0"), "--mix-rows has no effect without --mix-seeds"),
        (("--seeds", "0", "--mix-seeds", "1"), "--mix-seeds: say with --mix-rows which rows of w+"),
        (("--seeds", "0", "--mix-seeds", "1", "--mix-rows", "6"), "--mix-rows 6: write rows of w+ from 0 to 5"),
        (("--seeds", "0", "--mix-seeds", "x", "--mix-rows", "0"), "--mix-seeds x: write seeds and inclusive ranges"),
    )
    for arguments, message in pairs:
        code, out, err = command("run", *arguments, "--model", model, "--outdir", tmp_path / "out")
        assert (code, out) == (2, ""), arguments
        assert err.startswith(f"error: {message}")
        assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_kernels_and_an_export_compute_the_latents_of_a_file(command, generator, tmp_path, monkeypatch):
    pytest.importorskip("triton")
    import sgi.engine.backends.triton  # noqa: F401  kernels are made for the interpreter when they are imported

    monkeypatch.setenv("TRITON_INTERPRET", "0")  # the kernels' torch references
    file = tmp_path / "tiny.safetensors"
    save_generator(file, generator)
    np.save(tmp_path / "ws.npy", np.random.RandomState(0).randn(2, generator.config.num_ws, generator.config.w_dim))
    found = []
    for backend in ("triton", "onnxruntime"):
        code, printed, err = command(
            "run", "--latents", tmp_path / "ws.npy", "--generator", file, "--outdir", tmp_path / backend, "--backend",
            backend, "--device", "cpu", "--format", "npy", "--quiet",
        )  # fmt: skip
        assert (code, "wrote 2 latents" in printed) == (0, True), err
        found.append(np.stack([np.load(path) for path in sorted((tmp_path / backend).glob("latent*_image.npy"))]))
    one, other = found
    np.testing.assert_allclose(one, other, atol=BACKEND_PARITY)


def test_the_command_that_invert_prints_runs(command, tmp_path, monkeypatch):
    """The bundled generator is that of the bundled model, so the command needs no model."""
    from sgi.engine import bundle

    if not bundle.MODEL.exists():
        pytest.skip("the bundled model has not been built")
    # Rendering the usual 1024 candidates takes most of the time of an inversion of one step.
    monkeypatch.setattr(inversion_study, "SearchSettings", partial(inversion_study.SearchSettings, candidates=8))
    folder = tmp_path / "a folder"
    folder.mkdir()
    for name in ("one room.png", "two.png"):
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 40, 3), np.uint8)).save(folder / name)
    pictures = (folder / "one room.png", folder / "two.png")
    code, out, err = command("invert", *pictures, "--out", folder / "inverted", "--steps", "1", "--quiet")
    assert code == 0, err
    words = shlex.split(out.splitlines()[-1].partition(": ")[2])
    assert words[:3] == ["sgi-engine", "run", "--latents"]
    code, out, err = command(*words[1:], "--device", "cpu")
    assert (code, err) == (0, "")
    assert "wrote 2 latents" in out
    for number, name in enumerate(("one room", "two")):
        with Image.open(folder / "inverted" / f"{name}_image.png") as inverted:
            expected = np.asarray(inverted, int)
        with Image.open(folder / "inverted" / "run" / f"latent000{number}_image.png") as found:
            assert np.abs(np.asarray(found, int) - expected).max() <= 1
