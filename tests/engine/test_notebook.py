"""`Engine.show`: the table that a notebook displays, and the files of it."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from sheet_colours import has_depth_colours
from tiny_models import SIDE, Z_DIM

from sgi.engine import Engine, UserError, intrinsics
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers.cells import cell_side
from sgi.engine.writers.display import to_rgb
from sgi.engine.writers.notebook import MOST_ROWS, ShownMaps
from sgi.engine.writers.preview import draw_sheet


class Table(HTMLParser):
    """texts: of the cells, row by row. pictures: {alt text: pixels [H, W, 3]}. styles: of every element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[list[str]] = []
        self.pictures: dict[str, np.ndarray] = {}
        self.styles: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.styles.append(given.get("style", ""))
        if tag == "tr":
            self.texts.append([])
        elif tag in ("td", "th"):
            self.texts[-1].append("")
        elif tag == "img":
            data = base64.b64decode(given["src"].removeprefix("data:image/png;base64,"))
            with Image.open(io.BytesIO(data)) as picture:
                self.pictures[given["alt"]] = np.asarray(picture)

    def handle_data(self, data):
        if self.texts and self.texts[-1]:
            self.texts[-1][-1] += data


@pytest.fixture(scope="module")
def engine(all_types_model):
    with Engine.open(all_types_model, backend="onnxruntime", device="cpu", threads=1) as opened:
        yield opened


def test_the_pictures_of_the_table_are_the_maps(engine):
    shown = engine.show(seeds=[3, 5], types=["image", "albedo", "normal"], psi=0.5)
    maps = engine(seeds=[3, 5], types=["image", "albedo", "normal"], psi=0.5)
    assert shown.labels == ["seed 3", "seed 5"]
    table = Table(shown._repr_html_())
    assert [row[0] for row in table.texts] == ["", "seed 3", "seed 5"]
    assert table.texts[0][1:] == ["image", "normal", "albedo"]  # the order of the model
    for name, stack in maps.items():
        np.testing.assert_array_equal(shown.maps[name], stack)
        for i, seed in enumerate((3, 5)):
            wanted = to_rgb(intrinsics.encode(name, stack[i]))
            np.testing.assert_array_equal(table.pictures[f"{name} of seed {seed}"], wanted)
    enlarged = [style for style in table.styles if "image-rendering:pixelated" in style]
    assert len(enlarged) == 6
    assert all(f"width:{cell_side(SIDE)}px;height:{cell_side(SIDE)}px" in style for style in enlarged)
    assert cell_side(SIDE) == 192


def test_depth_is_in_colours_with_its_range_above_and_classes_have_names(engine):
    shown = engine.show("0-3", types=["depth", "segmentation"])
    table = Table(shown._repr_html_())
    depth, classes = table.texts[0][1:]
    values = shown.maps["depth"]
    assert re.findall(r"[\d.]+", depth) == [f"{values.min():.2f}", f"{values.max():.2f}"]
    nearest = np.unravel_index(values.argmin(), values.shape)
    assert table.pictures[f"depth of seed {nearest[0]}"][nearest[2:]].tolist() == [253, 231, 37]
    assert classes.split() == ["segmentation", "floor", "wall", "bed"]
    assert [row[1:] for row in table.texts[1:]] == [["", ""]] * 4


def test_only_the_classes_that_occur_are_named_and_of_many_those_of_the_most_pixels():
    kind = Intrinsic("parts", 1, 0.0, 29.0, "palette", "parts", classes=tuple(f"part<{i}>" for i in range(30)))
    values = np.zeros((1, 1, 32, 32), np.float32)
    for number in range(20):
        values[0, 0, number, : number + 1] = number + 5
    head = Table(ShownMaps({"parts": values}, [kind], ["seed 0"])._repr_html_()).texts[0][1]
    assert head.split()[1:] == ["part<0>", *[f"part<{number}>" for number in range(14, 25)], "and", "9", "more"]


def test_no_style_sets_a_colour_that_a_dark_notebook_hides(engine):
    table = Table(engine.show(0)._repr_html_())
    for style in table.styles:
        assert not re.search(r"(^|;)color:|background:(?!none|rgb\()", style)


def test_rows_are_named_after_what_was_asked_for(engine, class_model):
    z = np.random.RandomState(0).randn(2, Z_DIM)
    assert engine.show(z=z, types="image").labels == ["z 0", "z 1"]
    assert engine.show(seeds=(seed for seed in (4, 4)), types="image").labels == ["seed 4", "seed 4 (1)"]
    with Engine.open(class_model, backend="onnxruntime", device="cpu", threads=1) as conditional:
        shown = conditional.show([7, 7], class_index=[0, 2])
        assert shown.labels == ["seed 7, class 0", "seed 7, class 2"]
        assert conditional.show([7, 8], class_index={0: 0.5, 1: 0.5}).labels == ["seed 7", "seed 8"]
    assert len(Table(shown._repr_html_()).pictures) == 4 + 1  # and the bar of depth
    assert repr(shown) == (f"<image, depth of 2 images, {SIDE} x {SIDE} pixels: seed 7, class 0, seed 7, class 2>")


def test_an_engine_that_takes_rows_of_w_shows_them():
    pytest.importorskip("onnxruntime")
    with Engine.open(input="w+", backend="onnxruntime", types="image", threads=1) as engine:
        ws = engine.mapping(seeds=[0, 1])
        shown = engine.show(ws=ws)
        assert shown.labels == ["ws 0", "ws 1"]
        np.testing.assert_array_equal(shown.maps["image"], engine(ws=ws)["image"])


def test_the_files_of_a_table(engine, tmp_path):
    shown = engine.show(seeds=[0, 1], types=["image", "depth"])
    shown.save(tmp_path / "maps.png")
    assert (tmp_path / "maps.png").read_bytes() == shown._repr_png_()
    codes = {
        f"seed {i}": {name: intrinsics.encode(name, shown.maps[name][i]) for name in ("image", "depth")}
        for i in range(2)
    }
    assert shown._repr_png_() == draw_sheet(codes, {"depth": intrinsics.get("depth")})
    assert has_depth_colours(shown._repr_png_())
    shown.save(str(tmp_path / "maps.HTML"))
    page = (tmp_path / "maps.HTML").read_text()
    assert page.startswith("<!doctype html>")
    assert shown._repr_html_() in page
    assert "color-scheme" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)  # it needs no other file
    with pytest.raises(UserError, match=r"`path=.*maps.jpg`: choose a name with .png or .html"):
        shown.save(tmp_path / "maps.jpg")
    with pytest.raises(UserError, match=r"`path=.*maps.png`: there is no folder .*missing; make it first"):
        shown.save(tmp_path / "missing" / "maps.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps.HTML", "maps.png"]


def test_large_maps_are_reduced():
    values = np.random.RandomState(0).rand(1, 3, 512, 512).astype(np.float32)
    table = Table(ShownMaps({"image": values}, [intrinsics.get("image")], ["seed 0"])._repr_html_())
    assert table.pictures["image of seed 0"].shape == (256, 256, 3)


def test_too_many_images_are_refused_before_they_are_computed(engine, monkeypatch):
    monkeypatch.setattr(Engine, "__call__", None)
    with pytest.raises(UserError, match=f"`seeds`: 1000000 images are too many to show; choose at most {MOST_ROWS}"):
        engine.show("0-999999")
    with pytest.raises(UserError, match="`z`: 65 images are too many"):
        engine.show(z=np.zeros((65, Z_DIM)))


def test_wrong_arguments_are_those_of_a_call(engine):
    for given in ({}, {"seeds": 0, "z": np.zeros((1, Z_DIM))}):
        with pytest.raises(UserError, match="pass one of `seeds`, `z`, `w` and `ws`"):
            engine.show(**given)
    with pytest.raises(UserError, match="`types=sky`"):
        engine.show(0, types="sky")
    with pytest.raises(UserError, match="`psi=nan`"):
        engine.show(0, psi=float("nan"))
    many = 2 * MOST_ROWS  # one latent without the axis of images is no stack of that many
    with pytest.raises(UserError, match=rf"`z` has shape \[{many}\]"):
        engine.show(z=np.zeros(many))
    with pytest.raises(UserError, match="`z=.*must be an array of numbers"):
        engine.show(z=[[0.0], [0.0, 1.0]])


def test_the_text_of_a_table(engine):
    assert repr(engine.show(3, types="depth")) == f"<depth of 1 image, {SIDE} x {SIDE} pixels: seed 3>"
    assert repr(engine.show([3, 4], types="depth")).startswith("<depth of 2 images, ")


def test_an_engine_is_imported_without_the_drawing():
    code = "import sys, sgi.engine; assert not {'PIL', 'sgi.engine.writers.notebook'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
