"""The C++ programs: ctest of every preset, the examples, the installed package, and code samples of documents."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from native_library import ROOT, build_folder
from PIL import Image
from tolerances import NATIVE_PARITY

from sgi.engine import Engine
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
    seeds = ("00002", "00003", "12345")
    files = {(path.stem.split("_")[1], seeds.index(path.stem[4:9])): path for path in folder.iterdir()}
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


def test_sgi_run_refuses(built, environment, all_types_model):
    program = built("release") / "examples/sgi-run"
    for flags, text in (
        (("--seeds", "5-1"), "error: --seeds: the range 5-1 is reversed"),
        (("--seeds", "4294967296"), "error: --seeds: cannot parse '4294967296'"),
        (("--type", "flow"), "error: sgi_options.types: no type 'flow'"),
    ):
        finished = subprocess.run([program, all_types_model, *flags], env=environment, capture_output=True, text=True)
        assert finished.returncode == 2
        assert finished.stderr.startswith(text)


def test_the_runtime_of_an_active_environment_is_found(built, environment, all_types_model, tmp_path):
    found = {**environment, "VIRTUAL_ENV": sys.prefix}
    del found["SGI_ORT_LIB"]
    run(built("release") / "examples/sgi-run", all_types_model, "--seeds", "0", "--outdir", tmp_path, env=found)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read()


def check_service(url: str, model: Path) -> None:
    """Request 24 seeds at once and check the values, and that bad seeds and psi are refused."""
    seeds = range(24)
    with ThreadPoolExecutor(len(seeds)) as pool:
        files = list(pool.map(lambda seed: fetch(f"{url}/seeds/{seed}?psi=0.5"), seeds))
    with Engine.open(model, backend="onnxruntime") as engine:
        maps = engine(seeds, psi=0.5)
    for n, file in enumerate(files):
        expected = np.concatenate([maps["image"][n], maps["depth"][n]])
        found = np.load(io.BytesIO(file))
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        assert np.abs(found - expected).max() <= NATIVE_PARITY
    for path in ("/seeds/4294967296", "/seeds/1?psi=nan", "/seeds/1?psi=x"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(url + path)
        assert caught.value.code in (400, 422)


def counts(url: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", fetch(f"{url}/stats").decode())))  # images, passes


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory):
    """A model whose passes take longer than the arrival of all requests."""
    from tiny_models import describe, write_model

    return write_model(tmp_path_factory.mktemp("model") / "slow.onnx", describe(resolution=256, z_dim=32))


def test_the_service(built, environment, slow_model):
    program = built("release") / "examples/sgi-serve"
    with subprocess.Popen([program, slow_model, "0"], env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            url = server.stdout.readline().split("/seeds")[0]
            check_service(url, slow_model)
            images, passes = counts(url)
            assert images >= 24
            for _ in range(20):  # requests that arrive one by one share no pass
                if passes < images:
                    break
                with ThreadPoolExecutor(24) as pool:
                    list(pool.map(lambda seed: fetch(f"{url}/seeds/{seed}"), range(24)))
                images, passes = counts(url)
            assert passes < images
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def service():
    """examples/service.py as a module."""
    pytest.importorskip("uvicorn")
    spec = importlib.util.spec_from_file_location("service", NATIVE / "examples/service.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["service"] = module  # FastAPI resolves annotations by the module's name
    spec.loader.exec_module(module)
    yield module
    del sys.modules["service"]


def test_the_python_service(service, all_types_model):
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(service.create_app(all_types_model), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            thread.join(0.05)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        check_service(url, all_types_model)
        assert counts(url)[0] == 24
    finally:
        server.should_exit = True
        thread.join()


def test_waiting_requests_share_a_pass(service):
    release = threading.Event()
    calls = []

    def engine(seeds, psi):
        release.wait(30)
        calls.append((tuple(seeds), psi))
        values = np.array(seeds, np.float32).reshape(-1, 1, 1, 1)
        return {"image": np.tile(values, (1, 3, 1, 1)), "depth": values}

    async def scenario():
        batcher = service.Batcher(engine)
        worker = asyncio.create_task(batcher.work())
        first = asyncio.create_task(batcher.generate(100, None))
        while not batcher.passes:
            await asyncio.sleep(0)
        rest = [asyncio.create_task(batcher.generate(seed, seed % 2 / 2)) for seed in range(40)]
        await asyncio.sleep(0)
        release.set()
        results = await asyncio.gather(first, *rest)
        worker.cancel()
        return [int(values[3, 0, 0]) for values in results]

    assert asyncio.run(scenario()) == [100, *range(40)]
    evens, odds = tuple(range(0, 40, 2)), tuple(range(1, 40, 2))
    assert calls == [((100,), None), (evens[:16], 0.0), (odds[:16], 0.5), (evens[16:], 0.0), (odds[16:], 0.5)]
