"""The description of a model for the page: GET /api/model."""

from __future__ import annotations

from typing import Any

import numpy as np

from sgi.engine.intrinsics import Intrinsic
from sgi.engine.live import LiveModel
from sgi.engine.palette import palette
from sgi.engine.view.latents import MOST_BYTES
from sgi.engine.view.opening import Viewed
from sgi.engine.view.settings import ViewSettings
from sgi.engine.writers.colour_map import viridis
from sgi.engine.writers.display import is_coloured

_BAR = 17  # colours of a bar of depth


def describe(viewed: Viewed, settings: ViewSettings) -> dict[str, Any]:
    """What the page needs to know of the model; `live` is the reason why a run folder has none."""
    live, folder = viewed.live, viewed.folder
    found: dict[str, Any] = {
        "mode": "model" if folder is None else "run",
        "title": viewed.title,
        "command": settings.command,
        "live": viewed.no_live,
    }
    if folder is not None:
        found["item"] = folder.item
    if live is None:
        types = [] if folder is None else [describe_type(kind) | {"alpha": None} for kind in folder.types]
        return found | {"types": types, "resolution": folder.resolution if folder else 0}
    if viewed.latents is not None:
        found["latents"] = viewed.latents.to_dict()
        found["photo"] = next(iter(found["latents"]["photos"]), None)
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
        "latents_bytes": MOST_BYTES,
        "mixing": live.no_seeds or live.no_rows,
        "backend": live.engine.backend.name,
        "device": live.engine.backend.device,
    }


def describe_type(kind: Intrinsic) -> dict[str, Any]:
    """A type with colours, 0 to 255: of its classes; of depth those of a bar from the least to the largest value."""
    colours = palette(len(kind.classes)) if kind.classes else np.empty((0, 3))
    if is_coloured(kind):
        colours = viridis(np.linspace(1, 0, _BAR)[None, None])[:, 0].T
    facts = ("name", "channels", "low", "high", "decoding", "meaning")
    return {
        **{name: getattr(kind, name) for name in facts},
        "classes": list(kind.classes),
        "colours": np.rint(colours * 255).astype(int).tolist(),
    }


def _alpha(live: LiveModel, name: str) -> dict[str, Any] | None:
    if name not in live.alphas:
        return None
    default, reason = live.alphas[name]
    return {"default": default, "live": not reason, "reason": reason}
