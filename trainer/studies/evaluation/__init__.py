"""The evaluation: does a generator know a map, or can a fit force it? Measures, controls, intervals, and a report."""

from sgi.trainer.studies.evaluation.evaluation_report import EvaluationReport
from sgi.trainer.studies.evaluation.evaluation_study import (
    EvaluationPlan,
    EvaluationSettings,
    evaluate,
    plan_evaluation,
)

__all__ = ["EvaluationPlan", "EvaluationReport", "EvaluationSettings", "evaluate", "plan_evaluation"]
