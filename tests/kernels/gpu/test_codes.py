"""Codes of values: kernel and torch reference against NumPy's search, on the steps and beside them."""

from __future__ import annotations

import interpreter
import numpy as np
import pytest
import torch

from sgi.kernels.gpu.codes.ops import map_codes


@pytest.mark.parametrize("interpret", ["0", "1"])
@pytest.mark.parametrize(("count", "bits"), [(1, 8), (4, 8), (255, 8), (65535, 16)])
@pytest.mark.parametrize(("channels", "sign"), [(1, 1), (3, -1)])
def test_codes_are_the_number_of_steps_reached(count, bits, channels, sign, interpret, monkeypatch):
    if interpreter.DEVICE == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", interpret)
    random = np.random.RandomState(0)
    least = np.sort(random.randn(count).astype(np.float32))
    least[: count // 3] = least[count // 3]  # steps of codes that no value has
    near = np.concatenate([least, np.nextafter(least, np.float32(9)), np.nextafter(least, np.float32(-9))])
    edges = np.array([-0.0, 0.0, -1e30, 1e30, -np.inf, np.inf], np.float32)
    x = random.choice(np.concatenate([near, edges]), (2, channels, 5, 13)).astype(np.float32)
    x[0, 0, 0, : len(edges)] = edges
    found = map_codes(*(torch.from_numpy(a).to(interpreter.DEVICE) for a in (sign * x, least)), sign, bits)
    assert found.dtype == (torch.uint8 if bits == 8 else torch.uint16)
    expected = np.searchsorted(least, np.moveaxis(x, 1, -1), side="right")
    np.testing.assert_array_equal(found.cpu().numpy(), expected)


def test_too_many_steps_are_refused():
    with pytest.raises(ValueError, match="256 values are too many for codes of 8 bits"):
        map_codes(torch.zeros(1, 1, 2, 2, device=interpreter.DEVICE), torch.zeros(256, device=interpreter.DEVICE), 1, 8)
