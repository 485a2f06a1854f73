"""The GPU benchmark at toy sizes on the CPU: every section, the tables, and its refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gpu"
# The part of NVIDIA's repository that the script uses, without its computation.
STAND_IN = """
import torch

class Generator(torch.nn.Module):
    def __init__(self, z_dim, c_dim, w_dim, img_resolution, img_channels, mapping_kwargs, channel_base, channel_max,
                 num_fp16_res, conv_clamp):
        super().__init__()
        self.side = img_resolution

    def forward(self, z, c, truncation_psi=1, noise_mode="random", force_fp32=False):
        return torch.zeros(z.shape[0], 3, self.side, self.side)
"""


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "training").mkdir()
    (folder / "training" / "networks_stylegan2.py").write_text(STAND_IN)
    out = folder / "gpu.json"
    done = run(FOLDER / "run.py", "--tiny", "--out", out, "--stylegan3", folder)
    assert done.returncode == 0, done.stderr
    return out


def test_every_section_has_rows_and_no_failures(results):
    found = json.loads(results.read_text())
    assert not found["failed"]
    assert not found["skipped"]
    assert all(row["passed"] for row in found["checks"])
    assert {row["implementation"] for row in found["networks"]} == {
        "kernels", "torch", "NVIDIA stylegan3", "torch.compile", "kernels, tuned",
    }  # fmt: skip
    for section in ("bounds", "types", "fit", "layers"):
        assert found[section], section


def test_tables_cover_every_section(results):
    done = run(FOLDER / "tables.py", results)
    assert done.returncode == 0, done.stderr
    for title in ("Images a second", "Types", "Fitting", "Layers"):
        assert f"## {title}" in done.stdout
    assert "| tiny | 1 |" in done.stdout


def test_predictions_cover_every_size_and_exceed_the_bound():
    done = run(FOLDER / "predict.py")
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.split("\n\n")[0].splitlines()[2:]]
    assert len(rows) == 9
    assert all(float(row[3]) < float(row[4]) for row in rows)


def test_warm_up_process_writes_no_results(tmp_path):
    # One process compiles a share of the cases; one share is enough here.
    done = run(FOLDER / "run.py", "--tiny", "--out", tmp_path / "none.json", "--warm", 3)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "none.json").exists()


def test_full_sizes_need_a_gpu(tmp_path):
    done = run(FOLDER / "run.py", "--out", tmp_path / "none.json", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "--tiny" in done.stderr


def test_failed_check_prevents_measurements(tmp_path):
    out = tmp_path / "red.json"
    # The gradient checks alone, with a limit of 0.
    code = """
import sys, checks, run
checks.LIMITS = dict.fromkeys(checks.LIMITS, 0.0)
all_cases = checks.cases
checks.cases = lambda *given: [case for case in all_cases(*given) if case[0] == "gradients"]
sys.exit(run.main())
"""
    folders = os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH"))))
    done = run("-c", code, "--tiny", "--out", out, PYTHONPATH=folders)
    assert done.returncode == 1
    assert "networks" not in json.loads(out.read_text())
