"""The fixtures of tests/engine_fixtures.py."""

from engine_fixtures import all_types_model, class_model, command, model

__all__ = ["all_types_model", "class_model", "command", "model"]
