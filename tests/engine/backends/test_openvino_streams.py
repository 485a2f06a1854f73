"""OpenVINO with two passes at once: the same bits as one after the other, in any order of reading."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import Z_DIM

from sgi.engine import bundle
from sgi.engine.api import Engine
from sgi.engine.backends import Overlapping, open_backend, table
from sgi.engine.backends import streams as streams_module

pytest.importorskip("openvino")


def opened(path, **options):
    return open_backend(path, "openvino", "cpu", batch=4, is_stream=True, **options)


def test_the_maps_of_a_stream_have_the_bits_of_single_passes():
    with Engine(opened(bundle.MODEL, types="depth"), 4) as streams:
        assert streams.backend.name == "openvino"
        found = list(streams.stream(seeds="0-17"))
    with Engine.open(backend="openvino", types="depth", batch=4) as one:
        expected = list(one.stream(seeds="0-17"))
    assert [len(maps["depth"]) for maps in found] == [4, 4, 4, 4, 2]
    for maps, others in zip(found[:-1], expected[:-1], strict=True):
        np.testing.assert_array_equal(maps["depth"], others["depth"])
    np.testing.assert_array_equal(found[-1]["depth"], expected[-1]["depth"])


def test_passes_may_be_read_in_any_order_and_given_up(model):
    backend = opened(model)
    z = np.random.RandomState(0).randn(5, 4, Z_DIM).astype(np.float32)
    expected = [backend.run(rows, 0.7)["depth"] for rows in z]
    waiting = [backend.start(rows, 0.7) for rows in z]
    for place in (3, 0, 2):
        np.testing.assert_array_equal(waiting[place]()["depth"], expected[place])
    del waiting
    first = backend.start(z[0], 0.7)()["depth"]
    backend.start(z[1], 0.7)()
    np.testing.assert_array_equal(first, expected[0])
    np.testing.assert_array_equal(backend.start(z[0][:3], 0.7)()["depth"], backend.run(z[0][:3], 0.7)["depth"])
    assert list(backend.start(z[0], 0.7, types=["depth"])()) == ["depth"]
    backend.close()


@pytest.mark.parametrize(("threads", "pixels", "streams"), [(2, None, 2), (1, None, 1), (2, 1, 1)])
def test_streams_are_for_several_threads_and_small_maps(model, monkeypatch, threads, pixels, streams):
    if pixels:
        monkeypatch.setattr(streams_module, "_MOST_PIXELS", pixels)
    backend = opened(model, threads=threads)
    assert backend._model.get_property("NUM_STREAMS") == streams
    assert not backend._model.get_property("ENABLE_CPU_PINNING")


def test_single_calls_use_all_cores(model):
    assert not isinstance(open_backend(model, "openvino", "cpu"), Overlapping)
    assert isinstance(opened(model), Overlapping)


def test_rows_without_a_class_for_streams_use_their_own(model):
    row = table.BACKENDS["onnxruntime"]
    assert row.load("onnxruntime", "cpu", is_stream=True) is row.load("onnxruntime", "cpu")
