"""The relighting study: directions of w+ that change the light and little else, and how maps change with it."""

from sgi.trainer.studies.relighting.relighting_study import RelightingReport, RelightingSettings, relight

__all__ = ["RelightingReport", "RelightingSettings", "relight"]
