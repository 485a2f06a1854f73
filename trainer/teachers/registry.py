"""Opening of a teacher from its spec: the table of kinds, teachers of other packages, and specs joined by +.

A spec is `bundled`, a teacher file, `kind:argument`, or several of these joined by +. `bundled` is the bundled U-Net,
with a Sobel filter for edges.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from sgi.engine import plugins
from sgi.engine.errors import UserError
from sgi.trainer.teachers.joint_teacher import JointTeacher
from sgi.trainer.teachers.teacher import Opener, Teacher

TEACHERS = {
    "analytic": "analytic_teacher",
    "diffusers": "diffusers_teacher",
    "onnx": "onnx_teacher",
    "transformers": "transformers_teacher",
    "unet": "unet_teacher",
}
"""Kind -> module of this package. Its function `open_teacher` is an `Opener`.

Modules are imported when a spec names their kind, because some need packages of their own. A package that is installed
beside this one adds a kind by an entry point: group `sgi_engine.teachers`, the kind as its name, an `Opener` as its
value.
"""

_REGISTERED: dict[str, Opener] = {}
# At least two letters: `C:\rooms.safetensors` is a file.
_KIND = re.compile(r"([a-z][a-z0-9-]+):(.*)", re.DOTALL)
# A path may contain a +, so a + joins only where another spec follows.
_JOINT = re.compile(r"\+(?=bundled$|bundled\+|[a-z][a-z0-9-]+:)")


def register_teacher(kind: str, opener: Opener) -> None:
    """Add a kind of teacher for this process: `load_teacher` then opens specs that begin with `kind:`.

    Raises ValueError if the kind is taken or is not lower-case letters, digits and dashes.
    """
    if kind in TEACHERS or kind in _REGISTERED or not _KIND.fullmatch(f"{kind}:"):
        raise ValueError(f"teacher kind {kind!r} is taken, or is not lower-case letters, digits and dashes")
    _REGISTERED[kind] = opener


def load_teacher(spec: str = "bundled", device: str = "cpu") -> Teacher:
    """Open the teacher that `spec` names, on `device` (cpu or cuda).

    Raises UserError for an unknown kind or a missing file, and the errors of the kind's opener.
    """
    if spec == "bundled":
        from sgi.engine.bundle import TEACHER

        return _joint([f"unet:{TEACHER}", "analytic:sobel"], device)
    members = _JOINT.split(spec)
    if len(members) > 1:
        return _joint(members, device)
    match = _KIND.fullmatch(spec)
    if match is None:
        if not Path(spec).exists():
            raise UserError(f"`teacher={spec}`: no such file; use `bundled`, a teacher file, or {_kinds()}")
        return _open("unet", spec, device)
    return _open(match[1], match[2], device)


def _open(kind: str, argument: str, device: str) -> Teacher:
    if kind in _REGISTERED:
        return _REGISTERED[kind](argument, device)
    if kind in TEACHERS:
        teacher: Teacher = import_module(f"{__package__}.{TEACHERS[kind]}").open_teacher(argument, device)
        return teacher
    return _open_plugin(kind, argument, device)


def _open_plugin(kind: str, argument: str, device: str) -> Teacher:
    """A teacher of another package; raises UserError, naming the package, if the package cannot open it."""
    opener = plugins.load_plugin(plugins.TEACHERS, kind)
    if opener is None:
        raise UserError(
            f"`teacher={kind}:{argument}`: unknown kind {kind!r}; use `bundled`, a teacher file, or {_kinds()}"
        )
    package = plugins.package_of(plugins.find_plugins(plugins.TEACHERS)[kind])
    try:
        teacher = opener(argument, device)
    except UserError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UserError(
            f"`teacher={kind}:{argument}`: package {package} cannot open it ({type(error).__name__}: {reason})"
        ) from error
    if not isinstance(teacher, Teacher):
        raise UserError(
            f"`teacher={kind}:{argument}`: package {package} returned a {type(teacher).__name__}, "
            "which is not an sgi.trainer.teachers.Teacher"
        )
    return teacher


def _joint(specs: Sequence[str], device: str) -> Teacher:
    return JointTeacher([load_teacher(spec, device) for spec in specs])


def _kinds() -> str:
    names = {*TEACHERS, *_REGISTERED, *plugins.find_plugins(plugins.TEACHERS)}
    return ", ".join(f"{name}:..." for name in sorted(names))
