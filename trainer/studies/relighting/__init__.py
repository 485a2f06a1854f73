"""Relighting: directions of w+ that change the light and little else, and what maps do when the light changes."""

from sgi.trainer.studies.relighting.directions import DirectionSettings, find, load_directions, save_directions
from sgi.trainer.studies.relighting.measure import measure

__all__ = ["DirectionSettings", "find", "load_directions", "measure", "save_directions"]
