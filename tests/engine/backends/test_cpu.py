"""The backend of the C++ library: the maps of ONNX Runtime, models that it refuses, and its error messages."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from tiny_models import describe, write_model
from tolerances import BACKEND_PARITY, RMS_BF16

from sgi.engine import Engine, UserError
from sgi.engine.artifact import Artifact
from sgi.engine.backends import Overlapping, UnsupportedModelError, choose_backend, open_backend
from sgi.engine.backends import streams as streams_module
from sgi.engine.backends.table import is_installed
from sgi.engine.generator import generator_sha256
from sgi.engine.offsets import Offset
from sgi.engine.run import run_seeds
from sgi.engine.seeds import latents
from sgi.export.onnx import export_onnx

PSI = 0.6
# A library that refuses every model.
REFUSING = """
class Error(RuntimeError): pass
class ArgumentError(Error): pass
class ModelError(Error): pass
class UnsupportedError(Error): pass
__version__ = "0.1.0"
class Engine:
    def __init__(self, *_, **__):
        raise {error}
"""


@pytest.fixture(scope="session")
def native():
    """The package of the C++ library, which `make native` builds."""
    if not is_installed("sgi_cpu"):
        missing = "sgi-engine-cpu is not installed; make native-deps native"
        if os.environ.get("SGI_REQUIRE_NATIVE"):
            pytest.fail(missing)
        pytest.skip(missing)
    import sgi_cpu

    return sgi_cpu


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Puts a package in place of the C++ library, all of whose models raise an error."""

    def install(error):
        folder = tmp_path / "packages" / "sgi_cpu"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(REFUSING.format(error=error))
        monkeypatch.syspath_prepend(str(folder.parent))
        for name in [n for n in sys.modules if n.split(".")[0] == "sgi_cpu" or n == "sgi.engine.backends.cpu"]:
            monkeypatch.delitem(sys.modules, name)

    yield install
    sys.modules.pop("sgi.engine.backends.cpu", None)
    sys.modules.pop("sgi_cpu", None)


def exported(generator, path, cutoff=None):
    """An export of image, depth and normal with random offsets."""
    sha256, shape = generator_sha256(generator), (generator.config.num_ws, generator.config.w_dim)
    offsets = {
        name: Offset(name, "w+", {"offset": np.random.RandomState(i).randn(*shape).astype(np.float32)}, sha256)
        for i, name in enumerate(("depth", "normal"))
    }
    export_onnx(generator, {"image": None, **offsets}, path, psi=PSI, cutoff=cutoff)
    return path


@pytest.fixture(scope="module")
def rooms(tiny_generator, tmp_path_factory):
    return exported(tiny_generator, tmp_path_factory.mktemp("cpu") / "rooms.onnx")


@pytest.fixture(scope="module")
def classes(conditional_generator, tmp_path_factory):
    return exported(conditional_generator, tmp_path_factory.mktemp("cpu") / "classes.onnx", cutoff=3)


def assert_close(path, found, expected):
    assert list(found) == list(expected)
    for name, values in found.items():
        kind = Artifact.read(path).output(name)
        assert values.dtype == np.float32
        assert values.shape == expected[name].shape
        assert np.abs(values - expected[name]).max() <= BACKEND_PARITY * (kind.high - kind.low), name


def both(path, threads=None, **arguments):
    """Maps of the library and of ONNX Runtime."""
    found = []
    for name in ("cpu", "onnxruntime"):
        with Engine.open(path, backend=name, device="cpu", batch=3, threads=threads) as engine:
            found.append(engine(**arguments))
    return found


@pytest.mark.parametrize("seeds", ["0", "0-6"])
@pytest.mark.parametrize("psi", [None, 0.2, 1.0])
def test_seeds(native, rooms, seeds, psi):
    assert_close(rooms, *both(rooms, seeds=seeds, psi=psi))


@pytest.mark.parametrize("types", ["depth", ["image", "normal"]])
def test_some_types(native, rooms, types):
    assert_close(rooms, *both(rooms, seeds="0-2", types=types))


def test_classes_and_a_cutoff(native, classes):
    assert_close(classes, *both(classes, seeds="0-2", class_index=[0, 2, 1]))
    assert_close(classes, *both(classes, seeds="0-2", class_index={0: 0.25, 2: 0.75}))


@pytest.mark.parametrize("input", ["w", "w+"])
def test_a_model_that_takes_z_is_opened_to_take_latents(native, rooms, input):
    with Engine.open(rooms, backend="onnxruntime", device="cpu") as engine:
        ws = engine.mapping(seeds="0-2")
    given = {"w": ws[:, 0]} if input == "w" else {"ws": ws[::-1].copy()}
    found = []
    for name in ("cpu", "onnxruntime"):
        with Engine.open(rooms, backend=name, device="cpu", input=input) as engine:
            found.append(engine(**given))
    assert_close(rooms, *found)


def test_maps_do_not_depend_on_batch_and_threads(native, rooms):
    z = latents(range(5), 8).astype(np.float32)
    maps = []
    for batch, threads in ((1, 1), (2, 2), (5, 3)):
        with closing(open_backend(rooms, "cpu", "cpu", batch=batch, threads=threads)) as backend:
            maps.append(backend.run(z, 1.0))
    for other in maps[1:]:
        for name, values in other.items():
            np.testing.assert_array_equal(values, maps[0][name])


def test_threads_share_a_backend(native, rooms):
    z = latents(range(8), 8).astype(np.float32)
    with closing(open_backend(rooms, "cpu", "cpu", threads=2)) as backend:
        expected = backend.run(z, 1.0)["depth"]

        def call(row):
            types = ["depth", "image"] if row % 2 else ["depth"]
            return [backend.run(z[row : row + 1], 1.0, types=types)["depth"] for _ in range(5)]

        with ThreadPoolExecutor(4) as pool:
            for row, found in enumerate(pool.map(call, range(8))):
                for maps in found:
                    np.testing.assert_array_equal(maps, expected[row : row + 1])


def stream(path, **options):
    return open_backend(path, "cpu", "cpu", batch=4, is_stream=True, **options)


def test_the_maps_of_streams_have_the_bits_of_single_passes(native, rooms):
    with Engine(stream(rooms), 4) as streams, Engine.open(rooms, backend="cpu", batch=4) as one:
        found = list(streams.stream(seeds="0-17"))
        expected = list(one.stream(seeds="0-17"))
    assert [len(maps["depth"]) for maps in found] == [4, 4, 4, 4, 2]
    for maps, others in zip(found, expected, strict=True):
        for name, values in maps.items():
            np.testing.assert_array_equal(values, others[name])


def test_passes_of_streams_may_be_read_in_any_order_and_given_up(native, rooms):
    z = latents(range(20), 8).astype(np.float32).reshape(5, 4, 8)
    with closing(stream(rooms)) as backend:
        expected = [backend.run(rows, 0.7)["depth"] for rows in z]
        waiting = [backend.start(rows, 0.7, types=["depth"]) for rows in z]
        for place in (3, 0, 2):
            np.testing.assert_array_equal(waiting[place]()["depth"], expected[place])


@pytest.mark.parametrize(("threads", "pixels", "at_once"), [(4, None, True), (1, None, False), (4, 1, False)])
def test_streams_are_for_several_threads_and_small_maps(native, rooms, monkeypatch, threads, pixels, at_once):
    if pixels:
        monkeypatch.setattr(streams_module, "_MOST_PIXELS", pixels)
    with closing(stream(rooms, threads=threads)) as backend:
        assert ("2 passes at once, each 2 threads" in getattr(backend, "runtime")) == at_once  # noqa: B009


def test_single_calls_use_all_cores(native, rooms):
    with closing(open_backend(rooms, "cpu", "cpu", threads=2)) as backend:
        assert not isinstance(backend, Overlapping)
        assert getattr(backend, "runtime").endswith(", 2 threads)")  # noqa: B009


FORK = """
import os, signal, sys
import sgi_cpu
engine = sgi_cpu.Engine(sys.argv[1], threads=2)
expected = engine.run(seeds=[5])["depth"].tobytes()
child = os.fork()
if not child:
    signal.alarm(20)
    same = engine.run(seeds=[5])["depth"].tobytes() == expected
    engine.close()
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
assert engine.run(seeds=[5])["depth"].tobytes() == expected
"""


def test_a_forked_process_computes_the_same_maps(native, rooms):
    subprocess.run([sys.executable, "-c", FORK, rooms], check=True, timeout=60)


UNFINISHED = """
import sys, threading, time
import sgi_cpu
opened = threading.Event()
def keep():
    engine = sgi_cpu.Engine(sys.argv[1], threads=1)
    opened.set()
    time.sleep(60)
threading.Thread(target=keep, daemon=True).start()
assert opened.wait(30)
"""


def test_an_engine_of_a_thread_that_has_not_ended_is_not_reported(native, rooms):
    command = [sys.executable, "-c", UNFINISHED, rooms]
    ended = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("", "")


def test_the_package_alone(native, rooms):
    """From a path and from bytes, of seeds and of latents, and the errors that only direct callers can see."""
    z = latents([3, 4], 8).astype(np.float32)
    np.testing.assert_array_equal(native.latent(3, 8), np.random.RandomState(3).randn(8))
    with native.Engine(rooms, types=["depth"]) as engine, native.Engine(rooms.read_bytes(), threads=1) as other:
        assert (engine.types, engine.resolution, engine.input, engine.z_dim) == ({"depth": 1}, 16, "z", 8)
        expected = engine.run(seeds=[3, 4])["depth"]
        for maps in (engine.run(z=z.astype(np.float64)), other.run(z=z[:, :], psi=PSI, types=["depth"])):
            np.testing.assert_array_equal(maps["depth"], expected)
        for arguments, message in (
            ({}, "pass exactly one of seeds, z, w and ws"),
            ({"z": z, "seeds": [1, 2]}, "pass exactly one of seeds, z, w and ws"),
            ({"z": z[0]}, "z has 1 dimensions, not 2"),
            ({"z": z[:, 1:]}, "the shape of z does not fit the model and the others"),
            ({"seeds": [-1]}, "seeds are integers [N] from 0 to 4294967295"),
            ({"seeds": [0.5]}, "seeds are integers [N] from 0 to 4294967295"),
            ({"seeds": []}, "`seeds` is empty: ask for at least one image"),
            ({"z": z * 1j}, "z has elements of type complex64, not real numbers"),
            ({"z": z.astype(np.float64) * 1e300}, "`z`: row 0 has a value that is not finite"),
            ({"seeds": [0], "types": []}, "`types` is empty: name at least one, or leave it out for all"),
            ({"seeds": [0], "types": ["image"]}, "outputs: type 'image' is not loaded; loaded are depth"),
        ):
            with pytest.raises(native.ArgumentError) as error:
                engine.run(**arguments)
            assert str(error.value) == message
    with pytest.raises(native.ArgumentError, match="^the engine is closed$"):
        engine.run(seeds=[0])
    with pytest.raises(native.ModelError, match="no such file"):
        native.Engine(rooms.with_name("none.onnx"))


def test_bf16(native, rooms):
    z = latents(range(3), 8).astype(np.float32)
    try:
        backend = open_backend(rooms, "cpu", "cpu", precision="bf16")
    except UserError as error:
        assert "precision" in str(error)  # noqa: PT017  the processor has no bf16
        pytest.skip(str(error))
    with closing(backend), closing(open_backend(rooms, "cpu", "cpu")) as exact:
        expected = exact.run(z, 1.0)
        for name in ("image", "depth"):
            difference = backend.run(z, 1.0)[name] - expected[name]
            rms = np.sqrt(np.square(difference).mean() / np.square(expected[name]).mean())
            assert 0 < rms < RMS_BF16, name


def test_a_model_of_other_operators_is_refused_and_auto_runs_another_backend(native, model, tmp_path):
    with pytest.raises(UnsupportedModelError) as error:
        open_backend(model, "cpu", "cpu")
    assert "\n" not in str(error.value)
    report = run_seeds(seeds="0-1", model=model, outdir=tmp_path / "out")
    assert report.backend in ("openvino", "onnxruntime")
    assert report.remark == str(error.value)


def test_a_damaged_file_has_the_message_of_python(native, rooms, tmp_path):
    path = tmp_path / "damaged.onnx"
    data = bytearray(rooms.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    messages = []
    for name in ("cpu", "onnxruntime"):
        with pytest.raises(UserError) as error:
            open_backend(path, name, "cpu")
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_auto_passes_over_a_model_that_is_refused(fake, model):
    fake("UnsupportedError('rooms.onnx: it does not run MatMul')")
    for images in (None, 1):
        with closing(open_backend(model, device="cpu", images=images)) as backend:
            assert backend.name == ("openvino" if images is None else "onnxruntime")
            assert getattr(backend, "remark") == "rooms.onnx: it does not run MatMul"  # noqa: B009
    with pytest.raises(UnsupportedModelError, match=r"^rooms.onnx: it does not run MatMul$"):
        open_backend(model, "cpu", "cpu")


def test_auto_reports_other_errors(fake, model):
    fake("ModelError('cut off')")
    with pytest.raises(UserError, match=r"tiny.onnx: sgi-engine-cpu 0.1.0 cannot load it \(cut off\)"):
        open_backend(model, device="cpu")


def test_options_of_the_library_are_named_as_parameters(native, rooms):
    for options, message in (
        ({"threads": 0}, "`threads=0`: it is at least 1, or None for the default"),
        ({"threads": 5000}, "`threads` is more than 1024"),
        ({"threads": 1 << 40}, "`threads` is more than 1024"),
        ({"batch": -1}, "`batch=-1`: it is at least 1, or None for the default"),
        ({"precision": "fp16"}, "`precision`: no precision 'fp16'; choose bf16, or leave it out"),
        ({"types": []}, "`types` is empty: name at least one, or leave it out for all"),
        ({"types": "deep"}, "`types`: no type 'deep'; the model has image, depth, normal"),
    ):
        with pytest.raises(native.ArgumentError) as error:
            native.Engine(rooms, **options)
        assert str(error.value) == message


def test_paths_of_any_bytes(native, rooms, tmp_path):
    odd = tmp_path / os.fsdecode(b"caf\xe9.onnx")
    odd.write_bytes(rooms.read_bytes())
    with native.Engine(odd, types="depth") as engine:
        assert engine.types == {"depth": 1}
    odd.write_bytes(b"")
    with pytest.raises(native.ModelError, match=r"caf\?.onnx: not an ONNX model"):
        native.Engine(odd)
    with pytest.raises(native.ArgumentError, match="^the path of the model has a null character$"):
        native.Engine(f"{rooms}\0")


def test_half_precision_models_are_left_to_other_backends(tmp_path):
    path = write_model(tmp_path / "half.onnx", describe(precision="fp16"))
    with pytest.raises(UserError, match="`backend=cpu`: it does not support fp16 on cpu; export half.onnx as fp32"):
        open_backend(path, "cpu", "cpu")
    assert choose_backend(path, device="cpu", model_precision="fp16")[0] != "cpu"
