"""Engine: maps of any number of seeds or latents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_models import ONNX_BACKENDS, SIDE, Z_DIM, describe, package_of, write_model
from tolerances import BACKEND_PARITY

from sgi.engine import Engine, UserError
from sgi.engine.offsets import Offset
from sgi.engine.seeds import latents


class Recorder:
    """A backend that counts rows: depth is the first column of z, image the second."""

    name, device = "recorder", "cpu"

    def __init__(self, artifact):
        self.artifact = artifact
        self.calls = []

    def run(self, z, psi, label=None, types=None):
        self.calls.append((len(z), psi, label, types))
        ones = np.ones((1, 1, SIDE, SIDE), np.float32)
        maps = {"image": z[:, 1, None, None, None] * ones.repeat(3, 1), "depth": z[:, 0, None, None, None] * ones}
        return {name: maps[name] for name in self.artifact.choose_types(types)}

    def close(self):
        self.calls.append("closed")


@pytest.fixture
def recorder(model):
    from sgi.engine.artifact import Artifact

    return Recorder(Artifact.read(model))


def test_the_example_of_the_readme(model):
    maps = Engine.open(model)(seeds=[0, 1])
    assert {name: (values.shape, values.dtype) for name, values in maps.items()} == {
        "image": ((2, 3, SIDE, SIDE), np.float32),
        "depth": ((2, 1, SIDE, SIDE), np.float32),
    }


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
def test_a_seed_gives_the_same_maps_in_any_batch(model, backend):
    pytest.importorskip(package_of(backend))
    with Engine.open(model, backend=backend, device="cpu", batch=3) as engine:
        together = engine(seeds="0-6")
        assert engine.artifact.type_names == ("image", "depth")
        for seed in (0, 3, 6):
            alone = engine(seeds=seed)
            for name, values in alone.items():
                assert np.abs(values[0] - together[name][seed]).max() < BACKEND_PARITY


@pytest.mark.parametrize("count", [1, 3, 4, 8, 9])
def test_any_count_runs_in_passes_of_one_size(recorder, count):
    engine = Engine(recorder, batch=4)
    z = latents(range(count), Z_DIM)
    maps = engine(z=z)
    np.testing.assert_array_equal(maps["depth"][:, 0, 0, 0], z[:, 0].astype(np.float32))
    assert maps["image"].shape == (count, 3, SIDE, SIDE)
    sizes = [call[0] for call in recorder.calls]
    assert sizes == ([count] if count <= 4 else [4] * -(-count // 4))


def test_psi_types_and_seeds_reach_the_backend(recorder):
    engine = Engine(recorder)
    engine(seeds=[0])
    engine(seeds=[5, 5], psi=0.5, types=["depth"])
    assert [call[:2] for call in recorder.calls] == [(1, 0.7), (2, 0.5)]
    assert recorder.calls[1][3] == ("depth",)
    with engine:
        pass
    assert recorder.calls[-1] == "closed"


def test_seeds_and_their_latents_give_the_same_maps(model):
    with Engine.open(model, device="cpu") as engine:
        by_seed = engine(seeds=[7, 9])
        by_latent = engine(z=latents([7, 9], Z_DIM))
    for name, values in by_seed.items():
        np.testing.assert_array_equal(values, by_latent[name])


def test_classes(class_model):
    with Engine.open(class_model, device="cpu") as engine:
        zero = engine(seeds=[0, 0], class_index=0)["depth"]
        mixed = engine(seeds=[0, 0], class_index=[0, 2])["depth"]
        np.testing.assert_array_equal(zero[0], mixed[0])
        assert not np.allclose(zero[1], mixed[1])
        with pytest.raises(UserError, match="`class_index`: the model needs a class, 0 to 2"):
            engine(seeds=[0])
        for wrong in (3, -1, [0, 1, 2]):
            with pytest.raises(UserError, match="`class_index=.*`: choose 0 to 2"):
                engine(seeds=[0, 1], class_index=wrong)


@pytest.fixture
def fitted_on_a_class(tmp_path):
    """A model with three classes, whose depth offset was fitted on class 1."""
    offsets = {"depth": {"sha256": "b" * 64, "space": "w+", "class_index": 1}}
    return write_model(tmp_path / "fitted.onnx", describe(c_dim=3, offsets=offsets))


def test_images_of_another_class_than_that_of_an_offset_are_warned_of(fitted_on_a_class, recwarn):
    with Engine.open(fitted_on_a_class, backend="onnxruntime") as engine:
        engine([0, 1], class_index=1)
        engine([0], class_index=0, types="image")
        list(engine.stream(seeds=[0], class_index=1))
        assert not recwarn.list
        words = r"`class_index=0`: an offset was fitted on another class \(depth on class 1\)"
        with pytest.warns(UserWarning, match=words) as caught:
            engine([0], class_index=0)
        assert caught[0].filename == __file__
        with pytest.warns(UserWarning, match="`class_index=1,2`"):
            engine([0, 1], class_index=[1, 2])
        with pytest.warns(UserWarning, match=words):
            engine.stream(seeds=[0], types=["depth"], class_index=0)


def test_an_exported_offset_keeps_its_class():
    rows = {"offset": np.zeros((6, 8), np.float32)}
    fitted = Offset("depth", "w+", rows, "0" * 64, fit={"class_index": 0})
    assert fitted.summary["class_index"] == 0
    assert "class_index" not in Offset("depth", "w+", rows, "0" * 64).summary


def test_seeds_are_streamed_in_passes_of_one_size(recorder):
    engine = Engine(recorder, batch=4)
    shown = list(engine.stream(seeds="0-9", types="depth", psi=0.5))
    assert [maps["depth"].shape[0] for maps in shown] == [4, 4, 2]
    assert [call[:2] for call in recorder.calls] == [(4, 0.5)] * 3
    np.testing.assert_array_equal(
        np.concatenate([maps["depth"][:, 0, 0, 0] for maps in shown]), latents(range(10), Z_DIM)[:, 0].astype("f4")
    )
    assert [len(maps["depth"]) for maps in engine.stream(seeds=[3, 3])] == [2]
    assert recorder.calls[-1][0] == 2


def test_a_stream_of_seeds_computes_on_demand(recorder):
    stream = Engine(recorder, batch=2).stream(seeds="0-4294967295")
    assert len(next(stream)["depth"]) == 2
    assert len(recorder.calls) == 1


def test_a_stream_names_the_seed_of_a_map_that_is_not_finite(recorder):
    run = recorder.run
    recorder.run = lambda z, *rest: {
        name: np.where(len(recorder.calls) == 2, np.nan, stack) for name, stack in run(z, *rest).items()
    }
    stream = Engine(recorder, batch=2).stream(seeds=[5, 6, 7, 8])
    next(stream)
    with pytest.raises(UserError, match="the image map of seed 7 contains"):
        next(stream)


def test_batches_of_latents_are_streamed(recorder):
    z = latents(range(5), Z_DIM)
    sizes = [len(maps["depth"]) for maps in Engine(recorder, batch=4).stream([z[:3], z[3:]])]
    assert sizes == [3, 2]


def test_classes_of_a_stream(class_model):
    with Engine.open(class_model, device="cpu", batch=2) as engine:
        expected = engine(seeds=[0, 1, 2], class_index=[0, 1, 2])["depth"]
        by_seed = engine.stream(seeds=[0, 1, 2], class_index=[0, 1, 2])
        np.testing.assert_allclose(np.concatenate([maps["depth"] for maps in by_seed]), expected, atol=1e-5)
        z = latents([0, 1, 2], Z_DIM)
        by_batch = engine.stream([z[:1], z[1:]], class_index=[0, [1, 2]])
        np.testing.assert_allclose(np.concatenate([maps["depth"] for maps in by_batch]), expected, atol=1e-5)
        one = engine.stream(seeds="0-2", class_index=1)
        np.testing.assert_allclose(next(one)["depth"], engine(seeds="0-1", class_index=1)["depth"], atol=1e-5)
        with pytest.raises(UserError, match="`class_index`: 2 classes for 3 seeds"):
            next(engine.stream(seeds="0-2", class_index=[0, 1]))
        with pytest.raises(UserError, match="`class_index`: the model needs a class"):
            list(engine.stream([z[:1], z[1:]], class_index=[0]))


def test_wrong_arguments_of_a_stream_are_refused_at_once(recorder):
    engine = Engine(recorder)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "pass one of `batches`, `seeds`, `w` and `ws`"),
        ({"seeds": "0", "batches": []}, "pass one of `batches`, `seeds`, `w` and `ws`"),
        ({"seeds": "5-1"}, "`seeds=5-1`"),
        ({"seeds": "0", "types": "albedo"}, "`types=albedo`"),
        ({"seeds": "0", "psi": float("nan")}, "`psi=nan`"),
    ]
    for arguments, message in cases:
        with pytest.raises(UserError, match=message):
            engine.stream(**arguments)


def test_wrong_arguments_are_refused(recorder):
    engine = Engine(recorder)
    with pytest.raises(UserError, match="`class_index`: the model has no classes"):
        engine(seeds=[0], class_index=1)
    with pytest.raises(UserError, match="pass one of `seeds`, `z`, `w` and `ws`"):
        engine()
    with pytest.raises(UserError, match="pass one of `seeds`, `z`, `w` and `ws`"):
        engine(seeds=[0], z=np.zeros((1, Z_DIM)))
    for z in (np.zeros(Z_DIM), np.zeros((1, Z_DIM + 1)), np.zeros((0, Z_DIM))):
        with pytest.raises(UserError, match=rf"the model needs \[N, {Z_DIM}\]"):
            engine(z=z)
    with pytest.raises(UserError, match="`types=albedo`"):
        engine(seeds=[0], types=["albedo"])


def test_names_of_the_package():
    import sgi.engine

    assert sgi.engine.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'Motor'"):
        _ = sgi.engine.Motor


@pytest.mark.parametrize("psi", [1e39, -101.0, float("nan")])
def test_psi_beyond_the_limit_is_refused(recorder, psi):
    with pytest.raises(UserError, match="`psi="):
        Engine(recorder)(seeds=[0], psi=psi)


@pytest.mark.parametrize("batch", [0, -1])
def test_batch_is_at_least_one(recorder, batch):
    with pytest.raises(UserError, match=f"`batch={batch}`: must be at least 1"):
        Engine(recorder, batch)
    with pytest.raises(UserError, match="`batch="):
        Engine.open(batch=batch)


def test_no_seeds_and_an_empty_path_are_refused(recorder):
    with pytest.raises(UserError, match="`seeds` is empty"):
        Engine(recorder)(seeds=[])
    with pytest.raises(UserError, match="not an exported model"):
        Engine.open("")
