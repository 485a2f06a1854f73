"""The facts of a model in the report: name, hash and number of parameters."""

from __future__ import annotations

from typing import Any

from torch import nn

from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.joint_teacher import JointTeacher


def teacher_facts(teacher: Teacher) -> dict[str, Any]:
    """name, sha256 and parameters of a teacher; parameters is 0 for a formula."""
    return {"name": teacher.name, "sha256": teacher.sha256, "parameters": parameters(teacher)}


def parameters(model: object) -> int:
    """Number of parameters of a module, of the modules in an object's attributes, or of a joint teacher."""
    if isinstance(model, JointTeacher):
        return sum(parameters(member) for member in model.members)
    modules = [model] if isinstance(model, nn.Module) else [m for m in vars(model).values() if isinstance(m, nn.Module)]
    return sum(tensor.numel() for module in modules for tensor in module.parameters())
