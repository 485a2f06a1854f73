"""The report of a whole small study: figures, markdown, page and pictures."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import pytest
import torch
from PIL import Image

from sgi.trainer.measures.bootstrap import Estimate
from sgi.trainer.measures.by_type import HIGH_PASS_FVU
from sgi.trainer.offsets.score import BASELINES
from sgi.trainer.studies.evaluation import report as reporting
from sgi.trainer.studies.evaluation.chart import Mark, strip_chart
from sgi.trainer.studies.evaluation.html import page
from sgi.trainer.studies.evaluation.markdown import brief_table, markdown_table
from sgi.trainer.studies.evaluation.pictures import SEEDS, sheets
from sgi.trainer.studies.evaluation.study import run_tasks
from sgi.trainer.studies.evaluation.tasks import Row, Task
from sgi.trainer.studies.evaluation.words import figure
from sgi.trainer.studies.evaluation.work import World

TASKS = [
    Task(Row("depth"), 0),
    Task(Row("depth"), 1),
    Task(Row("albedo"), 0),
    Task(Row("shading"), 0),
    Task(Row("image", "half-swap")),
    Task(Row("image", "other-seed")),
    Task(Row("depth", from_layer=3)),
    Task(Row("depth", space="lora")),
    Task(Row("depth", random_weights=True)),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder in which the tasks are done once for all tests."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def made(study, shared):
    """World, results and report of TASKS."""
    study = replace(study, types=("depth", "albedo", "shading"), folder=shared)
    results, world = run_tasks(study, TASKS), World(study)
    return world, results, reporting.build(world, results, 2, 1)


class Tags(HTMLParser):
    """Counts tags and notes whether they close."""

    def __init__(self):
        super().__init__()
        self.seen, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_says_everything_and_survives_the_file(made, tmp_path, generator):
    _, _, report = made
    reporting.write(tmp_path / "new" / "report.json", report)
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == report
    assert [row["label"] for row in report["rows"]] == list(dict.fromkeys(task.row.label for task in TASKS))
    assert report["generator"]["parameters"] == sum(p.numel() for p in generator.parameters())
    assert report["teacher"]["parameters"] == 0
    assert report["held_out"] == "0-11"
    assert report["rows"][0]["parameters"] == 6 * 8
    # Rows 0 to 2 of the prefix's offset are zero.
    assert next(row for row in report["rows"] if row["role"] == "prefix")["parameters"] == 3 * 8


def test_parameters_are_those_of_the_modules_an_object_holds():
    class Holder:
        def __init__(self):
            self.net, self.name = torch.nn.Linear(3, 2), "x"

    assert reporting.parameters(Holder()) == 8
    assert reporting.parameters(torch.nn.Linear(3, 2)) == 8


def test_reconstruction_multiplies_in_linear_light(made):
    """The teacher tells the inverse of the picture as both maps, so its product can be written down."""
    world, _, report = made
    target = world.held().codes
    albedo, shading = (torch.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in
                       (target["albedo"].float(), target["shading"].float()))  # fmt: skip
    light = (albedo * shading * 1.5).clamp(0, 1)
    encoded = torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    wanted = (encoded - world.held().images.float()).square().mean().sqrt().item()
    assert report["reconstruction"]["teacher"]["value"] == pytest.approx(wanted, rel=1e-3)
    assert set(report["reconstruction"]) == {"offset", "teacher"}


def test_another_teacher_marks_the_offsets(made, teacher):
    """One that agrees with the study's teacher finds its maps perfect, and the offsets' figures the same."""

    class Other(type(teacher)):
        name, types = "other", ("depth", "normal")

    world, results, report = made
    found = reporting.reference(world, results, Other())
    assert (found["name"], list(found["types"])) == ("other", ["depth"])
    target, ours = found["types"]["depth"], report["rows"][0]["figures"]["fvu"]["fits"]
    assert list(target) == ["offset", "teacher", *reporting.BESIDE_REFERENCE]
    assert target["teacher"]["fvu"]["value"] == 0
    # The second fit's own mean map is that of other pictures.
    assert target["offset"]["fvu"]["fits"] == [pytest.approx(ours[0], rel=1e-3), pytest.approx(ours[1], rel=0.2)]


def test_markdown_has_every_map_baseline_and_control(made):
    _, _, report = made
    text = markdown_table(json.loads(json.dumps(report)))
    for label in ("depth", "image half-swap", "image other-seed", "depth (low-rank)", *BASELINES.values()):
        assert f"| {label} |" in text
    tables = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert f"| depth | {figure(report['rows'][0]['figures']['fvu'])} |" in text
    assert "The low-rank update is the accuracy variant" in text


def test_brief_table_has_the_maps_and_the_hardest_control(made):
    _, _, report = made
    report = json.loads(json.dumps(report))
    rows, verdicts = report["rows"], report["verdicts"]["rows"]
    control = next(row for row in rows if row["role"] == "control" and row["expected"] == "hard")
    for shift, label in ((0.2, "softer"), (-0.2, "hardest")):
        other = json.loads(json.dumps(control)) | {"label": label}
        other["figures"][HIGH_PASS_FVU]["value"] += shift
        rows.append(other)
        verdicts[label] = verdicts[control["label"]]
    lines = brief_table(report).splitlines()[2:]
    maps = [row["label"] for row in rows if row["role"] == "intrinsic"]
    assert [line.split("|")[1].strip() for line in lines] == [*maps, "hardest"]
    assert f"| {figure(rows[-1]['figures'][HIGH_PASS_FVU])} |" in lines[-1]


def test_the_page_needs_nothing_else(made):
    world, results, report = made
    report["references"] = [{"name": "<b>", "sha256": "", "parameters": 3, "types": {}}]
    section = {
        "figures": {
            "depth/offset/fvu": {"value": 0.5, "low": 0.4, "high": 0.6},
            "inversion/psnr": {"value": 21.0, "low": 20.0, "high": 22.0},
        },
        "rows": {"offset": "G(w + d)"},
        "titles": {"fvu": "FVU"},
        "pictures": {"Truth": _png()},
    }
    text = page(report, sheets(world, results), {"Against the truth": section})
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    for tag, attributes in tags.seen:
        source = attributes.get("src") or attributes.get("href")
        assert tag not in ("script", "link")
        assert source is None or source.startswith("data:image/png;base64,")
    assert "url(" not in text
    assert "&lt;b&gt;" in text
    assert "G(w + d)" in text
    assert "0.500 (0.400-0.600)" in text
    assert sum(tag == "img" for tag, _ in tags.seen) == 3 + 1 + 1
    assert sum(tag == "svg" for tag, _ in tags.seen) == len(report["verdicts"]["separating"])


def _png():
    file = BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    return file.getvalue()


def test_sheets_show_every_row(made):
    world, results, _ = made
    drawn = sheets(world, results)
    assert list(drawn) == ["depth", "albedo", "shading", "Controls: image"]
    picture = Image.open(BytesIO(drawn["depth"]))
    # G(w), teacher, offset, from 16 px, low-rank, random weights; a column for each seed.
    cell = 192 + 8
    assert picture.height == pytest.approx(6 * cell, abs=60)
    assert picture.width == pytest.approx(SEEDS * cell, abs=200)


def test_marks_lie_where_their_figures_are():
    chart = strip_chart(
        [Mark("a & b", Estimate(0.5, 0.4, 0.6), "map"), Mark("c", Estimate(9, 8, 10), "hard")], 0.3, 1.0
    )
    assert "a &amp; b" in chart
    first, last = (float(x) for x in re.findall(r'circle cx="([\d.]+)"', chart))
    axis = [float(x) for x in re.findall(r'class="grid" x1="([\d.]+)"', chart)]
    assert first == pytest.approx((axis[0] + axis[-1]) / 2)
    assert last == axis[-1]
    assert ">9.0</text>" in chart
    assert 'class="border" x1="346.0"' in chart


def test_figures_in_words():
    assert figure({"value": 0.37123, "low": 0.35, "high": 0.39}) == "0.371 (0.350-0.390)"
    assert figure({"value": -0.1, "low": -0.2, "high": 0.0}) == "-0.100 (-0.200 to 0.000)"
    assert figure({"value": 12.34, "low": 12.0, "high": 13.0}, spread=False) == "12.3"
    assert figure(None) == figure({"value": None, "low": 0, "high": 1}) == "-"
