"""The device of a training run, and its precision."""

from __future__ import annotations

import torch

from sgi.engine.arguments import check_threads
from sgi.engine.errors import UserError


def find_device(name: str, threads: int | None = None) -> torch.device:
    """Return the device `name`, cpu or cuda, and set this process to `threads` CPU threads if given.

    Raises UserError, naming `device`, for another name or when there is no GPU, and for `threads` below 1.
    """
    threads = check_threads(threads)
    if name not in ("cpu", "cuda"):
        raise UserError(f"`device={name}`: choose cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("`device=cuda`: torch finds no GPU; use `device=cpu`")
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.device(name)


def preferred_precision(device: torch.device) -> str:
    """Return bf16 if the device has bf16 instructions, else fp32, because emulated bf16 is slower.

    See docs/experiments.md, "Precision of a fit".
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"
