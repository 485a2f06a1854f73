"""The bundled teacher: its file, and its errors on new rooms."""

from __future__ import annotations

from sgi.engine import intrinsics
from sgi.engine.bundle import TEACHER
from sgi.engine.intrinsics import SEGMENTATION
from sgi.trainer.measures.by_type import type_measures
from sgi.trainer.scenes import CLASSES
from sgi.trainer.scenes.dataset import load_or_render
from sgi.trainer.teacher_training.held_out_errors import held_out_errors
from sgi.trainer.teachers import load_teacher
from sgi.trainer.teachers.unet import TYPES
from sgi.trainer.teachers.unet_teacher import UNetTeacher


def test_errors_on_new_rooms_match_the_header(tmp_path):
    teacher = load_teacher(str(TEACHER))
    assert isinstance(teacher, UNetTeacher)
    assert teacher.classes == CLASSES
    noted = teacher.notes["held_out"]
    errors = held_out_errors(teacher, load_or_render(tmp_path, 24, 64, seed=31))["teacher"]
    assert errors.keys() == noted["teacher"].keys()
    kinds = [*map(intrinsics.get, TYPES), intrinsics.get(SEGMENTATION).with_classes(CLASSES)]
    measures = {key: measure for kind in kinds for key, measure in type_measures(kind).items()}
    for key, error in errors.items():
        # 0 is perfect, 1 the constant map: on 24 rooms the error may be 0.1 worse than on the 512 of the header.
        perfect, constant = float(measures[key].higher_is_better), noted["constant"][key]
        expected = (noted["teacher"][key] - perfect) / (constant - perfect)
        assert (error - perfect) / (constant - perfect) < expected + 0.1, key
