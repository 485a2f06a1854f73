"""Open a generator for fits, scores and studies, and choose what computes its pictures: torch or the Triton kernels.

This is the only place of that choice. The kernels replace the generator's synthesis network, so everything that renders
G(w + d), with gradients or without, uses them.
"""

from __future__ import annotations

from pathlib import Path

import torch

from sgi.engine import bundle
from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, checkpoints
from sgi.engine.generator.synthesis import Synthesis

TORCH, TRITON, AUTO = "torch", "triton", "auto"
BACKENDS = (AUTO, TORCH, TRITON)


def choose_backend(backend: str, device: torch.device) -> str:
    """Return `backend`, and for auto triton on a GPU that runs the kernels, else torch.

    Raises UserError, naming `backend`, for an unknown name, and for triton where the kernels do not run.
    """
    if backend not in BACKENDS:
        raise UserError(f"`backend={backend}`: choose from {', '.join(BACKENDS)}")
    if backend == TORCH or (backend, device.type) == (AUTO, "cpu"):
        return TORCH
    from sgi.engine.backends.triton.kernel_synthesis import kernels_missing

    reason = kernels_missing(device)
    if backend == AUTO:
        return TRITON if reason is None else TORCH
    if reason is not None:
        raise UserError(f"`backend={backend}`: {reason}")
    return TRITON


def open_generator(path: str | Path | None, device: torch.device, backend: str = AUTO) -> Generator:
    """Return the generator in a file, None for the bundled one, on a device, with the synthesis of a backend.

    Raises UserError for a file that is none, and the errors of `choose_backend`.
    """
    chosen = choose_backend(backend, device)
    return _with_backend(checkpoints.load(path or bundle.GENERATOR, device), chosen)


def backend_of(generator: Generator) -> str:
    """Return what computes the pictures of a generator, torch or triton."""
    return TORCH if type(generator.synthesis) is Synthesis else TRITON


def with_backend_of(generator: Generator, other: Generator) -> Generator:
    """Return a torch generator with the backend of another one; both are on the same device."""
    return _with_backend(generator, backend_of(other))


def _with_backend(generator: Generator, backend: str) -> Generator:
    if backend == TORCH:
        return generator
    from sgi.engine.backends.triton.kernel_synthesis import with_kernels  # defines operators, which takes time

    return with_kernels(generator)


def ran_on(device: str, backend: str) -> str:
    """Return what a command that was passed these computes pictures with, such as "triton, cuda", for its report."""
    return f"{choose_backend(backend, torch.device(device))}, {device}"
