"""The table of types: decoding, encoding, and the checks of a description."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_models import ALL_KINDS, HEAT, ROOM, kind_name
from tolerances import CLOSED_FORM

from sgi.engine import intrinsics
from sgi.engine.decoding import srgb_decode, srgb_encode
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic, decode, encode, get
from sgi.engine.palette import border_distance, nearest, palette

SMOOTH = [kind for kind in ALL_KINDS if kind not in ("normal", ROOM)]
OWN = {"name": "heat", "channels": 1, "low": -20, "high": 60, "decoding": "identity", "meaning": "degrees"}


def random_codes(kind):
    return np.random.RandomState(0).rand(2, get(kind).code_channels, 5, 7)


@pytest.mark.parametrize("kind", ALL_KINDS, ids=kind_name)
def test_values_have_the_shape_and_range_of_the_table(kind):
    value = decode(kind, random_codes(kind))
    assert value.shape == (2, get(kind).channels, 5, 7)
    assert get(kind).low <= value.min()
    assert value.max() <= get(kind).high


@pytest.mark.parametrize("kind", SMOOTH, ids=kind_name)
def test_encode_inverts_decode(kind):
    u = random_codes(kind)
    np.testing.assert_allclose(encode(kind, decode(kind, u)), u, atol=CLOSED_FORM)


def test_values_of_known_codes():
    one = np.ones((1, 1, 1, 1))
    assert decode("depth", one * 0.25) == 0.75
    assert decode("shading", one) == 1.5
    assert decode("edges", one * 0.25) == 0.25
    assert decode("mask-bed", one * 0.25) == 0.25
    assert decode(HEAT, one * 0.25) == pytest.approx(40)
    assert decode("albedo", np.full((1, 3, 1, 1), 0.5)) == pytest.approx(0.21404114, abs=CLOSED_FORM)
    up = np.array([0.5, 1.0, 0.5]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(decode("normal", up).ravel(), [0, 1, 0], atol=CLOSED_FORM)


def test_normals_are_unit_vectors():
    n = decode("normal", random_codes("normal"))
    np.testing.assert_allclose(np.linalg.norm(n, axis=1), 1.0, atol=2e-4)
    np.testing.assert_allclose(decode("normal", encode("normal", n)), n, atol=2e-4)


def test_srgb_curves_are_continuous():
    for function, knee in ((srgb_decode, 0.04045), (srgb_encode, 0.0031308)):
        below, above = function(np.array([knee - 1e-9, knee + 1e-9]))
        assert abs(above - below) < CLOSED_FORM


def test_palette_decodes_to_the_nearest_colour():
    u = random_codes(ROOM)
    apart = np.linalg.norm(u[:, None] - palette(3)[None, :, :, None, None], axis=2)
    np.testing.assert_array_equal(decode(ROOM, u)[:, 0], apart.argmin(axis=1))
    labels = np.array([0.0, 1.0, 2.0]).reshape(1, 1, 1, 3)
    np.testing.assert_array_equal(decode(ROOM, encode(ROOM, labels)), labels)


def test_segmentation_without_classes_cannot_be_decoded():
    with pytest.raises(UserError, match="segmentation: its classes are not known"):
        decode("segmentation", random_codes(ROOM))


@pytest.mark.parametrize(("count", "least"), [(2, 1.73), (8, 0.7), (15, 0.6), (150, 0.18), (256, 0.12)])
def test_palette_distances_and_prefixes(count, least):
    colours = palette(count)
    apart = np.linalg.norm(colours[:, None] - colours, axis=-1) + 9 * np.eye(count)
    assert apart.min() >= least
    assert (colours.min(), colours.max()) == (0, 1)
    np.testing.assert_array_equal(colours[:2], palette(2))


def test_border_distance():
    colours = palette(2)  # black and white, the border in the middle
    u = np.array([0.4, 0.4, 0.4]).reshape(3, 1, 1)
    one = np.ones((1, 1, 1), int)
    assert border_distance(colours, u, one).item() == pytest.approx(0.1 * 3**0.5)
    assert border_distance(colours, u, one * 0).item() == 0
    assert nearest(colours, u + 0.11).item() == 1
    assert nearest(colours, np.full((3, 1, 1), 0.5)).item() == 0  # the first of equally near ones


def test_unknown_type_is_refused():
    with pytest.raises(UserError, match="unknown type 'dept': choose from image, depth"):
        get("dept")


def test_mask_types():
    assert get("mask-floor-lamp").is_mask
    assert get(intrinsics.mask_name("Floor lamp; light")).name == "mask-floor-lamp-light"
    with pytest.raises(UserError, match="unknown type 'mask-'"):
        get("mask-")
    with pytest.raises(UserError, match="a name has lower-case letters"):
        get("mask-Bed")


@pytest.mark.parametrize("kind", ALL_KINDS, ids=kind_name)
def test_description_round_trips_through_json(kind):
    assert Intrinsic.from_dict(json.loads(json.dumps(get(kind).to_dict()))) == get(kind)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Heat"}, "type 'Heat': a name has lower-case letters"),
        ({"name": "psi"}, "type 'psi': .* is none of all, label, psi, w, ws, z"),
        ({"name": "ws"}, "type 'ws': .* is none of"),
        ({"name": 7}, "type 7: a name"),
        ({"name": "normal"}, "type normal: 1 channels decoded by identity are not the built-in normal"),
        ({"channels": 2}, "has 2 channels, not 1 or 3"),
        ({"channels": True}, "has True channels"),
        ({"low": 60}, "its range is 60 to 60"),
        ({"high": float("inf")}, "its range is -20 to inf"),
        ({"decoding": "log"}, "decoding log: choose from identity"),
        ({"meaning": None}, "its meaning is not a text"),
        ({"png_bits": 12}, "png_bits is 8, or 16 of one channel"),
        ({"png_bits": 16, "channels": 3}, "png_bits is 8, or 16 of one channel"),
        ({"decoding": "unit"}, "unit vectors have 3 channels, -1 to 1"),
        ({"decoding": "palette", "channels": 3}, "class indices have 1 channel and 8 bits"),
        ({"classes": ["a", "b"]}, "classes need the decoding `palette`"),
        ({"decoding": "palette", "classes": ["a", "b"]}, "indices of 2 classes are 0 to 1"),
        ({"decoding": "palette", "classes": ["a"]}, "has 1 classes, not 2 to 256"),
        ({"decoding": "palette", "classes": "ab"}, "its classes are not a list of names"),
        ({"decoding": "palette", "classes": 5}, "one of a wrong kind"),
        ({"colour": "red"}, "unknown field colour"),
    ],
)
def test_contradicting_fields_are_refused(change, message):
    assert Intrinsic.from_dict(OWN).name == "heat"
    with pytest.raises(UserError, match=message):
        Intrinsic.from_dict(OWN | change)


@pytest.mark.parametrize("values", [None, 5, "depth", [1], {}, {"name": ["depth"]}])
def test_values_that_are_not_descriptions_are_refused(values):
    with pytest.raises(UserError, match=r"no fields|type None|type \['depth'\]"):
        Intrinsic.from_dict(values)


@pytest.mark.parametrize("name", [5, None, ["depth"]])
def test_values_that_are_not_names_are_refused(name):
    with pytest.raises(UserError, match="unknown type"):
        get(name)


def test_description_without_a_field_is_refused():
    with pytest.raises(UserError, match="type heat: lacks a field"):
        Intrinsic.from_dict({key: value for key, value in OWN.items() if key != "meaning"})
