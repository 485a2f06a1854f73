"""What the tests of the C++ library need: it is built by `make native`, and models are made here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from native_library import NativeLibrary, build_folder
from tiny_models import ALL_KINDS, describe, write_model

MISSING = "the C++ library is not built; make native-deps native"


@pytest.fixture(scope="session")
def runtime_folder() -> Path:
    """Folder of the libonnxruntime that Python uses."""
    import onnxruntime

    return Path(onnxruntime.__file__).parent / "capi"


@pytest.fixture(scope="session")
def environment(runtime_folder: Path) -> dict[str, str]:
    """Environment of programs that are to use Python's libonnxruntime."""
    return {**os.environ, "SGI_ORT_LIB": str(runtime_folder)}


@pytest.fixture(scope="session")
def built() -> Callable[[str], Path]:
    """Folder of a preset's build, of the engine's part of it; skips, or with SGI_REQUIRE_NATIVE fails, if not built."""

    def folder(preset: str) -> Path:
        path = build_folder(preset) / "engine/native"
        if not list(path.glob("libsgi-engine.so")):
            if os.environ.get("SGI_REQUIRE_NATIVE"):
                pytest.fail(MISSING)
            pytest.skip(MISSING)
        return path

    return folder


@pytest.fixture(scope="session")
def library(built: Callable[[str], Path]) -> Callable[[str], NativeLibrary]:
    """The library of a preset."""

    def load(preset: str = "release") -> NativeLibrary:
        built(preset)
        return NativeLibrary(preset)

    return load


@pytest.fixture(scope="session")
def all_types_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of every type."""
    return write_model(tmp_path_factory.mktemp("model") / "all.onnx", describe(ALL_KINDS))


@pytest.fixture(scope="session")
def class_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional model of three classes."""
    return write_model(tmp_path_factory.mktemp("model") / "classes.onnx", describe(c_dim=3))
