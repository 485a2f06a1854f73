"""Teachers of other packages: an installed package adds kinds, and errors name the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "sgi-toy-teachers"
version = "1.0"

[tool.setuptools]
py-modules = ["toy_teachers"]

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
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "toy_teachers.py").write_text(MODULE)
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, source], check=True)
    return target


@pytest.fixture
def python(site):
    """Run code in a process in which the example package is installed; returns its stdout."""

    def call(code: str) -> str:
        path = os.pathsep.join(filter(None, (str(site), *sys.path)))
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
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
