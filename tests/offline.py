"""No test asks the Hugging Face hub for anything. Import this before a library of theirs, which reads it once."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
