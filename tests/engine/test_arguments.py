"""Arguments of wrong Python types: one line that names the parameter, as a UserError and a TypeError."""

from __future__ import annotations

import numpy as np
import pytest

from sgi.engine import bundle
from sgi.engine.api import Engine
from sgi.engine.errors import UserError, WrongTypeError
from sgi.engine.offsets import Offset, as_offsets
from sgi.engine.run import run_seeds
from sgi.trainer.device import find_device
from sgi.trainer.offsets.chosen_types import chosen_types


@pytest.fixture
def engine(class_model):
    with Engine.open(class_model, backend="onnxruntime", threads=1) as engine:
        yield engine


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"types": 5}, "`types=5`: must be the name of a type"),
        ({"types": ["depth", None]}, "`types=None`"),
        ({"psi": "x"}, "`psi='x'`: must be a number"),
        ({"psi": "0.5"}, "`psi='0.5'`"),
        ({"psi": [0.5, 1]}, r"`psi=\[0.5, 1\]`"),
        ({"psi": True}, "`psi=True`"),
        ({"seeds": [1.5]}, "`seeds=1.5`: a seed is an integer"),
        ({"seeds": 1.0}, "`seeds=1.0`"),
        ({"seeds": ["1"]}, "`seeds='1'`"),
        ({"class_index": "one"}, "`class_index='one'`: choose 0 to 2"),
        ({"class_index": 1.0}, "`class_index=1.0`"),
        ({"class_index": [0, [1]]}, "`class_index="),
        ({"seeds": None, "z": "latent"}, "`z='latent'`: must be an array of numbers"),
        ({"seeds": None, "z": [[0, 1], [2]]}, "`z="),
    ],
)
def test_calls(engine, arguments, words):
    with pytest.raises(WrongTypeError, match=words) as caught:
        engine(**{"seeds": [0], "class_index": 0, **arguments})
    assert isinstance(caught.value, (UserError, TypeError))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [{"path": 5}, {"backend": 5}, {"device": 5}, {"types": 5}, {"batch": 1.5}, {"threads": "2"}, {"precision": 16}],
)
def test_opening(class_model, arguments):
    with pytest.raises(WrongTypeError, match=f"`{next(iter(arguments))}="):
        Engine.open(**{"path": class_model, "backend": "onnxruntime", **arguments})


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_fewer_than_one_thread(class_model, backend):
    with pytest.raises(UserError, match="`threads=-1`: must be at least 1"):
        Engine.open(class_model, backend=backend, threads=-1)
    with pytest.raises(UserError, match="`threads=0`"):
        find_device("cpu", 0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"seeds": [1.5]},
        {"model": 5},
        {"types": 5},
        {"outdir": 5},
        {"psi": "x"},
        {"class_index": 1.5},
        {"file_format": 5},
        {"batch": "8"},
        {"backend": 5},
        {"threads": 1.5},
        {"shard": 5},
        {"digits": "6"},
        {"seeds_per_folder": 0.5},
    ],
)
def test_runs(class_model, tmp_path, arguments):
    with pytest.raises(WrongTypeError, match=f"`{next(iter(arguments))}="):
        run_seeds(**{"seeds": [0], "model": class_model, "class_index": 0, "outdir": tmp_path / "out", **arguments})
    assert not (tmp_path / "out").exists()


def test_numbers_of_numpy_are_numbers(engine, class_model, tmp_path):
    seeds, psi, index = np.array([3, 4], np.uint32), np.float32(0.5), np.int64(1)
    expected = engine([3, 4], psi=0.5, class_index=1)
    found = engine(seeds, psi=psi, class_index=index)
    np.testing.assert_array_equal(found["depth"], expected["depth"])
    np.testing.assert_array_equal(engine(np.int64(3), psi=psi, class_index=index)["depth"][0], expected["depth"][0])
    run_seeds(seeds, model=class_model, class_index=index, psi=psi, batch=np.int64(2), outdir=tmp_path)


def test_a_stream_without_seeds_yields_nothing(engine):
    assert list(engine.stream(seeds=[], class_index=0)) == []


def test_types_of_the_trainer():
    with pytest.raises(WrongTypeError, match="`types=5`"):
        chosen_types(5, {})  # type: ignore[arg-type]
    assert list(chosen_types("depth", {})) == ["depth"]


@pytest.mark.parametrize("value", ["x", None, [1], True])
def test_factors_of_offsets(value):
    with pytest.raises(WrongTypeError, match="`alpha=.*`: must be a number from -100 to 100"):
        Engine.from_generator("bundled", alpha=value)


@pytest.mark.parametrize("value", [3, None, [3], [None]])
def test_offsets_of_a_generator(value, tmp_path):
    with pytest.raises(WrongTypeError, match="`offsets=(3|None)`: must be the path of an offset file"):
        Engine.from_generator("bundled", value)
    with pytest.raises(WrongTypeError, match="`offsets=(3|None)`"):
        run_seeds([0], outdir=tmp_path, offsets=value)


def test_one_offset_needs_no_list():
    depth = Offset.load(bundle.offset("depth"))
    for one in (depth, bundle.offset("depth"), str(bundle.offset("depth"))):
        assert as_offsets(one) == as_offsets([one]) == [one]


def test_batches_that_are_none(engine):
    for kind in ("batches", "w", "ws"):
        with pytest.raises((WrongTypeError, UserError), match=f"`{kind}"):
            next(engine.stream(**{kind: 3}, class_index=0 if kind == "batches" else None))


def test_latents_of_a_run(tmp_path):
    with pytest.raises(WrongTypeError, match="`latents=3`: must be the path of a file"):
        run_seeds(latents=3, outdir=tmp_path)  # type: ignore[arg-type]
