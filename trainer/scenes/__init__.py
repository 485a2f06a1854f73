"""Procedural rooms with exact depth, normals, albedo and shading, sampled and rendered in torch."""

from sgi.trainer.scenes.lights import relight
from sgi.trainer.scenes.maps import Maps
from sgi.trainer.scenes.render import render
from sgi.trainer.scenes.rooms import CLASSES, Rooms
from sgi.trainer.scenes.sampling import sample_rooms
from sgi.trainer.scenes.variety import CALM, RICH, Variety

__all__ = ["CALM", "CLASSES", "RICH", "Maps", "Rooms", "Variety", "relight", "render", "sample_rooms"]
