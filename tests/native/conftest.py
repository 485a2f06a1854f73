"""Fixtures of the C++ library's tests: the builds of `make native`, and models."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from native_library import NativeLibrary, build_folder
from tiny_models import ALL_KINDS, USER_DEFINED, describe, write_model

MISSING = "the C++ library is not built; make native-deps native"


@pytest.fixture(scope="session")
def runtime_folder() -> Path:
    """Folder of the libonnxruntime that Python uses."""
    import onnxruntime

    return Path(onnxruntime.__file__).parent / "capi"


@pytest.fixture(scope="session")
def environment(runtime_folder: Path) -> dict[str, str]:
    """Environment in which programs use Python's libonnxruntime."""
    return {**os.environ, "SGI_ORT_LIB": str(runtime_folder)}


@pytest.fixture(scope="session")
def built() -> Callable[[str], Path]:
    """Build folder of a preset; without a build the test is skipped, or fails if SGI_REQUIRE_NATIVE is set."""

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
    """A model of every built-in type and a user-defined type of every decoding."""
    return write_model(tmp_path_factory.mktemp("model") / "all.onnx", describe((*ALL_KINDS, *USER_DEFINED)))


@pytest.fixture(scope="session")
def class_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional model of three classes."""
    return write_model(tmp_path_factory.mktemp("model") / "classes.onnx", describe(c_dim=3))
