"""Inversion, and the truth study: offsets against the exact maps of rendered rooms.

Generated pictures have no exact maps. Rendered rooms have them, so the study inverts renders into the generator and
compares the maps there.
"""

from sgi.trainer.studies.truth.inversion_study import InversionReport, InversionSettings, invert
from sgi.trainer.studies.truth.truth_study import TruthReport, TruthSettings, compare_with_truth

__all__ = [
    "InversionReport", "InversionSettings", "TruthReport", "TruthSettings", "compare_with_truth", "invert",
]  # fmt: skip
