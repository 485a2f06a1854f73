"""The page in one file: what it contains, its limits, and how it is written."""

from __future__ import annotations

import base64
import json
import re
from functools import partial

import numpy as np
import pytest
from safetensors.numpy import load

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.run import run_seeds
from sgi.engine.view import static_page
from sgi.engine.view.opening import Viewed
from sgi.engine.view.reduction import reduce_values
from sgi.engine.view.run_folder import RunFolder
from sgi.engine.view.saving import save_view
from sgi.engine.view.static_page import SavedItem, items_of_folder, write

KINDS = [intrinsics.get("image"), intrinsics.get("depth")]
MODEL = {"title": "a </script> <b> model", "resolution": 16, "types": [{"name": kind.name} for kind in KINDS]}


def maps(seed):
    random = np.random.RandomState(seed)
    return {kind.name: random.rand(kind.channels, 16, 16).astype(np.float32) for kind in KINDS}


def items(count):
    return [SavedItem(f"seed {n} </script>", {"seed": n}, partial(maps, n)) for n in range(count)]


def saved(path):
    found = re.search(r'<script type="application/json" id="saved">(.*?)</script>', path.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_has_its_maps_and_loads_nothing(tmp_path):
    path = tmp_path / "page.html"
    assert write(path, items(3), KINDS, MODEL) == path.stat().st_size
    text = path.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:,|data:text/javascript)[^"]*"', text)
    assert "default-src 'none'" in text
    assert "/page/" not in re.sub(r"data:text/javascript;base64,[\w+/=]+", "", text)
    data = saved(path)
    assert data["model"]["title"] == MODEL["title"]
    assert [item["label"] for item in data["items"]] == [f"seed {n} </script>" for n in range(3)]
    body = load(base64.b64decode(data["items"][2]["body"]))
    np.testing.assert_array_equal(body["depth.values"], maps(2)["depth"])
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_larger_maps_are_reduced(tmp_path):
    path = tmp_path / "page.html"
    write(path, items(1), KINDS, MODEL, size=8)
    data = saved(path)
    assert data["model"]["resolution"] == 8
    body = load(base64.b64decode(data["items"][0]["body"]))
    np.testing.assert_array_equal(body["image.values"], reduce_values(KINDS[0], maps(0)["image"], 8))
    assert body["image.pixels"].shape == (8, 8, 3)


def test_wrong_requests_are_refused_before_any_work(tmp_path):
    def computed():
        raise AssertionError

    never = [SavedItem("seed 0", {}, computed)]
    with pytest.raises(UserError, match="`size=2000`: choose 4 to 1024 pixels"):
        write(tmp_path / "page.html", never, KINDS, MODEL, size=2000)
    with pytest.raises(UserError, match="`save=.*there is no folder"):
        write(tmp_path / "none" / "page.html", never, KINDS, MODEL)
    large = {**MODEL, "resolution": 1024}
    with pytest.raises(UserError, match="50 seeds of 1024 px would make a page of 1538 MB.*at most 6 seeds"):
        write(tmp_path / "page.html", never * 50, KINDS, large, size=1024)
    assert not list(tmp_path.iterdir())


def test_an_error_in_the_middle_leaves_the_older_page(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("older")

    def failing():
        raise RuntimeError("the engine failed")

    with pytest.raises(RuntimeError):
        write(path, [*items(1), SavedItem("seed 1", {}, failing)], KINDS, MODEL)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("page.html", "older")]


def test_items_of_a_run_folder(model, tmp_path):
    run_seeds("0-9", model=model, outdir=tmp_path / "out", backend="onnxruntime", device="cpu", preview=False)
    lines = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines(True)
    (tmp_path / "out" / "manifest.jsonl").write_text("".join(lines[1:]))
    folder = RunFolder(tmp_path / "out")
    assert [item.screen["number"] for item in items_of_folder(folder)] == list(range(1, 9))
    save_view(Viewed(live=None, title="out", folder=folder), tmp_path / "page.html", seeds="9,3")
    data = saved(tmp_path / "page.html")
    assert [item["label"] for item in data["items"]] == ["seed000009", "seed000003"]
    body = load(base64.b64decode(data["items"][1]["body"]))
    np.testing.assert_array_equal(body["depth.values"], folder.read(3).maps["depth"])
    with pytest.raises(UserError, match="`seeds=11`: the run has no seed 11"):
        items_of_folder(folder, "3,11")
    with pytest.raises(UserError, match="`seeds=0`: seed 0 is not finished"):
        items_of_folder(folder, "0")
    (tmp_path / "out" / "manifest.jsonl").write_text("")
    empty = RunFolder(tmp_path / "out")
    with pytest.raises(UserError, match="it has no finished seeds yet"):
        items_of_folder(empty)
    for opened in (folder, empty):
        opened.close()


def test_items_of_a_model(live):
    found = static_page.items_of_model(live, "7,9")
    assert [(item.label, item.screen["seed"]) for item in found] == [("seed 7", 7), ("seed 9", 9)]
    wanted = live.maps(static_page.Screen(seed=9))
    np.testing.assert_array_equal(found[1].maps()["depth"], wanted["depth"])
