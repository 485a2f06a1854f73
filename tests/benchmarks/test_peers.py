"""The comparison of CPU runtimes at toy sizes: its figures, a peer that fails, and the table of README.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tolerances import RMS_FP32

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """Of a run of ONNX Runtime on the case tiny."""
    folder = tmp_path_factory.mktemp("peers")
    call = [sys.executable, str(FOLDER / "peers.py"), "--only", "tiny", "--only", "onnxruntime", "--rounds", "3"]
    call += ["--starts", "1", "--folder", str(folder), "--json", str(folder / "out.json")]
    done = subprocess.run(call, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads((folder / "out.json").read_text())


def test_every_figure_is_measured(figures):
    assert list(figures) == ["tiny, batch 1"]
    (found,) = figures["tiny, batch 1"].values()
    assert found["rounds"] == 3
    assert 0 < found["least ms"] <= found["ms"]
    assert found["error"] < RMS_FP32
    assert found["psnr"] > 60
    assert found["start s"] > 0.05
    assert 20 < found["peak MB"] < 2000


@pytest.fixture
def scripts(monkeypatch):
    """The modules of the folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import peer_runtimes
    import peers
    import readme

    return peers, peer_runtimes, readme


def test_a_peer_that_fails_has_its_reason_and_the_others_run(scripts, tmp_path):
    peers, peer_runtimes, _ = scripts

    def fail(files, batch, threads):
        raise RuntimeError("no such\nlibrary")

    chosen = [peer_runtimes.Peer("broken", fail), peer_runtimes.eager("fp32")]
    tiny = next(case for case in peers.CASES if case.name == "tiny")
    found = peers.measure(tiny, peers.files_of(tiny, tmp_path), chosen, threads=1, rounds=1, seconds=0)
    assert found["broken"] == {"failed": "RuntimeError: no such library"}
    assert found["torch eager fp32"]["error"] < RMS_FP32


def test_error_and_psnr(scripts):
    exact = np.full((1, 3, 4, 4), 0.5)
    found = scripts[0].errors((exact + 0.005).astype(np.float32), exact)
    assert found["error"] == pytest.approx(0.01, rel=1e-3)
    assert found["psnr"] == pytest.approx(48.1, abs=0.05)  # one code
    assert scripts[0].errors(exact.astype(np.float32), exact) == {"error": 0.0, "psnr": 99.0}


def test_the_table_has_the_last_figures_of_each_case(scripts, monkeypatch):
    readme = scripts[2]
    machine = {"cpu": "CPU", "cores": 2, "python": "3"}
    old = {"a fp32": {"ms": 9.0}}
    new = {"a fp32": {"ms": 1.5, "error": 1e-6, "psnr": 99.0, "start s": 0.1, "peak MB": 80}, "b": {"failed": "no"}}
    lines = [
        {"figures": {"cases": {"64 px, batch 1": old, "64 px, batch 8": {"a fp32": {"ms": 1.25}}}}},
        {"figures": {"cases": {"64 px, batch 1": new}}, "machine": machine, "date": "2026-01-01"},
    ]
    monkeypatch.setattr(readme, "recorded", lambda name: lines)
    rows = readme.peers().splitlines()
    assert rows[0] == "| ms an image | 64 px | start, s | peak memory, MB | error | PSNR, dB |"
    assert rows[2] == "| a fp32 | 1.5 / 1.25 | 0.1 | 80 | 1e-06 | 99.0 |"
    assert rows[-1] == "CPU, 2 cores; python 3; 2026-01-01."
    assert not any("| b |" in row for row in rows)
