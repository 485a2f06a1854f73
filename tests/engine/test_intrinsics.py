"""The table of types: decoding, encoding, and what each row promises."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import CLOSED_FORM

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import INTRINSICS, decode, encode


def random_codes(name):
    return np.random.RandomState(0).rand(2, INTRINSICS[name].channels, 5, 7)


@pytest.mark.parametrize("name", INTRINSICS)
def test_values_stay_in_range(name):
    value = decode(name, random_codes(name))
    assert INTRINSICS[name].low <= value.min()
    assert value.max() <= INTRINSICS[name].high


@pytest.mark.parametrize("name", [n for n in INTRINSICS if n != "normal"])
def test_encode_inverts_decode(name):
    u = random_codes(name)
    np.testing.assert_allclose(encode(name, decode(name, u)), u, atol=CLOSED_FORM)


def test_codes_mean_what_the_table_says():
    one = np.ones((1, 1, 1, 1))
    assert decode("depth", one * 0.25) == 0.75
    assert decode("shading", one) == 1.5
    assert decode("albedo", np.full((1, 3, 1, 1), 0.5)) == pytest.approx(0.21404114, abs=CLOSED_FORM)
    up = np.array([0.5, 1.0, 0.5]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(decode("normal", up).ravel(), [0, 1, 0], atol=CLOSED_FORM)


def test_normals_are_unit_vectors():
    n = decode("normal", random_codes("normal"))
    np.testing.assert_allclose(np.linalg.norm(n, axis=1), 1.0, atol=2e-4)
    np.testing.assert_allclose(decode("normal", encode("normal", n)), n, atol=2e-4)


def test_srgb_is_continuous_at_its_knees():
    for function, knee in ((intrinsics.srgb_decode, 0.04045), (intrinsics.srgb_encode, 0.0031308)):
        below, above = function(np.array([knee - 1e-9, knee + 1e-9]))
        assert abs(above - below) < CLOSED_FORM


def test_unknown_type_is_refused():
    with pytest.raises(UserError, match="unknown type 'dept': choose from image, depth"):
        intrinsics.get("dept")
