"""Every decoding gives the same values through NumPy, torch and ONNX, for built-in and for user-defined types."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tiny_models import ALL_KINDS, HEAT, USER_DEFINED, kind_name
from tolerances import BACKEND_PARITY

from sgi.engine import intrinsics
from sgi.engine.backends.triton.values import TorchOperations, values
from sgi.engine.decoding import DECODINGS, NUMPY, Operations
from sgi.export.emulate import Emulator
from sgi.export.graph import GraphBuilder
from sgi.export.onnx_values import OnnxOperations, emit_value

# Names that a graph's own values might like, and inputs of other graphs.
AWKWARD = tuple(replace(HEAT, name=name) for name in ("clip", "mul", "w-avg", "conv", "constant"))


def raw_picture(kind, channels=3):
    return np.random.RandomState(0).randn(2, channels, 5, 5).astype(np.float32)


def assert_equal_values(kind, found, expected):
    row = intrinsics.get(kind)
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    assert np.abs(found - expected).max() <= BACKEND_PARITY * (row.high - row.low)


def test_user_defined_types_cover_every_decoding():
    assert {row.decoding for row in USER_DEFINED} == set(DECODINGS)


@pytest.mark.parametrize("kind", [*ALL_KINDS, *USER_DEFINED], ids=kind_name)
def test_torch_agrees_with_numpy(kind):
    row, raw = intrinsics.get(kind), raw_picture(kind)
    code = raw.mean(1, keepdims=True) if row.code_channels == 1 else raw
    expected = intrinsics.decode(kind, (code * 0.5 + 0.5).clip(0, 1))
    assert_equal_values(kind, values(torch.from_numpy(raw), row).numpy(), expected)


@pytest.mark.parametrize("kind", [*ALL_KINDS, *USER_DEFINED, *AWKWARD], ids=kind_name)
def test_onnx_agrees_with_numpy(kind, tmp_path):
    row = intrinsics.get(kind)
    g = GraphBuilder(20, [row.name])
    raw = raw_picture(kind, row.code_channels)
    output = emit_value(g, "z", row)  # the emulator's inputs are named as a generator's
    path = tmp_path / "decode.onnx"
    onnx.save(g.model("decode", {"z": list(raw.shape), "psi": []}, {output: [2, row.channels, 5, 5]}, {}), path)
    expected = intrinsics.decode(kind, (raw * 0.5 + 0.5).clip(0, 1))
    assert_equal_values(kind, Emulator(path).run(raw, 1.0)[row.name], expected)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert_equal_values(kind, session.run([row.name], {"z": raw, "psi": np.array(1, np.float32)})[0], expected)


@pytest.mark.parametrize("operations", [NUMPY, TorchOperations(), OnnxOperations(GraphBuilder(20), "x")])
def test_every_framework_has_every_operation(operations):
    for name in (name for name in vars(Operations) if not name.startswith("_")):
        assert callable(getattr(operations, name))
