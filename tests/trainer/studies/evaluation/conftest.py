"""The study of tests/study_fixtures.py."""

from study_fixtures import study

__all__ = ["study"]
