"""Fixtures of the rooms below: models, the command line, a tiny generator with its teacher, a study."""

from engine_fixtures import all_types_model, class_model, command, model
from study_fixtures import study
from trainer_fixtures import generator, known_offset, known_pools, teacher

__all__ = [
    "all_types_model",
    "class_model",
    "command",
    "generator",
    "known_offset",
    "known_pools",
    "model",
    "study",
    "teacher",
]
