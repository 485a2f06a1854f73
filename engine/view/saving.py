"""Static pages of what a viewer shows: `sgi-engine view --save`, and the button of the page."""

from __future__ import annotations

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
from sgi.engine.view.opening import WS_SUFFIX, Viewed
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
    class_index: str | None = None,
    size: int = DEFAULT_SIZE,
    progress: Progress = SILENT,
) -> int:
    """Write a static page of seeds of a model, of items of a run folder, or of inverted pictures; returns its bytes.

    seeds: None for the first ones. psi, class_index: truncation and class of a model's images, such as "3" or
    "3:0.7,5:0.3". size: larger maps are reduced to this side in pixels.
    Raises UserError for seeds, settings and a path that cannot be used.
    """
    given = {"psi": psi, "class_index": class_index}
    live, folder = viewed.live, viewed.folder
    if folder is not None:
        refuse_ignored(given, "on the finished maps of a run folder")
        viewed = replace(viewed, live=None)  # describes the types of the folder
        items, types = items_of_folder(folder, seeds), folder.types
    elif live is not None and viewed.latents is not None:
        refuse_ignored({"seeds": seeds, **given}, "on inverted pictures, which are all saved")
        items, types = _items_of_latents(live, viewed.latents), live.types
    else:
        assert live is not None
        screen = Screen(psi=psi, class_index=class_index)
        live.plan(screen)
        items, types = items_of_model(live, seeds or f"0-{DEFAULT_ITEMS - 1}", screen), live.types
    with progress.stage("pictures", len(items)) as stage:
        return write(path, items, types, _described(viewed), size, stage.advance)


def saved_page(viewed: Viewed, live: LiveModel, screen: Screen, light: Light | None = None) -> bytes:
    """The bytes of a static page of one screen, relit by `light` at first; raises what the engine raises."""
    row, inverted = screen.latents, viewed.latents
    photo = None if row is None or inverted is None or row.id != inverted.id else _photo(inverted, row.row)
    label = screen.words(live.artifact.psi)
    item = SavedItem(label, msgspec.to_builtins(screen), lambda: live.maps(screen), photo)
    described = _described(replace(viewed, folder=None)) | {"light": msgspec.to_builtins(light)}
    with TemporaryDirectory(prefix="sgi-view-") as folder:
        path = Path(folder, "page.html")
        write(path, [item], live.types, described, MOST_SIZE)
        return path.read_bytes()


def _items_of_latents(live: LiveModel, loaded: LoadedLatents) -> list[SavedItem]:
    found = []
    names = [Path(name).name.removesuffix(WS_SUFFIX) for name in loaded.files]
    for row in range(len(loaded.latents.rows)):
        screen = Screen(latents=Row(loaded.id, row))
        label = names[row] if len(names) == len(loaded.latents.rows) else f"latent {row}"
        photo = _photo(loaded, row)
        found.append(SavedItem(label, msgspec.to_builtins(screen), lambda screen=screen: live.maps(screen), photo))  # type: ignore[misc]
    return found


def _photo(loaded: LoadedLatents, row: int) -> Path | None:
    """The picture that a row was found for."""
    path = loaded.pictures[row] if row < len(loaded.pictures) else None
    return path if path is not None and path.is_file() else None


def _described(viewed: Viewed) -> dict[str, Any]:
    """The description of the model without addresses of the server."""
    return describe(replace(viewed, latents=None), ViewSettings())
