"""The HTTP service in this process: bodies, errors, access, metrics, the bound of the queue."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")

from starlette.testclient import TestClient

from sgi.engine.api import Engine
from sgi.engine.errors import UserError
from sgi.engine.service import ServiceSettings, create_app
from sgi.engine.service.batcher import Batcher, BusyError
from sgi.engine.writers import get_format


@pytest.fixture
def engine(model):
    with Engine.open(model, backend="onnxruntime") as engine:
        yield engine


@pytest.fixture
def client(engine):
    with TestClient(create_app(engine, ServiceSettings(batch=4, queue=32, request_seeds=16))) as client:
        yield client


def test_npz_contains_every_type(client, engine):
    response = client.get("/maps", params={"seeds": "0-2,7"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-npz"
    found = np.load(io.BytesIO(response.content))
    expected = engine([0, 1, 2, 7])
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_an_engine_that_takes_w_plus_is_refused():
    message = r"the model takes w\+, and requests have seeds; serve a model that takes z"
    with (
        Engine.open(backend="onnxruntime", types="depth", input="w+") as engine,
        pytest.raises(UserError, match=message),
    ):
        create_app(engine)


def test_npy_and_png_contain_one_type(client, engine):
    response = client.get("/maps", params={"seeds": "3-4", "types": "depth", "psi": 0.5})
    np.testing.assert_array_equal(np.load(io.BytesIO(response.content)), engine([3, 4], psi=0.5)["depth"])
    response = client.get("/maps", params={"seeds": "3", "types": "image", "format": "png"})
    assert response.headers["content-type"] == "image/png"
    expected = get_format("png").encode(engine.artifact.output("image"), engine([3])["image"][0])
    assert response.content == expected


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "`seeds`"),
        ("seeds=5-1", "reversed"),
        ("seeds=x", "seeds"),
        ("seeds=-1", "seeds"),
        ("seeds=0-16", "one request takes 16"),
        ("seeds=0&types=normal", "image, depth"),
        ("seeds=0&types=,", "image, depth"),
        ("seeds=0&types=", "`types=`: the model has image, depth"),
        ("seeds=0&types=depth,", "image, depth"),
        ("seeds=0&psi=high", "`psi=high`"),
        ("seeds=0&psi=", "`psi=`: must be a number"),
        ("seeds=0&psi=nan", "psi"),
        ("seeds=0&psi=inf", "psi"),
        ("seeds=0&class_index=1", "no classes"),
        ("seeds=0&class_index=one", "`class_index=one`: write one class"),
        ("seeds=0&class=1", "`class`: choose from seeds"),
        ("seeds=0&class_index=-1", "`class_index=-1`"),
        ("seeds=0&class_index=1.5", "`class_index=1.5`"),
        ("seeds=0&psi=1&psi=0", "`psi`: was given twice"),
        ("seeds=0&psi=1&psi=1", "`psi`: was given twice"),
        ("seeds=0&format=", "`format=`: choose from"),
        ("seeds=0&format=exr", "`format=exr`"),
        ("seeds=0&format=png", "one map, not 2"),
        ("seeds=0&format=npy", "one type"),
    ],
)
def test_bad_requests_get_one_line(client, query, words):
    response = client.get(f"/maps?{query}")
    assert response.status_code == 400
    assert words in response.text
    assert response.text.endswith("\n")
    assert response.text.count("\n") == 1


def test_a_service_of_some_types_computes_and_returns_only_those(engine):
    class Recorder(Engine):
        def __call__(self, *arguments: Any, **options: Any) -> dict[str, np.ndarray]:
            assert options["types"] == ("depth",)
            return super().__call__(*arguments, **options)

    with TestClient(create_app(Recorder(engine.backend), ServiceSettings(types=("depth",)))) as client:
        found = np.load(io.BytesIO(client.get("/maps?seeds=1").content))
        np.testing.assert_array_equal(found, engine([1])["depth"])
        response = client.get("/maps?seeds=1&types=image")
        assert (response.status_code, response.text) == (400, "`types=image`: the service has depth\n")


def test_classes_of_a_conditional_model(class_model):
    with Engine.open(class_model, backend="onnxruntime") as engine, TestClient(create_app(engine)) as client:
        body = client.get("/maps", params={"seeds": "1", "types": "image", "class_index": 2}).content
        np.testing.assert_array_equal(np.load(io.BytesIO(body)), engine([1], class_index=2)["image"])
        assert client.get("/maps?seeds=1").status_code == 400
        for wrong in ("3", "0:x", "3:1", "0,1", ""):
            assert client.get("/maps", params={"seeds": "1", "class_index": wrong}).status_code == 400


def test_weights_of_classes(class_model):
    with Engine.open(class_model, backend="onnxruntime") as engine, TestClient(create_app(engine)) as client:
        query = {"seeds": "1-2", "types": "depth", "class_index": "0:0.7,2:0.3"}
        found = np.load(io.BytesIO(client.get("/maps", params=query).content))
        np.testing.assert_array_equal(found, engine([1, 2], labels=[0.7, 0, 0.3])["depth"])


def test_other_paths(client):
    assert client.get("/healthz").json() == {"status": "ok", "waiting": 0}
    assert [entry["name"] for entry in client.get("/model").json()["types"]] == ["image", "depth"]
    assert client.get("/nothing").status_code == 404
    assert client.post("/maps?seeds=0").status_code == 405
    client.get("/maps?seeds=0-4")
    text = client.get("/metrics").text
    assert "sgi_images_total 5.0" in text
    assert "sgi_request_seconds_count 1.0" in text


def test_a_token_is_required_everywhere_but_for_health(engine):
    with TestClient(create_app(engine, ServiceSettings(token="secret"))) as client:
        for path in ("/maps?seeds=0", "/model", "/metrics", "/nothing"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/model", headers={"Authorization": "Bearer secret"}).status_code == 200
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "values", [{"batch": 0}, {"queue": 8, "request_seeds": 9}, {"batch": 300}, {"token": ""}, {"token": "a\nb"}]
)
def test_settings_are_checked(values):
    with pytest.raises(UserError):
        ServiceSettings(**values)


def test_hosts_that_others_reach_need_a_token():
    ServiceSettings().check_host("127.0.0.1")
    ServiceSettings(token="secret").check_host("0.0.0.0")
    with pytest.raises(UserError, match="token"):
        ServiceSettings().check_host("0.0.0.0")


class SlowEngine(Engine):
    """Returns seeds as maps, when `go` is set; keeps the size of every pass; sets `runs` in the first."""

    def __init__(self) -> None:
        self.go, self.runs = threading.Event(), threading.Event()
        self.passes: list[list[int]] = []

    def __call__(self, seeds=None, *, z=None, w=None, ws=None, class_index=None, labels=None, psi=None, types=None):
        self.runs.set()
        assert self.go.wait(60)
        self.passes.append(list(seeds))
        if 13 in seeds:
            raise RuntimeError("an unlucky seed")
        return {name: np.array(seeds, np.float32).reshape(-1, 1, 1, 1) for name in types}


def test_waiting_requests_share_passes_and_the_queue_is_bounded():
    async def scene() -> None:
        engine = SlowEngine()
        batcher = Batcher(engine, ServiceSettings(batch=4, queue=6, request_seeds=6))
        worker = asyncio.create_task(batcher.work())

        def request(*seeds, psi=1.0):
            return asyncio.create_task(batcher.generate(seeds, ("image",), psi, None))

        first = request(0)
        assert await asyncio.to_thread(engine.runs.wait, 60)
        others = [request(1, 2), request(3, psi=0.5), request(4), request(5)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await request(6, 7)
        engine.go.set()
        assert [(await task)["image"].ravel().tolist() for task in [first, *others]] == [[0], [1, 2], [3], [4], [5]]
        assert engine.passes == [[0], [1, 2, 4, 5], [3]]
        assert (batcher.images, batcher.passes, batcher.rejected, batcher.waiting) == (6, 3, 1, 0)
        last = request(8)
        await asyncio.sleep(0)
        batcher.stop()
        with pytest.raises(BusyError):
            await request(9)
        assert (await last)["image"].item() == 8
        await asyncio.wait_for(worker, 5)

    asyncio.run(scene())


def test_an_error_of_a_pass_reaches_its_requests_and_the_service_goes_on():
    async def scene() -> None:
        engine = SlowEngine()
        engine.go.set()
        batcher = Batcher(engine, ServiceSettings())
        worker = asyncio.create_task(batcher.work())
        with pytest.raises(RuntimeError, match="unlucky"):
            await batcher.generate([13], ("image",), 1.0, None)
        assert (await batcher.generate([1], ("image",), 1.0, None))["image"].item() == 1
        batcher.stop()
        await worker

    asyncio.run(scene())
