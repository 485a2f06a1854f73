"""What a fit leaves in its work folder: a checkpoint to resume from, and a log of JSON lines.

Both are named after a fingerprint of everything the fit depends on, so a fit under other settings neither resumes
from nor overwrites them.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.trainer.offsets.descent import Descent


class Journal:
    """Checkpoint and log of one fit, `<workdir>/<type>-<fingerprint>.pt` and `.jsonl`."""

    def __init__(self, workdir: str | Path, name: str, fingerprint: str) -> None:
        self.folder = Path(workdir)
        self.fingerprint = fingerprint
        stem = f"{name.replace('+', 'plus')}-{fingerprint[:8]}"
        self.checkpoint = self.folder / f"{stem}.pt"
        self.log_path = self.folder / f"{stem}.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)

    def forget(self) -> None:
        """Remove checkpoint and log, so that the fit begins anew."""
        self.checkpoint.unlink(missing_ok=True)
        self.log_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Remove the checkpoint of a fit whose offset is safe; the log stays."""
        self.checkpoint.unlink(missing_ok=True)

    def save(self, step: int, descent: Descent) -> None:
        """Store the state after `step` steps, whole or not at all."""
        state = {"fingerprint": self.fingerprint, "step": step, "descent": descent.state_dict()}
        with atomic_write(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def restore(self, descent: Descent) -> int:
        """Put the stored state into `descent`; returns the steps done, 0 if nothing is stored.

        Raises UserError, naming --no-resume, for a checkpoint that is cut short or of another fit.
        """
        if not self.checkpoint.exists():
            return 0
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            if state["fingerprint"] != self.fingerprint:
                raise ValueError("of another fit")
            descent.load_state_dict(state["descent"])
            return int(state["step"])
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{self.checkpoint}: cannot resume ({reason}); pass --no-resume to begin anew") from None

    def log(self, **entry: Any) -> None:
        """Append one JSON line."""
        with open(self.log_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
