"""Hostile models and latents in C++: each is run or refused with one line and exit code 2, within 5 s and 500 MB."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from attacks.file_kinds import Kind, in_onnx
from attacks.generated import BIG_TEXTS, SPECIAL, WRONG, attacks
from attacks.graphs import graphs
from attacks.reader import MOST_BYTES, MOST_SECONDS
from native_library import ROOT
from tiny_models import describe, write_model

from sgi.engine.artifact import Artifact

ADDRESS_SPACE = 4 << 30
SAMPLE = 40
TAKES_WS = ROOT / "engine/native/tests/data/tiny_ws.onnx"
FOREIGN = {name: model.SerializeToString() for name, model in graphs(onnx).items()}


@pytest.fixture(scope="module")
def kind(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_model(folder / "model.onnx", describe())
    return Kind("model.onnx", folder, (), json.loads(describe().to_json()), in_onnx)


@pytest.fixture
def sgi_run(built, environment, tmp_path):
    """Runs the program on a model, and on a file of latents in place of a seed; returns exit code and stderr."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE,) * 2)

    def run(model: Path, latents: Path | None = None) -> tuple[int, str]:
        words = [
            str(built("release") / "examples/sgi-run"),
            str(model),
            *(("--seeds", "0") if latents is None else ("--latents", str(latents))),
            "--outdir",
            str(tmp_path / "out"),
        ]
        with tempfile.TemporaryFile() as errors:
            start = time.monotonic()
            process = subprocess.Popen(
                words, stdout=subprocess.DEVNULL, stderr=errors, env={**environment, "OMP_NUM_THREADS": "1"},
                preexec_fn=limit,
            )  # fmt: skip
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            assert usage.ru_utime + usage.ru_stime < MOST_SECONDS, time.monotonic() - start
            assert usage.ru_maxrss * 1024 < MOST_BYTES
            errors.seek(0)
            return process.returncode, errors.read().decode("utf-8", "replace")

    return run


def check(code: int, text: str) -> None:
    """Success without a word, or one printable line and exit code 2."""
    assert code in (0, 2), text
    lines = text.splitlines()
    assert len(lines) == (1 if code else 0), text
    assert all(line.isprintable() for line in lines), text


def names_of_a_sample() -> list[str]:
    values = json.loads(describe().to_json())
    keys = [name for name in values if not isinstance(values[name], dict)]
    pairs = [f"{key}: {name}" for key in keys for name in WRONG]
    return random.Random(0).sample(pairs, SAMPLE)


@pytest.mark.parametrize("name", names_of_a_sample())
def test_wrong_descriptions(kind, sgi_run, tmp_path, name):
    attacks(kind)[name](_copy(kind, tmp_path))
    check(*sgi_run(tmp_path / "model/model.onnx"))


@pytest.mark.parametrize("name", [*(f"filled with {name}" for name in BIG_TEXTS), *SPECIAL, "without its last byte"])
def test_wrong_files(kind, sgi_run, tmp_path, name):
    attacks(kind)[name](_copy(kind, tmp_path))
    code, text = sgi_run(tmp_path / "model/model.onnx")
    check(code, text)
    assert code == 2


@pytest.mark.parametrize("key", ["input", "w_dim"])
def test_wrong_descriptions_of_models_of_w_plus(sgi_run, tmp_path, key):
    whole = Kind(TAKES_WS.name, TAKES_WS.parent, (), json.loads(Artifact.read(TAKES_WS).to_json()), in_onnx)
    found = attacks(whole)
    root = _copy(whole, tmp_path)
    for name in (*(f"{key}: {wrong}" for wrong in WRONG), f"{key}: missing"):
        found[name](root)
        code, text = sgi_run(root / whole.file)
        check(code, text)
        assert code == 2


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_wrong_files_of_latents(sgi_run, tmp_path, suffix):
    path = tmp_path / f"latents.{suffix}"
    ws = np.random.RandomState(0).randn(1, 6, 12).astype(np.float32)
    np.savez(path, w=ws) if suffix == "npz" else np.save(path, ws)
    whole = Kind(path.name, tmp_path, ())
    found = attacks(whole)
    for change in (found[name] for name in found if name in SPECIAL or name.startswith(f".{suffix}")):
        root = tmp_path / "latents"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        (root / path.name).write_bytes(whole.data)
        change(root)
        check(*sgi_run(TAKES_WS, root / path.name))


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_graphs(sgi_run, tmp_path, name):
    path = tmp_path / "model.onnx"
    path.write_bytes(FOREIGN[name])
    code, text = sgi_run(path)
    check(code, text)
    assert code == 2


def _copy(kind: Kind, folder: Path) -> Path:
    root = folder / "model"
    root.mkdir()
    (root / kind.file).write_bytes(kind.data)
    return root


def test_names_of_types_are_no_paths(kind, sgi_run, tmp_path):
    root = _copy(kind, tmp_path)
    values = json.loads(describe().to_json())
    values["types"][1]["name"] = "../../evil"
    (root / "model.onnx").write_bytes(in_onnx(kind.data, json.dumps(values)))
    code, text = sgi_run(root / "model.onnx")
    assert code == 2
    assert "wrong at name" in text


def test_escape_sequences_are_not_printed(sgi_run, tmp_path):
    code, text = sgi_run(tmp_path / "\x1b]0;x\x07\x9b31m\u202ename.onnx")
    check(code, text)
    assert "name.onnx" in text
