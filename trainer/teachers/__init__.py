"""Teachers: models that predict intrinsic maps from a picture. Offsets are fitted to their maps."""

from sgi.trainer.teachers.registry import load_teacher, register_teacher
from sgi.trainer.teachers.teacher import Opener, Teacher

__all__ = ["Opener", "Teacher", "load_teacher", "register_teacher"]
