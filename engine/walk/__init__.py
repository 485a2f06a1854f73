"""Walks through the latents of seeds as videos or folders of frames, the image beside its maps.

from sgi.engine.walk import interpolate
interpolate([0, 5, 9], frames=240, out="walk.mp4")
"""

from sgi.engine.walk.interpolate import WalkReport, interpolate

__all__ = ["WalkReport", "interpolate"]
