"""Maps of what a viewer shows: seeds, truncation, mixing, interpolation and factors of offsets, from an open model."""

from sgi.engine.live.live_model import LATENTS_KEPT, LiveModel
from sgi.engine.live.opening import open_live
from sgi.engine.live.screen import Mix, Row, Screen, Towards

__all__ = ["LATENTS_KEPT", "LiveModel", "Mix", "Row", "Screen", "Towards", "open_live"]
