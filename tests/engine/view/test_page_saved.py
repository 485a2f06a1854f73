"""A page that was saved from the page: it opens from a disk and shows what was shown."""

from __future__ import annotations

import numpy as np
from tolerances import BACKEND_PARITY

from sgi.engine import Engine


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
    assert saved.page.inner_text("#maps-title") == "Maps of seed 7"
    assert saved.page.input_value("#azimuth") == "-75"
    np.testing.assert_allclose(saved.page.evaluate("() => Array.from(sgi.relit)"), relit, atol=BACKEND_PARITY)
    with Engine.open(backend="cpu", threads=1) as engine:
        expected = engine(seeds=7, psi=0.5)
    for name, values in expected.items():
        shown = saved.page.evaluate("name => Array.from(sgi.maps.types[name].values)", name)
        np.testing.assert_allclose(shown, values.ravel(), atol=2 * BACKEND_PARITY, err_msg=name)
    assert not saved.page.locator("#seed").is_visible()
    before = saved.page.evaluate("() => sgi.camera()")
    saved.page.focus("#surface")
    saved.page.keyboard.press("ArrowLeft")
    assert saved.page.evaluate("() => sgi.camera()") != before
