from dataclasses import fields

import pytest
import torch

from sgi.trainer.scenes import CLASSES, RICH, Rooms, relight, sample_rooms
from sgi.trainer.scenes.rooms import BACK, LEFT, RIGHT


def rooms(n: int, seed: int = 0) -> Rooms:
    return sample_rooms(n, torch.Generator().manual_seed(seed))


def same(a: Rooms, b: Rooms) -> bool:
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Rooms))


def test_a_seed_always_gives_the_same_rooms() -> None:
    assert same(rooms(5), rooms(5))
    assert not same(rooms(5), rooms(5, seed=1))


def test_indexing_and_cat_are_inverse() -> None:
    batch = rooms(5)
    assert len(batch) == 5
    assert same(Rooms.cat([batch[:2], batch[[2, 3]], batch[torch.tensor([4])]]), batch)
    with pytest.raises(TypeError, match="i : i \\+ 1"):
        batch[0]  # type: ignore[index]


def test_left_and_right_walls_differ_in_every_room() -> None:
    colour = rooms(300).surface_colour
    assert ((colour[:, LEFT] - colour[:, RIGHT]).abs().amax(1) > 0).all()
    # Hues are independent: in most rooms they differ clearly.
    assert ((colour[:, LEFT] - colour[:, RIGHT]).abs().amax(1) > 0.1).float().mean() > 0.8
    assert ((colour[:, LEFT] - colour[:, BACK]).abs().amax(1) > 0).all()


def test_cameras_stay_in_their_range() -> None:
    x, height, yaw, pitch, tangent = rooms(500).camera.unbind(1)
    for value, low, high in (
        (x, -0.6, 0.6),
        (height, 1.35, 1.75),
        (yaw, -0.222, 0.222),
        (pitch, *RICH.pitch),
        (tangent, *RICH.tangent),
    ):
        assert low <= value.min() < value.max() <= high


GROUPS = [("bed", "pillow"), ("table",), ("chair",), ("box",), ("cabinet",)]


def test_furniture_does_not_overlap_and_is_inside() -> None:
    batch = rooms(3000)
    low, high = batch.box_centre - batch.box_half, batch.box_centre + batch.box_half
    present = batch.box_half[..., 0] > 0
    assert present.any(1).all()
    half_width, height, back = (column[:, None] for column in batch.size.unbind(1))
    inside = (low[..., 0] >= -half_width) & (high[..., 0] <= half_width) & (low[..., 1] >= -1e-6)
    inside &= (high[..., 1] <= height) & (high[..., 2] <= back) & (low[..., 2] > 1.0)
    assert (inside | ~present).all()
    group = torch.tensor([next((g for g, names in enumerate(GROUPS) if c in names), -1) for c in CLASSES])
    of = group[batch.box_class]
    apart = ((low[:, :, None] >= high[:, None] - 1e-6) | (low[:, None] >= high[:, :, None] - 1e-6)).any(-1)
    ignored = (of[:, :, None] == of[:, None]) | ~(present[:, :, None] & present[:, None])
    assert (apart | ignored).all()


def test_round_objects_stand_on_free_floor() -> None:
    batch = rooms(3000)
    for index in range(2):
        there = batch.round_half[:, index, 0] > 0
        assert 0.3 < there.float().mean() < 0.7
        gap = (batch.round_centre[:, index, None, ::2] - batch.box_centre[..., ::2]).abs() - batch.box_half[..., ::2]
        clear = gap.clamp_min(0.0).norm(dim=-1) > batch.round_half[:, index, :1]
        assert (clear | (batch.box_half[..., 0] < 0) | ~there[:, None]).all()
    both = (batch.round_half[:, :2, 0] > 0).all(1)
    distance = (batch.round_centre[:, 0, ::2] - batch.round_centre[:, 1, ::2]).norm(dim=1)
    assert (distance > batch.round_half[:, 0, 0] + batch.round_half[:, 1, 0])[both].all()


def test_relight_changes_only_the_light() -> None:
    batch = rooms(20)
    lit = relight(batch, torch.Generator().manual_seed(3))
    changed = {f.name for f in fields(Rooms) if not torch.equal(getattr(batch, f.name), getattr(lit, f.name))}
    assert changed == {"light_centre", "light_half", "light_power", "ambient", "lamp_emission"}
    assert same(lit, relight(batch, torch.Generator().manual_seed(3)))


def test_lights_are_outside_of_the_furniture() -> None:
    batch = rooms(3000)
    inside = ((batch.light_centre[:, None] - batch.box_centre).abs() < batch.box_half).all(-1)
    assert not inside.any()
    assert (batch.light_centre[:, 1] < batch.size[:, 1]).all()


def test_objects_occur_with_their_probabilities() -> None:
    batch = rooms(3000)
    present = batch.box_half[..., 0] > 0

    def share(name: str) -> float:
        return ((batch.box_class == CLASSES.index(name)) & present).any(1).float().mean().item()

    assert 0.6 < share("bed") < 0.7
    assert 0.3 < share("table") < 0.4
    assert share("cabinet") > 0.75
    for decal, expected in enumerate((0.55, 0.45, 0.5)):
        assert abs((batch.decal_rect[:, decal, 2] > 0).float().mean() - expected) < 0.06
