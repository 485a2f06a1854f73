"""Codes of every type by steps, on the host and on the device, against the formula; streams of codes."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import ALL_KINDS, SIDE, USER_DEFINED, Z_DIM, describe, kind_name, write_model

from sgi.engine import codes as module
from sgi.engine import intrinsics
from sgi.engine.api import Engine
from sgi.engine.backends import open_backend
from sgi.engine.codes import Steps, codes, dtype_of, pixels_of, steps
from sgi.engine.errors import UserError
from sgi.engine.finite import NotFiniteError
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers import CodedFormat, get_format

EVERY = (*ALL_KINDS, *USER_DEFINED)


def steps_of(kind) -> Steps:
    """The steps of a type that has them."""
    found = steps(kind)
    assert found is not None
    return found


def numbers(kind):
    """Values [1, 1, N] float32 in the range and beyond it, ends and zeros, and the neighbours of every step."""
    random = np.random.RandomState(0)
    span = kind.high - kind.low
    spread = (kind.low + span * (1.2 * random.rand(20000) - 0.1)).astype(np.float32)
    least = steps_of(kind).least * steps_of(kind).sign
    near = [np.nextafter(least, np.float32(limit)) for limit in (np.inf, -np.inf)]
    ends = np.array([0.0, -0.0, kind.low, kind.high, 3e38, -3e38, 1e-42, -1e-42], np.float32)
    return np.concatenate([spread, ends, least, *near])[None, None]


@pytest.mark.parametrize("kind", EVERY, ids=kind_name)
def test_steps_count_to_the_codes_of_the_formula(kind):
    kind = intrinsics.get(kind)
    found = steps_of(kind)
    value = numbers(kind)
    with np.errstate(over="ignore"):
        expected = codes(kind, value)
    assert expected.dtype == found.dtype == dtype_of(kind)
    np.testing.assert_array_equal(np.searchsorted(found.least, found.sign * value, side="right"), expected)
    largest = len(kind.classes) - 1 if kind.classes else np.iinfo(found.dtype).max
    assert (expected.min(), expected.max(), len(found.least)) == (0, largest, largest)


def test_a_formula_that_falls_beside_a_step_has_no_steps(monkeypatch):
    kind = Intrinsic("bumpy", 1, 0.0, 1.0, "identity", "for this test")
    exact = codes

    def bumpy(kind, value):
        found = exact(kind, value)
        found[value == np.nextafter(np.float32(0.5), np.float32(1))] -= 3
        return found

    monkeypatch.setattr(module, "codes", bumpy)
    assert steps.__wrapped__(kind) is None


def test_a_range_that_float32_can_hardly_divide_has_steps_of_several_codes():
    kind = Intrinsic("narrow", 1, 1000.0, 1000.01, "identity", "for this test", png_bits=16)
    found = steps_of(kind)
    value = np.nextafter(np.float32(1000), np.float32(2000)) + np.arange(200, dtype=np.float32)[None, None] * 2**-14
    np.testing.assert_array_equal(np.searchsorted(found.least, value, side="right"), codes(kind, value))


@pytest.mark.parametrize("kind", EVERY, ids=kind_name)
def test_files_of_codes_are_those_of_values(kind):
    kind = intrinsics.get(kind)
    png = get_format("png")
    assert isinstance(png, CodedFormat)
    assert not isinstance(get_format("npy"), CodedFormat)
    value = np.random.RandomState(1).rand(kind.channels, 5, 7).astype(np.float32) * (kind.high - kind.low) + kind.low
    pixels = pixels_of(kind, value)
    assert pixels.shape == (5, 7, kind.channels)
    assert png.encode_batch(kind, np.ascontiguousarray(pixels)[None]) == [png.encode(kind, value)]
    assert png.encode_batch(kind, np.stack([pixels, pixels[::-1]])) == [
        png.encode(kind, value), png.encode(kind, value[:, ::-1])
    ]  # fmt: skip


@pytest.fixture
def opened(tmp_path):
    pytest.importorskip("onnxruntime")
    return open_backend(write_model(tmp_path / "tiny.onnx", describe()), "onnxruntime", "cpu")


class CodingBackend:
    """A backend that gives codes itself, `change`d, and counts what it computes."""

    name, device, checks_finite = "coding", "cpu", True

    def __init__(self, inner, change=lambda maps: maps):
        self.inner, self.artifact, self.change = inner, inner.artifact, change
        self.calls: list[str] = []

    def run(self, *arguments):
        self.calls.append("run")
        return self.inner.run(*arguments)

    def start_codes(self, *arguments):
        self.calls.append("start")

        def finish():
            self.calls.append("finish")
            maps = self.inner.run(*arguments)
            return self.change({name: pixels_of(name, stack) for name, stack in maps.items()})

        return finish

    def close(self):
        self.inner.close()


def test_a_stream_of_codes_is_the_same_from_every_backend(opened):
    backend = CodingBackend(opened)
    with Engine(backend, batch=3) as coding, Engine(opened, batch=3) as plain:
        found = list(coding.stream(seeds="0-7", as_codes=True))
        expected = list(plain.stream(seeds="0-7", as_codes=True))
        values = list(plain.stream(seeds="0-7"))
        assert backend.calls == ["start", "start", "finish", "start", "finish", "finish"]
    assert [len(maps["depth"]) for maps in found] == [3, 3, 2]
    for one, other, maps in zip(found, expected, values, strict=True):
        assert one["image"].shape[1:] == (SIDE, SIDE, 3)
        for name in ("image", "depth"):
            np.testing.assert_array_equal(one[name], other[name])
            np.testing.assert_array_equal(one[name], pixels_of(name, maps[name]))


@pytest.mark.parametrize(
    "change",
    [
        lambda maps: {**maps, "depth": maps["depth"].astype(np.uint8)},
        lambda maps: {**maps, "depth": np.moveaxis(maps["depth"], -1, 1)},
        lambda maps: {"image": maps["image"]},
    ],
)
def test_codes_of_another_shape_or_type_are_refused(opened, change):
    with (
        Engine(CodingBackend(opened, change)) as engine,
        pytest.raises(UserError, match=rf"output depth is .* uint16 \[1, {SIDE}, {SIDE}, 1\]; export it again"),
    ):
        list(engine.stream(np.zeros((1, 1, Z_DIM)), types=["image", "depth"], as_codes=True))


def test_a_backend_that_checks_its_maps_is_not_checked_again(opened):
    maps = opened.run(np.zeros((1, Z_DIM), np.float32), 1.0, None, None)
    maps["depth"][:] = np.nan
    opened.run = lambda *arguments: maps
    with Engine(opened) as engine, pytest.raises(NotFiniteError):
        engine([0])
    opened.checks_finite = True
    with Engine(opened) as engine:
        assert np.isnan(engine([0])["depth"]).all()
