"""The U-Net as a teacher, and its file: safetensors with architecture, training and errors in the header.

The hash covers the architecture and the float32 tensors. It identifies the network, not the file: the same network
stored again with other notes has the same hash.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.tensor_file import FileKind, tensors_sha256
from sgi.trainer.teachers.classes import class_codes, class_types
from sgi.trainer.teachers.codes import mirror, normal_codes
from sgi.trainer.teachers.map_teacher import checked, unsupported
from sgi.trainer.teachers.unet import SEGMENTATION, TYPES, UNet, UNetConfig

# Buffer of batch norm that is not stored: an integer that is read only with a momentum of None.
_COUNTER = "num_batches_tracked"


class TeacherHeader(msgspec.Struct):
    """Header of a teacher file.

    kind: unet. name: its name in reports. config: of the U-Net. sha256: hash of the network. stored: dtype of the
    tensors. notes: training settings, held-out errors.
    """

    kind: str
    name: str
    config: dict[str, Any]
    sha256: str
    stored: str
    notes: dict[str, Any]


class _Config(msgspec.Struct):
    classes: list[str]
    widths: list[int]
    resolution: Annotated[int, msgspec.Meta(ge=1, le=1 << 14)]
    mirrored: bool


TEACHER_FILE = FileKind(
    "sgi_teacher", 2, TeacherHeader, "a teacher", "make one with `sgi-engine train-teacher`", {"config": _Config}
)


class UNetTeacher:
    """A trained U-Net as a Teacher; see sgi.trainer.teachers.Teacher for the shared attributes.

    net: the network; it is frozen and set to eval mode. notes: of its file.
    """

    input_range = (0.0, 1.0)

    def __init__(self, net: UNet, name: str, notes: dict[str, Any] | None = None) -> None:
        self.net = net.eval().requires_grad_(False)
        self.name = name
        self.notes = notes or {}
        self.sha256 = unet_sha256(net)
        self.classes = net.config.classes
        self.types = (*TYPES, *class_types(self.classes))
        self.resolution = net.config.resolution

    def __call__(self, image: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
        """Codes [N, C, H, W] float32 in [0, 1] of `types` for `image` [N, 3, H, W] float32 sRGB in [0, 1].

        H and W may be any multiples of `net.config.multiple`, but the network was trained on square pictures of side
        `resolution`. Raises UserError for an unsupported type, ValueError for a picture of another shape or range.
        """
        for name in types:
            if name not in self.types:
                raise unsupported(self, name)
        target = self._predict(image)
        logits = target[SEGMENTATION]
        return {
            name: target[name].clamp(0, 1) if name in TYPES else class_codes(logits, self.classes, name)
            for name in types
        }

    def segment(self, image: Tensor) -> Tensor:
        """Segmentation logits [N, len(classes), H, W] float32 for `image` as in `__call__`."""
        return self._predict(image)[SEGMENTATION]

    def features(self, image: Tensor) -> Tensor:
        """The activations of the deepest level, averaged over the picture: [N, widths[-1]] float32."""
        return self.net.encode(self._checked(image))[-1].mean(dim=(2, 3))

    def _predict(self, image: Tensor) -> dict[str, Tensor]:
        target: dict[str, Tensor] = self.net(self._checked(image))
        if not self.net.config.mirrored:
            return target
        mirrored = self.net(image.flip(-1))
        mean = {name: (target[name] + mirror(name, mirrored[name])) / 2 for name in target}
        # The mean of two unit vectors is shorter than 1.
        mean["normal"] = normal_codes(mean["normal"] * 2 - 1)
        return mean

    def _checked(self, image: Tensor) -> Tensor:
        return checked(image, self.name, self.net.config.multiple)


def unet_sha256(net: UNet) -> str:
    """SHA-256 (64 hex digits) of a U-Net's config and float32 tensors; it does not depend on their file."""
    tensors = {name: tensor.float().numpy() for name, tensor in _tensors(net).items()}
    return tensors_sha256(tensors, json.dumps(net.config.to_dict(), sort_keys=True))


def save_unet_teacher(
    path: str | Path,
    net: UNet,
    name: str,
    notes: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Write a teacher file with `notes` (training, held-out errors ...); returns the sha256 of the stored network.

    dtype: float16 halves the file. The stored network is then the rounded one, and so is its hash. Raises ValueError
    if a tensor is not finite in `dtype`.
    """
    state = {key: tensor.to(dtype) for key, tensor in _tensors(net).items()}
    for key, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{key} is not finite as {dtype}")
    sha256 = unet_sha256(rounded(net, dtype))
    stored = str(dtype).removeprefix("torch.")
    TEACHER_FILE.write(path, state, TeacherHeader("unet", name, net.config.to_dict(), sha256, stored, notes or {}))
    return sha256


def rounded(net: UNet, dtype: torch.dtype) -> UNet:
    """A float32 copy of a network whose tensors are rounded to `dtype`, as after writing and reading a file."""
    return _build(net.config, {key: tensor.to(dtype) for key, tensor in _tensors(net).items()})


def load_unet_teacher(path: str | Path, device: str = "cpu") -> UNetTeacher:
    """The teacher in a file, float32, in eval mode and frozen, on `device`.

    Raises UserError for a file that is not a teacher or is truncated, and for tensors that do not match the header.
    """
    header, state = TEACHER_FILE.read(path, "pt")
    if header.kind != "unet":
        raise UserError(f"{path}: a teacher of kind {header.kind!r}, this version reads 'unet': upgrade sgi-engine")
    try:
        net = _build(UNetConfig.from_dict(header.config), state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{path}: damaged teacher file ({reason}); copy or train it again") from None
    teacher = UNetTeacher(net, header.name, header.notes)
    if teacher.sha256 != header.sha256:
        raise UserError(f"{path}: its tensors do not match the sha256 in its header; copy or train it again")
    net.to(device)
    return teacher


def open_teacher(argument: str, device: str = "cpu") -> UNetTeacher:
    """The teacher in file `argument`; see `load_unet_teacher`."""
    return load_unet_teacher(argument, device)


def _tensors(net: UNet) -> dict[str, Tensor]:
    """The floating-point state of a U-Net on the CPU, contiguous, by name."""
    return {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in net.state_dict().items()
        if not name.endswith(_COUNTER)
    }


def _build(config: UNetConfig, state: dict[str, Tensor]) -> UNet:
    """A U-Net with `state` as float32; raises RuntimeError where names or shapes do not match."""
    # The meta device allocates no memory, so a header that describes a huge network cannot exhaust it.
    with torch.device("meta"):
        net = UNet(config)
    counters = {name: torch.tensor(0) for name in net.state_dict() if name.endswith(_COUNTER)}
    net.load_state_dict({name: tensor.float() for name, tensor in state.items()} | counters, assign=True)
    return net
