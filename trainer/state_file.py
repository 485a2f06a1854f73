"""Reading of the state from which a training continues, a file of torch.save, with one-line errors for damage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sgi.engine.budget import check_stored_zip
from sgi.engine.errors import UserError, one_line

_SHOWN = 80


@contextmanager
def restoring(path: Path, remedy: str) -> Iterator[None]:
    """A context that turns every exception of reading and restoring a state into a UserError with `remedy`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # torch.load and load_state_dict raise exceptions of many types for damaged files.
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"{path}: not a readable checkpoint ({one_line(reason, _SHOWN)}); {remedy}") from None


def read_state(path: Path, keys: dict[str, type], device: str | torch.device = "cpu") -> dict[str, Any]:
    """The dict in a file of torch.save; use it within `restoring`.

    keys: name -> type of the entries that it must have. Raises exceptions of many types for damaged files.
    """
    check_stored_zip(path)  # torch would unpack a compressed archive of any size
    state = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(state, dict):
        raise ValueError("not a dict")
    for name, kind in keys.items():
        if not isinstance(state.get(name), kind):
            raise ValueError(f"its {name} is missing or wrong")
    return state
