"""The page of a model in a browser: what its controls show is what the engine computes."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from browser_page import Tab, serving
from PIL import Image
from tolerances import BACKEND_PARITY, CLOSED_FORM

from sgi.engine import Engine, bundle
from sgi.engine.intrinsics import decode, encode, get
from sgi.engine.live import Screen, open_live
from sgi.engine.offset_tensors import ROWS
from sgi.engine.offsets import Offset
from sgi.engine.view.app import create_app
from sgi.engine.view.latents import latents_file
from sgi.engine.view.opening import open_viewed
from sgi.engine.view.saving import save_view
from sgi.engine.view.settings import ViewSettings
from sgi.engine.writers.colour_map import viridis
from sgi.engine.writers.display import to_rgb

SIDE = 64


@pytest.fixture(scope="module")
def engine():
    with Engine.open(device="cpu", threads=1, input="w+") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared_tab(browser, viewer):
    tab = Tab(browser, viewer)
    yield tab
    tab.page.close()


@pytest.fixture
def tab(shared_tab):
    """A tab for tests that change only what an address that states nothing resets, and what they reset themselves."""
    page = shared_tab.page
    page.evaluate("() => { sgi.before = sgi.maps; location.hash = performance.now(); }")
    page.wait_for_function("() => sgi.maps !== sgi.before")
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    shared_tab.settle()
    yield shared_tab
    shared_tab.check()


def values(tab, name: str) -> np.ndarray:
    """The values [C, R, R] that the page has."""
    found = tab.page.evaluate(f"() => Array.from(sgi.maps.types[{json.dumps(name)}].values)")
    return np.array(found, np.float32).reshape(-1, SIDE, SIDE)


def drawn(tab, selector: str) -> np.ndarray:
    """The pixels [R, R, 3] of a canvas."""
    found = tab.page.eval_on_selector(
        selector, "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    )
    side = math.isqrt(len(found) // 4)
    return np.array(found, np.uint8).reshape(side, side, 4)[..., :3]


def assert_shows(tab, maps) -> None:
    """The page has the maps {type: [1, C, R, R]}."""
    tab.settle()
    for name, expected in maps.items():
        np.testing.assert_allclose(values(tab, name), expected[0], atol=2 * BACKEND_PARITY, err_msg=name)


def fill(tab, selector: str, value: object) -> None:
    tab.page.fill(selector, str(value))


def open_parts(tab) -> None:
    """Open the folded controls."""
    tab.page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")


def test_seeds_by_box_buttons_and_keys(tab, engine):
    assert_shows(tab, engine(seeds=0))
    fill(tab, "#seed", 7)
    assert_shows(tab, engine(seeds=7))
    tab.page.click("#next")
    assert_shows(tab, engine(seeds=8, types="depth"))
    tab.page.click("#previous")
    tab.page.click("#previous")
    assert_shows(tab, engine(seeds=6, types="depth"))
    tab.page.keyboard.press("ArrowRight")
    assert_shows(tab, engine(seeds=7, types="depth"))
    tab.page.keyboard.press("r")
    tab.settle()
    seed = tab.page.evaluate("() => sgi.screen.seed")
    assert tab.page.input_value("#seed") == str(seed) != "7"
    assert_shows(tab, engine(seeds=seed, types="depth"))
    tab.page.keyboard.press("/")
    assert tab.page.evaluate("() => document.activeElement.id") == "seed"
    for text in ("x", "-1", "4294967296", "18446744073709551615"):
        fill(tab, "#seed", text)
        assert tab.page.evaluate("() => sgi.screen.seed") == seed
        assert tab.page.inner_text("#seed-note").startswith("A seed is a whole number from 0 to 4294967295.")
        assert tab.page.get_attribute("#seed", "aria-invalid") == "true"
    tab.page.press("#seed", "Tab")
    assert tab.page.input_value("#seed") == str(seed)
    assert tab.page.is_hidden("#seed-note")


def test_truncation_mixing_and_interpolation(tab, engine):
    open_parts(tab)
    fill(tab, "#psi", 0.5)
    assert_shows(tab, engine(seeds=0, psi=0.5))
    fill(tab, "#psi-number", 0.25)
    assert_shows(tab, engine(seeds=0, psi=0.25, types="depth"))
    tab.page.click(".slider:has(#psi) .reset")
    first, other = engine.mapping(seeds="0,9")
    fill(tab, "#mix-seed", 9)
    fill(tab, "#mix-rows", "2-5")
    mixed = first.copy()
    mixed[2:6] = other[2:6]
    assert_shows(tab, engine(ws=mixed[None]))
    fill(tab, "#mix-rows", "2-99")
    tab.page.wait_for_selector("#status.wrong:has-text('rows of w+ 2-99: write rows of w+ from 0 to 9')")
    fill(tab, "#mix-seed", "")
    fill(tab, "#towards-seed", 9)
    fill(tab, "#towards-share", 0.25)
    assert_shows(tab, engine(ws=(first + 0.25 * (other - first))[None]))
    assert not tab.page.query_selector("#status.wrong")
    tab.errors.clear()  # the browser logs the status 400 of the wrong rows


def test_alpha_of_each_offset(tab, engine):
    image = engine(seeds=0, types="image")["image"]
    inside = ((image > 0) & (image < 1)).all(axis=1)[0]  # a mean of channels is that of the picture before its clip
    for name in engine.artifact.offsets:
        step = Offset.load(bundle.offset(name)).tensors[ROWS]
        fill(tab, f"#alpha-{name}", 0.4)
        ws = engine.mapping(seeds=0) - np.float32(0.6) * step
        assert_shows(tab, {name: engine(ws=ws, types=name)[name], "image": image})
        fill(tab, f"#alpha-{name}", 0)
        tab.settle()
        kind = get(name)
        code = image if kind.code_channels == 3 else image.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(values(tab, name)[:, inside], decode(kind, code)[0][:, inside], atol=1e-3)
        tab.page.click(f".slider:has(#alpha-{name}) .reset")
    assert_shows(tab, engine(seeds=0))


def test_classes(open_tab, class_model):
    with (
        open_live(class_model, backend="onnxruntime", threads=1) as live,
        Engine.open(class_model, backend="onnxruntime", threads=1) as engine,
        serving(create_app(live, ViewSettings(), title="classes")) as address,
    ):
        tab = open_tab(address)
        for text, chosen in (("2", 2), ("1:0.5,2:0.5", {1: 0.5, 2: 0.5})):
            fill(tab, "#class", text)
            tab.settle()
            found = tab.page.evaluate("() => Array.from(sgi.maps.types.depth.values)")
            expected = engine(seeds=0, class_index=chosen, types="depth")["depth"]
            np.testing.assert_allclose(found, expected.ravel(), atol=2 * BACKEND_PARITY)
        assert "A class from 0 to 2" in tab.page.inner_text("#class-note")
        for text, wrong in (
            ("3", True),
            ("1,2", True),
            (" 2 ", False),
            ("x", True),
            ("0:0.5, 2:0.5", False),
            ("", False),
        ):
            fill(tab, "#class", text)
            assert tab.page.get_attribute("#class", "aria-invalid") == str(wrong).lower(), text
        tab.settle()
        tab.errors.clear()  # the browser logs each status 400


def test_latents_are_saved_and_loaded_and_a_photo_is_shown_beside_the_maps(open_tab, viewer, engine, tmp_path):
    tab = open_tab(viewer)
    open_parts(tab)
    fill(tab, "#seed", 7)
    fill(tab, "#psi", 0.5)
    tab.settle()
    with tab.page.expect_download() as found:
        tab.page.click("#save-latents")
    file, photo = tmp_path / found.value.suggested_filename, tmp_path / "photo.png"
    found.value.save_as(file)
    fill(tab, "#seed", 8)
    with tab.page.expect_file_chooser() as chooser:
        tab.page.click("#load-latents")
    chooser.value.set_files(file)
    tab.page.wait_for_function("() => sgi.shown.latents")
    assert_shows(tab, engine(seeds=7, psi=0.5))
    assert tab.page.inner_text("#maps-title") == f"Maps of row 0 of {file.name}"
    Image.new("RGB", (4, 4), "red").save(photo)
    with tab.page.expect_file_chooser() as chooser:
        tab.page.click("#load-photo")
    chooser.value.set_files(photo)
    tab.page.wait_for_function("() => document.querySelector('#card-photo img')?.naturalWidth === 4")
    with tab.page.expect_file_chooser() as chooser:
        tab.page.click("#load-photo")
    chooser.value.set_files(file)
    tab.page.wait_for_selector(f"#status.wrong:has-text('{file.name}: not a picture')")
    assert tab.page.evaluate("() => document.querySelector('#card-photo img').naturalWidth") == 4
    tab.page.click("#latents-close")
    assert_shows(tab, engine(seeds=8, psi=0.5))
    large = tmp_path / "large.npy"
    large.touch()
    os.truncate(large, 600_000_000)
    with tab.page.expect_file_chooser() as chooser:
        tab.page.click("#load-latents")
    chooser.value.set_files(large)
    tab.page.wait_for_selector("#status.wrong:has-text('large.npy has 600 MB; the page loads files of at most 268 MB')")


def test_the_photo_of_inverted_latents_is_beside_their_maps_alone(open_tab, live, tmp_path):
    for name, seed in (("a", 3), ("b", 4)):
        (tmp_path / f"{name}_ws.safetensors").write_bytes(latents_file(live, Screen(seed=seed)))
        Image.new("RGB", (seed, seed), "red").save(tmp_path / f"{name}_picture.png")
    with (
        open_viewed(tmp_path, device="cpu", threads=1) as viewed,
        serving(create_app(viewed, ViewSettings())) as address,
    ):
        tab = open_tab(address)
        width = "(width) => document.querySelector('#card-photo img')?.naturalWidth === width"
        tab.page.wait_for_function(width, arg=3)
        (tmp_path / "b_picture.png").rename(tmp_path / "away.png")
        tab.page.keyboard.press("ArrowRight")
        tab.page.wait_for_selector("#card-photo.missing")
        tab.errors.clear()  # the browser logs the status 404
        (tmp_path / "away.png").rename(tmp_path / "b_picture.png")
        tab.page.keyboard.press("ArrowLeft")
        tab.page.keyboard.press("ArrowRight")
        tab.page.wait_for_function(width, arg=4)
        assert "missing" not in tab.page.get_attribute("#card-photo", "class")
        fill(tab, "#seed", 7)
        tab.settle()
        assert not tab.page.query_selector("#card-photo")
        save_view(viewed, tmp_path / "page.html")
    saved = open_tab((tmp_path / "page.html").as_uri())
    saved.page.wait_for_function(width, arg=3)
    saved.page.keyboard.press("ArrowRight")
    saved.page.wait_for_function(width, arg=4)
    assert saved.page.inner_text("#maps-title") == "Maps of b"


def test_the_copied_command_and_lines_are_shown(tab):
    fill(tab, "#seed", 7)
    fill(tab, "#psi", 0.5)
    tab.settle()
    for button, expected in (("#copy-shell", "sgi-engine run"), ("#copy-python", "from sgi.engine import Engine")):
        tab.page.click(button)
        tab.page.wait_for_selector(f"#copied:has-text('{expected}')")
        assert "7" in tab.page.inner_text("#copied")
        assert "0.5" in tab.page.inner_text("#copied")
    tab.page.click("#copy-shell")
    tab.page.wait_for_selector("#copied:has-text('sgi-engine run')")
    assert tab.page.inner_text("#copied-note") == ""
    for change in (lambda: tab.page.click("#light-left"), lambda: tab.page.click("#next")):
        change()
        assert not tab.page.query_selector("#copied")  # it is of other settings
        tab.settle()
        tab.page.click("#copy-shell")
        note = "the light is not in the command; Copy Python has it"
        tab.page.wait_for_selector(f"#copied-note:has-text('{note}')")
    tab.page.click("#copy-python")
    tab.page.wait_for_selector("#copied:has-text('radians([-75')")
    assert tab.page.inner_text("#copied-note") == ""


def test_a_reload_shows_the_same(tab, engine):
    open_parts(tab)
    fill(tab, "#seed", 7)
    fill(tab, "#psi", 0)
    fill(tab, "#towards-seed", 9)
    fill(tab, "#alpha-normal", 0.5)
    tab.page.click("#light-right")
    fill(tab, "#ambient", 0.3)
    tab.settle()
    before = tab.page.evaluate("() => JSON.stringify(sgi.screen)")
    shown, relit = values(tab, "normal"), drawn(tab, "#relight")
    tab.page.wait_for_function("() => decodeURIComponent(location.hash).includes('\"ambient\":0.3')")
    tab.page.reload()
    tab.settle()
    assert tab.page.evaluate("() => JSON.stringify(sgi.screen)") == before
    np.testing.assert_array_equal(values(tab, "normal"), shown)
    assert [tab.page.input_value(f"#{name}") for name in ("azimuth", "elevation", "ambient")] == ["75", "10", "0.3"]
    np.testing.assert_array_equal(drawn(tab, "#relight"), relit)


def test_a_bookmark_in_the_open_page_is_shown(tab, engine):
    tab.page.click("#light-left")
    tab.page.evaluate("""() => location.hash = encodeURIComponent('{"seed":7,"psi":0.5}')""")
    tab.page.wait_for_function("() => sgi.shown.seed === 7")
    assert_shows(tab, engine(seeds=7, psi=0.5, types="depth"))
    assert tab.page.input_value("#azimuth") == "-60"


def test_a_wrong_light_in_the_address_does_no_harm(tab):
    tab.page.evaluate("""() => location.hash = '{"light":{"azimuth":999,"elevation":"x","strength":null}}'""")
    tab.page.reload()
    tab.settle()
    assert [tab.page.input_value(f"#{name}") for name in ("azimuth", "elevation", "strength")] == ["90", "20", "1"]


def test_the_size_of_the_maps(tab):
    first, before = tab.page.input_value("#map-size"), tab.page.locator("#canvas-depth").bounding_box()["width"]
    fill(tab, "#map-size", 400)
    assert tab.page.locator("#canvas-depth").bounding_box()["width"] >= 400 > before
    fill(tab, "#map-size", first)


def test_maps_are_drawn_in_their_colours(tab, engine):
    maps = engine(seeds=0)
    for name in ("image", "normal", "albedo", "shading"):
        expected = to_rgb(encode(get(name), maps[name][0])).astype(int)
        assert np.abs(drawn(tab, f"#canvas-{name}") - expected).max() <= 1
    code = encode(get("depth"), maps["depth"][0])
    share = (code - code.min()) / (code.max() - code.min())
    assert np.abs(drawn(tab, "#canvas-depth") - to_rgb(viridis(share)).astype(int)).max() <= 2
    ends = [float(text) for text in tab.page.locator("#card-depth .end").all_inner_texts()]
    np.testing.assert_allclose(ends, [maps["depth"].min(), maps["depth"].max()], atol=1e-3)


def test_the_crosshair_shows_the_values_of_a_pixel_in_all_cards(tab, engine):
    box = tab.page.locator("#canvas-albedo").bounding_box()
    x, y = 40, 12
    tab.page.mouse.move(box["x"] + (x + 0.5) * box["width"] / SIDE, box["y"] + (y + 0.5) * box["height"] / SIDE)
    maps = engine(seeds=0)

    def shown(name):
        return [float(part) for part in tab.page.inner_text(f"#value-{name}").replace("\u2212", "-").split()]

    for name, expected in maps.items():
        np.testing.assert_allclose(shown(name), expected[0, :, y, x], atol=6e-4, err_msg=name)
        assert tab.page.locator(f"#card-{name} .cross-pixel").is_visible()
    assert f"column {x}, row {y}" in tab.page.inner_text("#point")
    tab.page.mouse.down()
    tab.page.mouse.up()
    tab.page.mouse.move(5, 5)
    tab.page.focus("#canvas-depth")
    tab.page.keyboard.press("ArrowDown")
    np.testing.assert_allclose(shown("depth"), maps["depth"][0, :, y + 1, x], atol=6e-4)
    tab.page.keyboard.press("Escape")
    assert tab.page.inner_text("#value-depth") == ""


def test_the_surface_turns_and_changes_its_form(open_tab, viewer):
    tab = open_tab(viewer)

    def picture():
        tab.page.wait_for_timeout(80)
        return tab.page.locator("#surface").screenshot()

    before, first = tab.page.evaluate("() => sgi.camera()"), picture()
    box = tab.page.locator("#surface").bounding_box()
    tab.page.mouse.move(box["x"] + 200, box["y"] + 150)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 300, box["y"] + 150, steps=4)
    tab.page.mouse.up()
    after, turned = tab.page.evaluate("() => sgi.camera()"), picture()

    def relative(camera):
        return np.subtract(camera["position"], camera["target"])

    np.testing.assert_allclose(after["target"], before["target"])
    np.testing.assert_allclose(np.linalg.norm(relative(after)), np.linalg.norm(relative(before)), rtol=1e-6)
    assert np.linalg.norm(relative(after) - relative(before)) > 0.1
    assert turned != first
    tab.page.focus("#surface")
    tab.page.keyboard.press("ArrowLeft")
    assert tab.page.evaluate("() => sgi.camera()") != after
    tab.page.click("#surface-reset")
    assert tab.page.evaluate("() => sgi.camera()") == before
    pictures = [picture()]
    for change in (
        lambda: tab.page.click("#form-points"),
        lambda: tab.page.select_option("#surface-colour", "normal"),
        lambda: fill(tab, "#field-of-view", 40),
        lambda: fill(tab, "#surface-stretch", 2),
        lambda: tab.page.check("#surface-normals"),
        lambda: tab.page.select_option("#surface-colour", "relit"),
        lambda: tab.page.click("#light-right"),
        lambda: tab.page.click("#next"),
    ):
        change()
        tab.settle()
        pictures.append(picture())
    assert len(set(pictures)) == len(pictures)


def test_relighting_is_albedo_times_the_light_on_the_normals(tab, engine):
    maps = engine(seeds=0)
    albedo, normal = (maps[name][0].astype(np.float64) for name in ("albedo", "normal"))

    def expected(azimuth, elevation, strength, ambient):
        a, e = math.radians(azimuth), math.radians(elevation)
        light = np.array([math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)])
        return albedo * (ambient + strength * np.clip(np.einsum("c,chw->hw", light, normal), 0, None))

    def relit():
        return np.array(tab.page.evaluate("() => Array.from(sgi.relit)")).reshape(3, SIDE, SIDE)

    light = {"azimuth": 35, "elevation": -20, "strength": 1.5, "ambient": 0.3}
    for name, value in light.items():
        fill(tab, f"#{name}", value)
    np.testing.assert_allclose(relit(), expected(**light), atol=max(CLOSED_FORM, BACKEND_PARITY * 4))
    codes = encode(get("albedo"), np.clip(expected(**light), 0, 1))
    assert np.abs(drawn(tab, "#relight") - to_rgb(codes).astype(int)).max() <= 2
    tab.page.click("#light-left")
    assert tab.page.input_value("#azimuth") == "-75"
    left = relit()
    box = tab.page.locator("#ball").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    tab.page.mouse.move(
        box["x"] + box["width"] * (0.5 + 0.5 * math.sin(math.radians(60))), box["y"] + box["height"] / 2
    )
    tab.page.mouse.up()
    assert float(tab.page.input_value("#azimuth")) == pytest.approx(60, abs=2)
    assert np.abs(relit() - left).max() > 0.1
    tab.page.keyboard.press("l")
    tab.page.keyboard.press("ArrowUp")
    assert float(tab.page.input_value("#elevation")) == pytest.approx(5, abs=2)


def test_the_page_fits_its_window_in_both_colours(open_tab, viewer):
    page = open_tab(viewer).page

    def is_dark():
        return max(map(int, page.evaluate("getComputedStyle(document.body).backgroundColor")[4:-1].split(","))) < 128

    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert is_dark() == (scheme == "dark")
    for _ in ("light", "dark"):
        page.click("#theme")
    assert is_dark()
    for width in (1440, 900, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#help")
    assert page.locator("#keys").is_visible()


def test_every_control_is_reached_by_tab_and_has_a_name_of_its_own(open_tab, viewer):
    tab = open_tab(viewer)
    page = tab.page
    open_parts(tab)
    wanted = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, summary, [tabindex]")]
          .filter((one) => !one.disabled && one.checkVisibility({ visibilityProperty: true }))
          .map((one) => one.id || one.parentElement.id)"""
    )
    focused = """() => {
      const { id, parentElement, tagName } = document.activeElement;
      return [id || parentElement.id, tagName, getComputedStyle(document.activeElement).outlineStyle];
    }"""
    page.evaluate("() => document.activeElement.blur()")
    reached: list[str] = []
    outlines: set[str] = set()
    while len(reached) <= len(wanted):
        page.keyboard.press("Tab")
        name, tag, outline = page.evaluate(focused)
        if tag == "BODY":
            break
        reached.append(name)
        outlines.add(outline)
    assert reached == wanted
    assert outlines == {"solid"}
    roles = "button|textbox|slider|spinbutton|combobox|checkbox|group|img|region|figure"
    found = re.findall(rf"- '?({roles})(?: \"([^\"]*)\")?[:' \[\n]", page.locator("body").aria_snapshot() + "\n")
    assert len(found) > len(wanted)
    assert all(name for _, name in found), found
    assert len(set(found)) == len(found), sorted(one for one in found if found.count(one) > 1)
    assert ("img", "Depth as a surface: drag, or press arrow keys, to turn it; + and - to zoom") in found
    fill(tab, "#psi", 0.5)
    page.focus(".slider:has(#psi) .reset")
    page.keyboard.press("Enter")
    assert (page.input_value("#psi"), page.evaluate("document.activeElement.id")) == ("1", "psi")


def test_a_dragged_slider_asks_only_for_the_newest_value(tab, engine):
    asked = []
    tab.page.on("request", lambda request: asked.append(request) if request.url.endswith("/api/maps") else None)
    tab.page.evaluate(
        """() => {
          const psi = document.getElementById("psi");
          for (let step = 0; step <= 90; step++) {
            psi.value = step / 100;
            psi.dispatchEvent(new Event("input"));
          }
        }"""
    )
    assert_shows(tab, engine(seeds=0, psi=0.9, types="depth"))
    assert len(asked) == 2


def start_viewer(port: int) -> tuple[subprocess.Popen, str]:
    """A viewer in its own process, and its address."""
    arguments = ["view", "--no-browser", "--port", str(port), "--threads", "1", "--device", "cpu"]
    process = subprocess.Popen([sys.executable, "-m", "sgi.cli", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_a_killed_server_gives_a_banner_and_the_page_goes_on_when_it_is_back(open_tab, engine):
    process, address = start_viewer(0)
    try:
        tab = open_tab(address)
        process.send_signal(signal.SIGKILL)
        process.wait()
        fill(tab, "#seed", 3)
        tab.page.wait_for_selector("#banner:has-text('sgi-engine view --no-browser')")
        assert values(tab, "depth").shape == (1, SIDE, SIDE)
        process, again = start_viewer(int(address.rsplit(":", 1)[1].strip("/")))
        assert again == address
        tab.page.wait_for_selector("#banner", state="hidden")
        assert_shows(tab, engine(seeds=3, types="depth"))
        tab.errors.clear()  # the browser logs each request that no server answered
    finally:
        process.kill()
        process.wait()
