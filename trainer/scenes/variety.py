"""The variety of rooms: the ranges and probabilities that `sampling.py` and `furniture.py` use.

Calm rooms have plain surfaces, walls of one hue and beds at the back wall. Their sizes vary as much as those of rich
rooms, because the depth of a picture depends mostly on them. A small generator that is trained for two hours on a CPU
learns calm rooms and blurs rich ones. Teachers are trained on rich rooms, which include calm ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from sgi.engine.errors import UserError

Range = tuple[float, float]


@dataclass(frozen=True)
class Variety:
    """Ranges in metres and radians, and probabilities.

    half_width, height, back: of the room; back is the distance from the camera to the back wall. camera_x, yaw: largest
    offset and rotation of the camera to either side. pitch: of the camera. tangent: of half the field of view.
    walls_agree: probability that left and right wall have one hue (with different brightness). back_agrees: that the
    back wall has the hue of one of them. stripes: that a surface other than the ceiling is striped. bed: that the room
    has a bed, else a table. bed_at_side: that the head of the bed is at a side wall. cabinet, window, picture, rug,
    round_objects: that such an object is in the room.
    """

    name: str
    half_width: Range
    height: Range
    back: Range
    camera_x: float
    yaw: float
    pitch: Range
    tangent: Range
    walls_agree: float
    back_agrees: float
    stripes: float
    bed: float
    bed_at_side: float
    cabinet: float
    window: float
    picture: float
    rug: float
    round_objects: float


RICH = Variety(
    name="rich",
    half_width=(1.7, 2.35), height=(2.3, 2.9), back=(3.2, 4.9),
    camera_x=0.6, yaw=0.15, pitch=(-0.26, -0.06), tangent=(0.6, 0.82),
    walls_agree=0.0, back_agrees=0.5, stripes=0.2,
    bed=0.65, bed_at_side=0.38, cabinet=0.8, window=0.45, picture=0.5, rug=0.55, round_objects=0.58,
)  # fmt: skip
CALM = Variety(
    name="calm",
    half_width=(1.7, 2.35), height=(2.3, 2.9), back=(3.2, 4.9),
    camera_x=0.45, yaw=0.08, pitch=(-0.25, -0.07), tangent=(0.62, 0.8),
    walls_agree=1.0, back_agrees=0.75, stripes=0.0,
    bed=0.8, bed_at_side=0.0, cabinet=0.8, window=0.3, picture=0.4, rug=0.5, round_objects=0.5,
)  # fmt: skip

VARIETIES = {variety.name: variety for variety in (RICH, CALM)}


def get_variety(name: str) -> Variety:
    """The variety of this name; raises UserError if there is none."""
    if name not in VARIETIES:
        raise UserError(f"`variety={name}`: choose from {', '.join(VARIETIES)}")
    return VARIETIES[name]
