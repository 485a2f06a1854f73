from dataclasses import replace

import pytest
import torch
from tolerances import RAY
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.trainer.scenes import CLASSES, Maps, Rooms, relight, render, sample_rooms
from sgi.trainer.scenes.rooms import BACK
from sgi.trainer.scenes.srgb import srgb_encode

EXACT = ("image", "depth", "normal", "albedo", "shading", "segmentation")


@pytest.fixture(scope="module")
def rooms() -> Rooms:
    return sample_rooms(24, torch.Generator().manual_seed(7))


@pytest.fixture(scope="module")
def maps(rooms: Rooms) -> Maps:
    return render(rooms, 32)


def pixel_rays(rooms: Rooms, size: int) -> Tensor:
    """Directions [N, 3, S, S] in camera space (+Z to the viewer) through pixel centres, z = -1."""
    step = (torch.arange(size) + 0.5) * 2.0 / size - 1.0
    y, x = torch.meshgrid(-step, step, indexing="ij")
    tangent = rooms.camera[:, 4].view(-1, 1, 1)
    return torch.stack([x * tangent, y * tangent, -torch.ones_like(x) * torch.ones_like(tangent)], 1)


def empty(camera: tuple[float, float, float, float, float]) -> Rooms:
    """One bare room 4 x 2.5 m, back wall at 5 m, without furniture, decals, lamp or stripes."""
    room = sample_rooms(1, torch.Generator().manual_seed(0))
    absent = {name: torch.full_like(getattr(room, name), -1.0) for name in ("box_half", "round_half", "decal_rect")}
    return replace(
        room,
        size=torch.tensor([[2.0, 2.5, 5.0]]),
        camera=torch.tensor([camera]),
        stripe_rate=torch.zeros(1, 6),
        light_centre=torch.tensor([[0.0, 2.0, 2.5]]),
        **absent,
    )


def test_shapes_types_and_ranges(maps: Maps) -> None:
    for name in EXACT[:5]:
        value = getattr(maps, name)
        assert value.dtype == torch.float32
        assert value.isfinite().all()
        assert value.shape == (24, 3 if name in ("image", "normal", "albedo") else 1, 32, 32)
        code = maps.codes(name)
        assert 0.0 <= code.min() < code.max() <= 1.0
    assert maps.segmentation.dtype == torch.uint8
    assert maps.segmentation.shape == (24, 32, 32)
    assert 0.5 < maps.depth.min() < maps.depth.max() < 6.0
    with pytest.raises(UserError, match="`name=flow`"):
        maps.codes("flow")


def test_image_equals_albedo_times_shading(maps: Maps) -> None:
    product = maps.albedo * maps.shading
    assert torch.equal(maps.image, srgb_encode(product))
    assert product.max() <= 1.0
    assert maps.shading.max() <= 1.5
    assert maps.shading.min() > 0.05


def test_no_channel_clips_where_a_bright_pane_meets_its_frame() -> None:
    room = empty((0.0, 1.5, 0.1, -0.1, 0.7))
    colour, rect = room.decal_colour.clone(), room.decal_rect.clone()
    colour[0, 1] = torch.tensor([[0.82, 0.0, 0.0], [0.66, 0.66, 0.66], [0.66, 0.66, 0.66]])
    rect[0, 1] = torch.tensor([0.0, 1.5, 1.0, 0.8])
    surface, light = torch.full((1, 3), BACK), torch.tensor([100.0])
    maps = render(replace(room, decal_colour=colour, decal_rect=rect, decal_surface=surface, light_power=light), 64)
    product = maps.albedo * maps.shading
    assert torch.equal(maps.image, srgb_encode(product))
    # up to the rounding of a reciprocal
    assert 0.999 < product.max() <= 1.0 + torch.finfo(torch.float32).eps


def test_normals_are_unit_and_face_the_camera(rooms: Rooms, maps: Maps) -> None:
    torch.testing.assert_close(maps.normal.norm(dim=1), torch.ones(24, 32, 32))
    sharp = render(rooms, 32, supersample=1)
    assert ((sharp.normal * pixel_rays(rooms, 32)).sum(1) < 0.0).all()


def test_normals_point_along_the_documented_axes() -> None:
    # The camera is level and in the middle and looks straight ahead: every surface is visible at an edge.
    normal = render(empty((0.0, 1.25, 0.0, 0.0, 0.7)), 16).normal[0]
    for (row, column), axis in (
        ((8, 8), (0.0, 0.0, 1.0)),
        ((15, 8), (0.0, 1.0, 0.0)),
        ((0, 8), (0.0, -1.0, 0.0)),
        ((8, 0), (1.0, 0.0, 0.0)),
        ((8, 15), (-1.0, 0.0, 0.0)),
    ):
        torch.testing.assert_close(normal[:, row, column], torch.tensor(axis))


def test_depth_of_the_walls_is_analytic() -> None:
    depth = render(empty((0.3, 1.25, 0.0, 0.0, 0.7)), 16, supersample=1).depth[0, 0]
    # back wall: 5 m anywhere; right wall at x = 2: (2 - 0.3) / (x of the ray), pixel 15 of row 8
    torch.testing.assert_close(depth[8, 8], torch.tensor(5.0))
    torch.testing.assert_close(depth[8, 15], torch.tensor(1.7 / (15.0 / 16.0 * 0.7)))
    torch.testing.assert_close(depth[15, 8], torch.tensor(1.25 / (15.0 / 16.0 * 0.7)))


def test_depth_for_a_rotated_camera() -> None:
    yaw, pitch = torch.tensor(0.2), torch.tensor(-0.15)
    room = empty((0.0, 1.5, yaw.item(), pitch.item(), 0.7))
    depth = render(room, 15, supersample=1).depth[0, 0, 7]
    # Along the camera axis z-depth is distance: the back wall is at 5 m. The next ray turns along (cos, 0, -sin).
    torch.testing.assert_close(depth[7], 5.0 / (yaw.cos() * pitch.cos()))
    x = 0.7 * 2.0 / 15.0
    torch.testing.assert_close(depth[8], 5.0 / (yaw.cos() * pitch.cos() - x * yaw.sin()))


def test_depth_and_normals_describe_the_same_planes(rooms: Rooms) -> None:
    size = 48
    sharp = render(rooms, size, supersample=1)
    point = pixel_rays(rooms, size) * sharp.depth
    flat = ["cylinder", "sphere", "lamp"]
    curved = torch.stack([sharp.segmentation == CLASSES.index(name) for name in flat]).any(0)
    for axis in (1, 2):
        a, b = (slice(0, -1), slice(1, None))
        one = [slice(None)] * 3
        two = [slice(None)] * 3
        one[axis], two[axis] = a, b
        pick_one, pick_two = (one[0], slice(None), *one[1:]), (two[0], slice(None), *two[1:])
        n = sharp.normal[pick_one]
        agree = (n == sharp.normal[pick_two]).all(1) & ~curved[tuple(one)] & ~curved[tuple(two)]
        agree &= sharp.segmentation[tuple(one)] == sharp.segmentation[tuple(two)]
        # Parallel planes of one class (two chairs, parts of a bed) are separated by their distance.
        step = ((point[pick_one] - point[pick_two]) * n).sum(1)[agree]
        assert agree.float().mean() > 0.7
        on_one_plane = step.abs() < RAY
        assert on_one_plane.float().mean() > 0.97
        assert step[~on_one_plane].abs().min() > 5e-3


def test_spheres_and_cylinders_have_radial_normals() -> None:
    room = empty((0.0, 1.5, 0.0, -0.2, 0.7))
    half = room.round_half.clone()
    half[0, 0], half[0, 1] = torch.tensor([0.3, 0.4, 0.3]), torch.tensor([0.4, 0.4, 0.4])
    centre = torch.tensor([[[-0.8, 0.4, 3.0], [0.8, 0.4, 3.0], [0.0, 2.0, 3.0]]])
    room = replace(room, round_half=half, round_centre=centre)
    sharp = render(room, 64, supersample=1)
    point = (pixel_rays(room, 64) * sharp.depth)[0]
    pitch = room.camera[0, 3]

    def to_camera(world: Tensor) -> Tensor:
        x, y, z = world - torch.tensor([0.0, 1.5, 0.0])
        return torch.stack([x, y * pitch.cos() - z * pitch.sin(), -(y * pitch.sin() + z * pitch.cos())])

    ball = sharp.segmentation[0] == CLASSES.index("sphere")
    radial = (point[:, ball] - to_camera(centre[0, 1])[:, None]) / 0.4
    assert ball.sum() > 50
    torch.testing.assert_close(sharp.normal[0][:, ball], radial, rtol=0.0, atol=RAY)
    tube = sharp.segmentation[0] == CLASSES.index("cylinder")
    up = torch.stack([torch.tensor(0.0), pitch.cos(), -pitch.sin()])
    lean = (sharp.normal[0][:, tube] * up[:, None]).sum(0)
    top, side = lean > 1.0 - RAY, lean.abs() < RAY
    assert top.sum() > 5
    assert side.sum() > 50
    assert (top | side).all()


def test_a_box_shades_the_floor_behind_it() -> None:
    room = empty((0.0, 1.5, 0.0, -0.2, 0.7))
    before = render(room, 32)
    half, centre = room.box_half.clone(), room.box_centre.clone()
    half[0, 0], centre[0, 0] = torch.tensor([0.6, 0.02, 0.4]), torch.tensor([0.0, 1.8, 2.5])
    after = render(replace(room, box_half=half, box_centre=centre), 32)
    above = centre.clone()
    above[0, 0, 1] = 2.3
    beyond_the_light = render(replace(room, box_half=half, box_centre=above), 32)
    floor = (after.segmentation == CLASSES.index("floor"))[:, None]
    darker = after.shading < before.shading - 0.1
    assert (darker & floor).sum() > 10
    assert (after.shading[floor] <= before.shading[floor]).all()
    assert torch.equal(beyond_the_light.shading[floor], before.shading[floor])


def test_relight_changes_only_shading_and_image(rooms: Rooms, maps: Maps) -> None:
    lit = render(relight(rooms, torch.Generator().manual_seed(5)), 32)
    for name in ("depth", "normal", "albedo", "segmentation"):
        assert torch.equal(getattr(lit, name), getattr(maps, name)), name
    assert ((lit.shading - maps.shading).abs().mean((1, 2, 3)) > 0.01).all()
    assert ((lit.image - maps.image).abs().mean((1, 2, 3)) > 0.003).all()


def test_rendering_does_not_depend_on_the_batch(rooms: Rooms, maps: Maps) -> None:
    for i in (0, 5, 23):
        alone = render(rooms[i : i + 1], 32)
        for name in EXACT:
            assert torch.equal(getattr(alone, name)[0], getattr(maps, name)[i]), (name, i)


def test_picture_of_a_mirrored_room_is_flipped(rooms: Rooms) -> None:
    plain, mirrored = render(rooms, 32, supersample=1), render(rooms.mirrored(), 32, supersample=1)
    # Rays that graze an edge may hit either side of it.
    same = (mirrored.segmentation.flip(-1) == plain.segmentation).float().mean()
    assert same > 0.999
    near = (mirrored.image.flip(-1) - plain.image).abs().amax(1) < RAY
    assert near.float().mean() > 0.998
    turned = mirrored.normal.flip(-1) * torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1)
    assert ((turned - plain.normal).abs().amax(1) < RAY).float().mean() > 0.998


def test_supersampling_blends_edges(rooms: Rooms) -> None:
    sharp, soft = render(rooms[:4], 32, supersample=1), render(rooms[:4], 32, supersample=3)
    colours = [len(m.albedo[0].flatten(1).T.unique(dim=0)) for m in (sharp, soft)]
    assert colours[0] < 40 < colours[1]
