"""Accuracy of fp16 and bf16: PSNR of every type's 8-bit maps against the generator in float32.

    python benchmarks/precision.py [--generator FILE | --random SIDE] [--offset FILE ...] [--seeds N]
        [--precision P ...]

Graphs run in the exporter's emulator, which rounds after every operator, the worst case of a GPU. --random builds a
generator of StyleGAN2's config-f widths with random weights and activations clamped at 256, which detects overflow at
high resolution. The types are the image and those of the offsets: the bundled ones that were fitted on this generator,
and --offset. Appends a line to results.jsonl.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from record import append

from sgi.engine import bundle, intrinsics
from sgi.engine.generator import Generator, GeneratorConfig, checkpoints, generator_sha256, random_generator
from sgi.engine.offsets import Offset
from sgi.engine.seeds import latents
from sgi.export.emulate import Emulator
from sgi.export.onnx import build, describe
from sgi.export.verify import psnr, reference_codes, samples

PSI = 0.7


def main() -> None:
    """Measure the precisions of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", type=Path, help="a generator or checkpoint; default: the bundled generator")
    parser.add_argument("--random", type=int, metavar="SIDE", help="random weights of config-f at this side instead")
    parser.add_argument("--offset", type=Path, nargs="+", default=[], help="offsets of this generator")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--precision", nargs="+", default=["fp16", "bf16"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.random:
        name = f"random config-f {options.random} px"
        generator = random_generator(GeneratorConfig(options.random, conv_clamp=256.0), seed=0)
    else:
        name = "bundled rooms" if options.generator is None else options.generator.name
        generator = checkpoints.load(options.generator or bundle.GENERATOR)
    offsets = choose_offsets(generator, options.offset)
    figures = {precision: measure(generator, offsets, precision, options.seeds) for precision in options.precision}
    append("precision", {"generator": name, "seeds": options.seeds, "psnr": figures})


def choose_offsets(generator: Generator, files: Sequence[Path]) -> dict[str, Offset | None]:
    """Type -> offset: the bundled ones that were fitted on this generator, then those of `files`.

    Raises UserError for a file whose offset was fitted on another generator.
    """
    sha256 = generator_sha256(generator)
    bundled = [Offset.load(path) for path in sorted(bundle.OFFSETS.glob("*.safetensors"))]
    named = [Offset.load(path) for path in files]
    for offset in named:
        offset.check_generator(sha256)
    fitted = [offset for offset in bundled if offset.generator_sha256 == sha256]
    return {intrinsics.IMAGE: None} | {offset.type: offset for offset in (*fitted, *named)}


def measure(generator: Generator, offsets: dict[str, Offset | None], precision: str, seeds: int) -> dict[str, float]:
    """Type -> PSNR in dB over seeds 0 to N - 1, one at a time to save memory."""
    artifact = describe(generator, offsets, psi=PSI, noise_mode="const", precision=precision)
    z = latents(range(seeds), artifact.z_dim).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(build(generator, offsets, artifact), path)
        emulator = Emulator(path)
        got = [emulator.run(z[i : i + 1], PSI) for i in range(seeds)]
    figures = {}
    for name, offset in offsets.items():
        kind = artifact.output(name)
        codes = [
            reference_codes(generator, offset, kind, artifact, samples(generator, artifact, z[i : i + 1], PSI).ws)
            for i in range(seeds)
        ]
        expected = intrinsics.decode(kind, np.concatenate(codes))
        figures[name] = round(psnr(kind, np.concatenate([g[name] for g in got]), expected), 1)
    return figures


if __name__ == "__main__":
    main()
