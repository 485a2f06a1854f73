"""Paths of the bundled files: the rooms generator, its teacher, its offsets and its exported model."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
GENERATOR = FOLDER / "rooms.safetensors"
TEACHER = FOLDER / "teacher.safetensors"
MODEL = FOLDER / "rooms.onnx"
OFFSETS = FOLDER / "offsets"


def offset(type_name: str) -> Path:
    """Path of the bundled offset of a type."""
    return OFFSETS / f"{type_name}.safetensors"
