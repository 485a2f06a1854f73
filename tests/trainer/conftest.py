"""The tiny generator, teacher and pools of tests/trainer_fixtures.py."""

from trainer_fixtures import generator, known_offset, known_pools, teacher

__all__ = ["generator", "known_offset", "known_pools", "teacher"]
