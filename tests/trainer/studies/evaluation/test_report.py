"""The report of a whole small study: figures, markdown, page and pictures."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import pytest
import torch
from PIL import Image
from sheet_colours import has_depth_colours

from sgi.engine.errors import UserError
from sgi.trainer.measures.bootstrap import Estimate
from sgi.trainer.measures.by_type import HIGH_PASS_FVU
from sgi.trainer.offsets.held_out_score import BASELINES
from sgi.trainer.studies.evaluation.cell_text import figure
from sgi.trainer.studies.evaluation.context import StudyContext
from sgi.trainer.studies.evaluation.evaluation_report import make_report
from sgi.trainer.studies.evaluation.html_report import templates
from sgi.trainer.studies.evaluation.map_sheets import SEEDS, map_sheets
from sgi.trainer.studies.evaluation.markdown_report import brief_table, markdown_table
from sgi.trainer.studies.evaluation.model_facts import parameters
from sgi.trainer.studies.evaluation.reference_scores import REFERENCE_BASELINES, reference_scores
from sgi.trainer.studies.evaluation.run_tasks import run_tasks
from sgi.trainer.studies.evaluation.strip_chart import Mark, strip_chart
from sgi.trainer.studies.evaluation.tasks import Row, Task
from sgi.trainer.studies.figures import Figure, FigureSet
from sgi.trainer.studies.relighting.relit_maps import LightFigures

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
    """Context, results and report of TASKS."""
    study = replace(study, types=("depth", "albedo", "shading"), folder=shared)
    results, context = run_tasks(study, TASKS), StudyContext(study)
    return context, results, make_report(context, results, fits=2, control_fits=1)


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


def test_report_is_complete_and_round_trips(made, tmp_path, generator):
    written = made[2].write(tmp_path / "new")
    report = made[2].to_dict()
    assert json.loads(written[0].read_text()) == report
    assert written[1].read_text().startswith("<!doctype html>")
    assert [row["label"] for row in report["rows"]] == list(dict.fromkeys(task.row.label for task in TASKS))
    assert report["generator"]["parameters"] == sum(p.numel() for p in generator.parameters())
    assert report["teacher"]["parameters"] == 0
    assert report["held_out"] == "0-11"
    assert report["rows"][0]["parameters"] == 6 * 8
    # Rows 0 to 2 of the prefix's offset are zero.
    assert next(row for row in report["rows"] if row["role"] == "prefix")["parameters"] == 3 * 8


def test_parameters_of_an_object_are_those_of_its_modules():
    class Holder:
        def __init__(self):
            self.net, self.name = torch.nn.Linear(3, 2), "x"

    assert parameters(Holder()) == 8
    assert parameters(torch.nn.Linear(3, 2)) == 8


def test_reconstruction_multiplies_in_linear_light(made):
    """Both targets are the inverse of the picture, so their product is known."""
    context, _, report = made
    target = context.held().codes
    albedo, shading = (torch.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in
                       (target["albedo"].float(), target["shading"].float()))  # fmt: skip
    light = (albedo * shading * 1.5).clamp(0, 1)
    encoded = torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    wanted = (encoded - context.held().images.float()).square().mean().sqrt().item()
    assert report.reconstruction["teacher"]["value"] == pytest.approx(wanted, rel=1e-3)
    assert set(report.reconstruction) == {"offset", "teacher"}


def test_offsets_are_scored_against_another_teacher(made, teacher):
    """Against one that equals the study's teacher, the teacher's maps are exact and the offsets' figures the same."""
    other = type("Other", (type(teacher),), {"name": "other", "types": ("depth", "normal")})
    context, results, report = made
    found = reference_scores(context, results, other())
    assert (found["name"], list(found["types"])) == ("other", ["depth"])
    target, ours = found["types"]["depth"], report.rows[0]["figures"]["fvu"]["fits"]
    assert list(target) == ["offset", "teacher", *REFERENCE_BASELINES]
    assert target["teacher"]["fvu"]["value"] == 0
    # The second fit's own mean map is that of other pictures.
    assert target["offset"]["fvu"]["fits"] == [pytest.approx(ours[0], rel=1e-3), pytest.approx(ours[1], rel=0.2)]


def test_markdown_has_every_map_baseline_and_control(made):
    report = made[2].to_dict()
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
    report = json.loads(json.dumps(made[2].to_dict()))
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


def test_page_is_complete_and_needs_no_other_file(made):
    _, _, report = made
    figures: dict[str, Figure] = {
        "depth/offset/fvu": {"value": 0.5, "low": 0.4, "high": 0.6},
        "inversion/psnr": {"value": 21.0, "low": 20.0, "high": 22.0},
    }
    section = LightFigures(3, 2, {"ratio": 0.75}, FigureSet({"offset": "G(w + d)"}, figures, {"fvu": "FVU"}))
    section_dict = section.to_dict() | {"rows": section.figures.rows}
    report = replace(
        report,
        references=[{"name": "<b>", "sha256": "", "parameters": 3, "types": {}}],
        sections={"Against the truth": section_dict},
        section_pictures={"Against the truth": {"Truth": _png()}},
    )
    text = report.to_html()
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
    assert "<td>0.750</td>" in text
    assert sum(tag == "img" for tag, _ in tags.seen) == 3 + 1 + 1
    assert sum(tag == "svg" for tag, _ in tags.seen) == len(report.verdicts["separating"])


def _png():
    file = BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    return file.getvalue()


def test_sheets_show_every_row(made):
    context, results, _ = made
    drawn = map_sheets(context, results)
    assert list(drawn) == ["depth", "albedo", "shading", "Controls: image"]
    assert {title for title, png in drawn.items() if has_depth_colours(png)} == {"depth"}
    picture = Image.open(BytesIO(drawn["depth"]))
    # G(w), teacher, offset, from 16 px, low-rank, random weights; a column for each seed.
    cell = 192 + 8
    assert picture.height == pytest.approx(6 * cell, abs=60)
    assert picture.width == pytest.approx(SEEDS * cell, abs=200)


def test_marks_lie_at_their_figures():
    chart = strip_chart(
        [Mark("a & b", Estimate(0.5, 0.4, 0.6), "map"), Mark("c", Estimate(9, 8, 10), "hard")], 0.3, 1.0
    )
    first, last = (float(mark.value) for mark in chart.marks)
    axis = [float(x) for x, _ in chart.ticks]
    assert first == pytest.approx((axis[0] + axis[-1]) / 2)
    assert last == axis[-1]
    assert [mark.beyond for mark in chart.marks] == ["", "9.0"]
    assert chart.border == "346.0"
    drawn = templates().get_template("strip_chart.svg").render(chart=chart)
    assert "a &amp; b" in drawn
    assert 'class="border" x1="346.0"' in drawn
    assert ">9.0</text>" in drawn


def test_missing_jinja2_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    templates.cache_clear()
    with pytest.raises(UserError, match="the HTML report needs jinja2"):
        templates()


def test_figures_as_text():
    assert figure({"value": 0.37123, "low": 0.35, "high": 0.39}) == "0.371 (0.350-0.390)"
    assert figure({"value": -0.1, "low": -0.2, "high": 0.0}) == "-0.100 (-0.200 to 0.000)"
    assert figure({"value": 12.34, "low": 12.0, "high": 13.0}, spread=False) == "12.3"
    assert figure(None) == figure({"value": None, "low": 0, "high": 1}) == "-"
