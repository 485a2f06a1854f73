"""The page of the viewer in one HTML file with its maps, which opens from a disk and asks for nothing."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sgi.engine.arguments import check_integer
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write, check_writable
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.live import LiveModel, Screen
from sgi.engine.seeds import Seeds, as_seeds
from sgi.engine.view.assets import PAGE
from sgi.engine.view.reduction import reduce_values
from sgi.engine.view.run_folder import RunFolder
from sgi.engine.view.wire import encode_body

DEFAULT_SIZE, MOST_SIZE = 256, 1024
DEFAULT_ITEMS = 8
LARGEST_PAGE = 200_000_000
"""Bytes of a page: browsers hold its text in memory, and some cannot open more than 500 MB."""
_OF_MAPS = "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data: blob:"
_BYTES_OF_VALUE, _BYTES_OF_PIXEL = 4, 3


class SavedItem(NamedTuple):
    """One picture of a page.

    label: in the list. screen: as in requests. maps: computes or reads {type: [C, R, R]}. photo: the PNG file of the
    picture that its latents were found for, None for none.
    """

    label: str
    screen: Mapping[str, Any]
    maps: Callable[[], Mapping[str, NDArray[np.float32]]]
    photo: Path | None = None


def items_of_model(live: LiveModel, seeds: Seeds | str, screen: Screen | None = None) -> list[SavedItem]:
    """Seeds of an open model. screen: the other settings, None for the defaults of the model."""
    given = screen or Screen()
    found = []
    for seed in as_seeds(seeds):
        one = msgspec.structs.replace(given, seed=seed, latents=None)
        label = one.words(live.artifact.psi)
        found.append(SavedItem(label, msgspec.to_builtins(one), lambda one=one: live.maps(one)))  # type: ignore[misc]
    return found


def items_of_folder(folder: RunFolder, numbers: Seeds | str | None = None) -> list[SavedItem]:
    """Seeds or latents of a run folder, None for its first finished ones; raises UserError for one without maps."""
    places = folder.first_done(DEFAULT_ITEMS) if numbers is None else [_place(folder, n) for n in as_seeds(numbers)]
    if not places:
        raise UserError(f"`what={folder.path}`: it has no finished {folder.item}s yet")
    found = []
    for place in places:
        item = folder.at(place)
        screen = {"place": place, "number": item.number}
        found.append(SavedItem(item.name, screen, lambda place=place: folder.read(place).maps))  # type: ignore[misc]
    return found


def check_page_path(path: str | Path) -> Path:
    """The path of a page to write; raises UserError for another suffix than .html, and where it cannot be written."""
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"`save={path}`: a page is an HTML file; choose a name with .html")
    check_writable(target, "save")
    return target


def write(
    path: str | Path,
    items: Sequence[SavedItem],
    types: Sequence[Intrinsic],
    model: Mapping[str, Any],
    size: int = DEFAULT_SIZE,
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Write a page with these pictures; returns its size in bytes.

    types: of the maps. model: what GET /api/model says. size: larger maps are reduced to this side in pixels.
    progress: called after each picture. The file is written under a temporary name and renamed.
    Raises UserError as `check_page_path` does, and for more pictures than a browser can open.
    """
    side = check_integer("size", size) or 0
    if not 4 <= side <= MOST_SIZE:
        raise UserError(f"`size={size}`: choose 4 to {MOST_SIZE} pixels")
    target = check_page_path(path)
    resolution = min(side, int(model["resolution"]))
    _check_bytes(len(items), types, resolution)
    before, after = _page(str(model.get("title", "")))
    described = {**model, "resolution": resolution, "types": [{**row, "alpha": None} for row in model["types"]]}
    try:
        with atomic_write(target) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(f'{before}{{"model": {_inside(described)}, "items": [')
            for place, item in enumerate(items):
                maps = item.maps()
                reduced = {kind.name: reduce_values(kind, maps[kind.name], side) for kind in types if kind.name in maps}
                body = base64.b64encode(encode_body(types, reduced, 0.0)).decode()
                row = {"label": item.label, "screen": item.screen, "photo": _picture(item.photo), "body": body}
                file.write(f"{',' if place else ''}\n{_inside(row)}")
                progress()
            file.write(f"]}}{after}")
        return target.stat().st_size
    except OSError as error:
        raise UserError(f"`save={path}`: cannot be written ({error.strerror}); choose another place") from None


def _check_bytes(count: int, types: Sequence[Intrinsic], side: int) -> None:
    """Raise UserError if so many pictures make too large a page."""
    of_pixel = sum(kind.channels * _BYTES_OF_VALUE + _BYTES_OF_PIXEL for kind in types)
    of_item = side * side * of_pixel * 4 // 3
    if count * of_item > LARGEST_PAGE:
        most = LARGEST_PAGE // of_item
        raise UserError(
            f"`seeds`: {count} seeds of {side} px would make a page of {count * of_item / 1e6:.0f} MB, and browsers "
            f"open {LARGEST_PAGE / 1e6:.0f} MB; choose at most {most} seeds, or a smaller `size`"
        )


def _place(folder: RunFolder, number: int) -> int:
    place = folder.find(number)
    if place is None:
        raise UserError(f"`seeds={number}`: the run has no {folder.item} {number}")
    if not folder.is_done(place):
        raise UserError(f"`seeds={number}`: {folder.item} {number} is not finished")
    return place


def _picture(path: Path | None) -> str | None:
    """A PNG file as an address that contains it."""
    return None if path is None else f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _page(title: str) -> tuple[str, str]:
    """The page with everything that it loads, before and after the JSON of its pictures."""
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    modules = json.loads(_one(r'<script type="importmap" id="imports">(.*?)</script>', text)[1])["imports"]
    inlined = {name: _as_data(url) for name, url in modules.items()}
    security = f'<meta http-equiv="Content-Security-Policy" content="{_OF_MAPS}">'
    main = _one(r'<script type="module" src="([^"]+)" id="main"></script>', text)
    changes = {
        _one(r'<script type="importmap" id="imports">.*?</script>', text)[0]: (
            f'<script type="importmap" id="imports">{_inside({"imports": inlined})}</script>'
        ),
        main[0]: f'<script type="module" id="main">{_script(_file(main[1]))}</script>',
        _one(r"<title>.*?</title>", text)[0]: f"{security}\n  <title>{html.escape(title)}</title>",
        **{
            found[0]: f"<style>\n{_file(found[1])}</style>"
            for found in re.finditer(r'<link rel="stylesheet" href="([^"]+)">', text)
        },
    }
    for old, new in changes.items():
        text = text.replace(old, new, 1)
    head, body = text.split("</body>", 1)
    return f'{head}<script type="application/json" id="saved">', f"</script>\n</body>{body}"


def _one(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text, re.DOTALL)
    assert found, pattern
    return found


def _file(url: str) -> str:
    return (PAGE / url.removeprefix("/page/")).read_text(encoding="utf-8")


def _as_data(url: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(_file(url).encode()).decode()}"


def _script(text: str) -> str:
    assert "</script" not in text.lower()
    return text


def _inside(value: object) -> str:
    """JSON that can stand in a script: no text of it ends the script."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
