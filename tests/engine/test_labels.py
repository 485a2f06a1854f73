"""Labels of conditional models: classes, weights of classes and vectors, from the API to the files of a run."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import ONNX_BACKENDS, Z_DIM, package_of
from tolerances import BACKEND_PARITY

from sgi.engine import Engine
from sgi.engine.errors import UserError
from sgi.engine.labels import labels_of, parse_class, parse_weights
from sgi.engine.run import run_classes, run_seeds
from sgi.engine.seeds import latents
from sgi.export.onnx import export_onnx

MIX = np.array([0.7, 0, 0.3], np.float32)


def test_every_form_of_a_label():
    np.testing.assert_array_equal(labels_of(2, 2, 3), [[0, 0, 1]] * 2)
    np.testing.assert_array_equal(labels_of([2, 0], 2, 3), [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(labels_of({0: 0.7, 2: 0.3}, 2, 3), [MIX] * 2)
    np.testing.assert_array_equal(labels_of(None, 2, 3, MIX), [MIX] * 2)
    np.testing.assert_array_equal(labels_of(None, 2, 3, [[1, 0, 0], [0, 0, 0]]), [[1, 0, 0], [0, 0, 0]])
    converted = labels_of(None, 2, 3, torch.zeros(2, 3, dtype=torch.float64))
    assert converted is not None
    assert converted.dtype == np.float32
    assert labels_of(None, 2, 0) is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"class_index": 1, "labels": MIX}, "give either `class_index` or `labels`"),
    ({}, "`class_index`: the model needs a class, 0 to 2"),
    ({"class_index": 1.5}, "`class_index=1.5`: choose 0 to 2"),
    ({"class_index": [0, [1]]}, "choose 0 to 2, one for all images or one each"),
    ({"class_index": "cat"}, "`class_index='cat'`: choose 0 to 2"),
    ({"class_index": {3: 1.0}}, "`class_index=3`: choose classes from 0 to 2"),
    ({"class_index": {-1: 1.0}}, "`class_index=-1`: choose classes from 0 to 2"),
    ({"class_index": {"0": 1.0}}, "`class_index=0`: choose classes"),
    ({"class_index": {0: float("nan")}}, "the weight of class 0 is not a finite number"),
    ({"class_index": {0: 1e300}}, "the weight of class 0 is not a finite number"),
    ({"class_index": {0: "much"}}, "the weight of class 0 is not a finite number"),
    ({"class_index": {}}, "it has no weights"),
    ({"labels": [1.0, 0.0]}, r"`labels` has shape \[2\]: the model needs \[2, 3\], a row for each image, or \[3\]"),
    ({"labels": np.zeros((3, 3))}, r"`labels` has shape \[3, 3\]"),
    ({"labels": np.zeros((2, 3, 1))}, r"`labels` has shape \[2, 3, 1\]"),
    ({"labels": [0, np.nan, 0]}, "`labels` contains values that are not finite"),
    ({"labels": [0, 1e300, 0]}, "`labels` contains values that are not finite"),
    ({"labels": ["a", "b", "c"]}, "`labels`: must be numbers"),
    ({"labels": [[1, 0, 0], [1]]}, "`labels`: its rows have different lengths"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_labels_are_one_line(class_model, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        labels_of(arguments.get("class_index"), 2, 3, arguments.get("labels"))
    assert "\n" not in str(error.value)
    with Engine.open(class_model, device="cpu") as engine, pytest.raises(UserError):
        engine(seeds=[0, 1], **arguments)


def test_a_model_without_classes_takes_no_labels(model):
    with (
        Engine.open(model, device="cpu") as engine,
        pytest.raises(UserError, match="`labels`: the model has no classes"),
    ):
        engine(seeds=[0], labels=[1.0])


def test_weights_are_parsed():
    assert parse_weights("3:0.7, 5:0.3") == {3: 0.7, 5: 0.3}
    assert parse_weights("0:-1e-2") == {0: -0.01}
    assert parse_class("3:1") == {3: 1.0}
    assert parse_class(" 12 ") == 12
    for text in ("3:", ":1", "3:0.7,5", "3:0.7;5:0.3", "3:nan", "3:inf", "3:1e999", "a:1", "3-5:1", "3:0.7,", "-1:1"):
        with pytest.raises(UserError, match="write weights of classes such as 3:0.7,5:0.3"):
            parse_weights(text)
    with pytest.raises(UserError, match="class 3 has two weights"):
        parse_weights("3:0.7,3:0.3")
    for text in ("", "cat", "0,1", "1.5", "-1"):
        with pytest.raises(UserError, match="write one class such as 3, or weights of classes"):
            parse_class(text)


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
def test_labels_give_the_pictures_of_the_generator(backend, conditional_generator, tmp_path):
    pytest.importorskip(package_of(backend))
    path = tmp_path / "image.onnx"
    export_onnx(conditional_generator, {"image": None}, path, psi=0.8)
    labels = np.array([[1, 0, 0], [0.7, 0, 0.3], [0, 0, 0], [-1, 2, 0.5]], np.float32)
    z = latents(range(4), conditional_generator.config.z_dim)
    with torch.no_grad():
        shown = conditional_generator(torch.from_numpy(z).float(), torch.from_numpy(labels), psi=0.8)
    expected = (shown * 0.5 + 0.5).clamp(0, 1).numpy()
    with Engine.open(path, backend=backend, device="cpu", batch=3) as engine:
        assert np.abs(engine(z=z, labels=labels)["image"] - expected).max() <= BACKEND_PARITY
        mixed = engine(seeds=[1], class_index={0: 0.7, 2: 0.3})["image"]
        assert np.abs(mixed - expected[1]).max() <= BACKEND_PARITY


def test_labels_of_a_stream(class_model):
    labels = np.array([[1, 0, 0], MIX, [0, 0, 0]], np.float32)
    z = latents(range(3), Z_DIM)
    with Engine.open(class_model, device="cpu", batch=2) as engine:
        expected = engine(seeds="0-2", labels=labels)["depth"]
        together: dict[str, Any] = {
            "an array": engine.stream(seeds="0-2", labels=labels),
            "a list": engine.stream(seeds="0-2", labels=labels.tolist()),
            "batches": engine.stream([z[:1], z[1:]], labels=[labels[0], labels[1:]]),
        }
        for name, stream in together.items():
            np.testing.assert_allclose(
                np.concatenate([maps["depth"] for maps in stream]), expected, atol=1e-5, err_msg=name
            )
        one = engine(seeds="0-2", labels=MIX)["depth"]
        for arguments in ({"labels": MIX}, {"labels": MIX.tolist()}, {"class_index": {0: 0.7, 2: 0.3}}):
            for stream in (engine.stream(seeds="0-2", **arguments), engine.stream([z[:2], z[2:]], **arguments)):
                np.testing.assert_allclose(np.concatenate([maps["depth"] for maps in stream]), one, atol=1e-5)
        with pytest.raises(UserError, match="`labels`: 2 labels for 3 seeds"):
            next(engine.stream(seeds="0-2", labels=labels[:2]))
        with pytest.raises(UserError, match="`class_index`: the model needs a class"):
            list(engine.stream([z[:1], z[1:]], labels=[MIX]))


def test_a_run_of_weights_is_recorded_and_continued(class_model, tmp_path):
    given: dict[str, Any] = {"model": class_model, "outdir": tmp_path / "out", "file_format": "npy", "preview": False}
    run_seeds("0-2", class_index={2: 0.3, 0: 0.7}, **given)
    with Engine.open(class_model, device="cpu") as engine:
        expected = engine(seeds=[1], labels=MIX)["depth"][0]
    np.testing.assert_allclose(np.load(tmp_path / "out" / "seed000001_depth.npy"), expected, atol=1e-5)
    recorded = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (recorded["class_index"], recorded["class_weights"]) == (None, [[0, 0.7], [2, 0.3]])
    assert run_classes("0-3", "0:0.7,2:0.3", **given)[0].found == 3
    for other in ({0: 0.7}, 0):
        with pytest.raises(UserError, match="its maps have other settings: `class_index=0:0.7,2:0.3`, not 0"):
            run_seeds("0", class_index=other, **given)


def test_the_flag_takes_weights(command, class_model, tmp_path):
    arguments = ("run", "--seeds", "0", "--model", class_model, "--outdir", tmp_path / "out", "--no-preview")
    code, out, err = command(*arguments, "--class", "0:0.7,2:0.3")
    assert (code, err) == (0, "")
    assert "wrote 1 seed, " in out
    for text, message in {"0:x": "--class 0:x: write weights", "7:1": "--class 7: choose classes from 0 to 2"}.items():
        code, _, err = command(*arguments, "--class", text)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err
