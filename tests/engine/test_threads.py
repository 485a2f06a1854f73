"""One engine shared by threads: every map is right, at mixed batch sizes and while one thread closes the engine."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from tiny_models import ONNX_BACKENDS, Z_DIM, describe, write_model
from tolerances import BACKEND_PARITY

from sgi.engine.api import Engine
from sgi.engine.backends.openvino import OpenVinoBackend
from sgi.engine.backends.triton import TritonBackend
from sgi.engine.errors import UserError
from sgi.engine.generator import GeneratorConfig, random_generator
from sgi.engine.in_flight import InFlight

THREADS, CALLS = 64, 4
CLOSING_THREADS, CLOSING_SEEDS = 8, 8  # seeds a call, while one thread closes the engine
BATCH = 4
# Of the Triton backend, whose kernels run in the interpreter, which takes a second for a pass.
FEW_THREADS, FEW_CALLS, FEW_SEEDS, SMALL_BATCH = 3, 1, 3, 2


def triton_engine():
    """Few layers and channels, because the interpreter takes seconds for a pass of others."""
    config = GeneratorConfig(16, z_dim=Z_DIM, w_dim=8, mapping_layers=1, channel_base=64, channel_max=4)
    backend = TritonBackend(random_generator(config, seed=0), {"image": None}, device="cpu", precision="fp32")
    return Engine(backend, SMALL_BATCH)


@pytest.fixture(params=[*ONNX_BACKENDS, "triton"])
def engine(request, model):
    triton = request.param == "triton"
    with triton_engine() if triton else Engine.open(model, backend=request.param, batch=BATCH) as engine:
        yield engine


@cache
def maps_of_the_kernels():
    """Maps of seeds 0 to FEW_SEEDS by the interpreted kernels, in few passes on one thread."""
    with triton_engine() as engine:
        return engine(range(FEW_SEEDS))


def expected_maps(engine, count):
    """Maps of seeds 0 to `count`, computed one by one on one thread; see `maps_of_the_kernels` for these."""
    if engine.backend.name == "triton":
        assert count <= FEW_SEEDS
        return maps_of_the_kernels()
    rows = [engine([seed]) for seed in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def test_many_threads_get_the_right_maps(engine):
    triton = engine.backend.name == "triton"
    threads, calls_each, starts = (FEW_THREADS, FEW_CALLS, 2) if triton else (THREADS, CALLS, 8)
    names = engine.artifact.type_names

    def seeds_of(thread, call):
        first = (thread * 5 + call * 3) % starts
        return range(first, first + 1 + (thread + call) % 7)

    expected = expected_maps(engine, max(seeds_of(t, c).stop for t in range(threads) for c in range(calls_each)))

    def calls(thread):
        for call in range(calls_each):
            seeds = seeds_of(thread, call)
            types = names if thread % 2 else names[:1]
            maps = engine(seeds, types=types)
            assert tuple(maps) == types
            for name in types:
                np.testing.assert_allclose(maps[name], expected[name][list(seeds)], atol=BACKEND_PARITY)
        return True

    with ThreadPoolExecutor(threads) as pool:
        assert all(pool.map(calls, range(threads)))


def test_closing_waits_for_calls_and_refuses_later_ones(engine):
    triton = engine.backend.name == "triton"
    threads, seeds = (FEW_THREADS, FEW_SEEDS) if triton else (CLOSING_THREADS, CLOSING_SEEDS)
    expected = expected_maps(engine, seeds)
    started = threading.Barrier(threads + 1)

    def calls():
        started.wait()
        finished = 0
        while True:
            try:
                maps = engine(range(seeds))
            except UserError:
                return finished
            for name, stack in maps.items():
                np.testing.assert_allclose(stack, expected[name], atol=BACKEND_PARITY)
            finished += 1

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(calls) for _ in range(threads)]
        started.wait()
        engine.close()
        engine.close()
        assert all(future.result(120) >= 0 for future in futures)
    with pytest.raises(UserError, match="closed"):
        engine([0])


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
def test_calls_of_any_size_compile_at_most_two_sizes(model, backend, monkeypatch):
    with Engine.open(model, backend=backend, batch=BATCH) as engine:
        compiled = []
        if backend == "openvino":
            assert isinstance(engine.backend, OpenVinoBackend)
            core = engine.backend._core

            def compile_model(self, *arguments):
                compiled.append(1)
                return core.compile_model(*arguments)

            monkeypatch.setattr(
                engine.backend, "_core",
                type("Core", (), {
                    "compile_model": compile_model,
                    "read_model": staticmethod(core.read_model),
                })(),
            )  # fmt: skip
        expected = expected_maps(engine, 11)
        for count in range(1, 12):
            maps = engine(range(count))
            for name, stack in maps.items():
                np.testing.assert_allclose(stack, expected[name][:count], atol=BACKEND_PARITY)
        assert len(compiled) <= 1  # size 1; size BATCH is compiled on opening


def test_close_waits_for_every_call_inside():
    uses = InFlight("closed")
    order = []
    entered, leave = threading.Event(), threading.Event()

    def use():
        with uses:
            entered.set()
            leave.wait(10)
            order.append("left")

    def close():
        uses.close()
        order.append("closed")

    threads = [threading.Thread(target=use), threading.Thread(target=close)]
    threads[0].start()
    entered.wait(10)
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["left", "closed"]
    with pytest.raises(UserError, match="closed"), uses:
        pass


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
def test_maps_that_are_not_finite_name_seed_and_type(tmp_path, backend):
    path = write_model(tmp_path / "damaged.onnx", describe(), damage="depth")
    with Engine.open(path, backend=backend, batch=2) as engine:
        with pytest.raises(UserError, match="depth map of seed 7 contains values that are not finite"):
            engine([7, 8, 9])
        with pytest.raises(UserError, match="depth map of row 0"):
            engine(z=np.zeros((1, Z_DIM), np.float32))
        assert set(engine([7], types="image")) == {"image"}


@pytest.mark.parametrize("psi", [float("nan"), float("inf"), -float("inf")])
def test_psi_is_finite(engine, psi):
    with pytest.raises(UserError, match="`psi="):
        engine([0], psi=psi)


def test_z_is_finite(engine):
    z = np.zeros((2, engine.artifact.z_dim), np.float32)
    z[1, 0] = np.nan
    with pytest.raises(UserError, match="`z` contains values that are not finite"):
        engine(z=z)
