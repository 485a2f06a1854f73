"""How much rooms differ from one another: the ranges that `sampling.py` and `furniture.py` draw from.

A small generator trained for two hours on a CPU learns a calm world and only smears a rich one: calm rooms have plain
surfaces, walls of one hue and beds at the back, but boxes and cameras as different as any, since that is what a
picture's depth mostly says. Teachers are trained on the rich world, which holds the calm one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sgi.engine.errors import UserError

Range = tuple[float, float]


@dataclass(frozen=True)
class Variety:
    """Ranges in metres and radians, and probabilities.

    half_width, height, back: of the room, back being the camera's distance to the back wall. camera_x, yaw: largest
    offset and turn to either side. pitch, tangent: of the camera, tangent that of half the field of view.
    walls_agree: left and right wall have one hue (their brightness differs all the same); back_agrees: the back wall
    has the hue of one of them. stripes: of each surface but the ceiling. bed: a bed rather than a table;
    bed_at_side: its head at a side wall. The rest: that such a thing is in the room.
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
    round_things: float


RICH = Variety(
    name="rich",
    half_width=(1.7, 2.35), height=(2.3, 2.9), back=(3.2, 4.9),
    camera_x=0.6, yaw=0.15, pitch=(-0.26, -0.06), tangent=(0.6, 0.82),
    walls_agree=0.0, back_agrees=0.5, stripes=0.2,
    bed=0.65, bed_at_side=0.38, cabinet=0.8, window=0.45, picture=0.5, rug=0.55, round_things=0.58,
)  # fmt: skip
CALM = Variety(
    name="calm",
    half_width=(1.7, 2.35), height=(2.3, 2.9), back=(3.2, 4.9),
    camera_x=0.45, yaw=0.08, pitch=(-0.25, -0.07), tangent=(0.62, 0.8),
    walls_agree=1.0, back_agrees=0.75, stripes=0.0,
    bed=0.8, bed_at_side=0.0, cabinet=0.8, window=0.3, picture=0.4, rug=0.5, round_things=0.5,
)  # fmt: skip

VARIETIES = {variety.name: variety for variety in (RICH, CALM)}


def get_variety(name: str) -> Variety:
    """The variety of that name; raises UserError if there is none."""
    if name not in VARIETIES:
        raise UserError(f"variety {name!r}: choose from {', '.join(VARIETIES)}")
    return VARIETIES[name]
