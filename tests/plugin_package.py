"""An example package with entry points, installed by pip, and processes that see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.0"

[tool.setuptools]
py-modules = ["{module}"]
"""
_PIP = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")


def install_package(folder: Path, name: str, module: str, code: str, entry_points: str) -> Path:
    """Install the package `name` with one module of `code`; returns the folder to put on the path.

    entry_points: tables of pyproject.toml.
    """
    source, target = folder / "source", folder / "site"
    source.mkdir()
    (source / "pyproject.toml").write_text(_PROJECT.format(name=name, module=module) + entry_points)
    (source / f"{module}.py").write_text(code)
    subprocess.run([sys.executable, "-m", "pip", "install", *_PIP, "--target", target, source], check=True)
    return target


def run_with(site: Path, code: str, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process in which the package of `site` is installed. folder: its current folder."""
    path = os.pathsep.join(filter(None, (str(site), *sys.path)))
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
    )  # fmt: skip
