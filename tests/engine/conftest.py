"""The fixtures of tests/engine_fixtures.py and tests/s3_server.py."""

from engine_fixtures import all_types_model, class_model, command, model
from s3_server import s3, s3_endpoint

__all__ = ["all_types_model", "class_model", "command", "model", "s3", "s3_endpoint"]
