"""Block shapes: the list, the cost model and the measured choice; and the choice between kernel and reference."""

from __future__ import annotations

import json
import logging

import pytest
import torch

from sgi.kernels.gpu import dispatch, sweep, tune
from sgi.kernels.gpu.block_rates import RATES, STEP_US
from sgi.kernels.gpu.cost_model import CONVOLUTION, microseconds


def test_candidates_fit_operands():
    for inner in (5, 32, 64, 512):
        for columns in (3, 32, 100, 512):
            options = tune.candidates(torch.float16, inner, columns)
            assert {config.bm for config in options} >= {16, 64}
            assert len(set(options)) == len(options)
            for config in options:
                assert config.bn < 2 * max(columns, 16)
                assert config.bk < 2 * max(inner, 16)
                assert min(config.bm, config.bn, config.bk) >= 16


def test_blocks_on_trial_are_for_layers_that_do_not_fill_the_gpu(monkeypatch):
    monkeypatch.setattr(tune, "multiprocessors", lambda x: 132)
    x = torch.empty(0, dtype=torch.float16)
    assert tune.trials(x, 64 * 64, 512, 512) == list(tune.TRIAL_CONFIGS)
    assert tune.trials(x, 128 * 128, 128, 128) == list(tune.TRIAL_CONFIGS[:2])
    assert tune.trials(x, 64 * 64 * 2, 512, 512) == []
    assert tune.trials(x, 16, 32, 32) == []
    assert tune.trials(x.float(), 16, 512, 512) == []


def test_a_heavy_epilogue_excludes_the_widest_block():
    widths = {c.bn for c in tune.candidates(torch.float16, 512, 512)}
    assert widths - {c.bn for c in tune.candidates(torch.float16, 512, 512, heavy=True)} == {256}


def test_a_block_that_spills_registers_is_left_out_of_the_choice(monkeypatch):
    monkeypatch.setattr(tune, "cheapest", lambda options, *_: options)
    x, block = torch.empty(0, dtype=torch.float16), tune.SPILLING_GRADIENT_BLOCK

    def shapes(without: tuple[int, ...] | None) -> set[tuple[int, ...]]:
        return {c.shape for c in tune.choose_blocks("conv", x, 8, 64, 64, {}, print, without=without)}

    assert shapes(None) - shapes(block) == {block}


def test_rates_are_those_of_the_nearest_measured_width():
    wide = {c.bn: c.rate for c in tune.candidates(torch.float16, 512, 400) if c.bm == 128}
    assert wide[256] > wide[128] > wide[64]
    assert {c.rate for c in tune.candidates(torch.float16, 128, 128)} <= set(RATES[128].values())
    assert tune.measured_rate(tune.Config(3, 3, 3, 4, 3, 0.25), 128) == 0.25


@pytest.mark.parametrize(("channels", "best"), [(512, 256), (256, 256), (128, 128), (64, 64), (32, 32)])
def test_large_layers_use_the_fastest_block_of_the_sweep(channels, best):
    options = tune.candidates(torch.float16, channels, channels)
    chosen = tune.cheapest(options, 32 * (32768 // channels) ** 2, channels, channels, 132)
    assert chosen.bn == best
    assert chosen.rate == max(RATES[channels].values())


def test_a_shape_without_a_measured_step_takes_that_of_another_number_of_stages():
    block = tune.Config(128, 256, 64, 8, 9)
    assert tune.measured_step(block) == STEP_US[128, 256, 64, 8, 4]
    assert tune.measured_step(tune.Config(3, 3, 3, 4, 3)) == 0


def test_few_blocks_last_as_long_as_their_steps():
    # One block and one for each multiprocessor take the same time; at many blocks time is proportional to them.
    (block,) = (c for c in tune.candidates(torch.float16, 512, 512) if (c.bm, c.bn) == (128, 128))
    one, all_, many, twice = (
        microseconds(block.shape, block.rate, block.step_us, rows, 512, 128, 132, CONVOLUTION)
        for rows in (128, 132 * 128, 132 * 128 * 64, 132 * 128 * 128)
    )
    assert one == all_
    assert 1.9 < twice / many <= 2


def test_the_table_of_rates_is_generated_from_a_results_file():
    results = {
        "machine": {"gpu": "Some GPU", "torch": "1", "triton": "2", "multiprocessors": 8},
        "sweep": [
            {"outputs": 64, "form": "cuDNN", "ms": 1.0, "tflops": 500.0},
            {"outputs": 64, "form": "128x64x64 w4 s3", "ms": 1.0, "tflops": 321.4},
            {"outputs": 64, "form": "plain 16x32x128 w4 s4", "ms": 1.0, "tflops": 20.0},
            {"outputs": 64, "form": "128x256x64 w8 s3", "failed": "OutOfResources"},
        ],
    }
    layer = {"batch": 1, "side": 8, "inputs": 512, "outputs": 512}
    results["forms"] = [
        {**layer, "form": "plain 64x64x64 w4 s4", "ms": 0.0395},
        {**layer, "form": "plain 64x64x64 w4 s4", "ms": 0.05},
        {**layer, "form": "fir 64x64x64 w4 s4", "ms": 0.01},
        {**layer, "form": "plain 64x64x64 w4 s3", "batch": 2, "ms": 0.01},
    ]
    scope: dict = {}
    exec(sweep.source(results), scope)
    assert scope["RATES"] == {64: {(128, 64, 64, 4, 3): 321, (16, 32, 128, 4, 4): 20}}
    # 39.5 us without the 3.5 us of the epilogue, 72 steps; the last row has more blocks than multiprocessors.
    assert scope["STEP_US"] == {(64, 64, 64, 4, 4): 0.5}
    assert "Some GPU" in scope["__doc__"]


def test_cost_model_picks_wide_blocks_for_large_work():
    options = tune.candidates(torch.float16, 512, 512)
    assert tune.cheapest(options, 32 * 64 * 64, 512, 512, 132).bm >= 128
    assert tune.cheapest(options, 16, 512, 512, 132).bm == 16


@pytest.fixture
def fake_gpu(monkeypatch, tmp_path):
    """A fake GPU on which option b is the fastest."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setenv("SGI_CACHE", str(tmp_path))
    monkeypatch.setattr(tune, "_cache", tune._Cache())
    measured = []

    def fastest(options, run):
        measured.append(options)
        return options.index("b")

    monkeypatch.setattr(tune, "_fastest", fastest)
    return measured, tmp_path


def test_measured_choice_is_cached_on_disk(fake_gpu, monkeypatch):
    measured, folder = fake_gpu
    with tune.tuning(True):
        assert tune.pick("kind", {"rows": 1}, ["a", "b"], "a", print) == "b"
        assert tune.pick("kind", {"rows": 1}, ["a", "b"], "a", print) == "b"
        assert len(measured) == 1
        monkeypatch.setattr(tune, "_cache", tune._Cache())
    (file,) = folder.iterdir()
    assert list(json.loads(file.read_text()).values()) == [1]
    with tune.tuning(True):
        assert tune.pick("kind", {"rows": 1}, ["a", "b"], "a", print) == "b"
    assert len(measured) == 1


def test_nothing_is_measured_without_tuning_or_during_capture(fake_gpu, monkeypatch):
    measured, _ = fake_gpu
    assert tune.pick("kind", {}, ["a", "b"], "a", print) == "a"
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with tune.tuning(True):
        assert tune.pick("kind", {}, ["a", "b"], "a", print) == "a"
    assert not measured


def test_reference_path_is_logged_once(monkeypatch, caplog):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setattr(dispatch, "_warned", set())
    with caplog.at_level(logging.WARNING):
        assert not dispatch.use_kernel(torch.zeros(1))
        assert not dispatch.use_kernel(torch.zeros(1))
        assert not dispatch.use_kernel(torch.zeros(1, dtype=torch.float64))
    assert [record.getMessage() for record in caplog.records] == [
        "tensors on the CPU: using the torch reference instead of the Triton kernels",
        "torch.float64 has no kernel: using the torch reference",
    ]


def test_missing_triton_is_logged_with_the_extra(monkeypatch, caplog):
    monkeypatch.setattr(dispatch, "_warned", set())
    monkeypatch.setattr(dispatch.importlib.util, "find_spec", lambda name: None)
    assert not dispatch.use_kernel(torch.zeros(1))
    assert "sgi-engine[triton]" in caplog.text
