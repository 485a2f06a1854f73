"""z, w and w+ in C++ against Python, latents that a model cannot take, and the latents files of sgi-run."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from native_library import NativeError
from onnx import helper
from tolerances import NATIVE_PARITY

from sgi.engine import Engine
from sgi.engine.artifact import METADATA_KEY, Artifact
from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.offsets import Offset
from sgi.export.onnx import build, describe

PRESETS = {"onnxruntime": "release", "openvino": "openvino"}
RANDOM = np.random.RandomState(0)
WS = RANDOM.randn(5, 8, 12).astype(np.float32)
Z = RANDOM.randn(5, 8).astype(np.float32)
REQUESTS = {
    "z": ("z", {"z": Z}),
    "w": ("w", {"w": WS[:, 0].copy()}),
    "w+": ("w+", {"ws": WS}),
    "one w for all rows": ("w+", {"w": WS[:, 1].copy()}),
}
LABELS = np.eye(3, dtype=np.float32)[[0, 2, 1, 1, 0]]


@pytest.fixture(scope="module")
def models(conditional_generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of one conditional generator, by input: image and depth, truncated in the first rows; not verified."""
    folder = tmp_path_factory.mktemp("models")
    values = np.random.RandomState(1).randn(8, 12).astype(np.float32)
    depth = Offset("depth", "w+", {"offset": values}, generator_sha256(conditional_generator))
    offsets = {"image": None, "depth": depth}
    paths = {takes: folder / f"{takes}.onnx" for takes in ("z", "w", "w+")}
    for takes, path in paths.items():
        artifact = describe(conditional_generator, offsets, psi=0.5, cutoff=4, noise_mode="none", input=takes)
        model = build(conditional_generator, offsets, artifact)
        helper.set_model_props(model, {METADATA_KEY: artifact.to_json()})
        onnx.save(model, path)
    return paths


@pytest.fixture(autouse=True)
def _runtime(monkeypatch, runtime_folder):
    monkeypatch.setenv("SGI_ORT_LIB", str(runtime_folder))


def shapes_of(path: Path, count: int) -> dict[str, tuple[int, ...]]:
    artifact = Artifact.read(path)
    return {t.name: (count, t.channels, artifact.resolution, artifact.resolution) for t in artifact.types}


@pytest.mark.parametrize("backend", PRESETS)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_latents_agree_with_python(library, models, backend, request_):
    """Five images in passes of at most four."""
    takes, latents = request_
    path, labels = models[takes], LABELS if takes == "z" else None
    found = library(PRESETS[backend]).generate(
        path, shapes_of(path, 5), None, labels=labels, latents=latents, backend=backend, batch=4
    )
    with Engine.open(path, backend=backend, device="cpu", batch=4) as engine:
        expected = engine(**latents, labels=labels)
    for row in Artifact.read(path).types:
        difference = np.abs(found[row.name] - expected[row.name]).max() / (row.high - row.low)
        assert difference <= NATIVE_PARITY, row.name


def test_w_plus_of_seeds_gives_the_maps_of_the_seeds(library, models):
    """ws of `Engine.mapping`, whose rows differ, through the model that takes w+."""
    shapes = shapes_of(models["z"], 3)
    with Engine.open(models["z"], backend="onnxruntime", device="cpu") as engine:
        ws = engine.mapping([3, 1, 4], labels=LABELS[:3])
    assert np.ptp(ws, axis=1).max() > 0
    expected = library().generate(models["z"], shapes, [3, 1, 4], labels=LABELS[:3])
    found = library().generate(models["w+"], shapes, None, latents={"ws": ws})
    for row in Artifact.read(models["z"]).types:
        assert np.abs(found[row.name] - expected[row.name]).max() / (row.high - row.low) <= 10 * NATIVE_PARITY


def test_the_input_is_that_of_the_description(library, models):
    assert {takes: library().input(path) for takes, path in models.items()} == {
        "z": ("z", 0, 8), "w": ("w", 12, 8), "w+": ("w+", 12, 8),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("takes", "kind", "text"),
    [
        ("z", "w", "sgi_request.w: the model takes z; make a model with `sgi-engine export --input w`"),
        ("z", "ws", r"sgi_request.ws: the model takes z; make a model with `sgi-engine export --input w\+`"),
        ("w", "ws", r"one w for all rows; give w, or make a model with `sgi-engine export --input w\+`"),
        ("w", "seeds", "sgi_request.seeds: the model takes w and has no mapping network for seeds and z; give w, or"),
        ("w", "z", "sgi_request.z: the model takes w and has no mapping network"),
        ("w+", "seeds", r"sgi_request.seeds: the model takes w\+ and has no mapping network .*; give w or ws, or"),
        ("w+", "z", r"sgi_request.z: the model takes w\+"),
    ],
)
def test_latents_that_the_model_cannot_take(library, models, takes, kind, text):
    latents = {"z": Z, "w": WS[:, 0].copy(), "ws": WS}
    given = {"seeds": range(5)} if kind == "seeds" else {"seeds": None, "latents": {kind: latents[kind]}}
    with pytest.raises(NativeError, match=text):
        library().generate(models[takes], shapes_of(models[takes], 5), **given)


@pytest.mark.parametrize("given", [{"psi": 0.5}, {"classes": [0] * 5}, {"labels": LABELS}], ids=str)
def test_what_has_no_effect_on_w(library, models, given):
    (name,) = given
    with pytest.raises(NativeError, match=f"sgi_request.{name} has no effect on ws, which is after the mapping"):
        library().generate(models["w+"], shapes_of(models["w+"], 5), None, latents={"ws": WS}, **given)


@pytest.fixture
def sgi_run(built, environment, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs sgi-run on a model, into the folder `out`."""

    def run(model: Path, *flags: object) -> subprocess.CompletedProcess[str]:
        program = built("release") / "examples/sgi-run"
        command = [program, model, "--format", "npy", "--outdir", tmp_path / "out", *flags]
        return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=60)

    return run


FILES: dict[str, tuple[str, Callable[[Path], object], dict[str, np.ndarray]]] = {
    # projector.py of stylegan2-ada-pytorch: np.savez(f'{outdir}/projected_w.npz', w=projected_w.unsqueeze(0)...)
    "the projector's": ("w+", lambda path: np.savez(path, w=WS[:1]), {"ws": WS[:1]}),
    "ws": ("w+", lambda path: np.savez(path, other=Z, ws=WS.astype(np.float64)), {"ws": WS}),
    "one w": ("w", lambda path: np.save(path, WS[0, 0]), {"w": WS[:1, 0]}),
    "z": ("z", lambda path: np.savez(path, latents=Z), {"z": Z}),
}


@pytest.mark.parametrize(("takes", "write", "latents"), FILES.values(), ids=FILES)
def test_sgi_run_reads_latents(sgi_run, models, tmp_path, takes, write, latents):
    path = tmp_path / "latents.npz"
    with path.open("wb") as file:
        write(file)
    finished = sgi_run(
        models[takes], "--backend", "onnxruntime", "--latents", path, *(("--class", "2") if takes == "z" else ())
    )
    assert finished.returncode == 0, finished.stderr
    with Engine.open(models[takes], backend="onnxruntime", device="cpu") as engine:
        expected = engine(**latents, class_index=2 if takes == "z" else None)["depth"]
    files = sorted((tmp_path / "out").glob("*_depth.npy"))
    assert [file.name for file in files] == [f"latent{n:04d}_depth.npy" for n in range(len(expected))]
    assert np.abs(np.stack([np.load(file) for file in files]) - expected).max() <= NATIVE_PARITY


def test_sgi_run_asks_for_the_kind_where_two_fit(sgi_run, models, tmp_path):
    np.save(tmp_path / "rows.npy", WS[0])
    flags = ("--latents", tmp_path / "rows.npy")
    assert "its array [8, 12] can be w or w+; say which with --latents-kind\n" in sgi_run(models["w+"], *flags).stderr
    for kind, count in (("w+", 1), ("w", 8)):
        assert sgi_run(models["w+"], *flags, "--latents-kind", kind).returncode == 0
        assert len(list((tmp_path / "out").glob("*_depth.npy"))) == count


def _compressed(path):
    np.savez_compressed(path, w=WS)


def _damaged(path):
    np.savez(path, w=WS)
    data = bytearray(path.read_bytes())
    data[data.index(WS.tobytes()) + 7] ^= 1
    path.write_bytes(data)


def _several(path):
    np.savez(path, w=WS, ws=WS)


def _other(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("w.npy", "hello")


def _truncated(path):
    with path.open("wb") as file:
        np.save(file, WS)
    path.write_bytes(path.read_bytes()[:-1])


def _saved(array):
    return lambda path: np.savez(path, array)


REFUSED = {
    "compressed": (_compressed, "the .npz file is compressed; write it with `numpy.savez("),
    "damaged": (_damaged, "the file is damaged; write it"),
    "several": (_several, "its arrays are w, ws; write a file with one of them"),
    "no array": (_other, "not a .npy array; write it"),
    "truncated": (_truncated, "the file is truncated; write it"),
    "empty": (lambda path: path.write_bytes(b""), "not a .npy array; write it"),
    "integers": (_saved(np.zeros((1, 8, 12), int)), "its values are neither float32 nor float64; write it"),
    "objects": (_saved(np.array([None])), "its values are neither float32 nor float64; write it"),
    "order": (_saved(np.asfortranarray(WS)), "the array is in Fortran order; write it"),
    "no latents": (_saved(np.zeros((0, 8, 12), np.float32)), "it has no latents"),
    "shape": (_saved(WS[:, :7]), "its array arr_0 [5, 7, 12] does not fit: the model takes w [N, 12] or w+ [N, 8, 12]"),
    "not finite": (_saved(WS * np.inf), "sgi_request.ws: row 0 has a value that is not finite"),
    "missing": (lambda path: None, "latents.npz: no such file"),
}


@pytest.mark.parametrize(("write", "text"), REFUSED.values(), ids=REFUSED)
def test_sgi_run_refuses_files_of_latents_in_one_line(sgi_run, models, tmp_path, write, text):
    write(tmp_path / "latents.npz")
    finished = sgi_run(models["w+"], "--latents", tmp_path / "latents.npz")
    assert (finished.returncode, finished.stderr.count("\n")) == (2, 1)
    assert text in finished.stderr
    assert not list(tmp_path.glob("out/*"))


def test_sgi_run_refuses_truncated_archives(sgi_run, models, tmp_path):
    path = tmp_path / "latents.npz"
    np.savez(path, w=WS[:1])
    whole = path.read_bytes()
    for size in (1, 25, 60, *range(len(whole) - 100, len(whole), 19)):
        path.write_bytes(whole[:size])
        finished = sgi_run(models["w+"], "--latents", path)
        assert (finished.returncode, finished.stderr.count("\n")) == (2, 1), size


def test_sgi_run_refuses_flags_without_effect(sgi_run, models, tmp_path):
    np.savez(tmp_path / "w.npz", w=WS)
    latents = ("--latents", tmp_path / "w.npz")
    for takes, flags, text in (
        ("w+", (), "the model takes w+, not seeds; give --latents"),
        ("w+", (*latents, "--seeds", "0"), "give either --seeds or --latents"),
        ("w+", (*latents, "--trunc", "0.5"), "--trunc has no effect on w+, which is after the mapping network"),
        ("w+", (*latents, "--class", "0"), "--class has no effect on w+"),
        ("w+", (*latents, "--latents-kind", "x"), "--latents-kind x: choose z, w or w+"),
        ("z", ("--latents-kind", "z"), "--latents-kind has no effect without --latents"),
        ("z", latents, "its array w [5, 8, 12] does not fit: the model takes z [N, 8]; one of `sgi-engine export"),
        ("w", latents, "its array w [5, 8, 12] does not fit: the model takes w [N, 12]"),
    ):
        finished = sgi_run(models[takes], *flags)
        assert (finished.returncode, finished.stderr.count("\n")) == (2, 1)
        assert text in finished.stderr
