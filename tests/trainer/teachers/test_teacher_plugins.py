"""Teachers of other packages: an installed package adds kinds, and errors name the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_package import install_package, run_with

ENTRY_POINTS = """
[project.entry-points."sgi_engine.teachers"]
toy = "toy_teachers:open_toy"
refusing = "toy_teachers:refuse"
failing = "toy_teachers:fail"
not-a-teacher = "toy_teachers:open_nothing"
not-an-opener = "toy_teachers:NUMBER"
broken = "toy_teachers.missing:open_toy"
analytic = "toy_teachers:fail"
"""

MODULE = '''
import hashlib

from sgi.engine.errors import UserError
from sgi.trainer.teachers.map_teacher import MapTeacher

NUMBER = 3


class Toy(MapTeacher):
    """The red channel as depth."""

    def codes(self, image, types):
        return {"depth": image[:, :1]}


def open_toy(argument, device):
    return Toy(f"toy {argument} on {device}", hashlib.sha256(argument.encode()).hexdigest(), ("depth",))


def refuse(argument, device):
    raise UserError(f"`teacher=refusing:{argument}`: no such toy")


def fail(argument, device):
    return {}[argument]


def open_nothing(argument, device):
    return None
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder in which pip installed the example package."""
    return install_package(tmp_path_factory.mktemp("package"), "sgi-toy-teachers", "toy_teachers", MODULE, ENTRY_POINTS)


@pytest.fixture
def python(site):
    """Run code in a process in which the example package is installed; returns its stdout."""

    def call(code: str) -> str:
        done = run_with(site, code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_a_package_adds_a_kind_of_teacher(python):
    found = python(
        "import torch\n"
        "from sgi.trainer.teachers import Teacher, load_teacher\n"
        "teacher = load_teacher('toy:x')\n"
        "image = torch.rand(2, 3, 8, 8)\n"
        "assert isinstance(teacher, Teacher)\n"
        "assert torch.equal(teacher(image, ['depth'])['depth'], image[:, :1])\n"
        "joint = load_teacher('toy:x+analytic:sobel')\n"
        "print(teacher.name, joint.types)\n"
    )
    assert found == "toy x on cpu ('depth', 'edges')\n"


def test_errors_of_packages_are_one_line(python):
    """All cases in one process, because an import of torch takes seconds."""
    cases = {
        "zoo:x": "`teacher=zoo:x`: unknown kind 'zoo'; use `bundled`, a teacher file, or analytic:..., ",
        "refusing:x": "`teacher=refusing:x`: no such toy",
        "failing:x": "`teacher=failing:x`: package sgi-toy-teachers cannot open it (KeyError: 'x')",
        "not-a-teacher:x": "`teacher=not-a-teacher:x`: package sgi-toy-teachers returned a NoneType, which is not",
        "not-an-opener:x": "`teacher=not-an-opener:x`: package sgi-toy-teachers cannot open it (TypeError: ",
        "broken:x": "plugin 'broken' of package sgi-toy-teachers does not import (ModuleNotFoundError: ",
    }
    found = python(
        "from sgi.engine.errors import UserError\n"
        "from sgi.trainer.teachers import load_teacher\n"
        f"for spec in {list(cases)}:\n"
        "    try:\n"
        "        load_teacher(spec)\n"
        "    except UserError as error:\n"
        "        print(error)\n"
    ).splitlines()
    assert len(found) == len(cases)
    for line, expected in zip(found, cases.values(), strict=True):
        assert line.startswith(expected)


def test_a_built_in_kind_is_not_replaced(python):
    code = "from sgi.trainer.teachers import load_teacher; print(load_teacher('analytic:sobel').name)"
    assert python(code) == "analytic sobel\n"
