"""The command, end to end on a few rooms of 16 px: written files and refused parameters."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from PIL import Image
from sheet_colours import has_depth_colours

from sgi.cli import main
from sgi.trainer.scenes import CLASSES
from sgi.trainer.scenes.dataset import RoomDataset
from sgi.trainer.teacher_training.held_out_errors import held_out_errors
from sgi.trainer.teacher_training.teacher_run import RoomSource
from sgi.trainer.teachers import load_teacher
from sgi.trainer.teachers.unet_teacher import UNetTeacher


@pytest.fixture
def command(tmp_path):
    """Arguments of a tiny run on one thread; the number of threads of the process is restored."""
    threads = torch.get_num_threads()
    folders = ["--out", str(tmp_path / "t.safetensors"), "--workdir", str(tmp_path / "run"), "--data"]
    sizes = ["--size", "16", "--rooms", "6", "--held-out", "5", "--steps", "3", "--batch", "2", "--threads", "1"]
    yield ["train-teacher", *folders, str(tmp_path / "rooms"), *sizes]
    torch.set_num_threads(threads)


def test_teacher_file_contains_its_errors(command, tmp_path, capsys):
    assert main(command) == 0
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    table = output.out
    teacher = load_teacher(str(tmp_path / "t.safetensors"))
    assert isinstance(teacher, UNetTeacher)
    assert (teacher.name, teacher.resolution, teacher.classes) == ("rooms-unet", 16, CLASSES)
    assert teacher.notes["rooms"] == asdict(RoomSource(16, 6, seed=0, held_out_count=5))
    assert teacher.notes["fit"]["steps"] == 3
    measured = held_out_errors(teacher, RoomDataset(tmp_path / "run" / "held-out"))
    for who, errors in measured.items():
        assert {key: round(error, 6) for key, error in errors.items()} == teacher.notes["held_out"][who]
        assert f"{errors['albedo_rmse']:.4f}" in table
    sheet = tmp_path / "run" / "held-out.png"
    cell = 192 + 8
    with Image.open(sheet) as picture:  # 5 rooms; the picture, and two maps of 5 types, with labels
        assert picture.width == pytest.approx(11 * cell, abs=100)
        assert picture.height == pytest.approx(5 * cell, abs=60)
    assert has_depth_colours(sheet.read_bytes())
    assert [json.loads(line)["step"] for line in (tmp_path / "run" / "teacher-log.jsonl").open()] == [3]


def test_storage_sets_the_dtype(command, tmp_path):
    from safetensors.torch import load_file

    for storage, dtype in (("fp16", torch.float16), ("fp32", torch.float32)):
        assert main([*command, "--storage", storage]) == 0
        assert {tensor.dtype for tensor in load_file(tmp_path / "t.safetensors").values()} == {dtype}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--data-seed", "10007"], "--data-seed 10007"),
        (["--size", "20"], "--size 20"),
        (["--device", "tpu"], "--device tpu"),
        (["--storage", "fp8"], "fp8"),
    ],
)
def test_invalid_parameters_give_one_error_line(command, tmp_path, capsys, flags, words):
    assert main([*command, *flags]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
