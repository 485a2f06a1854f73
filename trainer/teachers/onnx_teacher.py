"""Any ONNX model as a teacher: `onnx:FILE.yaml`. For the YAML file see sgi.trainer.teachers.onnx_description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sgi.engine.backends.cuda_libraries import load_cuda_libraries, missing_libraries
from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file
from sgi.engine.intrinsics import SEGMENTATION, find, get
from sgi.trainer.packages import need
from sgi.trainer.scenes.srgb import srgb_decode
from sgi.trainer.teachers.classes import class_codes, class_types
from sgi.trainer.teachers.codes import (
    DISPARITY,
    RELATIVE,
    disparity_codes,
    linear_codes,
    metric_codes,
    normal_codes,
    relative_codes,
)
from sgi.trainer.teachers.luminance import WHITE_PATCH, WHITE_QUANTILE, luminance, white_patch
from sgi.trainer.teachers.map_teacher import MapTeacher, content_sha256
from sgi.trainer.teachers.onnx_check import check_model
from sgi.trainer.teachers.onnx_description import AXES, Description, Input, Output, read_description

BATCH = 8
_ERRORS_ONLY = 3
_PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxTeacher(MapTeacher):
    """An ONNX model in ONNX Runtime as a Teacher; without gradients."""

    def __init__(self, parameter: str, description: Description, session: Any, files: Sequence[Path]) -> None:
        self.description = description
        self._parameter = parameter
        self._session = session
        (self._input,) = session.get_inputs()
        self._outputs = _outputs(parameter, description.outputs, session)
        fixed_batch = isinstance(self._input.shape[0], int)
        if fixed_batch and self._input.shape[0] != 1:
            raise UserError(
                f"{parameter}: file: its batch size is fixed to {self._input.shape[0]}; "
                "export it with batch size 1 or a dynamic one"
            )
        self.chunk = 1 if fixed_batch else BATCH
        target = {output.type: output for output in description.outputs}
        classes = target[SEGMENTATION].classes if SEGMENTATION in target else ()
        facts = {
            "onnx": [sha256_file(file) for file in files],
            "input": asdict(description.input),
            "outputs": [asdict(output) | {"far": str(output.far)} for output in description.outputs],
        }
        size = description.input.size
        super().__init__(
            f"{description.title} ({'; '.join(_describe(output) for output in description.outputs)})",
            content_sha256(facts),
            tuple(dict.fromkeys((*target, *class_types(classes)))),
            classes,
            size[0] if size and size[0] == size[1] else None,
            {"input": str(asdict(description.input)), **{name: _describe(output) for name, output in target.items()}},
        )

    @torch.no_grad()
    def codes(self, image: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
        x = network_input(image, self.description.input).astype(_TYPES[self._input.type])
        wanted = [o for o in self._outputs if o.type in types or (o.type == SEGMENTATION and set(types) & _masks(o))]
        raw = self._session.run([self._outputs[output] for output in wanted], {self._input.name: x})
        codes: dict[str, Tensor] = {}
        for output, array in zip(wanted, raw, strict=True):
            maps = self._maps(output, array, image)
            if output.type == SEGMENTATION:
                names = [name for name in types if name not in codes and name in class_types(output.classes)]
                codes |= {name: class_codes(maps, output.classes, name) for name in names}
            else:
                codes[output.type] = output_codes(output, maps)
        return codes

    def _maps(self, output: Output, array: np.ndarray, image: Tensor) -> Tensor:
        """An output as [N, C, H, W] float32 at the size of `image`; classes as logits."""
        maps = torch.from_numpy(np.asarray(array, np.float32)).to(image)
        try:
            maps = maps[:, None] if output.layout == "nhw" else maps
            maps = maps.movedim(-1, 1) if output.layout == "nhwc" else maps
            count, channels, _, _ = maps.shape
        except (ValueError, IndexError):
            raise self._misshapen(output, array) from None
        labels = output.says == "labels"
        allowed = _channels(output) if not output.classes else (1 if labels else len(output.classes),)
        if count != len(image) or channels not in allowed:
            raise self._misshapen(output, array)
        if labels:
            maps = self._one_hot(maps[:, 0], output)
        maps = F.interpolate(maps, image.shape[-2:], mode="bilinear", align_corners=False)
        return maps.clamp_min(1e-12).log() if labels or output.says == "probabilities" else maps

    def _one_hot(self, labels: Tensor, output: Output) -> Tensor:
        count = len(output.classes)
        if not ((labels >= 0) & (labels < count)).all():
            raise UserError(f"{self._parameter}: {output.type}: the model returned labels beyond its {count} classes")
        return F.one_hot(labels.round().long(), count).movedim(-1, 1).to(labels.dtype)

    def _misshapen(self, output: Output, array: np.ndarray) -> UserError:
        return UserError(
            f"{self._parameter}: {output.type}: the model's output is {list(array.shape)}, "
            f"which is not {output.layout} with the channels or classes of this type"
        )


def open_teacher(argument: str, device: str = "cpu") -> OnnxTeacher:
    """The teacher that a YAML file describes, in ONNX Runtime on `cpu` or `cuda`.

    Raises UserError for a missing package, a file that is damaged or does not match its description, and for `cuda`
    where ONNX Runtime cannot use it.
    """
    parameter = f"`teacher=onnx:{argument}`"
    onnx, runtime = need("onnx", parameter), need("onnxruntime", parameter, "cpu")
    description = read_description(argument, parameter)
    files = [description.file, *check_model(parameter, onnx, description.file, description.loops)]
    session = _open(parameter, runtime, description.file, torch.device(device).type)
    _check_input(parameter, description.input, session)
    return OnnxTeacher(parameter, description, session, files)


def _open(parameter: str, runtime: ModuleType, path: Path, device: str) -> Any:
    """A session of ONNX Runtime; raises UserError for a damaged model, and if it would run on the CPU instead."""
    options = runtime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    provider = _PROVIDERS[device][0]
    session, problem = None, ""
    if provider in runtime.get_available_providers():
        problem = "" if device == "cpu" else load_cuda_libraries(runtime)
        try:
            session = runtime.InferenceSession(str(path), options, providers=_PROVIDERS[device])
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{parameter}: file: ONNX Runtime cannot open {path.name} ({reason})") from None
    if session is None or provider not in session.get_providers():
        if problem:
            raise UserError(f"{parameter}: {missing_libraries(problem)}")
        raise UserError(
            f'{parameter}: this ONNX Runtime cannot use the GPU: pip install "sgi-engine[gpu]", or use `device=cpu`'
        )
    return session


def network_input(image: Tensor, settings: Input) -> np.ndarray:
    """The network's input [N, 3, h, w] or [N, h, w, 3] float32 for pictures [N, 3, H, W] float32 sRGB in [0, 1]."""
    x = srgb_decode(image) if settings.encoding == "linear" else image
    if settings.size and settings.size != tuple(image.shape[-2:]):
        x = F.interpolate(x, settings.size, mode="bilinear", antialias=True)
    x = x * (settings.high - settings.low) + settings.low
    mean, std = (torch.tensor(values).to(x)[:, None, None] for values in (settings.mean, settings.std))
    x = (x.flip(1) if settings.channels == "bgr" else x) - mean
    x = x / std
    return np.ascontiguousarray((x.movedim(1, -1) if settings.layout == "nhwc" else x).cpu().numpy())


def output_codes(output: Output, maps: Tensor) -> Tensor:
    """Display codes of the maps [N, C, H, W] of an output without classes."""
    if output.reading == "distance":
        if output.says == "distance":
            return metric_codes(maps, output.far)
        return disparity_codes(maps) if output.says == "disparity" else relative_codes(maps)
    if output.says == "logits":
        return maps.sigmoid()
    share = (maps - output.low) / (output.high - output.low)
    if output.reading == "direction":
        normal = torch.empty_like(share)
        for channel, name in enumerate(output.axes):
            axis, sign = AXES[name]
            normal[:, axis] = sign * (share[:, channel] * 2 - 1)
        return normal_codes(normal)
    if output.reading == "codes":
        return share
    light, kind = srgb_decode(share) if output.encoding == "srgb" else share.clamp_min(0), get(output.type)
    if output.reading == "reflectance":
        return linear_codes(light * white_patch(light) if output.scale == "free" else light, kind)
    light = luminance(light) if light.shape[1] == 3 else light
    if output.scale == "free":
        bright = torch.quantile(light.flatten(1), WHITE_QUANTILE, dim=1)[:, None, None, None]
        light = light / bright.clamp_min(1e-6)
    return linear_codes(light, kind)


def _channels(output: Output) -> tuple[int, ...]:
    """Numbers of channels that a raw output without classes may have."""
    kind = find(output.type)
    return (1, 3) if kind is None or output.reading == "light" else (kind.channels,)


def _describe(output: Output) -> str:
    """A description of an output, for names and notes."""
    if output.reading == "distance":
        words = {"disparity": DISPARITY, "relative": RELATIVE, "distance": f"distance over {output.far:g}"}[output.says]
    elif output.reading == "direction":
        words = f"raw channels to the {', '.join(output.axes)}"
    elif output.classes:
        words = f"{len(output.classes)} classes"
    elif output.reading == "reflectance":
        words = WHITE_PATCH if output.scale == "free" else f"{output.encoding}, of given scale"
    elif output.scale == "free":
        words = f"scaled so that the {WHITE_QUANTILE:.0%} quantile of a picture's light is 1"
    else:
        words = "logits" if output.says == "logits" else f"{output.low:g} to {output.high:g}"
    return f"{output.type}: {words}"


def _masks(output: Output) -> set[str]:
    return set(class_types(output.classes))


def _outputs(parameter: str, outputs: Sequence[Output], session: Any) -> dict[Output, str]:
    """Described output -> name of the graph's output."""
    names = [value.name for value in session.get_outputs()]
    found = {output: output.name or names[0] for output in outputs}
    for output, name in found.items():
        if name not in names or (output.name is None and len(names) > 1):
            raise UserError(
                f"{parameter}: {output.type}: name: the model's outputs are {', '.join(names)}; name one of them"
            )
    return found


def _check_input(parameter: str, settings: Input, session: Any) -> None:
    """Raise UserError unless the model takes one float picture of the described layout and size."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
        given = ", ".join(f"{value.name} {value.type} {value.shape}" for value in inputs)
        raise UserError(f"{parameter}: file: its inputs are {given}; expected one float input of 4 dimensions")
    shape = inputs[0].shape
    size = settings.size or (None, None)
    expected = [3, *size] if settings.layout == "nchw" else [*size, 3]
    for side, described in zip(shape[1:], expected, strict=True):
        if isinstance(side, int) and side != described:
            raise UserError(
                f"{parameter}: input: size, layout: the model takes {shape}, "
                f"not {settings.layout} of size {settings.size}"
            )
