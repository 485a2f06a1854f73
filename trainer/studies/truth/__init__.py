"""Truth, which generated pictures do not have: rendered rooms, inverted into the generator, know their exact maps."""

from sgi.trainer.studies.truth.inversion import Inversion, InversionSettings, invert
from sgi.trainer.studies.truth.measure import measure

__all__ = ["Inversion", "InversionSettings", "invert", "measure"]
