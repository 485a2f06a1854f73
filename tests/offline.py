"""Turns off access to the Hugging Face hub. Import this module before their libraries, which read it once."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
