"""The version is available in a source tree that is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sgi.engine.version import __version__

ROOT = Path(__file__).parents[2]
BLOCKED = """
import importlib.metadata

def refuse(name):
    raise importlib.metadata.PackageNotFoundError(name)

importlib.metadata.distribution = importlib.metadata.version = importlib.metadata.metadata = refuse
import sgi.engine
print(sgi.engine.__version__)
"""


def test_version_without_package_metadata(tmp_path):
    (tmp_path / "sgi").symlink_to(ROOT)
    command = [sys.executable, "-S", "-c", BLOCKED]  # -S: without site-packages
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == __version__
