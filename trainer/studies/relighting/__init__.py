"""The relighting study: directions in w+ that change mainly the light, and the changes of maps along them."""

from sgi.trainer.studies.relighting.relighting_study import RelightingReport, RelightingSettings, relight

__all__ = ["RelightingReport", "RelightingSettings", "relight"]
