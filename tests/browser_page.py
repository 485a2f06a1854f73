"""A page in Debian's Chromium without a window, and a server of an application on a real socket."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from sgi.engine.service.server import bind

CHROMIUM = os.environ.get("SGI_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
SETTLED = "() => window.sgi && (!sgi.screen || JSON.stringify(sgi.shown) === JSON.stringify(sgi.screen))"


@contextmanager
def serving(app, port: int = 0) -> Iterator[str]:
    """The address of an application on a loopback port while the block runs."""
    with bind("127.0.0.1", port) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(10)


class Tab:
    """A page in the browser, and what went wrong on it."""

    def __init__(self, browser, address: str, **options):
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.page = browser.new_page(**{"viewport": {"width": 1440, "height": 1000}, **options})
        self.page.set_default_timeout(30_000)
        self.page.on("request", lambda request: self._note(request.url, address))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.page.goto(address)
        self.settle()

    def _note(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.foreign.append(url)

    def settle(self) -> None:
        """Wait until the page shows what its controls describe."""
        self.page.wait_for_function(SETTLED)

    def check(self) -> None:
        """Fail if the page asked another origin for anything, or a script failed."""
        assert not self.foreign
        assert not self.errors
