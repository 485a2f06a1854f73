"""The notebooks of docs/examples/: their cells run and give the outputs that are stored in them; pages show them."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tolerances import STORED_LIMIT, STORED_PIXELS

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted((DOCS / "examples").glob("*.ipynb"))
LARGEST = 300_000
"""Bytes of a notebook."""


def script(name: str):
    """A module of docs/."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Parts(HTMLParser):
    """text: of HTML. pictures: pixels of its pictures, in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.pictures: list[np.ndarray] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        source = dict(attrs).get("src", "")
        if source.startswith("data:image/png;base64,"):
            self.pictures.append(pixels(source.partition(",")[2]))

    def handle_data(self, data):
        self.text += f"{data}\n"


def pixels(encoded: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def parts_of(notebook) -> list[tuple[str, str, list[np.ndarray], list[tuple[int, ...]]]]:
    """(cell, text, pictures of tables, sizes of figures) of each output of a notebook."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error"
            data = output.get("data", {})
            table = Parts("".join(data.get("text/html", "")))
            figures = [pixels("".join(data["image/png"])).shape] if "image/png" in data else []
            text = table.text + "".join(output.get("text", data.get("text/plain", "")))
            found.append((cell["id"], text, table.pictures, figures))
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_gives_the_outputs_that_it_has(path, tmp_path):
    again = parts_of(script("run_notebooks").executed(path, tmp_path))
    stored = parts_of(json.loads(path.read_text()))
    assert len(again) == len(stored) >= 5
    for (cell, text, pictures, figures), (name, old_text, old_pictures, old_figures) in zip(again, stored, strict=True):
        assert cell == name
        number = r"\d+\.\d+"
        assert re.sub(number, "N", text) == re.sub(number, "N", old_text), f"{cell}: {text}"
        values, old_values = (np.array(re.findall(number, each), float) for each in (text, old_text))
        assert np.abs(values - old_values).max(initial=0) <= STORED_LIMIT, cell
        assert [picture.shape for picture in pictures] == [picture.shape for picture in old_pictures], cell
        for picture, old_picture in zip(pictures, old_pictures, strict=True):
            assert np.abs(picture - old_picture).mean() < STORED_PIXELS, cell
        for size, old_size in zip(figures, old_figures, strict=True):
            assert np.abs(np.array(size) / np.array(old_size) - 1).max() < 0.05, cell  # fonts of figures may differ


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_small_and_its_page_shows_all_of_it(path):
    assert path.stat().st_size < LARGEST
    notebook = json.loads(path.read_text())
    page = script("notebook_page").page_of(notebook)
    assert page.startswith("# ")
    for cell in notebook["cells"]:
        assert "".join(cell["source"]) in page
        assert cell.get("execution_count") is None
    pictures = [picture for _, _, pictures, _ in parts_of(notebook) for picture in pictures]
    figures = [size for _, _, _, sizes in parts_of(notebook) for size in sizes]
    shown = Parts(page).pictures
    assert len(shown) == len(pictures) + len(figures) > 5
    assert f"examples/{path.stem}.md" in (DOCS / "mkdocs_hooks.py").read_text()
    assert f"examples/{path.stem}.md" in (DOCS.parent / "mkdocs.yml").read_text()
