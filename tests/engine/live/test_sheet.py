"""`write_grid`: the cells of its pictures are the maps of the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from recorded_progress import RecordedProgress
from tiny_models import SIDE
from tolerances import BACKEND_PARITY

from sgi.engine import Engine, UserError, intrinsics
from sgi.engine.generator import save_generator
from sgi.engine.live import open_live
from sgi.engine.live.screen import Screen
from sgi.engine.live.sheet import MOST_MAPS, STEPS, write_grid
from sgi.engine.offsets import Offset
from sgi.engine.writers.cells import cell_side
from sgi.engine.writers.display import in_colours, span_of, to_rgb
from sgi.export.onnx import export_onnx

GIVEN: dict[str, Any] = {"backend": "onnxruntime", "device": "cpu", "threads": 1}
GAP = 8


def cells_of(path, rows, columns, side):
    """The cells of a picture, [rows, columns, side, side, 3]: from its right and lower edges, which have no labels."""
    enlarged = cell_side(side)
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    step = enlarged + GAP
    corner = pixels[-rows * step :, -columns * step :]
    return corner.reshape(rows, step, columns, step, 3)[:, :enlarged, :, :enlarged].swapaxes(1, 2)[
        :, :, :: enlarged // side, :: enlarged // side
    ]


def drawn(kind, values, span=None):
    """A map as pixels."""
    code = intrinsics.encode(kind, values)
    return to_rgb(in_colours(code, span) if span else code).astype(int)


def assert_drawn(cell, kind, values, span=None):
    assert np.abs(cell.astype(int) - drawn(kind, values, span)).max() <= 1  # a code may be rounded otherwise


def test_rows_of_seeds_have_a_column_for_each_type(all_types_model, tmp_path):
    out = tmp_path / "sheet.png"
    progress = RecordedProgress()
    report = write_grid(
        out,
        seeds=[5, 3, 5],
        types=["albedo", "image"],
        psi=0.5,
        model=all_types_model,
        progress=progress,
        **GIVEN,
    )
    assert (report.out, report.rows, report.types) == (out, 2, ("image", "albedo"))
    assert (report.backend, report.device) == ("onnxruntime", "cpu")
    assert report.seconds > 0
    cells = cells_of(out, 2, 2, SIDE)
    with Engine.open(all_types_model, **GIVEN) as engine:
        maps = engine([5, 3], psi=0.5)
    for row in range(2):
        for column, name in enumerate(report.types):
            assert_drawn(cells[row, column], intrinsics.get(name), maps[name][row])
    assert progress.totals["maps"] == progress.done["maps"] == 2


def test_without_arguments_the_first_eight_seeds_of_the_bundled_model(tmp_path):
    report = write_grid(tmp_path / "sheet.png", types="image", **GIVEN)
    assert report.rows == 8
    cells = cells_of(tmp_path / "sheet.png", 8, 1, 64)
    with Engine.open(types="image", **GIVEN) as engine:
        images = engine("0-7")["image"]
    for row in range(8):
        assert_drawn(cells[row, 0], intrinsics.get("image"), images[row])


def test_rows_of_psi_have_the_types_of_each_seed(tmp_path):
    write_grid(tmp_path / "psi.png", seeds="2,4", rows="psi", types=["image", "depth"], psi=[1, 0, 1], **GIVEN)
    cells = cells_of(tmp_path / "psi.png", 2, 4, 64)
    depth = intrinsics.get("depth")
    with Engine.open(**GIVEN) as engine:
        maps = {psi: engine([2, 4], psi=psi, types=["image", "depth"]) for psi in (1, 0)}
    span = span_of(intrinsics.encode(depth, found["depth"]) for found in maps.values())
    for row, found in enumerate(maps.values()):
        for seed in range(2):
            assert_drawn(cells[row, 2 * seed], intrinsics.get("image"), found["image"][seed])
            assert_drawn(cells[row, 2 * seed + 1], depth, found["depth"][seed], span)


def test_rows_and_columns_are_named_after_what_they_show(model, tmp_path, monkeypatch):
    drawn: list[tuple[Any, Any]] = []

    def draw(codes, types):
        drawn.append((codes, types))
        return b""

    monkeypatch.setattr("sgi.engine.live.sheet.draw_sheet", draw)
    write_grid(tmp_path / "psi.png", seeds=[4, 2], rows="psi", psi=[-0.5, 1], model=model, **GIVEN)
    write_grid(tmp_path / "seeds.png", seeds=[4, 2], model=model, psi=1, **GIVEN)
    (codes, types), (plain, types_of_seeds) = drawn
    columns = ["image, seed 4", "depth, seed 4", "image, seed 2", "depth, seed 2"]
    assert {label: list(row) for label, row in codes.items()} == {"psi -0.5": columns, "psi 1": columns}
    assert {label: list(row) for label, row in plain.items()} == {
        "seed 4": ["image", "depth"], "seed 2": ["image", "depth"],
    }  # fmt: skip
    assert [types[label].name for label in columns] == ["image", "depth", "image", "depth"]
    assert list(types_of_seeds) == ["image", "depth"]
    for seed in (4, 2):
        for name in ("image", "depth"):
            np.testing.assert_allclose(
                codes["psi 1"][f"{name}, seed {seed}"], plain[f"seed {seed}"][name], atol=BACKEND_PARITY
            )


def test_rows_of_psi_without_values_are_steps(model, tmp_path):
    assert write_grid(tmp_path / "steps.png", rows="psi", model=model, **GIVEN).rows == len(STEPS)


def test_rows_of_alpha_change_the_maps_and_not_the_image(tmp_path):
    write_grid(tmp_path / "alpha.png", rows="alpha", types=["image", "depth"], alpha=(0, 1), **GIVEN)
    cells = cells_of(tmp_path / "alpha.png", 2, 2, 64)
    with open_live(**GIVEN) as live:
        none, full = (live.maps(Screen(alpha={"depth": alpha})) for alpha in (0, 1))
    depth = intrinsics.get("depth")
    span = span_of([intrinsics.encode(depth, found["depth"]) for found in (none, full)])
    for row, found in enumerate((none, full)):
        assert_drawn(cells[row, 0], intrinsics.get("image"), full["image"])
        assert_drawn(cells[row, 1], depth, found["depth"], span)
    np.testing.assert_array_equal(cells[0, 0], cells[1, 0])
    assert np.abs(cells[0, 1].astype(int) - cells[1, 1]).mean() > 10


def test_a_generator_with_an_offset(tiny_generator, tmp_path, monkeypatch):
    monkeypatch.setattr("sgi.export.onnx.verify", lambda *arguments: {"seeds": 1, "runtimes": {}, "left_out": {}})
    config, network = tiny_generator.config, tmp_path / "network.safetensors"
    rows = np.random.RandomState(0).randn(config.num_ws, config.w_dim).astype(np.float32) / np.float32(2)
    offset = Offset("edges", "w+", {"offset": rows}, save_generator(network, tiny_generator))
    offset.save(tmp_path / "edges.safetensors")
    given = {"generator": network, "offsets": [tmp_path / "edges.safetensors"], **GIVEN}
    report = write_grid(tmp_path / "sheet.png", seeds=3, rows="alpha", alpha=[0.5, 1], psi=0.7, **given)
    assert report.types == ("image", "edges")
    cells = cells_of(tmp_path / "sheet.png", 2, 2, SIDE)
    for row, alpha in enumerate((0.5, 1.0)):
        with Engine.from_generator(types=["image", "edges"], alpha=alpha, **given) as engine:
            maps = engine(3, psi=0.7)
        for column, name in enumerate(report.types):
            assert_drawn(cells[row, column], intrinsics.get(name), maps[name][0])


def test_a_class_of_a_conditional_model(class_model, tmp_path):
    given = {"seeds": 0, "types": "image", "model": class_model, **GIVEN}
    write_grid(tmp_path / "mix.png", class_index="0:0.5,2:0.5", **given)
    with Engine.open(class_model, **GIVEN) as engine:
        image = engine(0, class_index={0: 0.5, 2: 0.5})["image"][0]
    assert_drawn(cells_of(tmp_path / "mix.png", 1, 1, SIDE)[0, 0], intrinsics.get("image"), image)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rows": "types"}, "`rows=types`: choose from seeds, psi, alpha"),
        ({"rows": 3}, "`rows=3`: must be a string"),
        ({"seeds": []}, "`seeds` is empty"),
        ({"seeds": -1}, "`seeds=-1`: a seed is an integer from 0"),
        ({"seeds": "0-999999"}, f"`seeds`: the picture would have 2000000 maps, more than {MOST_MAPS}; choose fewer"),
        ({"psi": [0, 1]}, "`psi=0,1`: several values are the rows of the picture: `rows=psi`"),
        ({"rows": "psi", "psi": []}, "`psi` is empty"),
        ({"rows": "psi", "psi": [0, float("nan")]}, "`psi=nan`: must be a number from"),
        ({"rows": "psi", "alpha": (0, 1)}, "`alpha=0,1`: several values are the rows of the picture: `rows=alpha`"),
        ({"alpha": 1e9}, r"`alpha=1000000000.0`: must be a number from -100 to 100"),
        ({"rows": "alpha", "types": "image"}, "`alpha`: none of the types image has an offset"),
        ({"rows": "alpha"}, "`alpha=depth`: "),  # the offsets of this model are not there
        ({"types": "sky"}, "`types=sky`: the model has image, depth"),
        ({"class_index": "0"}, "`class_index`: the model has no classes"),
        ({"generator": "bundled"}, "`model` and `generator`: pass only one of the two"),
        ({"out": "sheet.jpg"}, "`out=sheet.jpg`: choose a name with .png"),
    ],
)
def test_wrong_arguments_are_refused_and_nothing_is_written(model, tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        write_grid(**{"out": "sheet.png", "model": model, **GIVEN, **given})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        ({"input": "w+"}, {}, r"`seeds`: the model takes w\+, not seeds"),
        ({"cutoff": 0}, {"rows": "psi"}, "`psi`: the model truncates no rows"),
    ],
)
def test_models_without_seeds_or_truncation(tiny_generator, tmp_path, monkeypatch, settings, given, message):
    monkeypatch.setattr("sgi.export.onnx.verify", lambda *arguments: {"seeds": 1, "runtimes": {}, "left_out": {}})
    path = tmp_path / "model.onnx"
    export_onnx(tiny_generator, {"image": None}, path, **settings)
    with pytest.raises(UserError, match=message):
        write_grid(tmp_path / "sheet.png", model=path, **given, **GIVEN)
