"""`sgi-engine run --generator`: the files of import, export and run, the cache of models, flags, the Triton backend."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import checkpoint_files as files
import numpy as np
import pytest
from tolerances import BACKEND_PARITY

from sgi.engine import Engine
from sgi.engine.errors import UserError
from sgi.engine.generator import GeneratorConfig, generator_sha256, random_generator, save_generator
from sgi.engine.generator.checkpoints import load
from sgi.engine.generator_model import ModelCache, sources
from sgi.engine.offsets import Offset
from sgi.engine.run import run_seeds

SMALL = GeneratorConfig(16, z_dim=12, w_dim=12, mapping_layers=2, channel_base=256, channel_max=16)
RUN = ("--seeds", "0-9", "--type", "image,depth", "--batch", "4", "--backend", "onnxruntime", "--threads", "1")


def write_offset(path: Path, sha256: str, name="depth", config=SMALL, **changes) -> Path:
    random = np.random.RandomState(sum(name.encode()))
    rows = (random.randn(config.num_ws, config.w_dim) / 2).astype(np.float32)
    Offset(name, "w+", {"offset": rows}, sha256, **{"psi": 0.7, "noise_mode": "const", **changes}).save(path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A generator file and an offset of it."""
    folder = tmp_path_factory.mktemp("network")
    sha256 = save_generator(folder / "network.safetensors", random_generator(SMALL, seed=8))
    return folder / "network.safetensors", write_offset(folder / "depth.safetensors", sha256)


@pytest.fixture
def run(command, network, tmp_path):
    """Run the small generator with its offset into `tmp_path / "out"`: (exit code, stdout, stderr)."""

    def call(*more, generator=None, outdir=None):
        where = ("--generator", generator or network[0], "--offset", network[1], "--outdir", outdir or tmp_path / "out")
        return command("run", *where, *RUN, *more)

    return call


@pytest.fixture
def kept(user_cache, monkeypatch, quick_export):
    """The cache of models with an export that is not verified."""
    return ModelCache.of_user()


@pytest.fixture
def quick_export(monkeypatch):
    monkeypatch.setattr("sgi.export.onnx.verify", lambda *arguments: {"seeds": 1, "runtimes": {}, "left_out": {}})


@pytest.fixture
def references(monkeypatch):
    """The kernels' torch references instead of Triton's interpreter."""
    pytest.importorskip("triton")
    import sgi.engine.backends.triton  # noqa: F401  kernels are made for the interpreter when they are imported

    monkeypatch.setenv("TRITON_INTERPRET", "0")


WRITERS = {
    "nvidia.pkl": files.nvidia,
    "tensorflow.pkl": files.tensorflow,
    "rosinality.pt": files.rosinality,
    "basicsr.pth": files.basicsr,
    "own.safetensors": None,
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_files_are_those_of_import_export_and_run(command, tmp_path, name, request):
    if name != "nvidia.pkl":  # one complete verification is enough
        request.getfixturevalue("quick_export")
    generator = random_generator(SMALL, seed=8)
    checkpoint, own = tmp_path / name, tmp_path / "imported.safetensors"
    writer = WRITERS[name]
    if writer is None:
        save_generator(checkpoint, generator)
        own = checkpoint
    else:
        checkpoint.write_bytes(writer(generator))
        assert command("import", checkpoint, "--out", own)[0] == 0
    offset = write_offset(tmp_path / "depth.safetensors", generator_sha256(load(own)))
    model = tmp_path / "model.onnx"
    made = ("--generator", own, "--offset", offset, "--type", "image,depth", "--out", model, "--quiet")
    assert command("export", *made)[0] == 0
    assert command("run", "--model", model, *RUN, "--outdir", tmp_path / "by hand")[0] == 0
    given = ("--generator", checkpoint, "--offset", offset, *RUN, "--outdir", tmp_path / "direct")
    code, out, err = command("run", *given)
    assert code == 0, err
    assert out.splitlines()[-1] == "backend   onnxruntime, cpu, fp32"
    assert contents(tmp_path / "direct") == contents(tmp_path / "by hand")


def test_a_file_that_is_no_generator_is_not_exported(command, tmp_path, model):
    code, out, err = command("run", "--generator", model, "--seeds", "0", "--outdir", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {model}: not a generator checkpoint: it is an exported model of sgi-engine")


def test_progress_shows_the_export_once(run, kept, network):
    code, _, err = run()
    assert code == 0
    assert f"exporting {network[0].name}; later runs use the exported model" in err
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "found 10 seeds finished before" in out
    assert len(kept.models()) == 1


def test_a_run_continues_after_the_cache_was_emptied(run, command, kept, tmp_path):
    assert run()[0] == 0
    whole = contents(tmp_path / "out")
    for name in ("seed000003_depth.png", "seed000008_image.png"):
        (tmp_path / "out" / name).unlink()
    code, out, _ = command("doctor", "--clear-cache")
    assert code == 0
    assert out.startswith("removed 1 model, ")
    assert not kept.models()
    code, out, err = run()
    assert code == 0, err
    assert "found 8 seeds finished before" in out
    assert contents(tmp_path / "out") == whole


def test_an_export_with_other_figures_continues_a_folder(run, kept, tmp_path, monkeypatch):
    """The figures of the verification depend on versions and threads, and the graph does not."""
    assert run()[0] == 0
    (tmp_path / "out" / "seed000003_depth.png").unlink()
    kept.clear()
    monkeypatch.setattr("sgi.export.onnx.verify", lambda *arguments: {"seeds": 2, "runtimes": {}, "left_out": {}})
    code, out, err = run()
    assert code == 0, err
    assert "found 9 seeds finished before" in out


def test_a_damaged_model_is_exported_again(run, kept, tmp_path):
    assert run()[0] == 0
    path = kept.models()[0]
    data = path.read_bytes()
    path.write_bytes(data[:1000] + bytes(100) + data[1100:])
    code, _, err = run(outdir=tmp_path / "again")
    assert code == 0
    assert "exporting" in err
    assert kept.models() == [path]
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


def test_no_cache_keeps_nothing(run, kept, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    code, _, err = run("--no-cache")
    assert code == 0
    assert "later runs" not in err
    assert not kept.folder.exists()
    gc.collect()
    assert not list((tmp_path / "temporary").iterdir())
    assert run(outdir=tmp_path / "kept")[0] == 0
    assert contents(tmp_path / "kept") == contents(tmp_path / "out")


def test_a_cache_that_cannot_be_written_is_one_line(run, kept, user_cache):
    (user_cache / "sgi-engine").mkdir()
    kept.folder.write_bytes(b"a file")
    code, out, err = run()
    assert (code, out) == (2, "")
    assert err == (
        f"error: the cache of models {kept.folder} cannot be written (File exists): free space there, set "
        "XDG_CACHE_HOME to another folder, or use --no-cache\n"
    )
    assert run("--no-cache")[0] == 0


def test_a_model_depends_on_every_setting(network, kept, tmp_path, monkeypatch):
    generator, depth = network
    sha256 = generator_sha256(load(generator))
    other = write_offset(tmp_path / "depth.safetensors", sha256, psi=0.5)
    normal = write_offset(tmp_path / "normal.safetensors", sha256, "normal")
    copy = tmp_path / "copy.safetensors"
    shutil.copy(generator, copy)

    def opened(offsets=(depth,), path=generator, **options):
        source = sources.generator_source(path, offsets, **options)
        assert isinstance(source, sources.ExportedModel)
        return source.path

    first = opened()
    assert opened(path=copy) == opened(psi=0.3) == opened(types="depth") == first
    changes: list[dict[str, Any]] = [
        {"types": ["image", "depth"]}, {"types": ["depth", "image"]}, {"alpha": 0.5}, {"cutoff": 3},
        {"noise_mode": "none"}, {"noise_mode": "random"}, {"offsets": [other]}, {"offsets": [depth, normal]},
    ]  # fmt: skip
    assert len({first, *(opened(**change) for change in changes)}) == 1 + len(changes)
    monkeypatch.setattr(sources, "__version__", "99")
    assert opened() != first


def test_offsets_with_different_psi_need_one(run, command, network, kept, tmp_path):
    normal = write_offset(tmp_path / "normal.safetensors", generator_sha256(load(network[0])), "normal", psi=0.5)
    arguments = ("--offset", normal, "--type", "normal")
    code, _, err = run(*arguments)
    assert code == 2
    assert "--trunc: the offsets were fitted with 0.5 and 0.7; choose one" in err
    assert run(*arguments, "--trunc", "0.6")[0] == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["psi"] == 0.6


@pytest.mark.parametrize(
    ("flags", "check"),
    [
        (("--trunc", "0.5"), lambda run: run["psi"] == 0.5),
        (("--trunc-cutoff", "3"), lambda run: run["model"]["cutoff"] == 3),
        (("--noise-mode", "none"), lambda run: run["model"]["noise_mode"] == "none"),
        (("--noise-mode", "random"), lambda run: run["model"]["generator"]["noise_seed"] == 0),
        (("--alpha", "0.5"), lambda run: run["model"]["offsets"]["depth"]["alpha"] == 0.5),
        ((), lambda run: run["psi"] == 0.7 and run["model"]["noise_mode"] == "const"),
    ],
)
def test_flags_reach_the_model(run, kept, tmp_path, flags, check):
    assert run(*flags)[0] == 0
    assert check(json.loads((tmp_path / "out" / "run.json").read_text()))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--model", "m.onnx"), "--model and --generator: pass only one of the two"),
        (("--type", "normal"), "--type normal: no offset for it; pass --offset FILE or fit one"),
        (("--type", "bogus"), "bogus"),
        (("--alpha", "nan"), "--alpha nan: must be a number from -100 to 100"),
        (("--trunc", "nan"), "--trunc nan: must be a number"),
        (("--noise-mode", "loud"), "--noise-mode loud: choose from none, const, random"),
        (("--backend", "trition"), "--backend trition: choose from auto, openvino, onnxruntime, tensorrt, cpu, triton"),
        (("--backend", "tensorrt"), "--backend tensorrt: it cannot run model.onnx; it runs .engine, .plan"),
        (("--backend", "auto", "--device", "cuda"), "--device cuda: no NVIDIA GPU with a driver was found"),
        (("--backend", "triton", "--device", "tensorrt"), "--backend triton: it does not support --device tensorrt"),
        (("--backend", "triton", "--device", "cuda"), "--device cuda: no NVIDIA GPU with a driver was found"),
        (("--backend", "triton", "--precision", "fp8"), "--precision fp8: choose from fp16, bf16, fp32"),
        (("--backend", "triton"), "--threads 1 has no effect with --backend triton"),
        (("--precision", "fp8"), "--precision fp8: choose bf16"),
        (("--offset", "none.safetensors"), "none.safetensors: "),
        (("--generator", "none.pkl"), "--generator none.pkl: no such file"),
        (("--generator", "."), "--generator .: "),
        (("--class", "1"), "--class: the model has no classes"),
    ],
)
def test_wrong_flags_are_one_line_and_write_nothing(run, kept, tmp_path, flags, message, monkeypatch):
    monkeypatch.setattr("sgi.engine.backends.has_nvidia_driver", lambda: False)
    monkeypatch.setattr("sgi.engine.generator_model.choice.has_gpu", lambda: False)
    code, out, err = run(*flags)
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if not line.startswith("exporting")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert not (tmp_path / "out").exists()
    assert len(kept.models()) <= (flags[0] == "--class")  # its number is known after the export


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--offset", "d.safetensors"), "--offset d.safetensors has no effect without --generator"),
        (("--alpha", "1"), "--alpha 1.0 has no effect without --generator"),
        (("--trunc-cutoff", "2"), "--trunc-cutoff 2 has no effect without --generator"),
        (("--no-cache",), "--no-cache has no effect without --generator"),
        (("--backend", "triton"), "--backend triton: it runs a generator, not an exported model; pass --generator"),
    ],
)
def test_flags_of_a_generator_are_refused_without_one(command, model, tmp_path, flags, message):
    code, _, err = command("run", "--seeds", "0", "--model", model, "--outdir", tmp_path / "out", *flags)
    assert code == 2
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_generator_is_one_line(run, kept, tmp_path):
    path = tmp_path / "network.pkl"
    path.write_bytes(b"<html>not found</html>")
    code, _, err = run(generator=path)
    assert code == 2
    assert "a web page" in err or "HTML" in err
    assert err.count("\n") == 1
    assert not kept.models()


def test_an_offset_of_another_generator_is_refused(run, kept, tmp_path):
    path = tmp_path / "other.safetensors"
    save_generator(path, random_generator(SMALL, seed=9))
    code, _, err = run(generator=path)
    assert code == 2
    assert err.startswith("error: the depth offset was fitted on generator")
    assert not kept.models()


def test_a_file_that_changes_while_it_is_read_is_not_kept(run, kept, network, tmp_path, monkeypatch):
    path = tmp_path / "network.safetensors"
    shutil.copy(network[0], path)

    def verify(*arguments):
        os.truncate(path, 10)
        return {"runtimes": {}}

    monkeypatch.setattr("sgi.export.onnx.verify", verify)
    code, _, err = run(generator=path)
    assert code == 2
    assert f"--generator {path}: the file changed while it was read; run again" in err
    assert not kept.models()


def test_a_folder_of_other_settings_is_refused(run, kept, tmp_path):
    assert run()[0] == 0
    code, _, err = run("--alpha", "0.5", "--batch", "2")
    assert code == 2
    assert "its maps have other settings: --batch 4, not 2; another --generator, other --offset, --alpha" in err


def test_a_run_of_a_kept_model_imports_no_torch(run, kept, network, tmp_path):
    """In a process of its own, after another one has filled the cache."""
    assert run()[0] == 0
    forbidden = ("torch", "onnx", "triton", "sgi.export", "sgi.engine.generator")
    script = (
        "import sys, sgi.cli as cli\nassert cli.main() == 0\n"
        f"print('loaded', *[name for name in {forbidden} if name in sys.modules])"
    )
    arguments = ["run", "--generator", network[0], "--offset", network[1], *RUN, "--outdir", tmp_path / "again"]
    call = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert (done.stdout.splitlines()[-1], done.stderr) == ("loaded", "")
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


# Two processes that run the generator into `first` and `second`; their export takes a second and is not verified.
FILLING = """
import os, sys, time
import sgi.cli as cli, sgi.export.onnx as onnx
def verify(*arguments):
    time.sleep(1)
    return {"seeds": 0, "runtimes": {}, "left_out": {}}
onnx.verify = verify
child = os.fork()
sys.argv[-1] += "second" if child else "first"
code = cli.main()
if not child:
    sys.stderr.flush()
    os._exit(code)
sys.exit(code or os.waitpid(child, 0)[1])
"""


def test_a_full_temporary_folder_is_named(run, kept, tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sgi.export.onnx.export_onnx", full)
    code, out, err = run("--no-cache")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        f"error: --no-cache: the temporary folder {tempfile.gettempdir()} cannot be written (No space left on device): "
        "free space there, or set TMPDIR to another folder"
    )
    assert not (tmp_path / "out").exists()


def test_two_runs_fill_the_cache_at_once(network, kept, tmp_path):
    arguments = ["run", "--generator", network[0], "--offset", network[1], *RUN, "--outdir", f"{tmp_path}{os.sep}"]
    call = [sys.executable, "-c", FILLING, *map(str, arguments)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("exporting network.safetensors") == 1
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert len(list(kept.folder.iterdir())) == 1


def test_classes_of_a_conditional_generator(command, kept, tmp_path, references):
    config = GeneratorConfig(16, z_dim=8, w_dim=12, c_dim=3, mapping_layers=2, channel_base=256, channel_max=16)
    save_generator(tmp_path / "network.safetensors", random_generator(config, seed=3))
    arguments = ("--generator", tmp_path / "network.safetensors", "--seeds", "0-1", "--outdir", tmp_path / "out")
    for backend in ("onnxruntime", "triton"):
        out = ("--outdir", tmp_path / backend)
        assert command("run", *arguments, *out, "--class", "0,3", "--backend", backend)[0] == 2
        assert not (tmp_path / backend).exists()
        code, _, err = command("run", *arguments, *out, "--class", "0,2", "--backend", backend)
        assert code == 0, err
        assert sorted(path.name for path in (tmp_path / backend).iterdir()) == ["class0", "class2"]


def test_triton_by_its_references_says_that_it_is_meant_for_checks(command, network, tmp_path, references, monkeypatch):
    given = ("--generator", network[0], "--offset", network[1], "--seeds", "0-3", "--outdir", tmp_path / "out")
    code, out, err = command("run", *given, "--backend", "triton", "--device", "cpu")
    assert code == 0, err
    assert out.splitlines()[-1] == "backend   triton, cpu, fp32: the kernels' torch references, meant for checks"
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (record["backend"], record["device"], record["precision"]) == ("triton", "cpu", "fp32")
    code, out, _ = command("run", *given)  # the folder's backend
    assert code == 0
    assert "found 4 seeds finished before" in out
    code, _, err = command("run", *given, "--precision", "fp16")
    assert "--precision fp32, not fp16" in err
    code, _, err = command("run", *given, "--backend", "onnxruntime", "--no-cache")
    assert "--backend triton, not onnxruntime; --precision fp32, not that of the model; another --generator" in err
    path = tmp_path / "out" / "run.json"
    path.write_text(json.dumps({**record, "device": "cuda"}))
    monkeypatch.setattr("sgi.engine.generator_model.choice.has_gpu", lambda: False)
    code, _, err = command("run", *given)
    assert err.startswith(f"error: --outdir {tmp_path / 'out'}: cannot be continued with the backend of its run.json: ")
    assert "--device cuda: no NVIDIA GPU with a driver was found" in err
    path.write_text(json.dumps(record))
    monkeypatch.setattr("sgi.engine.run.description.__version__", "99")
    monkeypatch.setattr("sgi.engine.describe.__version__", "99")
    assert command("run", *given)[0] == 0  # the hash has no versions


def test_triton_in_the_interpreter_gives_the_maps_of_onnx(network, kept, tmp_path):
    pytest.importorskip("triton")
    options = {"generator": network[0], "offsets": [network[1]], "types": ["image", "depth"], "file_format": "npy"}
    options |= {"seeds": [0], "batch": 1, "preview": False}
    report = run_seeds(**options, outdir=tmp_path / "triton", backend="triton", device="cpu")
    assert report.remark == "Triton's interpreter, meant for checks"
    run_seeds(**options, outdir=tmp_path / "onnx", backend="onnxruntime")
    for name in ("image", "depth"):
        found, expected = (np.load(tmp_path / kind / f"seed000000_{name}.npy") for kind in ("triton", "onnx"))
        assert np.abs(found - expected).max() < BACKEND_PARITY


def test_style_mixing_on_triton_gives_the_maps_of_onnx(network, kept, tmp_path, references):
    options = {"seeds": [0, 1], "generator": network[0], "offsets": [network[1]], "file_format": "npy", "device": "cpu"}
    options |= {"mix_seed": 100, "mix_rows": "2-4", "preview": False}
    for backend in ("triton", "onnxruntime"):
        run_seeds(**options, outdir=tmp_path / backend, backend=backend)
    for name in ("seed000000_depth.npy", "seed000001_depth.npy"):
        found, expected = (np.load(tmp_path / backend / name) for backend in ("triton", "onnxruntime"))
        assert np.abs(found - expected).max() < BACKEND_PARITY


@pytest.mark.parametrize("backend", ["onnxruntime", "triton"])
def test_an_engine_from_a_generator(network, kept, backend, references):
    with Engine.from_generator(network[0], [network[1]], backend=backend, device="cpu", psi=0.5, batch=2) as engine:
        assert (engine.backend.name, engine.artifact.psi, engine.batch) == (backend, 0.5, 2)
        maps = engine(seeds=[0, 1, 2])
        assert {name: stack.shape for name, stack in maps.items()} == {"depth": (3, 1, 16, 16)}
        with pytest.raises(UserError, match="open the model with `input=w\\+`"):
            engine(ws=np.zeros((1, 6, 12)))
    options = {"backend": backend, "device": "cpu", "input": "w+"}
    with Engine.from_generator(network[0], [network[1]], **options) as engine:
        rows = engine.mapping(seeds=[0, 1, 2], psi=0.5)
        np.testing.assert_allclose(engine(ws=rows)["depth"], maps["depth"], atol=BACKEND_PARITY)
    offset = Offset.load(network[1])
    with Engine.from_generator(network[0], [offset], types=["depth"], cache=False) as engine:
        np.testing.assert_allclose(engine(seeds=[0, 1, 2], psi=0.5)["depth"], maps["depth"], atol=BACKEND_PARITY)
    assert len(kept.models()) == (backend == "onnxruntime")
    with pytest.raises(UserError, match="`batch=0`"):
        Engine.from_generator("bundled", batch=0)


def test_the_bundled_generator_has_its_offsets(command, kept, tmp_path):
    code, _, err = command("run", "--network", "bundled", "--seeds", "0", "--outdir", tmp_path, "--type", "depth")
    assert code == 0, err
    assert (tmp_path / "seed000000_depth.png").exists()
    assert json.loads((tmp_path / "run.json").read_text())["model"]["noise_mode"] == "none"
