"""--json: progress and results of `run` and `verify` as one JSON object a line on stdout."""

from __future__ import annotations

import io
import json
from contextlib import suppress

import pytest

from sgi.cli.json_progress import JsonLines


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_stage_prints_its_start_its_end_and_an_object_a_second():
    out, clock = io.StringIO(), Clock()
    display = JsonLines(out, clock)
    with display.stage("seeds", 100, "maps") as stage:
        for _ in range(10):
            clock.now += 0.25
            stage.advance(5, "text for people", {"limit": "write"})
    display.message("a name\x1b[31m")
    *stages, message = objects(out.getvalue())
    assert [(found["done"], found["seconds"]) for found in stages] == [(0, 0), (20, 1), (40, 2), (50, 2.5)]
    assert stages[1] == {
        "event": "progress", "stage": "seeds", "done": 20, "total": 100, "unit": "maps", "seconds": 1, "rate": 20,
        "eta": 4, "limit": "write",
    }  # fmt: skip
    assert stages[0]["rate"] is None
    assert message == {"event": "message", "text": "a name\x1b[31m"}
    assert "\x1b" not in out.getvalue()


def test_a_failed_stage_prints_its_last_state():
    out = io.StringIO()
    with suppress(RuntimeError), JsonLines(out, Clock()).stage("fits", 10) as stage:
        stage.advance(3, "loss 0.5")
        raise RuntimeError
    last = objects(out.getvalue())[-1]
    assert (last["done"], last["note"], last["rate"]) == (3, "loss 0.5", None)


@pytest.mark.parametrize("quiet", [False, True])
def test_run_prints_progress_and_a_report(command, model, tmp_path, quiet):
    arguments = ["run", "--seeds", "0-9", "--model", model, "--backend", "onnxruntime", "--json"]
    code, out, err = command(*arguments, "--outdir", tmp_path / "out", *(["--quiet"] if quiet else []))
    assert (code, err) == (0, "")
    *progress, report = objects(out)
    assert {found["event"] for found in progress} == (set() if quiet else {"progress"})
    if not quiet:
        assert (progress[-1]["done"], progress[-1]["total"]) == (10, 10)
        assert progress[-1]["limit"] in ("generate", "encode", "write")
        assert progress[-1]["bytes"] == report["bytes"]
    assert report["event"] == "report"
    assert (report["written"], report["found"], report["files"]) == (10, 0, 20)
    assert report["bytes"] == sum(path.stat().st_size for path in (tmp_path / "out").glob("seed*"))
    assert report["manifest"] == str(tmp_path / "out" / "manifest.jsonl")
    assert (report["outdir"], report["backend"], report["types"]) == (
        str(tmp_path / "out"), "onnxruntime", ["image", "depth"],
    )  # fmt: skip
    assert report["seconds"] > 0


def test_verify_prints_progress_and_a_report(command, model, tmp_path):
    command("run", "--seeds", "0-9", "--model", model, "--backend", "onnxruntime", "--outdir", tmp_path / "out")
    code, out, err = command("verify", tmp_path / "out", "--model", model, "--json")
    assert (code, err) == (0, "")
    report = objects(out)[-1]
    assert (report["event"], report["finished"], report["complete"]) == ("report", 10, True)
    assert (report["rendered"]["identical"], report["findings"]) == (4, [])
    (tmp_path / "out" / "seed000003_depth.png").unlink()
    code, out, err = command("verify", tmp_path / "out", "--json", "--quiet")
    (report,) = objects(out)
    assert (code, report["damaged"], report["complete"], report["rendered"]["seeds"]) == (2, "3", False, [])
    assert [finding["kind"] for finding in report["findings"]] == ["damaged"]
    assert err.count("\n") == 1


def test_verify_says_what_to_do(command, model, tmp_path):
    command("run", "--seeds", "0-9", "--model", model, "--backend", "onnxruntime", "--outdir", tmp_path / "out")
    code, out, _ = command("verify", tmp_path / "out", "--model", model, "--render", 2)
    assert (code, out.splitlines()[1]) == (0, "rendered    2 seeds again on onnxruntime, cpu: 2 identical")
    (tmp_path / "out" / "seed000003_depth.png").unlink()
    _, out, _ = command("verify", tmp_path / "out")
    assert out.splitlines()[1].startswith("rendered    none: the folder's model, SHA-256 ")
    assert out.splitlines()[2] == "damaged     3"
    assert out.splitlines()[3].startswith("            -> run the same `sgi-engine run` command again with --verify")
