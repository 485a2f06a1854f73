"""Fixtures: exported models and the command line, for tests that run models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import ALL_KINDS, describe, write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model with the types image and depth."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", describe())


@pytest.fixture(scope="session")
def all_types_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model with every type."""
    return write_model(tmp_path_factory.mktemp("model") / "all.onnx", describe(ALL_KINDS))


@pytest.fixture(scope="session")
def class_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported conditional model with three classes."""
    return write_model(tmp_path_factory.mktemp("model") / "classes.onnx", describe(c_dim=3))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `sgi-engine` in this process: (exit code, stdout, stderr)."""
    from sgi.cli import main

    def call(*args: object) -> tuple[int, str, str]:
        code = main([str(arg) for arg in args])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
