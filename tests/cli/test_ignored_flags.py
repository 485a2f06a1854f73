"""Flags that would have no effect are refused, or warned of where a series of commands needs them."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import describe, write_model

from sgi.engine import bundle
from sgi.engine.errors import UserError, refuse_ignored, warn_cutoff
from sgi.engine.offsets import Offset
from sgi.export.run_export import _warn_of_class

DEPTH, NORMAL = bundle.offset("depth"), bundle.offset("normal")
OWN_TYPE = "name: roughness\nchannels: 1\nmeaning: roughness, 0 to 1\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("export", "--type", "normal", "--offset", DEPTH),
            f"--offset {DEPTH} has no effect: it is an offset of depth",
        ),
        (("export", "--type", "image", "--offset", DEPTH), f"--offset {DEPTH} has no effect"),
        (
            ("export", "--type", "depth", "--offset", DEPTH, "--offset", NORMAL),
            f"--offset {NORMAL} has no effect: it is an offset of normal",
        ),
        (("export", "--type", "image", "--alpha", "0.5"), "--alpha 0.5 has no effect without offsets"),
        (("export", "--type", "depth", "--name", "rooms"), "--name: not an option of the format onnx"),
        (
            ("export", "--format", "triton-server", "--builder", "tensorrt"),
            "--builder tensorrt has no effect with --server-model onnx",
        ),
        (
            ("export", "--format", "triton-server", "--optimization-level", "3"),
            "--optimization-level 3 has no effect with --server-model onnx",
        ),
        (
            ("train", "--type", "depth", "--type-file", "own.yaml"),
            "--type-file: its type roughness is not among --type",
        ),
        (("train", "--type", "all", "--type-file", "own.yaml"), "--type-file: its type roughness is not among --type"),
        (("train", "--type", "depth", "--rank", "2"), "--rank 2: for --space lora only"),
        (("train", "--type", "depth", "--space", "w", "--from-layer", "2"), "--from-layer 2: in --space w"),
        (("train", "--type", "depth", "--class", "0"), "--class: the generator is unconditional"),
        (("score", "--type", "dept"), "mask-CLASS, all\n"),
        (("score", "--type", "depth", "--offset", DEPTH), "--type and --offset: pass only one of the two"),
        (("combine", DEPTH, "--out", "sum.safetensors"), "--weight is missing"),
        (("combine", DEPTH, "--weight", "0", "--out", "sum.safetensors"), f"--weight 0: {DEPTH} would have no effect"),
        (
            ("combine", DEPTH, DEPTH, "--weight", "1", "--weight", "-1", "--out", "sum.safetensors"),
            "--weight: the offsets cancel each other",
        ),
        (
            ("combine", DEPTH, DEPTH, "--mixed-types", "--out", "sum.safetensors"),
            "--mixed-types has no effect: all offsets are of the type depth",
        ),
        (("eval", "--type", "depth", "--type-file", "own.yaml"), "--type-file: its type roughness is not among --type"),
        (("eval", "--dry-run", "--type", "all"), "--type all: choose from depth"),
        (("eval", "--dry-run", "--type", "depth", "--reference", "bundled"), "--reference bundled has no effect"),
        (("eval", "--dry-run", "--type", "depth", "--directions", "none.npy"), "none.npy"),
        (("eval", "--no-controls", "--control-fits", "2"), "--control-fits 2 has no effect with --no-controls"),
        (("eval", "--no-controls", "--control-fits", "1"), "--control-fits 1 has no effect with --no-controls"),
        (("relight", "--directions", "d.npy", "--count", "4"), "--count 4 has no effect with --directions"),
        (("relight", "--directions", "d.npy", "--steps", "200"), "--steps 200 has no effect with --directions"),
        (("relight", "--directions", "d.npy", "--keep", "1"), "--keep 1.0 has no effect with --directions"),
        (("relight", "--directions", "d.npy", "--from-layer", "3"), "--from-layer 3 has no effect with --directions"),
        (("relight", "--directions", "d.npy", "--seed", "0"), "--seed 0 has no effect with --directions"),
        (("relight", "--directions", "d.npy", "--precision", "fp32"), "--precision fp32 has no effect"),
        (("relight", "--offset", DEPTH, "--offset", DEPTH), "a second offset of type depth"),
        (("run", "--seeds", "0", "--type", "all,bogus"), "--type bogus: the model has"),
        (("interpolate", "--seeds", "0,1", "--out", "walk", "--fps", "30"), "--fps 30.0 has no effect on a folder"),
        (("interpolate", "--seeds", "0,1", "--out", "walk", "--crf", "18"), "--crf 18 has no effect on a folder"),
        (("interpolate", "--seeds", "0,1", "--out", "walk.gif", "--crf", "18"), "--crf 18 has no effect on .gif files"),
        (("invert", "a.png", "--class", "1"), "--noise-mode and --class: the offsets' files fix both"),
        (("invert", "a.png", "--noise-mode", "none"), "--noise-mode and --class: the offsets' files fix both"),
        (
            ("bundle", "--workdir", "w", "--out", "b", "--generator", "g.safetensors", "--hours", "2"),
            "--hours 2.0 has no effect with --generator",
        ),
        (
            ("bundle", "--workdir", "w", "--out", "b", "--generator", "g", "--teacher", "t", "--preset", "tiny"),
            "--preset tiny has no effect with --generator and --teacher",
        ),
        (("train-generator", "--workdir", "w", "--discriminator", "d.safetensors"), "--generator and --discriminator"),
    ],
)
def test_a_flag_without_effect_is_refused(command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(OWN_TYPE)
    code, _, error = command(*arguments)
    assert code == 2
    assert message in error
    assert {path.name for path in tmp_path.iterdir()} == {"own.yaml"}


@pytest.mark.parametrize("name", ["train", "ablate", "eval"])
def test_a_cutoff_without_truncation_is_warned_of(command, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    what = ("--what", "alpha") if name == "ablate" else ()
    with pytest.warns(UserWarning, match="`cutoff=3` has no effect with `psi=1`"):
        # The missing file stops the command before any work.
        code, _, _ = command(name, *what, "--type", "depth", "--trunc-cutoff", "3", "--generator", "none.safetensors")
    assert code == 2


def test_parameters_that_were_not_passed_are_not_refused():
    refuse_ignored({"count": None}, "with `directions`")
    with pytest.raises(UserError, match="`seed=0` has no effect"):
        refuse_ignored({"count": None, "seed": 0}, "with `directions`")


def test_a_cutoff_with_truncation_is_not_warned_of(recwarn):
    warn_cutoff(0.7, 3)
    warn_cutoff(1.0, None)
    assert not recwarn.list


def offset(name, class_index=None, size=1.0):
    rows = {"offset": np.full((6, 8), size, np.float32)}
    return Offset(name, "w+", rows, "0" * 64, fit={"class_index": class_index})


@pytest.mark.parametrize("first", ["plain", "sum"])
def test_offsets_of_different_types_are_added_only_on_request(command, tmp_path, first):
    depth, normal, out = (tmp_path / f"{name}.safetensors" for name in ("depth", "normal", "out"))
    made = offset("depth")
    (made if first == "plain" else made.plus(made)).save(depth)
    offset("normal").save(normal)
    code, _, error = command("combine", depth, normal, "--out", out)
    assert code == 2
    assert "they are of the types depth, normal" in error
    assert "--mixed-types" in error
    assert not out.exists()
    assert command("combine", depth, normal, "--out", out, "--mixed-types")[0] == 0
    assert Offset.load(out).types == ("depth", "normal")
    code, _, error = command("combine", out, depth, "--out", tmp_path / "again.safetensors")
    assert (code, "depth, normal" in error) == (2, True)


def test_exporting_an_offset_of_one_class_is_warned_of(recwarn):
    _warn_of_class([offset("depth")])
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"depth on class 0, normal on class 2\): maps of other classes"):
        _warn_of_class([offset("depth", 0), offset("normal", 2)])


def test_run_warns_of_a_class_that_the_offset_was_not_fitted_on(command, tmp_path):
    offsets = {"depth": {"sha256": "b" * 64, "space": "w+", "class_index": 1}}
    model = write_model(tmp_path / "fitted.onnx", describe(c_dim=3, offsets=offsets))
    with pytest.warns(UserWarning, match=r"`class_index=2`: an offset was fitted on another class"):
        code, _, _ = command("run", "--model", model, "--seeds", "0", "--class", "2", "--outdir", tmp_path / "out")
    assert code == 0
