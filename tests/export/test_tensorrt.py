"""Engines: TensorRT-RTX parses and builds every precision without a GPU, and says clearly what it cannot."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import helper

from sgi.cli import main
from sgi.engine import bundle
from sgi.engine.artifact import METADATA_KEY, Artifact
from sgi.engine.backends.engine_file import EngineFacts
from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file
from sgi.engine.generator import load_generator, save_generator
from sgi.engine.gpu import Gpu
from sgi.engine.offsets import Offset
from sgi.export import tensorrt
from sgi.export.onnx import build, describe, export_onnx
from sgi.export.tensorrt import BuildSettings, build_engine

TARGETS = ("SM80", "SM120")
SETTINGS = BuildSettings(batch=(1, 2, 4), level=0, targets=TARGETS)


@pytest.fixture
def rtx():
    return pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install .[tensorrt-rtx]")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(tensorrt, "find_gpus", list)


def write(generator, path, precision="fp32"):
    types = {"image": None, "depth": None}
    onnx.save(build(generator, types, describe(generator, types, precision=precision)), path)
    return path


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_builds_for_both_ends_of_the_range(rtx, conditional_generator, tmp_path, precision):
    model = write(conditional_generator, tmp_path / "maps.onnx", precision)
    sidecar = build_engine(model, tmp_path / "maps.engine", SETTINGS)
    assert (tmp_path / "maps.engine").stat().st_size > model.stat().st_size
    assert Artifact.read(tmp_path / "maps.engine") == replace(
        Artifact.read(model), parity={"runtimes": {}, "left_out": {"tensorrt_rtx": "built and not run"}}
    )
    facts = EngineFacts.read(tmp_path / "maps.engine")
    assert json.loads(json.dumps(asdict(facts))) == json.loads(json.dumps(sidecar["builder"]))
    assert (facts.module, facts.version, facts.gpu) == ("tensorrt_rtx", rtx.__version__, None)
    assert (facts.targets, facts.batch) == (TARGETS, (1, 2, 4))
    assert facts.engine_sha256 == sha256_file(tmp_path / "maps.engine")
    assert facts.onnx_sha256 == sha256_file(model)


@pytest.fixture
def gpu_that_multiplies_by(rtx, tiny_generator, tmp_path, monkeypatch):
    """Build a depth engine where its GPU is here; the GPU gives ONNX Runtime's values times a factor."""
    open_backend = tensorrt.open_backend
    model = write(tiny_generator, tmp_path / "maps.onnx")

    def build_with(factor):
        class Scaled:
            name = "tensorrt"

            def __init__(self, path):
                assert Artifact.read(path).precision == "fp32"
                assert EngineFacts.read(path).targets == ("SM120",)
                self.inner = open_backend(model, backend="onnxruntime", device="cpu")
                self.close = self.inner.close

            def run(self, *inputs):
                return {name: np.float32(factor) * value for name, value in self.inner.run(*inputs).items()}

        def opened(path, device, **options):
            return Scaled(path) if device == "tensorrt" else open_backend(path, device=device, **options)

        monkeypatch.setattr(tensorrt, "find_gpus", lambda: [Gpu("NVIDIA RTX 5090", (12, 0), 1)])
        monkeypatch.setattr(tensorrt, "open_backend", opened)
        settings = replace(SETTINGS, module="tensorrt_rtx", targets=("SM120",))
        return build_engine(model, tmp_path / "maps.engine", settings)

    return build_with


def test_where_its_gpu_is_here_an_engine_is_run_and_compared(gpu_that_multiplies_by, tmp_path):
    parity = gpu_that_multiplies_by(1.0)["parity"]
    assert parity["left_out"] == {}
    assert set(parity["runtimes"]["tensorrt_rtx"]) == {"image", "depth"}
    assert parity["runtimes"]["tensorrt_rtx"]["image"]["max"] < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps.engine", "maps.json", "maps.onnx"]


@pytest.mark.parametrize(("factor", "says"), [(0.9, "differs from the generator"), (np.nan, "are not finite")])
def test_an_engine_that_disagrees_is_not_written(gpu_that_multiplies_by, tmp_path, factor, says):
    with pytest.raises(UserError, match=f"through tensorrt .*{says}.* no file was written"):
        gpu_that_multiplies_by(factor)
    assert [path.name for path in tmp_path.iterdir()] == ["maps.onnx"]


@pytest.mark.skipif(not bundle.MODEL.exists(), reason="the bundled model is not there yet")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_builds_the_bundled_model(rtx, tmp_path, precision):
    """The bundled file as it is; in fp16, its generator and offsets exported anew, which holds them to their PSNR."""
    model = bundle.MODEL
    if precision != "fp32":
        described, model = Artifact.read(bundle.MODEL), tmp_path / "rooms.onnx"
        offsets = {t: Offset.load(bundle.offset(t)) if t in described.offsets else None for t in described.type_names}
        export_onnx(
            load_generator(bundle.GENERATOR), offsets, model, psi=described.psi, cutoff=described.cutoff,
            noise_mode=described.noise_mode, precision=precision,
        )  # fmt: skip
    build_engine(model, tmp_path / "rooms.plan", SETTINGS)
    built = Artifact.read(tmp_path / "rooms.plan")
    assert (built.types, built.precision) == (Artifact.read(bundle.MODEL).types, precision)


def test_inputs_and_types_of_the_network(rtx, conditional_generator, tmp_path):
    """Every convolution has the precision's type, the rest and the borders float32: nothing left to the builder."""
    for precision, kind in (("fp32", rtx.DataType.FLOAT), ("fp16", rtx.DataType.HALF), ("bf16", rtx.DataType.BF16)):
        model = write(conditional_generator, tmp_path / "maps.onnx", precision)
        logger = rtx.Logger(rtx.Logger.ERROR)
        builder = rtx.Builder(logger)
        network = builder.create_network(1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = rtx.OnnxParser(network, logger)
        assert parser.parse(model.read_bytes())
        tensorrt.check_network(rtx, network, Artifact.read(model), model)
        layers = [network.get_layer(i) for i in range(network.num_layers)]
        kinds = {
            layer.get_output(0).dtype
            for layer in layers
            if layer.type == rtx.LayerType.CONVOLUTION and layer.num_outputs
        }
        assert kinds == {kind}
        profile = tensorrt._Build(rtx, "tensorrt_rtx", SETTINGS)
        assert profile._config(network).num_optimization_profiles == 1


class Cached:
    """A builder's config of full TensorRT, as far as timing caches go."""

    def create_timing_cache(self, data):
        return data if data in (b"", b"timings") else None

    def set_timing_cache(self, cache, ignore_mismatch):
        return cache is not None and not ignore_mismatch

    def get_timing_cache(self):
        return SimpleNamespace(serialize=lambda: b"timings")


def test_a_timing_cache_is_read_written_and_refused(tmp_path):
    cache = tmp_path / "timings"
    tensorrt.read_cache(Cached(), cache, "tensorrt")
    tensorrt.write_cache(Cached(), cache)
    assert cache.read_bytes() == b"timings"
    tensorrt.read_cache(Cached(), cache, "tensorrt")
    cache.write_bytes(b"of another GPU")
    with pytest.raises(UserError, match="--timing-cache .*timings: not a cache of this tensorrt"):
        tensorrt.read_cache(Cached(), cache, "tensorrt")


def test_a_graph_it_cannot_take_is_named_by_its_node(rtx, tiny_generator, tmp_path):
    model = onnx.load(write(tiny_generator, tmp_path / "maps.onnx"))
    model.graph.node.append(helper.make_node("Det", ["image"], ["det"], name="the_culprit"))
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(UserError, match=r"odd.onnx: tensorrt_rtx cannot take .*the_culprit \(Det\)"):
        build_engine(tmp_path / "odd.onnx", tmp_path / "odd.engine", SETTINGS)
    assert not list(tmp_path.glob("odd.engine")) + list(tmp_path.glob("*.json"))


def test_a_network_of_another_description_is_refused(rtx, tiny_generator, tmp_path):
    model = onnx.load(write(tiny_generator, tmp_path / "maps.onnx"))
    lying = replace(Artifact.read(tmp_path / "maps.onnx"), z_dim=9)
    helper.set_model_props(model, {METADATA_KEY: lying.to_json()})
    onnx.save(model, tmp_path / "lying.onnx")
    with pytest.raises(UserError, match="lying.onnx: its inputs or outputs are not those its description gives"):
        build_engine(tmp_path / "lying.onnx", tmp_path / "lying.engine", SETTINGS)


def test_what_is_missing_is_named(monkeypatch, rtx):
    def module(**settings):
        return tensorrt.load_module(BuildSettings(**settings))[1]

    assert module() == "tensorrt_rtx"
    with pytest.raises(UserError, match="--builder nvcc: choose from auto, tensorrt, tensorrt_rtx"):
        module(module="nvcc")
    monkeypatch.setattr(tensorrt, "is_installed", lambda name: False)
    with pytest.raises(UserError, match=r'tensorrt is not installed: pip install "sgi-engine\[tensorrt\]"'):
        module(module="tensorrt")
    with pytest.raises(UserError, match=r'tensorrt_rtx is not installed: pip install "sgi-engine\[tensorrt-rtx\]"'):
        module()
    monkeypatch.setattr(tensorrt, "is_installed", lambda name: True)
    with pytest.raises(UserError, match="--builder tensorrt: TensorRT builds on the GPU that will run the engine"):
        module(module="tensorrt")
    with pytest.raises(UserError, match="--compute-capability: TensorRT builds for the GPU it runs on"):
        module(module="tensorrt", targets=("SM90",))
    monkeypatch.setattr(tensorrt, "find_gpus", lambda: [Gpu("H200", (9, 0), 1)])
    monkeypatch.setattr(tensorrt, "import_module", lambda name: name)
    assert module() == "tensorrt"
    assert module(targets=("SM120",)) == "tensorrt_rtx"


def test_flags_are_checked(rtx, tiny_generator, tmp_path):
    with pytest.raises(UserError, match="--batch-profile 4,2,8: give 1 <= least <= best <= largest"):
        BuildSettings(batch=(4, 2, 8))
    with pytest.raises(UserError, match="--optimization-level 6: choose from 0 to 5"):
        BuildSettings(level=6)
    model = write(tiny_generator, tmp_path / "maps.onnx")
    with pytest.raises(UserError, match="--compute-capability SM90: this TensorRT-RTX builds for .*SM120"):
        build_engine(model, tmp_path / "maps.engine", BuildSettings(targets=("SM90",)))
    with pytest.raises(UserError, match=r"--out .*maps.trt: the name must end in .engine or .plan"):
        build_engine(model, tmp_path / "maps.trt", SETTINGS)


def test_the_command(rtx, tiny_generator, tmp_path, capsys):
    def command(*args):
        code = main([str(arg) for arg in args])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    save_generator(tmp_path / "tiny.safetensors", tiny_generator, {})
    out = tmp_path / "image.engine"
    code, printed, error = command(
        "export", "--generator", tmp_path / "tiny.safetensors", "--type", "image", "--format", "tensorrt",
        "--precision", "fp16", "--compute-capability", "SM120", "--batch-profile", "1,1,2", "--out", out,
    )  # fmt: skip
    assert (code, error) == (0, "")
    assert "emulation" in printed
    assert "for SM120" in printed.replace("\n", " ")
    assert Artifact.read(out).precision == "fp16"
    assert set(Artifact.read(out).parity["runtimes"]) >= {"emulation"}
    code, _, error = command("export", "--format", "exe")
    assert (code, error) == (2, "error: --format exe: choose from onnx, tensorrt, triton-server\n")
    tensorrt_asked = ("export", "--type", "image", "--format", "tensorrt")
    code, _, error = command(*tensorrt_asked, "--batch-profile", "1-8")
    assert (code, error) == (2, "error: --batch-profile 1-8: give three numbers, such as 1,8,16\n")
    code, _, error = command(*tensorrt_asked, "--timing-cache", tmp_path / "timings")
    assert (code, error.split(";")[0]) == (2, "error: --timing-cache: TensorRT-RTX keeps none")
