"""The GPU benchmark at toy sizes on the CPU: every section, the tables, and its refusals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tolerances import RMS_BF16

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
    # Without checks, presets and types, which take minutes in the interpreter.
    stages = "ceilings,forms,sweep,networks,compiled,fit,layers"
    done = run(FOLDER / "run.py", "--tiny", "--out", out, "--stylegan3", folder, "--stages", stages)
    assert done.returncode == 0, done.stderr
    done = run(FOLDER / "run_loop.py", "--tiny", "--out", out, TRITON_INTERPRET="0")
    assert done.returncode == 0, done.stderr
    return out


def test_every_section_has_rows_and_no_failures(results):
    found = json.loads(results.read_text())
    assert not found["failed"]
    assert not found["skipped"]
    assert {row["implementation"] for row in found["networks"]} >= {
        "kernels", "kernels, winners", "torch", "NVIDIA stylegan3", "torch.compile", "ONNX Runtime CUDA",
    }  # fmt: skip
    assert [row["way"] for row in found["loop"]] == [
        "kernels alone", "kernels and decoding", "latents alone", "stream, float32", "stream, codes", "run, npy",
        "run, png",
    ]  # fmt: skip
    assert all(row["seeds_per_second"] > 0 and row["types"] == 2 for row in found["loop"])
    for section in ("bounds", "forms", "sweep", "fit", "training", "layers"):
        assert found[section], section
        assert not [row for row in found[section] if "failed" in row]
    # The same fit by torch and by the kernels.
    torch_fit, ours = found["training"]
    assert (torch_fit["backend"], ours["backend"]) == ("torch", "triton")
    assert ours["loss"] == pytest.approx(torch_fit["loss"], rel=RMS_BF16)
    # Every layer has a winner, and it is a candidate that was measured.
    measured = {(row["key"], row["form"]) for row in found["forms"]}
    assert len(found["winners"]) == 5
    assert all((key, by_batch["1"]) in measured for key, by_batch in found["winners"].items())


def test_tables_cover_every_section(results, tmp_path):
    done = run(FOLDER / "tables.py", results)
    assert done.returncode == 0, done.stderr
    for title in (
        "Images a second",
        "Types",
        "Run loop",
        "Fitting",
        "Whole fits",
        "Convolutions",
        "Up-convolutions",
        "Layers of the torch",
    ):
        assert f"## {title}" in done.stdout
    assert "| fir | taps | phases | fused |" in done.stdout
    assert "| tiny | 1 |" in done.stdout
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin gpu-summary -->\nold\n<!-- end gpu-summary -->\nafter\n")
    assert run(FOLDER / "tables.py", results, "--into", page).returncode == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| tiny | 1 |" in text
    assert "old" not in text


def test_resumed_run_keeps_rows_and_a_repeated_stage_replaces_them(results, tmp_path):
    out = tmp_path / "gpu.json"
    shutil.copy(results, out)
    before = json.loads(out.read_text())
    done = run(FOLDER / "run.py", "--tiny", "--out", out, "--stages", "ceilings,sweep", "--resume")
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stdout.splitlines() if not line.startswith("#")]
    done = run(FOLDER / "run.py", "--tiny", "--out", out, "--stages", "ceilings")
    assert done.returncode == 0, done.stderr
    after = json.loads(out.read_text())
    assert len(after["ceilings"]) == 1
    assert after["ceilings"] != before["ceilings"]
    assert after["networks"] == before["networks"]
    assert len(after["done"]) == len(before["done"])


def test_winners_compute_the_layers_of_the_network():
    # The winner of the first up-convolution is not its default; both winners are spied on.
    code = """
import forms, implementations, torch
from workload import TINY_SIZES
calls = []
def spied(name):
    original = getattr(forms, name)
    def spy(*operands):
        for label, run in original(*operands):
            yield label, lambda label=label, run=run: (calls.append(label), run())[1]
    setattr(forms, name, spy)
spied("up_candidates")
spied("conv_candidates")
winners = {"up 16 to 16 at 4 px": {"32": "fir 16x16x16 w4 s4"},
           "last conv 16 to 16 at 16 px": {"1": "plain 16x16x16 w4 s4"}}
size = TINY_SIZES[0]
torch.manual_seed(0)
plain = implementations.kernels(size, 1, "cpu")()
torch.manual_seed(0)
found = implementations.kernels(size, 1, "cpu", variant=implementations.Variant("winners", winners))()
assert calls == ["fir 16x16x16 w4 s4", "plain 16x16x16 w4 s4"], calls
assert (plain - found).norm() < 5e-3 * plain.norm()
"""
    folders = os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH"))))
    done = run("-c", code, PYTHONPATH=folders, TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr


def test_wrong_candidate_is_recorded_and_never_wins():
    code = """
import candidates, forms, layer_cases
from workload import TINY_SIZES
case = layer_cases.layer_cases(TINY_SIZES[0], 1)[0]
original = layer_cases.conv_candidates
def wrong(*operands):
    for label, run in original(*operands):
        yield label, run
    yield "wrong", lambda: tuple(t * 1.1 for t in run())
layer_cases.conv_candidates = wrong
rows = list(forms.form_rows(case, "cpu", {"matmul_fp16": 1.0, "copy": 1.0}, {}))
assert ["failed" in row for row in rows] == [False] * (len(rows) - 1) + [True], rows
assert forms.winners_of(rows)[case.shape_key]["1"] != "wrong"
"""
    folders = os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH"))))
    done = run("-c", code, PYTHONPATH=folders, TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr


def test_candidates_compile_in_other_processes_without_a_gpu(tmp_path):
    done = run(FOLDER / "compiling.py", 90, TRITON_INTERPRET="0", TRITON_CACHE_DIR=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "'done': 2, 'failed': 0" in done.stdout
    assert list(tmp_path.glob("*/*.cubin"))


def test_choices_without_measurements_are_among_the_fastest_of_an_h100():
    # The file was written by choices.py --save from a results file of run.py.
    done = run(FOLDER / "choices.py", Path(__file__).with_name("h100_forms.json"), TRITON_INTERPRET="0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) > 40


def test_share_of_the_checks_is_recorded_beside_the_results(tmp_path):
    # The second of the seven checks: the network in float32.
    done = run(FOLDER / "run.py", "--tiny", "--out", tmp_path / "gpu.json", "--share", "checks", 1, 7)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.iterdir()
    assert file.name == "gpu.checks-1.json"
    found = json.loads(file.read_text())
    assert found["done"]
    code = """
import sys
from pathlib import Path
from results_file import Record
record = Record(Path(sys.argv[1]) / "gpu.json")
record.merge(Path(sys.argv[1]) / "gpu.checks-1.json")
record.forget("networks")
assert record.results["done"] and record.results["checks"]
record.forget("checks")
assert not record.results["done"] and "checks" not in record.results
"""
    folders = os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH"))))
    done = run("-c", code, tmp_path, PYTHONPATH=folders)
    assert done.returncode == 0, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["gpu.json"]


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
