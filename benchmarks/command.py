"""The command `sgi-engine` of this source tree, installed or not."""

from __future__ import annotations

import sys

COMMAND = (sys.executable, "-m", "sgi.cli")
