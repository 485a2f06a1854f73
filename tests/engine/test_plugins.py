"""Plugins: an installed package adds a backend and a map format, and errors name the package."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from plugin_package import install_package, run_with

from sgi.engine import plugins
from sgi.engine.backends import BACKENDS
from sgi.engine.errors import UserError
from sgi.engine.writers import FORMATS

ENTRY_POINTS = """
[project.entry-points."sgi_engine.backends"]
zeros = "example_plugin:ROW"
not-a-row = "example_plugin:Zeros"

[project.entry-points."sgi_engine.formats"]
raw = "example_plugin:Raw"
not-a-format = "example_plugin:Zeros"
broken = "example_plugin.missing:Raw"
png = "example_plugin:Raw"
"""

MODULE = """
import numpy as np

from sgi.engine.backends import BackendRow


class Zeros:
    name = "zeros"

    def __init__(self, path, artifact, *, device, types, batch, threads=None):
        self.device, self.artifact, self.types = device, artifact, types

    def run(self, z, psi, label=None, types=None):
        side = self.artifact.resolution
        chosen = self.types if types is None else self.artifact.choose_types(types)
        channels = {output.name: output.channels for output in self.artifact.types}
        return {name: np.zeros((len(z), channels[name], side, side), np.float32) for name in chosen}

    def close(self):
        pass


ROW = BackendRow("example_plugin:Zeros", "numpy", {"cpu": "sgi-example-plugin"}, (".onnx",))


class Raw:
    suffix = ".raw"

    def encode(self, kind, value):
        return np.ascontiguousarray(value, np.float32).tobytes()

    def decode(self, kind, data):
        return np.frombuffer(data, np.float32)
"""


COMMAND = "import sys; from sgi.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder in which pip installed the example package."""
    return install_package(
        tmp_path_factory.mktemp("package"), "sgi-example-plugin", "example_plugin", MODULE, ENTRY_POINTS
    )


@pytest.fixture
def sgi_engine(site, model, tmp_path):
    """Run a command in a process that sees the example package: (exit code, stdout, stderr)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        done = run_with(site, COMMAND, *arguments, folder=tmp_path)
        return done.returncode, done.stdout, done.stderr

    return call


def test_a_package_adds_a_backend_and_a_format(sgi_engine, model, tmp_path):
    flags = ("--model", str(model), "--seeds", "0", "--backend", "zeros", "--format", "raw", "--no-preview")
    code, out, err = sgi_engine("run", *flags)
    assert (code, err) == (0, "")
    assert "backend   zeros, cpu" in out
    assert (tmp_path / "out" / "seed000000_depth.raw").read_bytes() == bytes(4 * 16 * 16)


def test_doctor_lists_the_backends_of_packages(sgi_engine):
    code, out, _ = sgi_engine("doctor")
    assert code == 0, out
    assert "backend zeros on cpu" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--format", "jpg"), f"--format jpg: choose from {', '.join(FORMATS)}, broken, not-a-format, raw"),
        (("--format", "broken"), "plugin 'broken' of package sgi-example-plugin does not import (ModuleNotFoundError"),
        (
            ("--format", "not-a-format"),
            "--format not-a-format: its plugin provides no class with suffix, encode, decode",
        ),
        (("--backend", "none"), f"--backend none: choose from auto, {', '.join(BACKENDS)}, not-a-row, zeros"),
        (("--backend", "not-a-row"), "--backend not-a-row: its plugin provides a type, not a BackendRow"),
    ],
)
def test_errors_of_plugins_are_one_line(sgi_engine, model, flags, message):
    code, _, err = sgi_engine("run", "--model", str(model), "--seeds", "0", *flags)
    assert code == 2, err
    assert message in err
    assert err.count("\n") == 1


def test_a_built_in_name_is_not_replaced(sgi_engine, model, tmp_path):
    code, out, _ = sgi_engine("run", "--model", str(model), "--seeds", "0", "--backend", "zeros", "--no-preview")
    assert code == 0, out
    assert (tmp_path / "out" / "seed000000_depth.png").read_bytes().startswith(b"\x89PNG")


def test_two_packages_with_one_name_are_an_error(monkeypatch):
    entries = [EntryPoint("tiff", f"{package}.tiff:Tiff", plugins.FORMATS) for package in ("one", "two")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    with pytest.raises(UserError, match="packages one.tiff and two.tiff both provide 'tiff' of sgi_engine.formats"):
        plugins.find_plugins(plugins.FORMATS)


def test_names_are_looked_up_only_when_they_are_not_built_in(site, sgi_engine, model):
    code = "import sys; from sgi.engine import writers, backends; writers.get_format('png'); "
    code += "backends.runs('openvino', 'x.onnx'); assert 'importlib.metadata' not in sys.modules"
    done = run_with(site, code)
    assert done.returncode == 0, done.stderr
