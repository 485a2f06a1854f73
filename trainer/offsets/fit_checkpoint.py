"""The files of one fit in its work folder: a checkpoint to resume from, and a log of JSON lines.

Their names contain a fingerprint of everything the fit depends on, so a fit with other settings neither resumes from
nor overwrites them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from sgi.engine.files import atomic_write
from sgi.trainer.offsets.descent import Descent
from sgi.trainer.state_file import read_state, restoring


class FitCheckpoint:
    """Checkpoint `<workdir>/<type>-<fingerprint>.pt` and log `.jsonl` of one fit; creates the folder."""

    def __init__(self, workdir: str | Path, name: str, fingerprint: str) -> None:
        self.folder = Path(workdir)
        self.fingerprint = fingerprint
        stem = f"{name.replace('+', 'plus')}-{fingerprint[:8]}"
        self.path = self.folder / f"{stem}.pt"
        self.log_path = self.folder / f"{stem}.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)

    def reset(self) -> None:
        """Delete checkpoint and log, so that the fit starts again."""
        self.path.unlink(missing_ok=True)
        self.log_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Delete the checkpoint and keep the log: call it once the offset is on disk."""
        self.path.unlink(missing_ok=True)

    def save(self, step: int, descent: Descent) -> None:
        """Write the state after `step` steps; the file appears complete or not at all."""
        state = {"fingerprint": self.fingerprint, "step": step, "descent": descent.state_dict()}
        with atomic_write(self.path) as temporary:
            torch.save(state, temporary)

    def restore(self, descent: Descent) -> int:
        """Load the stored state into `descent`; returns the number of steps done, 0 without a checkpoint.

        Raises UserError, naming `resume`, for a checkpoint that is damaged or of another fit.
        """
        if not self.path.exists():
            return 0
        with restoring(self.path, "delete it, or pass `resume=False`, to start the fit again"):
            state = read_state(self.path, {"fingerprint": str, "step": int, "descent": dict})
            if state["fingerprint"] != self.fingerprint or state["step"] < 0:
                raise ValueError("of another fit")
            descent.load_state_dict(state["descent"])
        return int(state["step"])

    def log(self, **entry: Any) -> None:
        """Append one JSON line to the log."""
        with open(self.log_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
