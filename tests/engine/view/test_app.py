"""The server of the viewer in this process: bodies, errors, access, latents."""

from __future__ import annotations

import json
import socket
import threading
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("starlette")

from browser_page import serving
from safetensors.numpy import load, save
from starlette.testclient import TestClient

from sgi.engine import bundle, intrinsics
from sgi.engine.latents_file import read_latents
from sgi.engine.live import Screen, open_live
from sgi.engine.offsets import Offset
from sgi.engine.service.settings import LOOPBACK
from sgi.engine.view.app import create_app
from sgi.engine.view.opening import Viewed, open_viewed
from sgi.engine.view.settings import ViewSettings
from sgi.engine.writers.display import in_colours, span_of, to_rgb

ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def live():
    with open_live(backend="onnxruntime", threads=1) as live:
        yield live


@pytest.fixture
def client(live):
    with TestClient(create_app(live, ViewSettings(), "rooms"), ADDRESS) as client:
        yield client


def metadata(body: bytes) -> dict[str, str]:
    size = int.from_bytes(body[:8], "little")
    return json.loads(body[8 : 8 + size])["__metadata__"]


def test_maps_are_values_and_pixels(client, live):
    response = client.post("/api/maps", json={"seed": 7, "psi": 0.5})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    found, expected = load(response.content), live.maps(Screen(seed=7, psi=0.5))
    assert set(found) == {f"{name}.{part}" for name in expected for part in ("pixels", "values")}
    for kind in live.types:
        np.testing.assert_array_equal(found[f"{kind.name}.values"], expected[kind.name])
        code = intrinsics.encode(kind, expected[kind.name])
        if kind.name == "depth":
            code = in_colours(code, span_of([code]))
        np.testing.assert_array_equal(found[f"{kind.name}.pixels"], to_rgb(code))
    facts = metadata(response.content)
    assert float(facts["seconds"]) > 0
    depth = expected["depth"]
    assert json.loads(facts["spans"]) == {"depth": pytest.approx([depth.min(), depth.max()], abs=1e-6)}


def test_the_model_is_described(client, live):
    facts = client.get("/api/model").json()
    assert (facts["mode"], facts["title"], facts["resolution"], facts["num_ws"]) == ("model", "rooms", 64, 10)
    assert [kind["name"] for kind in facts["types"]] == list(live.artifact.type_names)
    assert facts["types"][0]["alpha"] is None
    assert facts["types"][1]["alpha"] == {"default": 1.0, "live": True, "reason": ""}
    assert (facts["seeds"], facts["mixing"], facts["psi_fixed"], facts["c_dim"]) == ("", "", "", 0)
    assert client.get("/api/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "`screen`"),
        ('{"seed": -1}', "`seed=-1`: a seed is an integer from 0 to 4294967295"),
        ('{"psi": 1000}', "`psi=1000.0`"),
        ('{"class": "1"}', "`class_index`: the model has no classes"),
        ('{"types": ["depht"]}', "`types=depht`: the model has image, depth"),
        ('{"mix": {"seed": 1, "rows": "10"}}', "`mix_rows=10`"),
        ('{"alpha": {"image": 2}}', "`alpha=image`"),
        ('{"latents": {"id": "gone"}}', "load the file again"),
    ],
)
def test_wrong_screens_get_one_line(client, body, words):
    response = client.post("/api/maps", content=body)
    assert response.status_code == 400
    assert words in response.text
    assert response.text.count("\n") == 1


def test_other_requests_get_one_line(client):
    for response, status in (
        (client.get("/nothing"), 404),
        (client.get("/page/nothing.js"), 404),
        (client.get("/page/../app.py"), 404),
        (client.get("/page/%2e%2e/app.py"), 404),
        (client.get("/photo.png"), 404),
        (client.get("/api/maps"), 405),
        (client.post("/api/maps", content=b" " * (1 << 17)), 413),
    ):
        assert response.status_code == status
        assert response.text.count("\n") == 1


def test_a_request_that_states_too_many_bytes_is_answered_before_they_are_sent(live):
    request = b"POST /api/latents?name=a.npy HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 600000000\r\n\r\n"
    with serving(create_app(live, ViewSettings())) as address:
        where = urlsplit(address)
        with socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=10) as client:
            client.sendall(request)
            assert b" 413 " in client.recv(1 << 16)


def test_the_page_loads_nothing_from_other_sites(client):
    response = client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    rules = dict(rule.split(" ", 1) for rule in response.headers["content-security-policy"].split("; "))
    assert rules["default-src"] == "'self'"
    assert "unsafe" not in rules["script-src"]
    assert rules["script-src"].count("'sha256-") == response.text.count("importmap")
    for name in ("main.js", "style.css", "vendor/three.js", "latents.js", "commands.js"):
        response = client.get(f"/page/{name}")
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["content-type"].startswith("text/css" if name.endswith("css") else "text/javascript")


@pytest.mark.parametrize("host", ["evil.example:8000", "127.0.0.1.evil.example", "", "8.8.8.8", "[::1"])
def test_other_names_of_this_machine_are_refused(client, host):
    response = client.get("/api/model", headers={"Host": host})
    assert response.status_code == 403
    assert "the address that `sgi-engine view` printed" in response.text


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]:8000"])
def test_names_of_loopback_are_answered(client, host):
    assert client.get("/api/health", headers={"Host": host}).status_code == 200


def test_pages_of_other_sites_are_refused(client):
    for origin, status in (("http://evil.example", 403), ("null", 403), (ADDRESS, 200)):
        assert client.post("/api/maps", json={}, headers={"Origin": origin}).status_code == status


def test_a_host_that_others_reach_needs_a_token(live):
    assert all(ViewSettings(host=host).token is None for host in LOOPBACK)
    settings = ViewSettings(host="192.0.2.7")
    assert settings.token
    address = settings.address(8000)
    assert address == f"http://192.0.2.7:8000/?token={settings.token}"
    with TestClient(create_app(live, settings), "http://192.0.2.7:8000", follow_redirects=False) as client:
        for path in ("/", "/api/model", "/page/main.js", "/?token=wrong", "/api/model?token="):
            response = client.get(path)
            assert (response.status_code, response.text.count("\n")) == (401, 1)
        bearer = {"Authorization": f"Bearer {settings.token}"}
        assert client.get("/api/model", headers=bearer).status_code == 200
        response = client.get(address)
        assert (response.status_code, response.headers["location"]) == (303, "/")
        cookie = response.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert client.get("/api/model").status_code == 200  # by the cookie
    with TestClient(create_app(live, ViewSettings(host="0.0.0.0", token="t")), "http://any.example") as client:
        assert client.get("/api/model?token=t").status_code == 200


def test_an_engine_that_fails_gives_a_message_and_the_server_goes_on(live, client, monkeypatch):
    def fail(*_arguments, **_options):
        raise RuntimeError("out of\nmemory")

    with monkeypatch.context() as patch:
        patch.setattr(live.engine.backend, "run", fail)
        response = client.post("/api/maps", json={"seed": 1})
        assert response.status_code == 503
        assert response.text.startswith("the engine failed (out of")
        assert response.text.count("\n") == 1
    assert client.post("/api/maps", json={"seed": 1}).status_code == 200


def test_a_newer_request_of_a_tab_takes_the_place_of_one_that_waits(live, monkeypatch):
    """Tab b waits behind tab a: of three requests of tab b only the last is computed."""
    began, go_on = threading.Event(), threading.Event()
    run, computed, answers = live.engine.backend.run, [], {}

    def slow(*arguments, **options):
        began.set()
        assert go_on.wait(30)
        computed.append(1)
        return run(*arguments, **options)

    monkeypatch.setattr(live.engine.backend, "run", slow)
    with TestClient(create_app(live, ViewSettings()), ADDRESS) as client:

        def ask(name: str, seed: int) -> None:
            headers = {"X-Sgi-Tab": name[0]}
            answers[name] = client.post("/api/maps", json={"seed": seed}, headers=headers)

        threads: list[threading.Thread] = []
        for name in ("a", "b1", "b2", "b3", "c"):
            threads.append(threading.Thread(target=ask, args=[name, len(threads)]))
            threads[-1].start()
            assert began.wait(30)
            if name in ("b1", "b2"):
                wait_for(client, threads)
        wait_for(client, threads)
        go_on.set()
        for thread in threads:
            thread.join(30)
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "a": 200, "b1": 409, "b2": 409, "b3": 200, "c": 200,
    }  # fmt: skip
    assert answers["b1"].text == "superseded\n"
    assert len(computed) == 3


def wait_for(client: TestClient, threads: list[threading.Thread]) -> None:
    """Let the requests that were sent arrive: a later one is answered after them."""
    import time

    time.sleep(0.3)
    assert client.get("/api/health").status_code == 200


def test_latents_are_loaded_and_saved(client, live, tmp_path):
    screen = {"seed": 7, "psi": 0.6, "mix": {"seed": 9, "rows": "6-9"}}
    body = client.post("/api/latents/save", json=screen).content
    path = tmp_path / "seed7_ws.safetensors"
    path.write_bytes(body)
    saved = read_latents([path], live.sizes)
    np.testing.assert_array_equal(saved.rows[0], live.ws(Screen.from_values(screen)))
    loaded = client.post(f"/api/latents?name={path.name}", content=body).json()
    assert (loaded["name"], loaded["kind"], loaded["rows"]) == (path.name, "w+", 1)
    first = client.post("/api/maps", json=screen)
    second = client.post("/api/maps", json={"latents": {"id": loaded["id"], "row": 0}})
    for name, tensor in load(first.content).items():
        np.testing.assert_array_equal(load(second.content)[name], tensor)


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("", b"", "the name of a file of latents is missing"),
        ("../../etc/.hidden", b"", "the name of a file of latents is missing"),
        ("ws.safetensors", b"", "ws.safetensors: not a w+ file but an empty file"),
        ("ws.npz", b"PK", "`latents=ws.npz`: not a readable file of latents"),
        ("ws.pt", b"PK", "a file of PyTorch"),
        ("..\\ws.npy", b"\x93NUMPY", "`latents=ws.npy`"),
        ("other.safetensors", save({"ws": np.zeros((10, 64), np.float32)}), "other.safetensors"),
    ],
)
def test_files_that_are_no_latents_get_one_line(client, name, body, words):
    response = client.post("/api/latents", params={"name": name}, content=body)
    assert response.status_code == 400
    assert words in response.text
    assert "/tmp" not in response.text
    assert response.text.count("\n") == 1


def test_an_inverted_folder_shows_its_photos(tmp_path, live, client):
    for name, seed in (("a", 3), ("b", 4)):
        body = client.post("/api/latents/save", json={"seed": seed}).content
        (tmp_path / f"{name}_ws.safetensors").write_bytes(body)
    (tmp_path / "b_picture.png").write_bytes(b"\x89PNG of b")
    with (
        open_viewed(tmp_path, backend="onnxruntime", threads=1) as viewed,
        TestClient(create_app(viewed, ViewSettings()), ADDRESS) as client,
    ):
        facts = client.get("/api/model").json()
        assert facts["latents"]["photos"] == [None, "/photo/1.png"]
        assert client.get("/photo/1.png").content == b"\x89PNG of b"
        assert client.get("/photo/0.png").status_code == 404
        body = client.post("/api/maps", json={"latents": {"id": facts["latents"]["id"], "row": 1}}).content
        np.testing.assert_array_equal(load(body)["image.values"], live.maps(Screen(seed=4))["image"])


def test_a_run_folder_without_its_model_says_why(tmp_path):
    pytest.importorskip("torch")
    from sgi.engine.run import run_seeds

    run_seeds(seeds="0-1", outdir=tmp_path / "out", backend="onnxruntime", types=["image", "depth"], preview=False)
    with open_viewed(tmp_path / "out", backend="onnxruntime", threads=1) as viewed:
        assert viewed.live is not None  # the bundled model made the folder
        with TestClient(create_app(Viewed(live=None, no_live="why", folder=viewed.folder), ViewSettings())) as client:
            client.base_url = ADDRESS
            facts = client.get("/api/model").json()
            assert (facts["mode"], facts["live"], facts["resolution"]) == ("run", "why", 64)
            assert [kind["name"] for kind in facts["types"]] == ["image", "depth"]
            response = client.post("/api/maps", json={"seed": 1})
            assert (response.status_code, response.text) == (400, "`screen`: why\n")


def test_a_run_folder_takes_its_own_generator_and_shows_its_settings(
    tmp_path, conditional_generator, tiny_generator, command
):
    from sgi.engine.generator import generator_sha256, save_generator

    files = {name: tmp_path / f"{name}.safetensors" for name in ("made", "other", "depth")}
    save_generator(files["made"], conditional_generator)
    save_generator(files["other"], tiny_generator)
    rows = np.random.RandomState(0).randn(8, 12).astype(np.float32)
    Offset("depth", "w+", {"offset": rows}, generator_sha256(conditional_generator)).save(files["depth"])
    made = ("--generator", files["made"])
    few = ("--backend", "onnxruntime", "--threads", 1)
    out = tmp_path / "out"
    options = ("--seeds", "0-1", "--class", "0:0.7,2:0.3", "--alpha", 0.5, "--outdir", out, "--quiet")
    assert command("run", *made, "--offset", files["depth"], *options, *few)[0] == 0
    for given, words in (
        (
            ("--generator", files["other"]),
            f"{files['other']}: another generator made {out}; give that one, or leave it out",
        ),
        (made, f"{files['made']}: the run has maps of depth; add their --offset, or leave out --generator"),
    ):
        code, _, error = command("view", out, *given, "--save", tmp_path / "page.html", *few)
        assert code == 2
        assert error.splitlines()[-1] == f"error: --generator {words}"
    with open_viewed(
        out, generator=files["made"], offsets=[files["depth"]], backend="onnxruntime", threads=1
    ) as viewed:
        assert viewed.live is not None
        assert viewed.folder is not None
        screen = Screen.from_values({"seed": 1, **viewed.folder.status()["parts"][0]["screen"]})
        assert screen.alpha == {"depth": 0.5}
        np.testing.assert_allclose(viewed.live.maps(screen)["depth"], viewed.folder.read(1).maps["depth"], atol=1e-4)


def test_bundled_files_are_what_the_bundled_model_contains(live):
    assert set(live.alphas) == {name for name in live.artifact.type_names if bundle.offset(name).exists()}
