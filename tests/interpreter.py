"""Enables Triton's interpreter. Triton reads the setting when it is imported, so import this module first.

TRITON_INTERPRET=0 in the environment runs the same tests with compiled kernels on a machine with a GPU.
"""

from __future__ import annotations

import os
import sys

if "triton" in sys.modules and "TRITON_INTERPRET" not in os.environ:
    raise RuntimeError("triton was imported before tests/interpreter.py: import interpreter earlier")
os.environ.setdefault("TRITON_INTERPRET", "1")
DEVICE = "cpu" if os.environ["TRITON_INTERPRET"] == "1" else "cuda"
