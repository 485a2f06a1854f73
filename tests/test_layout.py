"""The house: packages declared, import directions, and nothing of one machine."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGES = ("cli", "engine", "kernels", "export", "trainer")
RUNNING_PATH = [
    *sorted((ROOT / "engine").glob("*.py")),
    *sorted((ROOT / "cli").glob("*.py")),
    *(p for p in sorted((ROOT / "engine/backends").rglob("*.py")) if "triton" not in p.parts and p.stem != "triton"),
]
# Who may import whom at module level (besides itself and engine's torch-free part).
FORBIDDEN = {
    "kernels": ("sgi.export", "sgi.trainer", "sgi.cli"),
    "engine/generator": ("sgi.export", "sgi.trainer", "sgi.cli"),
    "export": ("sgi.trainer", "sgi.cli"),
    "trainer": ("sgi.export", "sgi.cli"),
}


def module_imports(path):
    """Names imported when the module is, without what stands in functions or under TYPE_CHECKING."""
    names = []

    def visit(body):
        for node in body:
            if isinstance(node, ast.Import):
                names.extend(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.append(node.module)
            elif isinstance(node, ast.If) and getattr(node.test, "id", "") != "TYPE_CHECKING":
                visit(node.body + node.orelse)
            elif isinstance(node, ast.Try):
                visit(node.body)

    visit(ast.parse(path.read_text()).body)
    return names


def test_every_package_is_declared():
    folders = {p.parent.relative_to(ROOT) for name in PACKAGES for p in (ROOT / name).rglob("*.py")}
    found = {"sgi." + ".".join(folder.parts) for folder in folders if "native" not in folder.parts}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert found == set(declared)


def test_the_running_path_never_imports_torch():
    for path in RUNNING_PATH:
        for name in module_imports(path):
            heavy = name.split(".")[0] in ("torch", "onnx", "triton")
            assert not heavy, f"{path.relative_to(ROOT)} imports {name}"
            assert not name.startswith(("sgi.export", "sgi.trainer", "sgi.kernels", "sgi.engine.generator")), path


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_import_directions(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = ast.parse(path.read_text())
        modules = [n.module for n in ast.walk(text) if isinstance(n, ast.ImportFrom) and n.module]
        modules += [alias.name for n in ast.walk(text) if isinstance(n, ast.Import) for alias in n.names]
        for module in modules:
            assert not module.startswith(FORBIDDEN[folder]), f"{path.relative_to(ROOT)} imports {module}"
