"""The endpoints of a run folder."""

from __future__ import annotations

import io
import json
import shutil
from urllib.parse import unquote

import numpy as np
import pytest

pytest.importorskip("starlette")
from PIL import Image
from safetensors.numpy import load
from starlette.testclient import TestClient

from sgi.engine.run import run_seeds
from sgi.engine.view.app import create_app
from sgi.engine.view.opening import Viewed
from sgi.engine.view.run_folder import RunFolder
from sgi.engine.view.settings import ViewSettings


@pytest.fixture
def outdir(model, tmp_path):
    run_seeds(
        "0-9", model=model, outdir=tmp_path / "out", backend="onnxruntime", device="cpu", preview=False,
        file_format="npy",
    )  # fmt: skip
    return tmp_path / "out"


@pytest.fixture
def client(outdir, monkeypatch):
    monkeypatch.setattr("sgi.engine.view.run_folder._INTERVAL", 0.0)
    folder = RunFolder(outdir)
    app = create_app(Viewed(live=None, title=folder.title, folder=folder), ViewSettings())
    with TestClient(app, base_url="http://127.0.0.1") as opened:
        yield opened
    folder.close()


def test_the_model_and_the_state(client):
    found = client.get("/api/model").json()
    assert [found[name] for name in ("mode", "title", "resolution", "item")] == ["run", "out", 16, "seed"]
    assert [kind["name"] for kind in found["types"]] == ["image", "depth"]
    state = client.get("/api/run").json()
    assert [state[name] for name in ("state", "total", "done", "missing")] == ["finished", 10, 10, 0]
    assert state["types"] == ["image", "depth"]
    assert state["strip"] == {"width": 132, "height": 64}
    assert state["settings"]["format"] == "npy"


def test_items_and_searches(client):
    page = client.get("/api/run/items?start=8&count=5").json()
    assert [item["number"] for item in page["items"]] == [8, 9]
    assert client.get("/api/run/find?number=7").json() == {"place": 7}
    answer = client.get("/api/run/find?number=70")
    assert (answer.status_code, answer.text) == (404, "the run has no seed 70\n")
    assert client.get("/api/run/missing").json() == {"place": None, "searched": 9}
    for path in ("items?start=x", "items?count=99999999999999999999", "items?only=bad", "find", "find?number=-2"):
        answer = client.get(f"/api/run/{path}")
        assert (answer.status_code, answer.text.count("\n")) == (400, 1), path


def test_strips_and_maps(client, outdir):
    answer = client.get("/run/strip/3.png?v=1")
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (132, 64)
    answer = client.get("/api/run/maps/3")
    found = load(answer.content)
    np.testing.assert_array_equal(found["depth.values"], np.load(outdir / "seed000003_depth.npy"))
    assert client.get("/run/strip/10.png").status_code == 400
    assert client.get("/api/run/maps/10").status_code == 400


def test_damaged_and_missing_maps_have_reasons(client, outdir):
    (outdir / "seed000003_depth.npy").write_bytes(b"\x93NUMPY \xc3\xbc")
    for path in ("/run/strip/3.png", "/api/run/maps/3"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert json.loads(unquote(answer.headers["x-sgi-damaged"]))["depth"].startswith("damaged (")
    assert set(load(client.get("/api/run/maps/3").content)) == {"image.values", "image.pixels"}
    (outdir / "manifest.jsonl").write_text("")
    assert client.get("/api/run").json()["missing"] == 10
    answer = client.get("/run/strip/5.png")
    assert "missing" in unquote(answer.headers["x-sgi-damaged"])
    assert client.get("/api/run/maps/5").status_code == 400


def test_a_removed_folder_answers_410_and_the_server_goes_on(client, outdir):
    shutil.move(outdir, outdir.with_name("away"))
    for path in ("/api/run", "/run/strip/3.png", "/api/run/maps/3"):
        answer = client.get(path)
        assert answer.status_code == 410, path
        assert "is not there; restore it" in answer.text
    shutil.move(outdir.with_name("away"), outdir)
    assert client.get("/api/run").json()["done"] == 10


def test_another_run_in_the_place_of_the_folder_is_opened_with_its_own_settings(client, outdir, model):
    assert client.get("/api/run/maps/3").status_code == 200
    shutil.rmtree(outdir)
    run_seeds("20-25", model=model, outdir=outdir, backend="onnxruntime", device="cpu", preview=False)
    answer = client.get("/api/run/maps/3")
    assert "x-sgi-damaged" not in answer.headers
    assert client.get("/api/run/items?start=3&count=1").json()["items"][0]["number"] == 23
