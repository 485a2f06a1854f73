"""Maps of what a viewer shows: seeds, truncation, mixing, interpolation and factors of offsets, from an open model."""

from sgi.engine.live.live_model import LiveModel, open_live
from sgi.engine.live.screen import Mix, Row, Screen, Towards

__all__ = ["LiveModel", "Mix", "Row", "Screen", "Towards", "open_live"]
