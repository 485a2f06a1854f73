"""Write the models of ctest and their expected values: a random generator of 16 px that takes z, and one that takes w+.

tiny.f32 contains image [2, 3, 16, 16] and depth [2, 1, 16, 16] of seeds 0 and 4294967295 at psi 0.5, tiny_ws.f32 those
of ws [2, 6, 12], whose rows are the latents of seeds 0 to 11; from ONNX Runtime through Python, float32, little-endian.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sgi.engine import Engine
from sgi.engine.generator import GeneratorConfig, generator_sha256, random_generator
from sgi.engine.offsets import Offset
from sgi.engine.seeds import latents
from sgi.export.onnx import export_onnx

TINY = GeneratorConfig(16, z_dim=8, w_dim=12, mapping_layers=2, channel_base=128, channel_max=8)


def main() -> None:
    """Write the files beside this one."""
    rows = latents(range(2 * TINY.num_ws), TINY.w_dim).astype(np.float32)
    write("tiny", "z", {"seeds": [0, 2**32 - 1], "psi": 0.5})
    write("tiny_ws", "w+", {"ws": rows.reshape(2, TINY.num_ws, TINY.w_dim)})


def write(stem: str, takes: str, request: dict[str, Any]) -> None:
    """Write a model that takes z or w+, and the values of a request."""
    model = Path(__file__).with_name(f"{stem}.onnx")
    generator = random_generator(TINY, seed=1)
    values = np.random.RandomState(0).randn(1, TINY.w_dim).astype(np.float32)
    depth = Offset("depth", "w", {"offset": values}, generator_sha256(generator))
    export_onnx(generator, {"image": None, "depth": depth}, model, psi=0.7, noise_mode="none", input=takes)
    with Engine.open(model, backend="onnxruntime", device="cpu") as engine:
        maps = engine(**request)
    with model.with_suffix(".f32").open("wb") as file:
        for name in ("image", "depth"):
            file.write(maps[name].astype("<f4").tobytes())


if __name__ == "__main__":
    main()
