"""Build backend: that of scikit-build-core, with the sources of the C++ library in source distributions.

In a checkout the library is built from the folders of the repository. A source distribution has a copy of them, in
`source/`, which exists in a checkout only while the distribution is built.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import scikit_build_core.build as inner
from scikit_build_core.build import *  # noqa: F403

HERE = Path(__file__).parents[1]
COPY = HERE / "source"
PARTS = (
    "CMakeLists.txt",
    "engine/version.py",
    "engine/native/CMakeLists.txt",
    "engine/native/cmake",
    "engine/native/include",
    "engine/native/src",
    "kernels/cpu",
)


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    """The name of the source distribution written into a folder; see PEP 517."""
    if COPY.exists():  # of an unpacked source distribution
        return inner.build_sdist(sdist_directory, config_settings)
    repository = HERE.parents[2]
    try:
        for part in PARTS:
            _copy(repository / part, COPY / part)
        return inner.build_sdist(sdist_directory, config_settings)
    finally:
        shutil.rmtree(COPY, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)
