"""Several teachers as one: the first that supports a type predicts it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import SEGMENTATION
from sgi.trainer.teachers.map_teacher import content_sha256, unsupported
from sgi.trainer.teachers.teacher import Teacher


class JointTeacher:
    """A Teacher of several others. Its features, input range and resolution are those of the first member.

    Raises UserError for members that take pictures of different ranges.
    """

    def __init__(self, members: Sequence[Teacher]) -> None:
        first = members[0]
        for other in members:
            if other.input_range != first.input_range:
                raise UserError(
                    f"`teacher`: {other.name} takes pictures in {other.input_range}, "
                    f"{first.name} in {first.input_range}: they cannot be joined"
                )
        self.members = tuple(members)
        self.name = " + ".join(member.name for member in members)
        # "panel" is part of the hash in existing offset files.
        self.sha256 = content_sha256({"panel": [member.sha256 for member in members]})
        self.types = tuple(dict.fromkeys(name for member in members for name in member.types))
        self.classes = next((member.classes for member in members if SEGMENTATION in member.types), ())
        self.input_range = first.input_range
        self.resolution = first.resolution

    def teacher_of(self, kind: str) -> Teacher:
        """The first member that supports a type; raises UserError if none does."""
        for member in self.members:
            if kind in member.types:
                return member
        raise unsupported(self, kind)

    def __call__(self, image: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
        """Codes of `types`, each by the first member that supports it; see `Teacher`."""
        members = {name: self.teacher_of(name) for name in types}
        target: dict[str, Tensor] = {}
        for member in self.members:
            names = [name for name in types if members[name] is member]
            if names:
                target |= member(image, names)
        return {name: target[name] for name in types}

    def features(self, image: Tensor) -> Tensor:
        """Features of the first member; see `Teacher`."""
        return self.members[0].features(image)


def teacher_of(teacher: Teacher, kind: str) -> Teacher:
    """The teacher that predicts a type: the member of a joint teacher, else the teacher itself."""
    return teacher.teacher_of(kind) if isinstance(teacher, JointTeacher) else teacher
