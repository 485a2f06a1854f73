"""The description of a model for the page: GET /api/model."""

from __future__ import annotations

from typing import Any

import numpy as np

from sgi.engine.intrinsics import Intrinsic
from sgi.engine.live import LiveModel
from sgi.engine.palette import palette
from sgi.engine.view.settings import ViewSettings


def describe(live: LiveModel | None, settings: ViewSettings, title: str, mode: str) -> dict[str, Any]:
    """What the page needs to know of the model. live: None for a run folder without its model. mode: model or run."""
    found: dict[str, Any] = {"mode": mode, "title": title, "command": settings.command}
    if live is None:
        return found | {"types": []}
    facts = live.artifact
    return found | {
        "resolution": facts.resolution,
        "types": [describe_type(kind) | {"alpha": _alpha(live, kind.name)} for kind in live.types],
        "psi": facts.psi,
        "psi_fixed": live.fixed_psi,
        "c_dim": facts.c_dim,
        "num_ws": facts.num_ws,
        "z_dim": facts.z_dim,
        "w_dim": live.engine.artifact.w_dim,
        "seeds": live.no_seeds,
        "mixing": live.no_seeds or live.no_rows,
        "backend": live.engine.backend.name,
        "device": live.engine.backend.device,
    }


def describe_type(kind: Intrinsic) -> dict[str, Any]:
    """A type with the colours of its classes, 0 to 255."""
    colours = np.rint(palette(len(kind.classes)) * 255).astype(int).tolist() if kind.classes else []
    facts = ("name", "channels", "low", "high", "decoding", "meaning")
    return {**{name: getattr(kind, name) for name in facts}, "classes": list(kind.classes), "colours": colours}


def _alpha(live: LiveModel, name: str) -> dict[str, Any] | None:
    if name not in live.alphas:
        return None
    default, reason = live.alphas[name]
    return {"default": default, "live": not reason, "reason": reason}
