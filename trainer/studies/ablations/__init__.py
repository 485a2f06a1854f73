"""The ablations: how a map depends on its offset's space, rows and length, and on the number of pictures."""

from sgi.trainer.studies.ablations.ablation_study import (
    AblationPlan,
    AblationReport,
    AblationSettings,
    ablate,
    plan_ablation,
)

__all__ = ["AblationPlan", "AblationReport", "AblationSettings", "ablate", "plan_ablation"]
