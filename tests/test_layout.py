"""The layout of the repository: packages declared, allowed imports between rooms, no circles, no torch where we run.

ALLOWED is the whole architecture: a room may import itself and the rooms of its row, deferred imports included.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGES = ("cli", "engine", "kernels", "export", "trainer")

_ENGINE = {"engine", "engine.backends", "engine.bundle", "engine.generator", "engine.writers"}
_RUN = {*_ENGINE, "engine.api", "engine.run", "engine.service", "engine.shards", "engine.walk"}
ALLOWED: dict[str, set[str]] = {
    "kernels": set(),
    "kernels.gpu": {"kernels"},
    "engine": set(),
    "engine.generator": {"engine"},
    "engine.bundle": {"engine"},
    "engine.writers": {"engine"},
    "engine.shards": {"engine", "engine.writers"},
    "engine.backends": {"engine"},
    "engine.backends.triton": {"engine", "engine.backends", "engine.generator", "kernels.gpu"},
    "engine.model_recipe": {"engine", "engine.bundle"},
    "engine.generator_model": {
        "engine", "engine.backends", "engine.backends.triton", "engine.bundle", "engine.generator",
        "engine.model_recipe", "export",
    },
    "engine.api": {"engine", "engine.backends", "engine.bundle", "engine.generator_model", "engine.writers"},
    "engine.service": {"engine", "engine.api", "engine.writers"},
    "engine.run": {
        "engine", "engine.api", "engine.backends", "engine.generator_model", "engine.shards", "engine.writers",
    },
    "engine.cluster": {
        "engine", "engine.api", "engine.backends", "engine.generator_model", "engine.run", "engine.shards",
    },
    "engine.walk": {"engine", "engine.api", "engine.backends", "engine.generator_model", "engine.writers"},
    "engine.live": {
        "engine", "engine.api", "engine.backends", "engine.bundle", "engine.generator_model", "engine.writers",
    },
    "engine.view": {
        "engine", "engine.api", "engine.backends", "engine.bundle", "engine.generator_model", "engine.live",
        "engine.run", "engine.service", "engine.shards", "engine.writers",
    },
    "engine.doctor": {"engine", "engine.backends", "engine.bundle", "engine.generator_model", "engine.writers"},
    "engine.inspect_file": {"engine", "engine.generator"},
    "export": {*_ENGINE, "engine.model_recipe"},
    "trainer": {"engine"},
    "trainer.scenes": {"engine", "trainer"},
    "trainer.measures": {"engine", "trainer"},
    "trainer.teachers": {*_ENGINE, "trainer", "trainer.scenes"},
    "trainer.losses": {*_ENGINE, "trainer", "trainer.teachers"},
    "trainer.teacher_training": {
        *_ENGINE, "trainer", "trainer.losses", "trainer.measures", "trainer.scenes", "trainer.teachers",
    },
    "trainer.gan": {*_ENGINE, "trainer", "trainer.scenes", "trainer.teachers"},
    "trainer.offsets": {
        *_ENGINE, "engine.backends.triton", "trainer", "trainer.losses", "trainer.measures", "trainer.teachers",
    },
    "trainer.studies": {
        *_ENGINE, "trainer", "trainer.losses", "trainer.measures", "trainer.offsets", "trainer.scenes",
        "trainer.teachers",
    },
    "cli": {
        *_RUN, "engine.cluster", "engine.doctor", "engine.generator_model", "engine.inspect_file", "engine.live",
        "engine.view", "export", "trainer", "trainer.gan", "trainer.losses", "trainer.offsets", "trainer.scenes",
        "trainer.studies", "trainer.teacher_training", "trainer.teachers",
    },
}  # fmt: skip
"""Room -> the rooms it may import besides itself. A module belongs to the room of the longest name that it begins with.

`engine` alone stands for the modules in that folder, `engine.api` for the file and for the names that `sgi.engine`
re-exports.
"""
PUBLIC = {"engine": "engine.api"}
"""Packages whose `__init__` re-exports another room's names -> that room."""

RUNNING_PATH = (
    "cli", "engine", "engine.api", "engine.backends", "engine.bundle", "engine.cluster", "engine.doctor",
    "engine.generator_model", "engine.inspect_file", "engine.live", "engine.model_recipe", "engine.run",
    "engine.shards", "engine.walk", "engine.writers",
)  # fmt: skip
HEAVY = ("torch", "onnx", "triton", "av", "ray")


@cache
def modules() -> dict[str, Path]:
    """Every module of the packages, `engine.files` and the like, and its file."""
    found = {}
    for name in PACKAGES:
        for path in sorted((ROOT / name).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "native" not in parts:
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(nodes) -> set[str]:
    """Our modules that import statements name."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sgi":
            base = node.module.removeprefix("sgi").lstrip(".")
            inner = {f"{base}.{alias.name}".lstrip(".") for alias in node.names}
            known = inner & modules().keys()
            names |= known | ({base} if len(known) < len(inner) and base else set())
        elif isinstance(node, ast.Import):
            names |= {alias.name.removeprefix("sgi.") for alias in node.names if alias.name.startswith("sgi.")}
    return names


@cache
def imports(module: str) -> frozenset[str]:
    """Our modules that a module imports anywhere in its text."""
    return frozenset(imported(ast.walk(ast.parse(modules()[module].read_text())))) - {module}


def room(module: str) -> str:
    """The room of a module."""
    if module in PUBLIC:
        return PUBLIC[module]
    parts = module.split(".")
    return next(name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in ALLOWED)


def module_level(body) -> list[ast.Import | ast.ImportFrom]:
    """Import statements that run when the module is imported."""
    found: list[ast.Import | ast.ImportFrom] = []
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") != "TYPE_CHECKING":
            found += module_level(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            found += module_level(node.body)
    return found


def test_every_package_is_declared():
    folders = {p.parent.relative_to(ROOT) for name in PACKAGES for p in (ROOT / name).rglob("*.py")}
    found = {"sgi." + ".".join(folder.parts) for folder in folders if "native" not in folder.parts}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert found == set(declared)


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_room_imports_only_what_its_row_allows(name):
    wrong = [
        f"{module} imports {other}"
        for module in modules()
        if room(module) == name
        for other in sorted(imports(module))
        if room(other) not in {name, *ALLOWED[name]}
    ]
    assert not wrong, "\n".join(wrong)


def test_every_room_exists_and_every_allowed_arrow_is_used():
    used: defaultdict[str, set[str]] = defaultdict(set)
    for module in modules():
        used[room(module)] |= {room(other) for other in imports(module)}
    assert set(used) == set(ALLOWED)
    for name, others in ALLOWED.items():
        assert others <= set(ALLOWED), name


def test_no_circle_of_rooms():
    order: list[str] = []
    left = dict(ALLOWED)
    while left:
        ready = [name for name, others in left.items() if not (others - set(order))]
        assert ready, f"a circle among {sorted(left)}"
        order += ready
        for name in ready:
            del left[name]


def test_no_circle_of_modules():
    """A package's `__init__` counts as importing what it imports, not what stands below it."""
    state: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if state.get(module) == 2:
            return
        assert state.get(module) != 1, " -> ".join((*trail[trail.index(module) :], module))
        state[module] = 1
        for other in sorted(imports(module)):
            if other in modules():
                visit(other, (*trail, module))
        state[module] = 2

    for module in modules():
        visit(module, ())


def test_the_running_path_never_imports_torch():
    for module, path in modules().items():
        if room(module) not in RUNNING_PATH:
            continue
        for node in module_level(ast.parse(path.read_text()).body):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for name in names:
                assert name.split(".")[0] not in HEAVY, f"{module} imports {name}"
        for other in imported(module_level(ast.parse(path.read_text()).body)):
            assert room(other) in RUNNING_PATH, f"{module} imports {other}"


def test_messages_of_rooms_below_the_command_line_name_parameters():
    """`class_index=9`, not --class: the command line puts its flags in (sgi.cli.errors)."""
    wrong = []
    for module, path in modules().items():
        if room(module) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                words = [
                    n.value for n in ast.walk(node.exc) if isinstance(n, ast.Constant) and isinstance(n.value, str)
                ]
                if any(_names_a_flag(text) for text in words):
                    wrong.append(f"{module}:{node.lineno}")
    assert not wrong, "\n".join(wrong)


def _names_a_flag(text: str) -> bool:
    outside = text.split("`")[::2]  # commands to type stand in backticks
    return any(word.startswith("--") and len(word) > 2 for part in outside for word in part.split())
