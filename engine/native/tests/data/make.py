"""Write tiny.onnx and tiny.f32 for ctest: a random generator of 16 px, and its expected values.

tiny.f32 contains image [2, 3, 16, 16] and depth [2, 1, 16, 16] of seeds 0 and 4294967295 at psi 0.5, from ONNX Runtime
through Python; float32, little-endian.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sgi.engine import Engine
from sgi.engine.generator import GeneratorConfig, generator_sha256, random_generator
from sgi.engine.offsets import Offset
from sgi.export.onnx import export_onnx

TINY = GeneratorConfig(16, z_dim=8, w_dim=12, mapping_layers=2, channel_base=128, channel_max=8)


def main() -> None:
    """Write both files beside this one."""
    model = Path(__file__).with_name("tiny.onnx")
    generator = random_generator(TINY, seed=1)
    values = np.random.RandomState(0).randn(1, TINY.w_dim).astype(np.float32)
    depth = Offset("depth", "w", {"offset": values}, generator_sha256(generator))
    export_onnx(generator, {"image": None, "depth": depth}, model, psi=0.7, noise_mode="none")
    with Engine.open(model, backend="onnxruntime", device="cpu") as engine:
        maps = engine([0, 2**32 - 1], psi=0.5)
    with model.with_suffix(".f32").open("wb") as file:
        for name in ("image", "depth"):
            file.write(maps[name].astype("<f4").tobytes())


if __name__ == "__main__":
    main()
