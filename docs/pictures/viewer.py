"""Take the pictures of docs/viewer.md: pages of the bundled model in Debian's Chromium without a window.

    python docs/pictures/viewer.py

Writes view-maps.png, view-surface.png, view-relight.png, view-dark.png, view-narrow.png, view-sheet.png and
view-saved.png beside this file. Needs the extras `cpu`, `view` and `test`.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from browser_page import CHROMIUM, FLAGS, SETTLED, serving  # noqa: E402

from sgi.engine.live import open_live  # noqa: E402
from sgi.engine.run import run_seeds  # noqa: E402
from sgi.engine.view.app import create_app  # noqa: E402
from sgi.engine.view.opening import open_viewed  # noqa: E402
from sgi.engine.view.saving import save_view  # noqa: E402
from sgi.engine.view.settings import ViewSettings  # noqa: E402

WIDE, NARROW = (1280, 920), (400, 860)


def main() -> None:
    """Take all pictures."""
    with (
        open_live() as live,
        serving(create_app(live, ViewSettings(), title="rooms, bundled model")) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        with opened(browser, address, WIDE) as page:
            page.hover("#canvas-depth", position={"x": 60, "y": 110})
            save(page.screenshot(), "maps")
            page.select_option("#surface-colour", "albedo")
            page.check("#surface-normals")
            turn(page, 90, -30)
            save(page.locator("#surface-block").screenshot(), "surface")
            page.uncheck("#surface-normals")
            page.fill("#psi", "0.5")
            page.click("#light-left")
            settle(page)
            save(page.locator("#relight-block").screenshot(), "relight")
        with opened(browser, address, WIDE, color_scheme="dark") as page:
            page.click("#form-points")
            page.select_option("#surface-colour", "relit")
            page.click("#light-right")
            turn(page, 40, -30)
            save(page.screenshot(), "dark")
        with opened(browser, address, NARROW, device_scale_factor=1.5) as page:
            save(page.screenshot(), "narrow")
        with TemporaryDirectory() as folder:
            run_pictures(browser, Path(folder))
        browser.close()


def run_pictures(browser: Browser, folder: Path) -> None:
    """The sheet of a run that is not finished, with a damaged map, and a saved page of two of its seeds."""
    outdir = folder / "rooms"
    run_seeds("0-999", outdir=outdir, preview=False)
    (outdir / "seed000613_normal.png").write_bytes(b"")
    lines = (outdir / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (outdir / "manifest.jsonl").write_bytes(b"".join(lines[:616] + lines[617:900]))
    with open_viewed(outdir) as viewed:
        with serving(create_app(viewed, ViewSettings())) as address:
            page = browser.new_page(viewport={"width": WIDE[0], "height": 560})
            page.goto(address)
            page.fill("#sheet-search", "613")
            page.press("#sheet-search", "Enter")
            page.wait_for_selector(".sheet-item.active[data-state=damaged]")
            page.wait_for_function("[...document.querySelectorAll('.sheet-item')].every(item => item.dataset.state)")
            page.wait_for_timeout(3000)
            save(page.screenshot(), "sheet")
            page.close()
        save_view(viewed, folder / "page.html", seeds="17,42")
    page = browser.new_page(viewport={"width": WIDE[0], "height": 720})
    page.goto((folder / "page.html").as_uri())
    settle(page)
    save(page.screenshot(), "saved")
    page.close()


@contextmanager
def opened(browser: Browser, address: str, size: tuple[int, int], **options):
    """A page that shows seed 12."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **options)
    page.goto(address)
    settle(page)
    page.fill("#seed", "12")
    page.evaluate("document.activeElement.blur()")
    settle(page)
    yield page
    page.close()


def settle(page: Page) -> None:
    """Wait until the page shows what its controls describe."""
    page.wait_for_function(SETTLED)
    page.wait_for_timeout(300)


def turn(page: Page, right: int, down: int) -> None:
    """Drag the surface by some pixels."""
    box = page.locator("#surface").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=5)
    page.mouse.up()
    page.mouse.move(box["x"], box["y"] - 40)
    page.wait_for_timeout(300)


def save(picture: bytes, name: str) -> None:
    """Write view-NAME.png."""
    found = Image.open(BytesIO(picture)).convert("RGB")
    found.save(Path(__file__).with_name(f"view-{name}.png"), optimize=True)


if __name__ == "__main__":
    main()
