"""Viewers to look at, and the browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
from browser_page import CHROMIUM, FLAGS, Tab, serving

from sgi.engine.live import LiveModel, open_live
from sgi.engine.view.app import create_app
from sgi.engine.view.settings import ViewSettings


@pytest.fixture(scope="session")
def live() -> Iterator[LiveModel]:
    """The bundled model."""
    with open_live(device="cpu", threads=1) as model:
        yield model


@pytest.fixture(scope="session")
def viewer(live) -> Iterator[str]:
    """The address of a viewer of the bundled model."""
    with serving(create_app(live, ViewSettings(), title="rooms, bundled model")) as address:
        yield address


@pytest.fixture(scope="module")  # playwright's event loop runs meanwhile, and other modules run loops of their own
def browser():
    """Chromium; skips without it, unless SGI_REQUIRE_BROWSER=1."""
    if find_spec("playwright") is None or CHROMIUM is None:
        assert os.environ.get("SGI_REQUIRE_BROWSER") != "1", "the tests of the page need playwright and chromium"
        pytest.skip("no playwright or no chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def open_tab(browser) -> Iterator:
    """Open an address: `open_tab(address, **options of the page)`; what goes wrong on the page fails the test."""
    tabs: list[Tab] = []

    def opened(address: str, **options) -> Tab:
        tabs.append(Tab(browser, address, **options))
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.page.close()
    for tab in tabs:
        tab.check()
