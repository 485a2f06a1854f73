"""The page in one file in a browser, opened from the disk."""

from __future__ import annotations

import json

import numpy as np
import pytest

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
