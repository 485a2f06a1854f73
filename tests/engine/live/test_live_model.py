"""Maps of screens, compared with the engine's own calls."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from tolerances import BACKEND_PARITY

from sgi.engine import bundle
from sgi.engine.api import Engine
from sgi.engine.errors import UserError
from sgi.engine.latents_file import Latents
from sgi.engine.live import LATENTS_KEPT, Mix, Row, Screen, Towards, open_live
from sgi.engine.offsets import Offset


@pytest.fixture(scope="module")
def live():
    with open_live(backend="onnxruntime", threads=1, batch=4) as live:
        yield live


@pytest.fixture(scope="module")
def engine():
    """The bundled model as `Engine.open` opens it: it takes z."""
    with Engine.open(backend="onnxruntime", threads=1) as engine:
        yield engine


@pytest.fixture(scope="module")
def rows_engine():
    with Engine.open(backend="onnxruntime", threads=1, input="w+") as engine:
        yield engine


def assert_same(found, expected, artifact):
    assert list(found) == list(expected)
    for name, stack in expected.items():
        kind = artifact.output(name)
        limit = BACKEND_PARITY * (kind.high - kind.low)
        np.testing.assert_allclose(found[name], stack[0], rtol=0, atol=limit, err_msg=name)


@pytest.mark.parametrize("psi", [None, 0.5, -1.0])
def test_a_seed_has_the_maps_of_the_engine(live, engine, psi):
    assert_same(live.maps(Screen(seed=7, psi=psi)), engine(7, psi=psi), engine.artifact)


def test_types_are_in_the_order_of_the_model(live):
    assert list(live.maps(Screen(types=("normal", "image")))) == ["image", "normal"]
    with pytest.raises(UserError, match="`types=depht`"):
        live.maps(Screen(types=("depht",)))


def test_mixing_replaces_rows(live, rows_engine):
    ws = rows_engine.mapping([7], psi=0.6)
    ws[:, 6:10] = rows_engine.mapping([9], psi=0.6)[:, 6:10]
    found = live.maps(Screen(seed=7, psi=0.6, mix=Mix(9, "6-9")))
    assert_same(found, rows_engine(ws=ws), live.artifact)
    with pytest.raises(UserError, match="`mix_rows=6-10`: write rows of w\\+ from 0 to 9"):
        live.maps(Screen(mix=Mix(9, "6-10")))


def test_towards_moves_w_on_a_line(live, rows_engine):
    ends = rows_engine.mapping([7, 12], psi=0.6)
    screen = Screen(seed=7, psi=0.6, towards=Towards(12, 0.25))
    assert_same(live.maps(screen), rows_engine(ws=0.75 * ends[:1] + 0.25 * ends[1:]), live.artifact)
    np.testing.assert_allclose(live.ws(screen), 0.75 * ends[0] + 0.25 * ends[1], atol=1e-6)


def test_mixing_comes_after_interpolation(live, rows_engine):
    ends = rows_engine.mapping([7, 12, 9])
    ws = ends[:1] / 2 + ends[1:2] / 2
    ws[:, [0, 1, 5]] = ends[2, [0, 1, 5]]
    found = live.maps(Screen(seed=7, towards=Towards(12, 0.5), mix=Mix(9, "0-1,5")))
    assert_same(found, rows_engine(ws=ws), live.artifact)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.7])
def test_alpha_is_that_of_an_export(live, alpha, monkeypatch):
    """The map is the picture of ws + alpha d, decoded: torch and the generator file say which."""
    torch = pytest.importorskip("torch")
    from sgi.engine import intrinsics
    from sgi.engine.generator import checkpoints

    generator = checkpoints.load(bundle.GENERATOR)
    found = live.maps(Screen(seed=7, psi=0.8, alpha={"depth": alpha, "normal": alpha}))
    ws = live.ws(Screen(seed=7, psi=0.8))
    for name in ("depth", "normal"):
        step = Offset.load(bundle.offset(name)).rows(live.artifact.num_ws)
        with torch.no_grad():
            raw = generator.synthesize(torch.from_numpy(ws + np.float32(alpha) * step)[None], "none").numpy()
        kind = live.artifact.output(name)
        raw = raw.mean(axis=1, keepdims=True) if kind.code_channels == 1 else raw
        expected = intrinsics.decode(kind, np.clip(raw * 0.5 + 0.5, 0, 1))
        limit = BACKEND_PARITY * (kind.high - kind.low)
        np.testing.assert_allclose(found[name], expected[0], rtol=0, atol=limit, err_msg=name)
    plain = live.maps(Screen(seed=7, psi=0.8))
    np.testing.assert_array_equal(found["albedo"], plain["albedo"])
    assert np.abs(found["depth"] - plain["depth"]).max() > 0.05


def test_alpha_of_a_type_without_an_offset_is_refused(live):
    assert live.alphas["depth"] == (1.0, "")
    assert "image" not in live.alphas
    with pytest.raises(UserError, match="`alpha=image`: the model has no offset of that type"):
        live.maps(Screen(alpha={"image": 0.5}))


def test_several_screens_are_computed_together(live):
    screens = [
        Screen(seed=3),
        Screen(seed=7, alpha={"depth": 0.5}),
        Screen(seed=9, psi=0.3, types=("image", "depth")),
        Screen(seed=7, mix=Mix(1, "0-3")),
    ]
    for found, screen in zip(live.maps_of(screens), screens, strict=True):
        alone = live.maps(screen)
        assert list(found) == list(alone)
        for name in found:
            np.testing.assert_allclose(found[name], alone[name], rtol=0, atol=2 * BACKEND_PARITY)


def test_latents_of_files_replace_the_seed(live, rows_engine):
    ws = rows_engine.mapping([3, 4], psi=0.7)
    name = live.add_latents(Latents("w+", ws, (("two.npy", 2),)))
    assert_same(live.maps(Screen(seed=99, latents=Row(name, 1))), rows_engine(ws=ws[1:]), live.artifact)
    with pytest.raises(UserError, match="`latents_row=2`: the file has rows 0 to 1"):
        live.maps(Screen(latents=Row(name, 2)))
    with pytest.raises(UserError, match="`latents=gone`: not loaded; load the file again"):
        live.maps(Screen(latents=Row("gone")))
    z = np.random.RandomState(5).randn(1, live.artifact.z_dim).astype(np.float32)
    name = live.add_latents(Latents("z", z, (("z.npy", 1),)))
    assert_same(live.maps(Screen(psi=0.5, latents=Row(name))), rows_engine(z=z, psi=0.5), live.artifact)
    name = live.add_latents(Latents("w", ws[:, 0], (("w.npy", 2),)))
    assert_same(live.maps(Screen(latents=Row(name))), rows_engine(w=ws[:1, 0]), live.artifact)


def test_the_oldest_latents_are_dropped(live):
    names = [
        live.add_latents(Latents("w", np.full((1, live.sizes.w_dim), i, np.float32), (("w.npy", 1),)))
        for i in range(LATENTS_KEPT + 1)
    ]
    live.latents(names[-1])
    with pytest.raises(UserError, match="not loaded"):
        live.latents(names[0])


def test_a_model_that_cannot_take_rows_has_seeds_and_psi_only(model):
    """The tiny model has another graph than the exporter writes, so that it cannot be opened for w+."""
    with (
        open_live(model, backend="onnxruntime", threads=1) as live,
        Engine.open(model, backend="onnxruntime") as engine,
    ):
        assert live.engine.artifact.input == "z"
        assert (live.no_seeds, bool(live.no_rows)) == ("", True)
        assert_same(live.maps(Screen(seed=5, psi=0.3)), engine(5, psi=0.3), engine.artifact)
        assert_same(live.maps_of([Screen(seed=4), Screen(seed=5)])[1], engine(5), engine.artifact)
        for screen, field in (
            (Screen(mix=Mix(1, "0")), "mix"),
            (Screen(towards=Towards(1, 0.5)), "towards"),
            (Screen(alpha={"depth": 0.5}), "alpha=depth"),
        ):
            with pytest.raises(UserError, match=f"`{field}`"):
                live.maps(screen)


def test_a_class_is_one_or_weights(class_model):
    with (
        open_live(class_model, backend="onnxruntime", threads=1) as live,
        Engine.open(class_model, backend="onnxruntime") as engine,
    ):
        for text, chosen in (("2", 2), ("0:0.7,2:0.3", {0: 0.7, 2: 0.3}), (None, 0)):
            found = live.maps(Screen(seed=1, class_index=text))
            assert_same(found, engine(1, class_index=chosen), engine.artifact)
        with pytest.raises(UserError, match="class_index"):
            live.maps(Screen(class_index="3"))


def test_threads_share_a_model(live):
    expected = {seed: live.maps(Screen(seed=seed)) for seed in range(4)}
    wrong = []

    def ask(seed: int) -> None:
        for _ in range(3):
            found = live.maps(Screen(seed=seed))
            wrong.extend(n for n in found if not np.array_equal(found[n], expected[seed][n]))

    threads = [threading.Thread(target=ask, args=[seed]) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_generator_with_offsets_is_exported_once_and_its_alpha_is_live(tmp_path, tiny_generator):
    from sgi.engine.generator import generator_sha256, save_generator

    path = tmp_path / "tiny.safetensors"
    save_generator(path, tiny_generator)
    sha256, layer = generator_sha256(tiny_generator), tiny_generator.config.styled_layers()[1]
    rows = np.random.RandomState(0).randn(6, 12).astype(np.float32)
    shift = {f"style.{layer.name}": np.ones(layer.inputs, np.float32)}
    depth = Offset("depth", "w+", {"offset": rows}, sha256).scaled(0.5)  # a file of `combine`
    offsets = [depth, Offset("albedo", "style", shift, sha256)]
    with (
        open_live(generator=path, offsets=offsets, backend="onnxruntime", threads=1) as live,
        Engine.from_generator(path, [offsets[0].scaled(0.3)], backend="onnxruntime", threads=1) as scaled,
    ):
        assert live.artifact.type_names == ("image", "depth", "albedo")
        fixed = "the offset is in the space style, which is fixed in the model"
        assert live.alphas == {"depth": (1.0, ""), "albedo": (1.0, fixed)}
        live.plan(Screen(alpha={"albedo": 1.0}))
        with pytest.raises(UserError, match=f"`alpha=albedo`: {fixed}"):
            live.plan(Screen(alpha={"albedo": 0.5}))
        found = live.maps(Screen(seed=2, alpha={"depth": 0.3}, types=("depth",)))
        assert_same(found, scaled(2, psi=live.artifact.psi), scaled.artifact)
