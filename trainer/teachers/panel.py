"""Several teachers as one: each type is told by the first of them that can."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import SEGMENTATION
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.base import identity


class Panel:
    """A Teacher (see sgi.trainer.teachers) of others; the first one's features, range and resolution are its own.

    Raises UserError for members that take pictures of different ranges.
    """

    def __init__(self, members: Sequence[Teacher]) -> None:
        first = members[0]
        for other in members:
            if other.input_range != first.input_range:
                raise UserError(
                    f"--teacher: {other.name} takes pictures in {other.input_range}, "
                    f"{first.name} in {first.input_range}: they cannot sit on one panel"
                )
        self.members = tuple(members)
        self.name = " + ".join(member.name for member in members)
        self.sha256 = identity({"panel": [member.sha256 for member in members]})
        self.types = tuple(dict.fromkeys(name for member in members for name in member.types))
        self.classes = next((member.classes for member in members if SEGMENTATION in member.types), ())
        self.input_range = first.input_range
        self.resolution = first.resolution

    def teacher_of(self, kind: str) -> Teacher:
        """The member that tells a type; raises UserError if none does."""
        for member in self.members:
            if kind in member.types:
                return member
        raise UserError(f"--type {kind}: teacher {self.name} tells only {', '.join(self.types)}")

    def __call__(self, image: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
        """Codes of `types` as their members tell them; see `Teacher`."""
        tellers = {name: self.teacher_of(name) for name in types}
        target: dict[str, Tensor] = {}
        for member in self.members:
            asked = [name for name in types if tellers[name] is member]
            if asked:
                target |= member(image, asked)
        return {name: target[name] for name in types}

    def features(self, image: Tensor) -> Tensor:
        """Features of the first member; see `Teacher`."""
        return self.members[0].features(image)


def teacher_of(teacher: Teacher, kind: str) -> Teacher:
    """Who really tells a type: the member of a panel, or the teacher itself."""
    return teacher.teacher_of(kind) if isinstance(teacher, Panel) else teacher
