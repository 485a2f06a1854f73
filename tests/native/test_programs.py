"""The C++ programs: ctest of every preset, the examples, the installed package, and code samples of documents."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
from native_library import ROOT, build_folder
from PIL import Image
from tiny_models import describe, write_model
from tolerances import NATIVE_PARITY

from sgi.engine import Engine
from sgi.engine.intrinsics import image_of
from sgi.engine.version import __version__
from sgi.engine.writers import get_format

NATIVE = ROOT / "engine/native"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


def run(*command: object, **kwargs) -> subprocess.CompletedProcess[str]:
    finished = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, **kwargs)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished


@pytest.mark.parametrize("preset", ["release", "asan", "tsan"])
def test_ctest(built, environment, preset):
    built(preset)
    run("ctest", "--test-dir", build_folder(preset), "--output-on-failure", "--no-tests=error", env=environment)


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A prefix with the installed package."""
    built("release")
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", build_folder("release"), "--prefix", prefix)
    return prefix


def library_folder(prefix: Path) -> Path:
    (found,) = prefix.glob("lib*/**/libsgi-engine.so")
    return found.parent


def test_consumer_of_the_installed_package(installed, environment, all_types_model, tmp_path):
    run("cmake", "-S", NATIVE / "examples/consumer", "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", tmp_path)
    printed = run(tmp_path / "consumer", all_types_model, env=environment).stdout
    with Engine.open(all_types_model, backend="onnxruntime") as engine:
        depth = engine([0, 1, 42])["depth"]
    assert [float(line) for line in printed.split()] == pytest.approx(depth.min(axis=(1, 2, 3)), abs=2e-6)


def test_pkg_config(installed, tmp_path):
    pc = library_folder(installed) / "pkgconfig/sgi-engine.pc"
    text = pc.read_text()
    assert str(installed) not in text
    flags = run("pkg-config", "--cflags", "--libs", pc).stdout.split()
    source = tmp_path / "main.c"
    source.write_text("#include <sgi/sgi.h>\n#include <stdio.h>\nint main(void) { puts(sgi_version()); return 0; }\n")
    run("cc", source, *flags, f"-Wl,-rpath,{library_folder(installed)}", "-o", tmp_path / "main")
    assert run(tmp_path / "main").stdout.strip() == __version__


def readme_blocks(path: Path) -> list[str]:
    return re.findall(r"```cpp\n(.*?)```", path.read_text(), re.DOTALL) if path.is_file() else []


@pytest.mark.parametrize("readme", [ROOT / "README.md", NATIVE / "README.md"], ids=["project", "native"])
def test_readme_code_compiles_as_printed(installed, environment, tmp_path, readme):
    from tiny_models import describe, write_model

    blocks = readme_blocks(readme)
    if readme.parent == ROOT and not blocks:
        pytest.skip("the project's README prints no C++")
    write_model(tmp_path / "rooms.onnx", describe(resolution=64))
    for block in blocks:
        source = tmp_path / "main.cpp"
        source.write_text(block)
        compile_and_run(("c++", "-std=c++17"), source, installed, environment)


def test_header_example_compiles_as_printed(installed, environment, tmp_path):
    from tiny_models import describe, write_model

    write_model(tmp_path / "rooms.onnx", describe(resolution=64))
    comment = (NATIVE / "include/sgi/sgi.h").read_text().split("*/")[0]
    lines = re.findall(r"^ \*     (.*)$", comment, re.MULTILINE)
    source = tmp_path / "main.c"
    source.write_text("\n".join(lines))
    assert compile_and_run(("cc", "-std=c99"), source, installed, environment) == "done\n"


def compile_and_run(compiler, source, installed, environment):
    libraries = library_folder(installed)
    program = source.with_suffix("")
    flags = [f"-I{installed / 'include'}", f"-L{libraries}", "-lsgi-engine", f"-Wl,-rpath,{libraries}"]
    run(*compiler, *WARNINGS, source, *flags, "-o", program)
    return run(program, cwd=source.parent, env=environment).stdout


@pytest.fixture(scope="module")
def maps_of_three_seeds(all_types_model):
    """Types, and maps [3, C, R, R] of seeds 2, 3 and 12345 at psi 0.5."""
    with Engine.open(all_types_model, backend="onnxruntime") as engine:
        return engine.artifact.types, engine([2, 3, 12345], psi=0.5)


def sgi_run(built, environment, model, folder, suffix):
    """Files of the three seeds by sgi-run: (type, index of the seed) -> path."""
    flags = ("--seeds", "2-3,12345", "--trunc", "0.5", "--format", suffix, "--outdir", folder)
    run(built("release") / "examples/sgi-run", model, *flags, env=environment)
    seeds = ("000002", "000003", "012345")
    files = {(path.stem.split("_")[1], seeds.index(path.stem[4:10])): path for path in folder.iterdir()}
    assert len(files) == len(list(folder.iterdir()))
    return files


def test_sgi_run_writes_the_npy_files_of_python(built, environment, all_types_model, maps_of_three_seeds, tmp_path):
    types, maps = maps_of_three_seeds
    files = sgi_run(built, environment, all_types_model, tmp_path, "npy")
    assert set(files) == {(row.name, i) for row in types for i in range(3)}
    for row in types:
        for i, expected in enumerate(maps[row.name]):
            found = np.load(files[row.name, i])
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            assert np.abs(found - expected).max() <= NATIVE_PARITY * (row.high - row.low)


def test_sgi_run_writes_the_png_pixels_of_python(built, environment, all_types_model, maps_of_three_seeds, tmp_path):
    """Bits, colours of classes and codes follow the type's description, also for user-defined types."""
    types, maps = maps_of_three_seeds
    files = sgi_run(built, environment, all_types_model, tmp_path, "png")
    assert set(files) == {(row.name, i) for row in types for i in range(3)}
    for row in types:
        for i, value in enumerate(maps[row.name]):
            with (
                Image.open(files[row.name, i]) as found,
                Image.open(io.BytesIO(get_format("png").encode(row, value))) as expected,
            ):
                assert (found.mode, found.getpalette()) == (expected.mode, expected.getpalette()), row.name
                difference = np.abs(np.asarray(found).astype(int) - np.asarray(expected).astype(int))
            # A value at the border of two codes may be rounded to either.
            assert difference.max() <= 1, row.name
            assert (difference > 0).mean() < 0.01, row.name


def test_sgi_run_takes_classes_and_weights(built, environment, class_model, tmp_path):
    program = built("release") / "examples/sgi-run"
    common = (program, class_model, "--seeds", "4", "--type", "depth", "--format", "npy", "--outdir", tmp_path)
    with Engine.open(class_model, backend="onnxruntime") as engine:
        for text, label in {"2": [0.0, 0.0, 1.0], "0:0.7, 2:0.3": [0.7, 0.0, 0.3]}.items():
            run(*common, "--class", text, env=environment)
            expected = engine([4], labels=label)["depth"][0]
            assert np.abs(np.load(tmp_path / "seed000004_depth.npy") - expected).max() <= NATIVE_PARITY
    for flags, text in {
        (): "error: --class: the model needs a class, 0 to 2\n",
        ("--class", "3"): "error: --class 3: choose classes from 0 to 2\n",
        ("--class", "0:0.7,1"): "error: --class 0:0.7,1: write one class such as 3, or weights of classes",
        ("--class", "1:1,1:2"): "error: --class 1:1,1:2: class 1 has two weights; write one\n",
    }.items():
        finished = subprocess.run([*common, *flags], env=environment, capture_output=True, text=True)
        assert finished.returncode == 2
        assert finished.stderr.startswith(text)


def test_onnx_runtime_writes_no_telemetry(built, environment, class_model, tmp_path):
    quiet = {
        name: value for name, value in environment.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    command = (
        built("release") / "examples/sgi-run",
        class_model,
        "--seeds",
        "4",
        "--class",
        "2",
        "--outdir",
        tmp_path / "out",
    )
    (tmp_path / "home").mkdir()
    run(*command, env={**quiet, "HOME": str(tmp_path / "home")})
    assert not list((tmp_path / "home").iterdir())


@pytest.mark.parametrize("channels", [1, 4])
def test_sgi_run_writes_grey_and_rgba_pictures(built, environment, channels, tmp_path):
    row = image_of(channels)
    model = write_model(tmp_path / "image.onnx", describe((row,)))
    run(built("release") / "examples/sgi-run", model, "--seeds", "3", "--outdir", tmp_path, env=environment)
    with Engine.open(model, backend="onnxruntime") as engine:
        expected = get_format("png").encode(row, engine([3])["image"][0])
    with Image.open(tmp_path / "seed000003_image.png") as found, Image.open(io.BytesIO(expected)) as wanted:
        assert found.mode == wanted.mode
        assert np.abs(np.asarray(found).astype(int) - np.asarray(wanted).astype(int)).max() <= 1


def test_sgi_run_refuses(built, environment, all_types_model):
    program = built("release") / "examples/sgi-run"
    for flags, text in (
        (("--seeds", "5-1"), "error: --seeds: the range 5-1 is reversed"),
        (("--seeds", "4294967296"), "error: --seeds: cannot parse '4294967296'"),
        (("--seeds", "9" * 30), f"error: --seeds: cannot parse '{'9' * 30}'"),
        (("--trunc", "0.5x"), "error: --trunc: cannot parse '0.5x'"),
        (("--trunc", "half"), "error: --trunc: cannot parse 'half'"),
        (("--type", "flow"), "error: --type: no type 'flow'"),
        (("--threads", "5000"), "error: --threads is more than 1024"),
        (("--precision", "fp16"), "error: --precision: no precision 'fp16'; choose bf16, or leave it out"),
    ):
        finished = subprocess.run([program, all_types_model, *flags], env=environment, capture_output=True, text=True)
        assert finished.returncode == 2
        assert finished.stderr.startswith(text)


@pytest.mark.parametrize("format", ["png", "npy"])
def test_sgi_run_says_which_file_cannot_be_written(built, environment, all_types_model, format, tmp_path):
    file = tmp_path / f"seed000003_depth.{format}"
    file.mkdir()
    program = built("release") / "examples/sgi-run"
    command = [program, all_types_model, "--seeds", "3", "--type", "depth", "--format", format, "--outdir", tmp_path]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (2, f"error: {file}: cannot be written\n")


def test_sgi_run_refuses_a_folder_of_the_run_command(built, environment, all_types_model, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    program = built("release") / "examples/sgi-run"
    command = [program, all_types_model, "--seeds", "0", "--outdir", tmp_path]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert finished.returncode == 2
    assert finished.stderr == (
        f"error: --outdir {tmp_path}: it is a folder of `sgi-engine run` (run.json); choose another --outdir\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_the_runtime_of_an_active_environment_is_found(built, environment, all_types_model, tmp_path):
    found = {**environment, "VIRTUAL_ENV": sys.prefix}
    del found["SGI_ORT_LIB"]
    run(built("release") / "examples/sgi-run", all_types_model, "--seeds", "0", "--outdir", tmp_path, env=found)


IDLE_STOP_SECONDS = 4
"""Below the 5 s after which the C++ server closes an idle connection."""

Service = Callable[..., AbstractContextManager[tuple[str, "subprocess.Popen[str]"]]]


@pytest.fixture(params=["python", "c++"])
def service(request, built, environment) -> Service:
    """A context manager that starts `sgi-engine serve` or `sgi-serve`: (URL, process) for a model and flags."""
    if request.param == "python":
        pytest.importorskip("uvicorn")

    @contextmanager
    def start(model: Path, *flags: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        python = [sys.executable, "-m", "sgi.cli", "serve", "--backend", "onnxruntime", "--model"]
        program = python if request.param == "python" else [built("release") / "examples/sgi-serve"]
        command = [*map(str, program), str(model), "--port", "0", *flags]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                yield process.stdout.readline().split("/maps")[0], process
            finally:
                process.terminate()

    return start


def ask(url: str, **headers: str) -> tuple[int, bytes, Message]:
    """Status, body and headers of a GET."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as response:
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def metric(url: str, name: str) -> float:
    """A value of /metrics."""
    (value,) = re.findall(rf"^{name} (\S+)$", ask(f"{url}/metrics")[1].decode(), re.MULTILINE)
    return float(value)


def assert_same(found: np.ndarray, expected: np.ndarray, row) -> None:
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    assert np.abs(found - expected).max() <= NATIVE_PARITY * (row.high - row.low)


def test_services_return_the_maps_of_the_engine(service, all_types_model):
    with Engine.open(all_types_model, backend="onnxruntime") as engine, service(all_types_model) as (url, _):
        rows = engine.artifact.types
        status, body, headers = ask(f"{url}/maps?seeds=5,0-2,5&psi=0.5")
        assert (status, headers["content-type"]) == (200, "application/x-npz")
        expected = engine([5, 0, 1, 2], psi=0.5)
        with np.load(io.BytesIO(body)) as found:
            assert set(found) == set(expected)
            for row in rows:
                assert_same(found[row.name], expected[row.name], row)
        depth, normal = engine.artifact.output("depth"), engine.artifact.output("normal")
        _, body, headers = ask(f"{url}/maps?seeds=3-4&types=depth")
        assert headers["content-type"] == "application/x-npy"
        assert_same(np.load(io.BytesIO(body)), engine([3, 4])["depth"], depth)
        with np.load(io.BytesIO(ask(f"{url}/maps?seeds=1&types=normal,depth&format=npz")[1])) as found:
            assert list(found) == list(engine.artifact.choose_types(("normal", "depth")))
            assert_same(found["normal"], engine([1])["normal"], normal)
        for row in rows:
            _, body, headers = ask(f"{url}/maps?seeds=7&types={row.name}&format=png")
            assert headers["content-type"] == "image/png"
            with (
                Image.open(io.BytesIO(body)) as found,
                Image.open(io.BytesIO(get_format("png").encode(row, engine([7])[row.name][0]))) as expected_image,
            ):
                assert (found.mode, found.getpalette()) == (expected_image.mode, expected_image.getpalette())
                difference = np.abs(np.asarray(found).astype(int) - np.asarray(expected_image).astype(int))
            assert difference.max() <= 1, row.name
        assert json.loads(ask(f"{url}/model")[1]) == json.loads(engine.artifact.to_json())
        assert metric(url, "sgi_images_total") == 7 + len(rows)
        assert metric(url, "sgi_request_seconds_count") == 3 + len(rows)


@pytest.mark.parametrize("flags", [("--batch", "4", "--queue", "16", "--request-seeds", "16")])
def test_services_refuse_bad_requests_in_one_line(service, all_types_model, flags):
    queries = {
        "": "`seeds`", "seeds=": "seeds", "seeds=5-1": "reversed", "seeds=x": "seeds", "seeds=-1": "seeds",
        "seeds=1.5": "seeds", "seeds=4294967296": "4294967295", "seeds=0-16": "takes 16", "seeds=0,,1": "seeds",
        "seeds=0&types=flow": "`types=flow`: the model has image", "seeds=0&types=,": "image, depth",
        "seeds=0&psi=high": "`psi", "seeds=0&psi=nan": "psi", "seeds=0&psi=inf": "psi", "seeds=0&psi=": "`psi",
        "seeds=0&class_index=1": "no classes", "seeds=0&format=exr": "`format=exr`", "seeds=0&format=png": "one map",
        "seeds=0&format=npy": "one type", "seeds=0&class=1": "`class`", "seeds=0&psi=1&psi=0": "twice",
        "seeds=0&psi=1&psi=1": "`psi`: was given twice", "seeds=0&seeds=0": "`seeds`: was given twice",
        "seeds=0&types=": "`types=`", "seeds=0&format=": "`format=`", "seeds=0&psi=101": "psi",
    }  # fmt: skip
    with service(all_types_model, *flags) as (url, _):
        for query, words in queries.items():
            status, body, _ = ask(f"{url}/maps?{query}")
            assert (status, body.count(b"\n"), body[-1:]) == (400, 1, b"\n"), (query, body)
            assert words in body.decode(), query
        assert ask(f"{url}/other")[:2] == (404, b"Not Found: GET /maps, /model, /healthz or /metrics\n")
        post = urllib.request.Request(f"{url}/maps?seeds=0", method="POST")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(post, timeout=60)
        assert caught.value.code == 405
        assert ask(f"{url}/healthz")[:1] == (200,)


def test_services_stop_at_once_beside_idle_connections(service, all_types_model):
    """A connection that is kept alive, and one that has sent nothing."""
    with service(all_types_model) as (url, process):
        address = url.removeprefix("http://").split(":")
        with (
            socket.create_connection((address[0], int(address[1]))) as kept,
            socket.create_connection((address[0], int(address[1]))),
        ):
            kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in kept.recv(1 << 16)
            began = time.monotonic()
            process.terminate()
            process.wait(timeout=60)
            assert time.monotonic() - began < IDLE_STOP_SECONDS


def test_services_of_conditional_models(service, class_model):
    with Engine.open(class_model, backend="onnxruntime") as engine, service(class_model) as (url, _):
        depth = engine.artifact.output("depth")
        body = ask(f"{url}/maps?seeds=1-2&types=depth&class_index=2")[1]
        assert_same(np.load(io.BytesIO(body)), engine([1, 2], class_index=2)["depth"], depth)
        body = ask(f"{url}/maps?seeds=1-2&types=depth&class_index=0:0.7,2:0.3")[1]
        assert_same(np.load(io.BytesIO(body)), engine([1, 2], labels=[0.7, 0, 0.3])["depth"], depth)
        for query in (
            "seeds=1",
            "seeds=1&class_index=0:x",
            "seeds=1&class_index=0,1",
            "seeds=1&class_index=3",
            "seeds=1&class_index=-1",
            "seeds=1&class_index=one",
        ):
            status, body, _ = ask(f"{url}/maps?{query}")
            assert (status, body.count(b"\n")) == (400, 1)
            assert b"class_index" in body


def test_services_warn_of_offsets_of_another_class(service, tmp_path, capfd):
    from tiny_models import describe, write_model

    offsets = {"depth": {"sha256": "b" * 64, "space": "w+", "class_index": 1}}
    with service(write_model(tmp_path / "fitted.onnx", describe(c_dim=3, offsets=offsets))) as (url, _):
        assert ask(f"{url}/maps?seeds=1&types=depth&class_index=2")[0] == 200
    assert "(depth on class 1)" in capfd.readouterr().err


def test_services_require_the_token(service, all_types_model):
    with service(all_types_model, "--token", "secret") as (url, _):
        for path in ("/maps?seeds=0", "/model", "/metrics", "/other"):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
                status, body, answer = ask(url + path, **headers)
                assert (status, body.count(b"\n"), answer["www-authenticate"]) == (401, 1, "Bearer")
        assert ask(f"{url}/model", Authorization="Bearer secret")[0] == 200
        assert ask(f"{url}/healthz")[0] == 200


def test_services_refuse_models_that_take_latents(service, capfd):
    with service(NATIVE / "tests/data/tiny_ws.onnx") as (url, process):
        assert process.wait(60) == 2
        assert url == ""
    (line,) = capfd.readouterr().err.splitlines()
    assert "the model takes w+, and requests have seeds; serve a model that takes z" in line


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory):
    """A model whose passes take longer than the arrival of all requests."""
    from tiny_models import describe, write_model

    return write_model(tmp_path_factory.mktemp("model") / "slow.onnx", describe(resolution=256, z_dim=32))


def test_requests_to_services_share_passes_up_to_the_bound_of_the_queue(service, slow_model):
    flags = ("--queue", "16", "--request-seeds", "16")
    with service(slow_model, *flags) as (url, _), ThreadPoolExecutor(48) as pool:
        for _ in range(20):  # the first pass takes what is there; the rest arrives while it runs
            answers = list(pool.map(lambda seed: ask(f"{url}/maps?seeds={seed}-{seed + 3}"), range(48)))
            refused = [(status, body, headers["retry-after"]) for status, body, headers in answers if status != 200]
            shared = metric(url, "sgi_passes_total") * 4 < metric(url, "sgi_images_total")
            if refused and shared:
                break
        assert shared
        assert set(refused) == {(503, b"the queue is full; try again later\n", "1")}
        assert metric(url, "sgi_rejected_total") >= len(refused)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_services_answer_waiting_requests_and_stop(service, slow_model, number):
    with service(slow_model) as (url, process), ThreadPoolExecutor(4) as pool:
        requests = [pool.submit(ask, f"{url}/maps?seeds={n}-{n + 15}") for n in range(4)]
        for _ in range(500):
            if metric(url, "sgi_images_total") + metric(url, "sgi_waiting_images") >= 64:
                break
        process.send_signal(number)
        answers = [request.result() for request in requests]
        assert process.wait(30) in (0, -number, 128 + number)
    assert [status for status, *_ in answers] == [200] * 4


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--host", "0.0.0.0"), "token"),
        (("--queue", "8"), "64"),
        (("--batch", "300"), "at least"),
        (("--port", "70000"), "65535"),
        (("--batch", "0"), "1"),
        (("--token", ""), "token"),
    ],
)
def test_services_refuse_bad_flags(service, all_types_model, flags, words, capfd):
    with service(all_types_model, *flags) as (url, process):
        assert process.wait(60) == 2
        assert url == ""
    assert words in capfd.readouterr().err
