"""The page in one file in a browser, opened from the disk: of the command, and of the button of the page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tolerances import BACKEND_PARITY

from sgi.engine import Engine
from sgi.engine.live import Screen
from sgi.engine.view.opening import Viewed
from sgi.engine.view.reduction import reduce_values
from sgi.engine.view.saving import save_view


@pytest.fixture
def saved(live, tmp_path, open_tab):
    """Save seeds, and open the page; returns what `open_tab` does."""

    def call(seeds, size):
        path = tmp_path / "page.html"
        save_view(Viewed(live=live, title="rooms"), path, seeds=seeds, size=size)
        return open_tab(path.as_uri(), offline=True)

    return call


def values(tab, name):
    found = tab.page.evaluate(f"() => Array.from(sgi.maps.types[{json.dumps(name)}].values)")
    return np.array(found, np.float32)


def test_a_saved_page_shows_its_maps_without_a_server(saved, live):
    tab = saved("3,7", 256)
    page = tab.page
    for seed in (3, 7):
        page.select_option("#saved-item", label=f"seed {seed}")
        tab.settle()
        wanted = live.maps(Screen(seed=seed))
        for kind in live.types:
            np.testing.assert_array_equal(values(tab, kind.name), wanted[kind.name].ravel())
    page.keyboard.press("ArrowLeft")
    page.locator("body").click(position={"x": 5, "y": 600})
    assert not page.is_visible("#seed")
    assert not page.is_visible("#copy-shell")
    assert page.inner_text("#value-depth") == ""
    page.hover("#canvas-depth", position={"x": 20, "y": 20})
    assert float(page.inner_text("#value-depth").split()[0]) > 0
    before = page.evaluate("() => JSON.stringify(sgi.camera())")
    page.focus("#surface")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(before) => JSON.stringify(sgi.camera()) !== before", arg=before)
    lit = page.evaluate("() => Array.from(sgi.relit)")
    page.fill("#azimuth", "60")
    page.wait_for_function("(lit) => sgi.relit.some((value, place) => Math.abs(value - lit[place]) > 0.01)", arg=lit)


def test_a_smaller_page_has_reduced_maps(saved, live):
    tab = saved("5", 32)
    wanted = live.maps(Screen(seed=5))
    for kind in live.types:
        np.testing.assert_array_equal(values(tab, kind.name), reduce_values(kind, wanted[kind.name], 32).ravel())


def test_seed_7_at_psi_one_half_lit_from_the_left_is_saved_as_one_file(open_tab, viewer, tmp_path):
    tab = open_tab(viewer)
    tab.page.fill("#seed", "7")
    tab.page.fill("#psi-number", "0.5")
    tab.page.click("#light-left")
    tab.settle()
    relit = tab.page.evaluate("() => Array.from(sgi.relit)")
    with tab.page.expect_download() as found:
        tab.page.click("#save-page")
    path = tmp_path / found.value.suggested_filename
    found.value.save_as(path)
    assert path.name == "seed7.html"

    saved = open_tab(path.as_uri())
    assert saved.page.inner_text("#maps-title") == "Maps of seed 7, psi 0.5"
    assert saved.page.input_value("#azimuth") == "-75"
    np.testing.assert_allclose(saved.page.evaluate("() => Array.from(sgi.relit)"), relit, atol=BACKEND_PARITY)
    with Engine.open(device="cpu", threads=1) as engine:
        expected = engine(seeds=7, psi=0.5)
    for name, values in expected.items():
        shown = saved.page.evaluate("name => Array.from(sgi.maps.types[name].values)", name)
        np.testing.assert_allclose(shown, values.ravel(), atol=2 * BACKEND_PARITY, err_msg=name)
    assert not saved.page.locator("#seed").is_visible()
    before = saved.page.evaluate("() => sgi.camera()")
    saved.page.focus("#surface")
    saved.page.keyboard.press("ArrowLeft")
    assert saved.page.evaluate("() => sgi.camera()") != before
