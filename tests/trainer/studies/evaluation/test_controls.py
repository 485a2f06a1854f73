"""Each control on maps small enough to write down."""

from __future__ import annotations

import pytest
import torch

from sgi.engine.errors import UserError
from sgi.trainer.studies.evaluation.controls import CONTROLS, controlled, get_control

SEEDS = range(5, 8)


def maps():
    return torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))


def apply(name, codes):
    return get_control(name).apply(codes, SEEDS)


def test_moves_by_hand():
    codes = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert apply("half-swap", codes)[0, 0, 0].tolist() == [2, 3, 0, 1]
    assert apply("hflip", codes)[0, 0, 0].tolist() == [3, 2, 1, 0]
    assert apply("vflip", codes)[0, 0, :, 0].tolist() == [12, 8, 4, 0]
    assert apply("rot180", codes)[0, 0, 0].tolist() == [15, 14, 13, 12]


def test_tile_shuffle_moves_every_tile_and_loses_none():
    codes = torch.arange(16.0).reshape(1, 1, 4, 4).repeat_interleave(4, -1).repeat_interleave(4, -2)
    moved = apply("tile-shuffle", codes)
    tiles = moved[0, 0, ::4, ::4].flatten().tolist()
    assert sorted(tiles) == list(range(16))
    assert all(tile != place for place, tile in enumerate(tiles))
    torch.testing.assert_close(moved, moved[..., ::4, ::4].repeat_interleave(4, -1).repeat_interleave(4, -2))
    torch.testing.assert_close(apply("tile-shuffle", codes), moved)


def test_random_maps_depend_on_the_seed_alone():
    drawn = apply("random-map", maps())
    assert drawn.shape == (3, 2, 16, 16)
    assert not torch.equal(drawn[0], drawn[1])
    torch.testing.assert_close(get_control("random-map").apply(maps()[:1], range(6, 7))[0], drawn[1])


def test_other_seed_is_the_map_of_the_previous_seed():
    codes = maps()
    torch.testing.assert_close(apply("other-seed", codes)[1], codes[0])
    torch.testing.assert_close(apply("other-seed", codes)[0], codes[2])


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_keep_shape_and_range_and_change_the_map(name):
    codes = maps().half()
    changed = apply(name, codes)
    assert changed.shape == codes.shape
    assert changed.dtype == codes.dtype
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not torch.equal(changed, codes)


def test_controlled_pool_differs_in_its_codes_only(known_pools):
    pool = known_pools.held
    swapped = controlled(pool, "depth", "half-swap")
    assert list(swapped.codes) == ["depth"]
    torch.testing.assert_close(swapped.codes["depth"], pool.codes["depth"].roll(8, -1))
    assert swapped.ws is pool.ws
    torch.testing.assert_close(controlled(pool, "image", "invert").codes["image"], 1 - pool.images)
    assert controlled(pool, "depth", None).codes["depth"] is pool.codes["depth"]


def test_unknown_controls_are_refused():
    with pytest.raises(UserError, match="`control=swap`: choose from half-swap"):
        get_control("swap")
