"""The desktop of the user: whether there is one, and programs that open files on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_SECONDS = 5.0
"""Time in which a program says that it cannot open a file; one that still runs then shows it."""


def has_display() -> bool:
    """Whether programs with windows can open; without a display, `xdg-open` starts programs in the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_file(path: Path) -> bool:
    """Open a file in the program that the system has for it; returns whether it was opened."""
    if not has_display():
        return False
    if sys.platform == "win32":
        os.startfile(path)
        return True
    command = ["open" if sys.platform == "darwin" else "xdg-open", str(path.absolute())]
    try:
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        return started.wait(_SECONDS) == 0
    except subprocess.TimeoutExpired:
        return True
    except OSError:
        return False
