"""TensorRT engines: TensorRT-RTX parses and builds every precision without a GPU; refusals name the cause."""

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
from sgi.engine.generator import generator_sha256, load_generator, save_generator
from sgi.engine.gpu import Gpu
from sgi.engine.offsets import Offset
from sgi.export import tensorrt, tensorrt_build, tensorrt_settings
from sgi.export.exporters import EXPORTERS
from sgi.export.onnx import build, describe, export_onnx
from sgi.export.tensorrt import build_engine
from sgi.export.tensorrt_build import EngineBuild
from sgi.export.tensorrt_settings import BuildSettings

TARGETS = ("SM80", "SM120")
SETTINGS = BuildSettings(batch_profile=(1, 2, 4), optimization_level=0, compute_capability=TARGETS)


@pytest.fixture
def rtx():
    return pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install .[tensorrt-rtx]")


def set_gpus(monkeypatch, *gpus):
    for module in (tensorrt, tensorrt_build, tensorrt_settings):
        monkeypatch.setattr(module, "find_gpus", lambda: list(gpus))


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    set_gpus(monkeypatch)


def write(generator, path, precision="fp32"):
    zeros = np.zeros((1, generator.config.w_dim), np.float32)
    types = {"image": None, "depth": Offset("depth", "w", {"offset": zeros}, generator_sha256(generator))}
    onnx.save(build(generator, types, describe(generator, types, precision=precision)), path)
    return path


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_builds_for_the_oldest_and_newest_targets(rtx, conditional_generator, tmp_path, precision):
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
    """Build an engine on a machine with its GPU, a stand-in that returns ONNX Runtime's values times a factor."""
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

        set_gpus(monkeypatch, Gpu("NVIDIA RTX 5090", (12, 0), 1))
        monkeypatch.setattr(tensorrt, "open_backend", opened)
        settings = replace(SETTINGS, builder="tensorrt_rtx", compute_capability=("SM120",))
        return build_engine(model, tmp_path / "maps.engine", settings)

    return build_with


def test_engine_is_compared_with_its_graph_if_its_gpu_is_present(gpu_that_multiplies_by, tmp_path):
    parity = gpu_that_multiplies_by(1.0)["parity"]
    assert parity["left_out"] == {}
    assert set(parity["runtimes"]["tensorrt_rtx"]) == {"image", "depth"}
    assert parity["runtimes"]["tensorrt_rtx"]["image"]["max"] < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps.engine", "maps.json", "maps.onnx"]


@pytest.mark.parametrize(("factor", "reason"), [(0.9, "differs from the generator"), (np.nan, "are not finite")])
def test_engine_that_disagrees_is_not_written(gpu_that_multiplies_by, tmp_path, factor, reason):
    with pytest.raises(UserError, match=f"through tensorrt .*{reason}.* no file was written"):
        gpu_that_multiplies_by(factor)
    assert [path.name for path in tmp_path.iterdir()] == ["maps.onnx"]


@pytest.mark.skipif(not bundle.MODEL.exists(), reason="the bundled model is not there yet")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_builds_the_bundled_model(rtx, tmp_path, precision):
    """fp32: the bundled file. fp16: a new export of its generator and offsets, which must reach the PSNR bound."""
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
    """Convolutions have the precision's data type, everything else float32; the builder chooses no data type."""
    for precision, kind in (("fp32", rtx.DataType.FLOAT), ("fp16", rtx.DataType.HALF), ("bf16", rtx.DataType.BF16)):
        model = write(conditional_generator, tmp_path / "maps.onnx", precision)
        logger = rtx.Logger(rtx.Logger.ERROR)
        builder = rtx.Builder(logger)
        network = builder.create_network(1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = rtx.OnnxParser(network, logger)
        assert parser.parse(model.read_bytes())
        tensorrt_build.check_network(rtx, network, Artifact.read(model), model)
        layers = [network.get_layer(i) for i in range(network.num_layers)]
        kinds = {
            layer.get_output(0).dtype
            for layer in layers
            if layer.type == rtx.LayerType.CONVOLUTION and layer.num_outputs
        }
        assert kinds == {kind}
        profile = EngineBuild(rtx, "tensorrt_rtx", SETTINGS)
        assert profile._config(network).num_optimization_profiles == 1


class Cached:
    """The timing-cache methods of a builder's config in TensorRT."""

    def create_timing_cache(self, data):
        return data if data in (b"", b"timings") else None

    def set_timing_cache(self, cache, ignore_mismatch):
        return cache is not None and not ignore_mismatch

    def get_timing_cache(self):
        return SimpleNamespace(serialize=lambda: b"timings")


def test_timing_cache_is_read_written_and_checked(tmp_path):
    cache = tmp_path / "timings"
    tensorrt_build.read_cache(Cached(), cache, "tensorrt")
    tensorrt_build.write_cache(Cached(), cache)
    assert cache.read_bytes() == b"timings"
    tensorrt_build.read_cache(Cached(), cache, "tensorrt")
    cache.write_bytes(b"of another GPU")
    with pytest.raises(UserError, match="`timing_cache=.*timings`: not a cache of this tensorrt"):
        tensorrt_build.read_cache(Cached(), cache, "tensorrt")


def test_error_names_an_unsupported_node(rtx, tiny_generator, tmp_path):
    model = onnx.load(write(tiny_generator, tmp_path / "maps.onnx"))
    model.graph.node.append(helper.make_node("Det", ["image"], ["det"], name="the_culprit"))
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(UserError, match=r"odd.onnx: tensorrt_rtx does not support .*the_culprit \(Det\)"):
        build_engine(tmp_path / "odd.onnx", tmp_path / "odd.engine", SETTINGS)
    assert not list(tmp_path.glob("odd.engine")) + list(tmp_path.glob("*.json"))


def test_network_of_another_description_is_refused(rtx, tiny_generator, tmp_path):
    model = onnx.load(write(tiny_generator, tmp_path / "maps.onnx"))
    changed = replace(Artifact.read(tmp_path / "maps.onnx"), z_dim=9)
    helper.set_model_props(model, {METADATA_KEY: changed.to_json()})
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(UserError, match="changed.onnx: its inputs or outputs are not those of its description"):
        build_engine(tmp_path / "changed.onnx", tmp_path / "changed.engine", SETTINGS)


def test_errors_name_missing_packages_and_gpus(monkeypatch, rtx):
    def module(**settings):
        return tensorrt_settings.load_module(BuildSettings(**settings))[1]

    assert module() == "tensorrt_rtx"
    with pytest.raises(UserError, match="`builder=nvcc`: choose from auto, tensorrt, tensorrt_rtx"):
        module(builder="nvcc")
    monkeypatch.setattr(tensorrt_settings, "is_installed", lambda name: False)
    with pytest.raises(UserError, match=r'tensorrt is not installed: pip install "sgi-engine\[tensorrt\]"'):
        module(builder="tensorrt")
    with pytest.raises(UserError, match=r'tensorrt_rtx is not installed: pip install "sgi-engine\[tensorrt-rtx\]"'):
        module()
    monkeypatch.setattr(tensorrt_settings, "is_installed", lambda name: True)
    with pytest.raises(UserError, match="`builder=tensorrt`: TensorRT builds on the GPU that will run the engine"):
        module(builder="tensorrt")
    with pytest.raises(UserError, match="`compute_capability`: TensorRT builds for the GPU it runs on"):
        module(builder="tensorrt", compute_capability=("SM90",))
    set_gpus(monkeypatch, Gpu("H200", (9, 0), 1))
    monkeypatch.setattr(tensorrt_settings, "import_module", lambda name: name)
    assert module() == "tensorrt"
    assert module(compute_capability=("SM120",)) == "tensorrt_rtx"


def test_settings_are_checked(rtx, tiny_generator, tmp_path):
    with pytest.raises(UserError, match="`batch_profile=4,2,8`: choose 1 <= least <= best <= largest"):
        BuildSettings(batch_profile=(4, 2, 8))
    with pytest.raises(UserError, match="`optimization_level=6`: choose from 0 to 5"):
        BuildSettings(optimization_level=6)
    model = write(tiny_generator, tmp_path / "maps.onnx")
    with pytest.raises(UserError, match="`compute_capability=SM90`: this TensorRT-RTX builds for .*SM120"):
        build_engine(model, tmp_path / "maps.engine", BuildSettings(compute_capability=("SM90",)))
    with pytest.raises(UserError, match=r"`out=.*maps.trt`: the name must end in .engine or .plan"):
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
    assert code == 0, error
    assert "emulation" in printed
    assert "for SM120" in printed.replace("\n", " ")
    assert Artifact.read(out).precision == "fp16"
    assert set(Artifact.read(out).parity["runtimes"]) >= {"emulation"}
    code, _, error = command("export", "--format", "exe")
    assert (code, error) == (2, f"error: --format exe: choose from {', '.join(EXPORTERS)}\n")
    tensorrt_asked = ("export", "--type", "image", "--format", "tensorrt")
    code, _, error = command(*tensorrt_asked, "--batch-profile", "1-8")
    assert (code, error) == (2, "error: --batch-profile 1-8: give three numbers, such as 1,8,16\n")
    code, _, error = command(*tensorrt_asked, "--timing-cache", tmp_path / "timings")
    assert (code, error.split(";")[0]) == (2, "error: --timing-cache: TensorRT-RTX keeps none")
