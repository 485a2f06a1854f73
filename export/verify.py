"""Verification: fixed seeds through torch and through the exported file; an export that disagrees is no export."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sgi.engine import intrinsics
from sgi.engine.artifact import Artifact
from sgi.engine.backends import installed_backends, open_backend
from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.engine.offsets import Offset
from sgi.engine.seeds import latents

SEEDS = tuple(range(8))
BATCHES = (1, 3, 8)
MAX_ERROR = 1e-4  # largest difference allowed, as a fraction of the type's range, in fp32


def reference_values(
    generator: Generator, offset: Offset | None, type_name: str, artifact: Artifact, z: NDArray[Any], psi: float
) -> NDArray[np.float32]:
    """Values [N, C, R, R] float32 of a type by the torch generator; classes are taken in turn."""
    intrinsic = intrinsics.get(type_name)
    with torch.no_grad():
        label = torch.from_numpy(labels(len(z), artifact.c_dim)) if artifact.c_dim else None
        rows = None if offset is None else torch.from_numpy(offset.rows(generator.config.num_ws).copy())
        img = generator(
            torch.from_numpy(z).float(), label, psi, artifact.cutoff, noise_mode=artifact.noise_mode, offset=rows
        )
        if intrinsic.channels == 1:
            img = img.mean(dim=1, keepdim=True)
        u = (img * 0.5 + 0.5).clamp(0, 1).numpy()
    return intrinsics.decode(type_name, u).astype(np.float32)


def labels(count: int, c_dim: int) -> NDArray[np.float32]:
    """One-hot labels [count, c_dim], the classes in turn."""
    return np.eye(c_dim, dtype=np.float32)[np.arange(count) % c_dim]


def verify(
    path: str | Path, generator: Generator, offsets: Mapping[str, Offset | None], artifact: Artifact
) -> dict[str, Any]:
    """Compare every output at batches 1, 3 and 8, at the model's psi and at 0.5, through every runtime installed.

    Returns {"seeds": 8, "tolerance": ..., "runtimes": {runtime: {type: {"max": ..., "rms": ...}}}}, errors as
    fractions of the type's range. Raises UserError naming the worst output when one passes the tolerance or is not
    finite.
    """
    z = latents(SEEDS, artifact.z_dim).astype(np.float32)
    label = labels(len(SEEDS), artifact.c_dim) if artifact.c_dim else None
    psis = sorted({artifact.psi, 0.5})
    expected = {
        (name, psi): reference_values(generator, offset, name, artifact, z, psi)
        for name, offset in offsets.items()
        for psi in psis
    }
    runtimes: dict[str, Any] = {}
    for runtime in installed_backends(path, "cpu"):
        difference: dict[str, list[NDArray[np.float64]]] = {name: [] for name in offsets}
        for batch in BATCHES:
            with closing(open_backend(path, backend=runtime, device="cpu", batch=batch)) as backend:
                for psi in psis:
                    some = backend.run(z[:batch], psi, None if label is None else label[:batch])
                    for name, value in some.items():
                        span = intrinsics.get(name).high - intrinsics.get(name).low
                        error = value.astype(np.float64) - expected[name, psi][:batch]
                        difference[name].append(np.abs(error).ravel() / span)
        runtimes[runtime] = {name: _figures(np.concatenate(d)) for name, d in difference.items()}
        for name, figures in runtimes[runtime].items():
            if not figures["max"] <= MAX_ERROR:
                raise UserError(
                    f"export: {name} through {runtime} differs from the generator by {figures['max']:.2g} of its "
                    f"range, more than {MAX_ERROR:g}; no file was written"
                )
    return {"seeds": len(SEEDS), "tolerance": MAX_ERROR, "runtimes": runtimes}


def _figures(difference: NDArray[np.float64]) -> dict[str, float]:
    return {"max": float(difference.max()), "rms": float(np.sqrt(np.square(difference).mean()))}
