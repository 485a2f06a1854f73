"""The page of a run folder in a browser: the sheet of ten thousand seeds, searches, marks, and a run that goes on."""

from __future__ import annotations

import json
import shutil
from typing import Any

import msgspec
import numpy as np
import pytest
from browser_page import serving
from tiny_models import SIDE, describe, write_model

from sgi.engine.run import run_classes, run_seeds
from sgi.engine.run.manifest import LINES, Manifest
from sgi.engine.view.app import create_app
from sgi.engine.view.opening import Viewed
from sgi.engine.view.run_folder import RunFolder
from sgi.engine.view.settings import ViewSettings

OPTIONS: dict[str, Any] = {"backend": "onnxruntime", "device": "cpu", "threads": 1, "preview": False}
COUNT = 10_000


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr("sgi.engine.view.run_folder._INTERVAL", 0.0)


@pytest.fixture
def open_folder(open_tab):
    """Serve a folder and open its page."""
    opened = []
    pages = []

    def call(path, live=None, **options):
        folder = RunFolder(path)
        no_live = "" if live else "none"
        server = serving(
            create_app(Viewed(live=live, title=folder.title, no_live=no_live, folder=folder), ViewSettings())
        )
        address = server.__enter__()
        opened.append((folder, server))
        tab = open_tab(address, **{"viewport": {"width": 1000, "height": 700}, **options})
        pages.append(tab.page)
        tab.page.wait_for_selector(".sheet-strip img")
        return tab

    yield call
    for page in pages:
        page.close()  # before its server is gone
    for folder, server in opened:
        server.__exit__(None, None, None)
        folder.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Ten thousand seeds of 4 px, in shards."""
    folder = tmp_path_factory.mktemp("many")
    four = write_model(folder / "four.onnx", describe(resolution=4))
    run_seeds(f"0-{COUNT - 1}", model=four, outdir=folder / "out", file_format="npy-stack", batch=250, **OPTIONS)
    return folder / "out"


@pytest.fixture
def few(model, tmp_path):
    """Ten seeds in files, of which 3 and 7 lack a map and 9 is not finished."""
    outdir = tmp_path / "out"
    run_seeds("0-9", model=model, outdir=outdir, file_format="npy", **OPTIONS)
    (outdir / "seed000003_depth.npy").unlink()
    path = outdir / "seed000007_image.npy"
    path.write_bytes(bytes(path.stat().st_size))
    lines = (outdir / "manifest.jsonl").read_bytes().splitlines(True)
    (outdir / "manifest.jsonl").write_bytes(b"".join(lines[:9]))
    return outdir


def on_screen(tab):
    """Names of the items that are on the screen with their pictures."""
    return tab.page.evaluate(
        """() => {
          const frame = document.querySelector("#sheet-list").getBoundingClientRect();
          return [...document.querySelectorAll(".sheet-item")]
            .filter((node) => {
              const box = node.getBoundingClientRect();
              return box.top >= frame.top - 2 && box.bottom <= frame.bottom + 2;
            })
            .map((node) => [node.querySelector("span").textContent, node.querySelector("img") !== null]);
        }"""
    )


def wait_for_pictures(tab):
    tab.page.wait_for_function(
        """() => {
          const { sheet } = sgi;
          const { first, stop } = sheet.grid.shown;
          for (let slot = first; slot < stop; slot += 1) {
            const item = sheet.items.at(slot);
            if (!item || (item.state !== "missing" && !sheet.grid.strips.get(item.place))) return false;
          }
          return stop > first;
        }"""
    )


def test_ten_thousand_seeds_scroll(many, open_folder):
    tab = open_folder(many)
    page = tab.page
    assert "10,000 of 10,000 seeds" in page.inner_text("#sheet-count")
    wait_for_pictures(tab)
    assert on_screen(tab)[0] == ["seed000000", True]
    found = page.evaluate(
        """async () => {
          const { sheet } = sgi;
          const times = [];
          const { grid } = sheet;
          const draw = grid.draw.bind(grid);
          grid.draw = () => {
            const start = performance.now();
            draw();
            times.push(performance.now() - start);
          };
          let most = 0;
          for (let step = 0; step < 40; step += 1) {
            sheet.frame.scrollTop += 1500;
            await new Promise((done) => requestAnimationFrame(done));
            most = Math.max(most, document.querySelectorAll(".sheet-item").length);
          }
          times.sort((one, other) => one - other);
          return { median: times[times.length >> 1], most, columns: grid.columns };
        }"""
    )
    assert found["most"] < 40 * found["columns"]  # three screens of rows, not ten thousand
    assert found["median"] < 16  # ms of a frame; about 3
    wait_for_pictures(tab)
    shown = on_screen(tab)
    assert len(shown) > 10
    assert all(picture for _, picture in shown)
    counts = page.evaluate(
        "() => [sgi.sheet.grid.strips.requested, sgi.sheet.grid.strips.cancelled, sgi.sheet.items.pages.size]"
    )
    assert counts[0] < 2000  # the rows that were passed are not requested
    assert counts[2] <= 60
    page.press("#sheet-list", "End")
    page.wait_for_selector("#sheet-item-9999 img")
    wait_for_pictures(tab)
    assert on_screen(tab)[-1] == ["seed009999", True]
    page.fill("#sheet-search", "4321")
    page.press("#sheet-search", "Enter")
    page.wait_for_selector(".sheet-item.active:has-text('seed004321') img")
    page.keyboard.press("Enter")
    tab.settle()
    values = page.evaluate("() => Array.from(sgi.maps.types.depth.values)")
    np.testing.assert_array_equal(np.float32(values), np.load(many / "shard-000004" / "depth.npy")[321].ravel())
    assert page.inner_text("#maps-title") == "Maps of seed004321"
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => sgi.shown?.seed === 4322")
    page.keyboard.press("Escape")
    assert page.is_visible("#sheet-list")


def test_requests_of_rows_that_left_are_cancelled(many, open_folder):
    tab = open_folder(many)
    tab.page.route("**/run/strip/*", lambda route: None)  # never answered
    tab.page.evaluate("() => sgi.sheet.goTo(3000)")
    asked = (
        "(place) => sgi.sheet.grid.strips.running.size === 6 && [...sgi.sheet.grid.strips.running.keys()].every(near)"
    )
    asked = asked.replace("near", "(one) => Math.abs(one - place) < 50")
    tab.page.wait_for_function(asked, arg=3000)
    tab.page.evaluate("() => sgi.sheet.goTo(9000)")
    tab.page.wait_for_function(asked, arg=9000)
    assert tab.page.evaluate("() => sgi.sheet.grid.strips.cancelled") >= 6


def test_a_list_longer_than_any_element_reaches_every_row(few, open_folder):
    path = few / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "seeds": "0-99999999"}))
    tab = open_folder(few)
    page = tab.page
    assert page.evaluate("() => sgi.sheet.grid.space.offsetHeight") <= 8_000_000
    for place in (50_000_000, 99_999_999, 12_345_678):
        page.evaluate("(place) => sgi.sheet.goTo(place)", place)
        page.wait_for_selector(f".sheet-item.active:has-text('seed{place:06d}')")
    page.evaluate("() => { sgi.sheet.frame.scrollTop += 300; }")
    page.wait_for_function("() => document.querySelector('.sheet-item').textContent.startsWith('seed1234')")
    page.evaluate("() => { sgi.sheet.frame.scrollTop = 1e9; }")
    page.wait_for_selector(".sheet-item:has-text('seed99999999')")


def test_missing_and_damaged_maps_are_marked_and_found(few, open_folder):
    tab = open_folder(few)
    page = tab.page
    wait_for_pictures(tab)
    page.wait_for_selector("#sheet-item-7[data-state=damaged]")
    assert page.get_attribute("#sheet-item-3", "title") == "seed000003: depth: missing"
    assert page.get_attribute("#sheet-item-7", "title").startswith("seed000007: image: damaged (")
    assert page.inner_text("#sheet-item-9 span") == "seed000009 \u2013 missing"
    assert "not finished" in page.inner_text("#sheet-count")
    for place in (3, 7, 9):
        page.click("#sheet-missing")
        page.wait_for_selector(f"#sheet-item-{place}.active")
    page.click("#sheet-missing")
    page.wait_for_selector("#sheet-note:has-text('no missing map after this')")
    page.click("#sheet-item-9")
    assert "missing: the run has not made it" in page.inner_text("#status")
    page.click("#sheet-item-3")
    tab.settle()
    assert page.evaluate("() => Object.keys(sgi.maps.types)") == ["image"]
    assert "missing" in page.get_attribute("#card-depth", "class")
    page.click("#tab-sheet")
    page.check("#sheet-only")
    page.wait_for_function("() => document.querySelectorAll('.sheet-item').length === 3")
    page.fill("#sheet-search", "70")
    page.press("#sheet-search", "Enter")
    page.wait_for_selector("#sheet-note:has-text('the run has no seed 70')")
    tab.errors = [text for text in tab.errors if "404" not in text]  # Chromium notes the answer


def test_a_run_of_fewer_types_than_its_model(tmp_path, live, open_folder):
    run_seeds("0-1", types="depth", outdir=tmp_path / "out", **OPTIONS)
    tab = open_folder(tmp_path / "out", live=live)
    page = tab.page
    page.click("#sheet-item-1")
    tab.settle()
    why = "not in the files of the run; change a control to compute it"
    assert page.get_attribute("#card-albedo .picture", "data-why") == why
    assert page.inner_text("#relight-note") == "Relighting needs albedo and normals, which these files do not have."
    assert not page.is_visible("#relight")
    colours = "() => new Set(sgi.surfaceColours).size"
    assert page.evaluate(colours) > 100  # those of depth, as there is no image
    page.fill("#psi", "0.5")
    tab.settle()
    assert page.is_visible("#relight")
    assert page.is_hidden("#relight-note")


def test_keys_alone(few, live, open_folder):
    tab = open_folder(few, live=live)
    page = tab.page

    def focused():
        return page.evaluate("() => document.activeElement.id")

    wait_for_pictures(tab)
    assert focused() == "sheet-list"
    page.focus("#sheet-missing")
    page.keyboard.press("Enter")  # of the button, not of the sheet
    page.wait_for_selector("#sheet-item-3.active")
    page.focus("#sheet-list")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    tab.settle()
    assert (page.inner_text("#maps-title"), focused()) == ("Maps of seed000000", "tab-item")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => sgi.shown?.seed === 1")
    page.focus("#copy-shell")
    page.keyboard.press("Enter")
    page.wait_for_selector("#copied:has-text('--seeds 1')")
    page.focus("#canvas-depth")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")  # lets go of the crosshair
    assert page.inner_text("#value-depth") == ""
    assert page.is_visible("#item")
    page.focus("#psi")
    page.keyboard.press("Escape")
    assert focused() == "sheet-list"


def test_a_run_is_followed_until_its_folder_is_removed(few, open_folder):
    tab = open_folder(few)
    page = tab.page
    line = (few / "manifest.jsonl").read_bytes().splitlines()[0]
    old = msgspec.json.decode(line, type=LINES["seed"])
    names = {name: text.replace("000000", "000009") for name, text in old.files.items()}
    page.wait_for_selector("#sheet-item-9[data-state=missing]")
    with Manifest(few / "manifest.jsonl") as manifest:
        manifest.append(msgspec.structs.replace(old, seed=9, files=names))
        page.wait_for_selector("#sheet-item-9[data-state=done] img")
    assert "10 of 10 seeds" in page.inner_text("#sheet-count")
    page.evaluate("() => { sgi.sheet.run.version = 0; }")
    shutil.move(few, few.with_name("away"))
    page.evaluate("() => sgi.sheet.poll()")
    # In one step: the answer to an earlier poll can come last and remove the note until the next poll.
    page.wait_for_function(
        """start => {
          const text = document.querySelector("#sheet-note").textContent;
          return text.startsWith(start) && text.includes("run.json is not there; restore it");
        }""",
        arg=f"{few}: the folder or its",
    )
    shutil.move(few.with_name("away"), few)
    page.evaluate("() => sgi.sheet.poll()")
    page.wait_for_function("() => document.querySelector('#sheet-note').textContent === ''")
    tab.errors = [text for text in tab.errors if "410" not in text]


def test_classes_and_a_narrow_screen(class_model, tmp_path, open_folder):
    run_classes("0-3", [0, 2], model=class_model, outdir=tmp_path / "out", **OPTIONS)
    tab = open_folder(tmp_path / "out", viewport={"width": 380, "height": 760})
    page = tab.page
    wait_for_pictures(tab)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    for place in (2, 6):
        page.fill("#sheet-search", "2")
        page.press("#sheet-search", "Enter")
        page.wait_for_selector(f"#sheet-item-{place}.active")
    assert page.inner_text("#sheet-item-6 span") == "class2/seed000002"
    page.keyboard.press("Enter")
    tab.settle()
    assert page.evaluate("() => sgi.screen.class") == "2"
    assert len(page.evaluate("() => Array.from(sgi.maps.types.depth.values)")) == SIDE * SIDE


def test_the_numbers_below_narrow_pictures_are_legible(model, tmp_path, open_folder):
    run_seeds("0-5", model=model, types="depth", outdir=tmp_path / "out", **OPTIONS)
    tab = open_folder(tmp_path / "out")
    wait_for_pictures(tab)
    label = tab.page.locator("#sheet-item-4 span")
    assert label.inner_text() == "000004"
    assert label.evaluate("span => span.scrollWidth <= span.clientWidth")
