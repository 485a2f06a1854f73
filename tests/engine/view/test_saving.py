"""Static pages of models, latents and run folders, from the command line and from the page."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

pytest.importorskip("starlette")

from safetensors.numpy import load
from starlette.testclient import TestClient

from sgi.engine.errors import UserError
from sgi.engine.live import Row, Screen, open_live
from sgi.engine.view.app import create_app
from sgi.engine.view.latents import latents_file
from sgi.engine.view.opening import Viewed, open_viewed
from sgi.engine.view.saving import save_view, saved_page
from sgi.engine.view.settings import ViewSettings


@pytest.fixture(scope="module")
def live():
    with open_live(backend="onnxruntime", threads=1) as live:
        yield live


def saved(page):
    """The data inside a page."""
    found = re.search(r'<script type="application/json" id="saved">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def image_of(item):
    return load(base64.b64decode(item["body"]))["image.values"]


def test_seeds_of_a_model(live, tmp_path, command):
    path = tmp_path / "page.html"
    code, out, _ = command("view", "--save", path, "--seeds", "3,7", "--trunc", 0.5, "--backend", "onnxruntime")
    assert (code, out) == (0, f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB\n")
    found = saved(path.read_text())
    assert [item["label"] for item in found["items"]] == ["seed 3, psi 0.5", "seed 7, psi 0.5"]
    np.testing.assert_allclose(image_of(found["items"][1]), live.maps(Screen(seed=7, psi=0.5))["image"], atol=1e-6)


def test_the_page_saves_what_it_shows(live):
    screen = {"seed": 7, "alpha": {"depth": 0.5}}
    with TestClient(create_app(live, ViewSettings(), "rooms"), "http://127.0.0.1:1") as client:
        response = client.post("/api/page", json={"screen": screen, "light": {"azimuth": -75, "elevation": 10}})
        assert client.post("/api/page", json={"screen": {"seed": -1}}).status_code == 400
    (item,) = saved(response.text)["items"]
    assert saved(response.text)["model"]["light"]["azimuth"] == -75
    assert item["label"] == "seed 7, alpha 0.5 of depth"
    values = load(base64.b64decode(item["body"]))["depth.values"]
    np.testing.assert_array_equal(values, live.maps(Screen.from_values(screen))["depth"])


def test_the_class_of_a_page(class_model, tmp_path, command):
    path = tmp_path / "page.html"
    few = ("--backend", "onnxruntime", "--threads", 1)
    code, _, error = command("view", class_model, "--save", path, "--seeds", 1, "--class", "0:0.7,2:0.3", *few)
    assert (code, error) == (0, "")
    (item,) = saved(path.read_text())["items"]
    assert item["label"] == "seed 1, class 0:0.7,2:0.3"
    with open_live(class_model, backend="onnxruntime", threads=1) as live:
        expected = live.maps(Screen(seed=1, class_index="0:0.7,2:0.3"))["image"]
    np.testing.assert_allclose(image_of(item), expected, atol=1e-6)
    path.unlink()
    code, _, error = command("view", class_model, "--save", path, "--class", "5", *few)
    assert (code, error) == (2, "error: --class 5: choose 0 to 2, one for all images or one each\n")
    assert not path.exists()


def test_inverted_pictures_are_all_saved(live, tmp_path):
    for name, seed in (("a", 3), ("b", 4), ("c", 5)):
        (tmp_path / f"{name}_ws.safetensors").write_bytes(latents_file(live, Screen(seed=seed)))
    for name in "ab":
        (tmp_path / f"{name}_picture.png").write_bytes(name.encode())
    with open_viewed(tmp_path, backend="onnxruntime", threads=1) as viewed:
        save_view(viewed, tmp_path / "page.html")
        assert viewed.live is not None
        assert viewed.latents is not None
        shown = saved(saved_page(viewed, viewed.live, Screen(latents=Row(viewed.latents.id, 1))).decode())
        with pytest.raises(UserError, match="`seeds=1` has no effect on inverted pictures"):
            save_view(viewed, tmp_path / "page.html", seeds="1")
    found = saved((tmp_path / "page.html").read_text())
    assert [item["label"] for item in found["items"]] == ["a", "b", "c"]
    np.testing.assert_array_equal(image_of(found["items"][1]), live.maps(Screen(seed=4))["image"])
    photos = [item["photo"] and base64.b64decode(item["photo"].partition(",")[2]) for item in found["items"]]
    assert photos == [b"a", b"b", None]
    assert shown["items"][0]["photo"] == found["items"][1]["photo"]
    assert not {"latents", "photo"} & set(found["model"])


def test_wrong_seeds_and_paths_leave_no_file(live, tmp_path):
    viewed = Viewed(live=live)
    for options, words in (({"seeds": "5-1"}, "reversed"), ({"psi": 1e9}, "`psi="), ({"size": 2}, "`size=2`")):
        with pytest.raises(UserError, match=words):
            save_view(viewed, tmp_path / "page.html", **options)
    with pytest.raises(UserError, match="`save="):
        save_view(viewed, tmp_path / "missing" / "page.html")
    assert not list(tmp_path.iterdir())
