"""The native teacher file: a U-Net's tensors as safetensors, its shape, training and errors in the header.

The hash covers the architecture and the float32 tensors, so it names the network and not the file: the same
network stored again, with other notes, keeps it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.trainer.teachers.base import checked
from sgi.trainer.teachers.classes import class_codes, class_types
from sgi.trainer.teachers.codes import mirror, normal_codes
from sgi.trainer.teachers.unet import SEGMENTATION, TYPES, UNet, UNetConfig

FORMAT = 2
HEADER_KEY = "sgi_teacher"
# Counts the batches batch norm has seen; only a momentum of None reads it, and it is no float.
_COUNTER = "num_batches_tracked"


class UNetTeacher:
    """A trained U-Net as a Teacher. See sgi.trainer.teachers.Teacher for the shared part."""

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

        H and W may be any multiples of `net.config.multiple`, but only pictures of `resolution` square are of the
        scale it was trained on. Raises UserError for an unknown type, ValueError for a picture of another shape
        or range.
        """
        for name in types:
            if name not in self.types:
                raise UserError(f"--type {name}: teacher {self.name} tells only {', '.join(self.types)}")
        target = self._tell(image)
        logits = target[SEGMENTATION]
        return {
            name: target[name].clamp(0, 1) if name in TYPES else class_codes(logits, self.classes, name)
            for name in types
        }

    def segment(self, image: Tensor) -> Tensor:
        """Logits [N, len(classes), H, W] float32 of `image`, which is as for a call."""
        return self._tell(image)[SEGMENTATION]

    def features(self, image: Tensor) -> Tensor:
        """The deepest level's activations, averaged over the picture: [N, widths[-1]] float32."""
        return self.net.encode(self._checked(image))[-1].mean(dim=(2, 3))

    def _tell(self, image: Tensor) -> dict[str, Tensor]:
        target: dict[str, Tensor] = self.net(self._checked(image))
        if not self.net.config.mirrored:
            return target
        seen = self.net(image.flip(-1))
        mean = {name: (target[name] + mirror(name, seen[name])) / 2 for name in target}
        # The mean of two directions is shorter than either.
        mean["normal"] = normal_codes(mean["normal"] * 2 - 1)
        return mean

    def _checked(self, image: Tensor) -> Tensor:
        return checked(image, self.name, self.net.config.multiple)


def unet_sha256(net: UNet) -> str:
    """Hash of a U-Net: its config and float32 tensors, the same whatever file held them."""
    digest = hashlib.sha256(json.dumps(net.config.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(_tensors(net).items()):
        digest.update(f"{name}:{list(tensor.shape)}".encode())
        digest.update(tensor.float().numpy().data)
    return digest.hexdigest()


def save_unet_teacher(
    path: str | Path,
    net: UNet,
    name: str,
    notes: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Write a teacher and `notes` (training, held-out errors ...); returns its sha256 as stored.

    dtype float16 halves the file; the teacher is then the rounded one, and so is its hash. Raises ValueError if a
    tensor is not finite in `dtype`.
    """
    state = {key: tensor.to(dtype) for key, tensor in _tensors(net).items()}
    for key, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{key} is not finite as {dtype}")
    sha256 = unet_sha256(rounded(net, dtype))
    header = {
        "format": FORMAT,
        "kind": "unet",
        "name": name,
        "config": net.config.to_dict(),
        "sha256": sha256,
        "stored": str(dtype).removeprefix("torch."),
        "notes": notes or {},
    }
    with atomic_write(path) as temporary:
        # safetensors' own save_file makes files that nobody else may read.
        temporary.write_bytes(save(state, metadata={HEADER_KEY: json.dumps(header, sort_keys=True)}))
    return sha256


def rounded(net: UNet, dtype: torch.dtype) -> UNet:
    """The float32 network that a file of `dtype` tensors holds of `net`: what to measure before writing one."""
    return _materialise(net.config, {key: tensor.to(dtype) for key, tensor in _tensors(net).items()})


def load_unet_teacher(path: str | Path, device: str = "cpu") -> UNetTeacher:
    """The teacher of a native file, float32, in eval mode and frozen.

    Raises UserError when the file is no teacher, is cut short, or its tensors do not fit its header.
    """
    header, state = _read(path)
    try:
        if header["format"] != FORMAT or header["kind"] != "unet":
            raise UserError(f"{path}: teacher format {header['format']}, expected {FORMAT}: train it again, or upgrade")
        net = _materialise(UNetConfig.from_dict(header["config"]), state)
        name, sha256, notes = str(header["name"]), header["sha256"], dict(header["notes"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{path}: damaged teacher file ({reason}); fetch or train it again") from None
    teacher = UNetTeacher(net, name, notes)
    if teacher.sha256 != sha256:
        raise UserError(f"{path}: tensors do not match the file's own sha256; fetch or train it again")
    net.to(device)
    return teacher


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a teacher file; raises UserError if it is not one."""
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER_KEY, "null"))
            if not isinstance(header, dict):
                raise UserError(f"{path}: a safetensors file that holds no teacher; see `sgi-engine train-teacher`")
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"--teacher {path}: no such file") from None
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise UserError(f"--teacher {path}: not a readable safetensors file ({error})") from None


def _tensors(net: UNet) -> dict[str, Tensor]:
    """A U-Net's floating-point state on the CPU, contiguous, by name."""
    return {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in net.state_dict().items()
        if not name.endswith(_COUNTER)
    }


def _materialise(config: UNetConfig, state: dict[str, Tensor]) -> UNet:
    """A U-Net that takes over `state` as float32; raises RuntimeError where names or shapes do not fit."""
    # On the meta device a header that promises a huge network costs nothing before its tensors are missed.
    with torch.device("meta"):
        net = UNet(config)
    counters = {name: torch.tensor(0) for name in net.state_dict() if name.endswith(_COUNTER)}
    net.load_state_dict({name: tensor.float() for name, tensor in state.items()} | counters, assign=True)
    return net
