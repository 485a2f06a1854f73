"""Static pages of what a viewer shows: `sgi-engine view --save`, and the button of the page."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from sgi.engine.errors import refuse_ignored
from sgi.engine.live import LiveModel, Row, Screen
from sgi.engine.progress import SILENT, Progress
from sgi.engine.view.commands import Light
from sgi.engine.view.description import describe
from sgi.engine.view.latents import LoadedLatents
from sgi.engine.view.opening import Viewed
from sgi.engine.view.settings import ViewSettings
from sgi.engine.view.static_page import (
    DEFAULT_ITEMS,
    DEFAULT_SIZE,
    MOST_SIZE,
    SavedItem,
    items_of_folder,
    items_of_model,
    write,
)


def save_view(
    viewed: Viewed,
    path: str | Path,
    *,
    seeds: str | None = None,
    psi: float | None = None,
    size: int = DEFAULT_SIZE,
    progress: Progress = SILENT,
) -> int:
    """Write a static page of seeds of a model, of items of a run folder, or of inverted pictures; returns its bytes.

    seeds: None for the first ones. psi: truncation of a model's images. size: larger maps are reduced to this side in
    pixels. Raises UserError for seeds and a path that cannot be used.
    """
    given = {"seeds": seeds, "psi": psi}
    live, folder = viewed.live, viewed.folder
    if folder is not None:
        refuse_ignored({"psi": psi}, "on the finished maps of a run folder")
        viewed = replace(viewed, live=None)  # describes the types of the folder
        items, types = items_of_folder(folder, seeds), folder.types
    elif live is not None and viewed.latents is not None:
        refuse_ignored(given, "on inverted pictures, which are all saved")
        items, types = _items_of_latents(live, viewed.latents), live.types
    else:
        assert live is not None
        items, types = items_of_model(live, seeds or f"0-{DEFAULT_ITEMS - 1}", Screen(psi=psi)), live.types
    with progress.stage("pictures", len(items)) as stage:
        return write(path, items, types, _described(viewed), size, stage.advance)


def saved_page(viewed: Viewed, live: LiveModel, screen: Screen, light: Light | None = None) -> bytes:
    """The bytes of a static page of one screen, relit by `light` at first; raises what the engine raises."""
    latents = None if screen.latents is None else f"latent {screen.latents.row}"
    item = SavedItem(latents or f"seed {screen.seed}", msgspec.to_builtins(screen), lambda: live.maps(screen))
    is_inverted = screen.latents is not None and viewed.latents is not None and screen.latents.id == viewed.latents.id
    shown = viewed if is_inverted else replace(viewed, latents=None)
    described = _described(replace(shown, folder=None)) | {"light": msgspec.to_builtins(light)}
    with TemporaryDirectory(prefix="sgi-view-") as folder:
        path = Path(folder, "page.html")
        write(path, [item], live.types, described, MOST_SIZE)
        return path.read_bytes()


def _items_of_latents(live: LiveModel, loaded: LoadedLatents) -> list[SavedItem]:
    found = []
    names = [Path(name).name for name in loaded.files]
    for row in range(len(loaded.latents.rows)):
        screen = Screen(latents=Row(loaded.id, row))
        label = names[row] if len(names) == len(loaded.latents.rows) else f"latent {row}"
        found.append(SavedItem(label, msgspec.to_builtins(screen), lambda screen=screen: live.maps(screen)))  # type: ignore[misc]
    return found


def _described(viewed: Viewed) -> dict[str, Any]:
    """The description of the model without addresses of the server; a photo is inside the page."""
    found = describe(viewed, ViewSettings())
    found.pop("latents", None)
    found.pop("photo", None)
    pictures = () if viewed.latents is None else viewed.latents.pictures
    if len(pictures) == 1 and pictures[0].is_file():
        found["photo"] = f"data:image/png;base64,{base64.b64encode(pictures[0].read_bytes()).decode()}"
    return found
