"""Rows and tasks of an evaluation."""

from __future__ import annotations

from sgi.engine.generator import GeneratorConfig
from sgi.trainer.studies.evaluation.tasks import PREFIX_SIDE, Row, Task, plan
from sgi.trainer.studies.w_rows import first_row_of_side

CONFIG = GeneratorConfig(64, z_dim=8, w_dim=8)


def test_first_row_of_a_side():
    """Rows of w+: 4 px has one convolution, every other side two."""
    layers = CONFIG.styled_layers()
    assert layers[[layer.row for layer in layers].index(first_row_of_side(PREFIX_SIDE))].name == "synthesis.b8.torgb"
    assert next(
        layer.name for layer in layers if layer.row == first_row_of_side(PREFIX_SIDE) and "conv" in layer.name
    ).startswith("synthesis.b16.conv0")
    assert first_row_of_side(8) == 1
    assert first_row_of_side(4) == 0


def test_every_type_is_fitted_often_and_every_control_once():
    tasks = plan(["depth", "normal"], fits=3, control_fits=1)
    times = {row: [task.stream for task in tasks if task.row == row] for row in {task.row for task in tasks}}
    assert times[Row("depth")] == [0, 1, 2]
    assert times[Row("normal", from_layer=3)] == [0]
    assert times[Row("image", "half-swap")] == [0]
    assert times[Row("depth", "hflip")] == [0]
    assert times[Row("depth", "half-swap", space="lora")] == [0]
    assert times[Row("depth", random_weights=True)] == [0]
    assert Row("normal", "hflip") not in times
    assert len({row.label for row in times}) == len(times)


def test_streams_come_one_after_the_other():
    streams = [task.stream for task in plan(["depth"], fits=2, control_fits=3)]
    assert streams == sorted(streams)


def test_controls_can_be_left_out_and_offsets_given():
    given = Row("depth", given="bundled")
    assert plan(["depth"], 2, 1, controls=False, given=[given]) == [
        Task(Row("depth"), 0),
        Task(given, 0),
        Task(Row("depth"), 1),
    ]


def test_roles_and_labels():
    assert Row("depth").role == "intrinsic"
    assert (Row("image", "hflip").role, Row("image", "hflip").label) == ("control", "image hflip")
    assert (Row("depth", from_layer=3).role, Row("depth", from_layer=3).label) == ("prefix", "depth (from 16 px)")
    assert Row("depth", "half-swap", space="lora").label == "depth half-swap (low-rank)"
    assert Row("depth", given="bundled").label == "depth (bundled)"
    assert Row("depth", given="mine").label == "depth (file mine)"
