"""Verification of an export: the same seeds through torch and through the exported file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.artifact import Artifact
from sgi.engine.backends import UnsupportedModelError, installed_backends, open_backend
from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.engine.generator.offset_styles import shifted_styles, tensors_of
from sgi.engine.intrinsics import Kind
from sgi.engine.offsets import Offset
from sgi.engine.palette import border_distance
from sgi.engine.progress import SILENT, Progress
from sgi.engine.seeds import latents
from sgi.export import precision as precisions
from sgi.export.emulate import Emulator
from sgi.export.precision import Precision

SEEDS = tuple(range(8))
BATCHES = (1, 3, 8)
PSNR_CAP = 99.0  # dB, for equal maps: JSON has no infinity
MOST_DIFFER = 0.02  # largest share of pixels of another class if the display codes are not known

Values = NDArray[Any]
Run = Callable[[Values, float | None, Values | None], dict[str, Values]]


@dataclass(frozen=True)
class Samples:
    """Images that a model is verified on: ws [N, num_ws, w_dim] of torch, and the arguments of `Backend.run`."""

    ws: Tensor
    latent: Values
    psi: float | None
    label: Values | None

    def first(self, count: int) -> tuple[Values, float | None, Values | None]:
        """The arguments for the first `count` images."""
        return self.latent[:count], self.psi, None if self.label is None else self.label[:count]


def samples(generator: Generator, artifact: Artifact, z: Values, psi: float) -> Samples:
    """The images of z [N, z_dim] at a psi, as the model takes them; image i has class i mod c_dim.

    Of a model that takes w+, row r of image i is that of z i + r, so that a layer that reads another row differs.
    """
    z = z.astype(np.float32)
    label = labels(len(z), artifact.c_dim) if artifact.c_dim else None
    # One w for all rows is either truncated or not.
    cutoff = None if artifact.input == "w" else artifact.cutoff
    with torch.no_grad():
        ws = generator.map(torch.from_numpy(z), None if label is None else torch.from_numpy(label), psi, cutoff)
    if artifact.input == "z":
        return Samples(ws, z, psi, label)
    if artifact.input == "w":
        return Samples(ws, ws[:, 0].contiguous().numpy(), None, None)
    rows = torch.arange(artifact.num_ws)
    ws = ws[(torch.arange(len(z))[:, None] + rows) % len(z), rows]
    return Samples(ws, ws.numpy(), None, None)


def reference_codes(
    generator: Generator, offset: Offset | None, kind: Kind, artifact: Artifact, ws: Tensor
) -> NDArray[np.float32]:
    """Display codes [N, C, R, R] float32 of a type by the torch generator, of ws [N, num_ws, w_dim]."""
    intrinsic = intrinsics.get(kind)
    with torch.no_grad():
        # Applied as in fitting, not baked, so that the comparison covers baking.
        styles = shifted_styles(generator.synthesis, ws, tensors_of(offset))
        img = generator.synthesis.render(styles, artifact.noise_mode)
        if intrinsic.code_channels == 1:
            img = img.mean(dim=1, keepdim=True)
        return (img * 0.5 + 0.5).clamp(0, 1).numpy()


def labels(count: int, c_dim: int) -> NDArray[np.float32]:
    """One-hot labels [count, c_dim]; label i has class i mod c_dim."""
    return np.eye(c_dim, dtype=np.float32)[np.arange(count) % c_dim]


def verify(
    path: str | Path,
    generator: Generator,
    offsets: Mapping[str, Offset | None],
    artifact: Artifact,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Compare every output with torch at batches 1, 3 and 8, at the model's psi and at 0.5, in every installed runtime.

    fp16 and bf16 also run in `Emulator`, which rounds like a GPU; CPU runtimes compute them in float32. A runtime
    without kernels for the precision, or that does not run the model, is left out.
    Returns {"seeds": 8, "bound": ..., "runtimes": {runtime: {type: `figures_of`}}, "left_out": {runtime: reason}}.
    Raises UserError, which names the output, for one that exceeds the precision's bound or is not finite.
    """
    precision = precisions.get(artifact.precision)
    z = latents(SEEDS, artifact.z_dim)
    images = {psi: samples(generator, artifact, z, psi) for psi in sorted({artifact.psi, 0.5})}
    codes = {
        (name, psi): reference_codes(generator, offset, artifact.output(name), artifact, given.ws)
        for name, offset in offsets.items()
        for psi, given in images.items()
    }
    expected = {key: intrinsics.decode(artifact.output(key[0]), u) for key, u in codes.items()}
    runtimes: dict[str, Any] = {}
    left_out = {}
    usable = {}
    for runtime, opened in _runtimes(path, precision).items():
        if isinstance(opened, str):
            left_out[runtime] = opened
        else:
            usable[runtime] = opened
    with progress.stage("verification", len(usable) * len(BATCHES), "batches") as stage:
        for runtime, opened in usable.items():
            pairs: dict[str, list[tuple[Values, Values]]] = {name: [] for name in offsets}
            expected_codes: dict[str, list[Values]] = {name: [] for name in offsets}
            try:
                for batch in BATCHES:
                    with opened(batch) as run:
                        for psi, given in images.items():
                            got = run(*given.first(batch))
                            for name, value in got.items():
                                pairs[name].append((value, expected[name, psi][:batch]))
                                expected_codes[name].append(codes[name, psi][:batch])
                    stage.advance(1, runtime)
            except UnsupportedModelError as error:
                left_out[runtime] = str(error)
                stage.advance(len(BATCHES), runtime)
                continue
            figures = {name: figures_of(artifact.output(name), pairs[name], expected_codes[name]) for name in offsets}
            for name in offsets:
                check(name, runtime, figures[name], precision)
            runtimes[runtime] = figures
    bound = {"max": precision.max_error} if precision.max_error is not None else {"psnr": precision.min_psnr}
    return {"seeds": len(SEEDS), "bound": bound, "runtimes": runtimes, "left_out": left_out}


def _runtimes(path: str | Path, precision: Precision) -> dict[str, Callable[[int], Any] | str]:
    """Runtimes for the file: name -> a function that opens it for a batch size, or the reason why none can."""

    def opener_of(runtime: str) -> Callable[[int], Any]:
        @contextmanager
        def opened(batch: int) -> Iterator[Run]:
            with closing(open_backend(path, backend=runtime, device="cpu", batch=batch)) as backend:
                yield backend.run

        return opened

    supporting = installed_backends(path, "cpu", precision.name)
    found: dict[str, Callable[[int], Any] | str] = {}
    if precision.reduced:
        found["emulation"] = lambda batch: nullcontext(Emulator(path).run)
    for runtime in installed_backends(path, "cpu"):
        found[runtime] = opener_of(runtime) if runtime in supporting else f"no {precision.name} support on the CPU"
    return found


def check(name: str, runtime: str, figures: Mapping[str, float], precision: Precision) -> None:
    """Raise UserError if the figures of a type exceed the precision's bound or are not finite."""
    fault = None
    if not all(map(math.isfinite, figures.values())):
        fault = "has values that are not finite"
    elif "max" not in figures:
        if figures["differ"] > MOST_DIFFER:
            fault = f"has another class in {figures['differ']:.1%} of the pixels, more than {MOST_DIFFER:.0%}"
    elif precision.max_error is not None and figures["max"] > precision.max_error:
        fault = (
            f"differs from the generator by {figures['max']:.2g} of its range, more than {precision.max_error:g} allows"
        )
    elif precision.min_psnr is not None and figures["psnr"] < precision.min_psnr:
        fault = f"has a PSNR of {figures['psnr']:.1f} dB to the generator, less than {precision.min_psnr:g}"
    if fault:
        remedy = "; export it with `precision=fp32`" if precision.reduced else ""
        raise UserError(f"export: {name} through {runtime} {fault}; no file was written{remedy}")


def figures_of(kind: Kind, pairs: Sequence[tuple[Values, Values]], codes: Sequence[Values] = ()) -> dict[str, float]:
    """Errors of a type over pairs of values (got, expected); codes: display codes of the expected values, if known.

    max and rms are fractions of the type's range, psnr is in dB of the 8-bit maps (`PSNR_CAP` for equal ones).

    Class indices are the result of an argmin, so rounding can change the class of a pixel whose code is near the border
    between two colours. The error of such a pixel is the distance of its expected code from that border
    (`border_distance`), as a fraction of the code's range per channel. The bounds are those of all other types, so a
    pixel that is not near a border must have the same class. `differ` is the fraction of pixels of another class; it is
    the only figure if the codes are not known.
    """
    row = intrinsics.get(kind)
    got, expected = (np.concatenate([pair[i].astype(np.float64) for pair in pairs]) for i in (0, 1))
    if row.decoding != "palette":
        return {**_size(np.abs(got - expected) / (row.high - row.low)), "psnr": psnr(row, got, expected)}
    if not np.isfinite(got).all():
        return {"differ": math.nan}
    differ = {"differ": float((got != expected).mean())}
    if not codes:
        return differ
    u = np.concatenate(codes).astype(np.float64)
    size = _size(border_distance(intrinsics.colours(row), u, got.astype(np.intp)) / math.sqrt(u.shape[-3]))
    return {**size, "psnr": min(PSNR_CAP, -20 * math.log10(max(size["rms"], 1e-9))), **differ}


def _size(error: Values) -> dict[str, float]:
    return {"max": float(error.max()), "rms": float(np.sqrt(np.square(error).mean()))}


def psnr(kind: Kind, got: NDArray[Any], expected: NDArray[Any]) -> float:
    """PSNR in dB between 8-bit codes of values [N, C, R, R] of a type: at most PSNR_CAP, -inf if not finite."""
    if not np.isfinite(got).all():
        return -math.inf
    codes = [np.round(255 * intrinsics.encode(kind, values)) for values in (got, expected)]
    square = float(np.square(codes[0] - codes[1]).mean())
    return PSNR_CAP if square == 0 else min(PSNR_CAP, 10 * math.log10(255**2 / square))
