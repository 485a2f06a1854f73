"""The ablations: the error of a map by the offset's space, rows and length, and by the number of pictures."""

from sgi.trainer.studies.ablations.ablation_study import (
    AblationPlan,
    AblationReport,
    AblationSettings,
    ablate,
    plan_ablation,
)

__all__ = ["AblationPlan", "AblationReport", "AblationSettings", "ablate", "plan_ablation"]
