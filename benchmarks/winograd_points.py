"""Rounding errors of Winograd's minimal filtering by its points, in float32 and with operands in bfloat16.

    python benchmarks/winograd_points.py

Prints the relative RMS error of a 3x3 convolution (four outputs of three taps, F(4, 3)) and of the two-tap filter of an
up-convolution (F(4, 2)) of 256 channels of normal noise, against float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROOT = 2**0.5
CANDIDATES: dict[tuple[int, int], dict[str, tuple[float, ...]]] = {
    (4, 3): {
        "0, +-1, +-2": (0, 1, -1, 2, -2),
        "0, +-1/sqrt 2, +-sqrt 2": (0, 1 / ROOT, -1 / ROOT, ROOT, -ROOT),
        "0, +-3/4, +-3/2": (0, 0.75, -0.75, 1.5, -1.5),
        "0, +-1, 1/2, -2": (0, 1, -1, 0.5, -2),
    },
    (4, 2): {
        "0, 1, -1, 2": (0, 1, -1, 2),
        "0, 1, -1, 1/2": (0, 1, -1, 0.5),
        "0, 1/2, -1, 2": (0, 0.5, -1, 2),
    },
    (2, 3): {"0, +-1": (0, 1, -1)},
}
CHANNELS, TILES, OUTPUTS = 256, 64, 8


def main() -> None:
    """Print a row for each set of points."""
    for (outputs, taps), sets in CANDIDATES.items():
        for name, points in sets.items():
            float32, bfloat16 = (error(points, outputs, taps, rounded) for rounded in (False, True))
            print(f"F({outputs}, {taps})  {name:<24}  float32 {float32:.2e}  bfloat16 {bfloat16:.2e}")


def transforms(points: tuple[float, ...], outputs: int, taps: int) -> tuple[NDArray, NDArray, NDArray]:
    """A^T [outputs, n], G [n, taps] and B^T [n, n] of the points and infinity; n = outputs + taps - 1 (Toom-Cook)."""
    n = outputs + taps - 1
    a, g, b = np.zeros((outputs, n)), np.zeros((n, taps)), np.zeros((n, n))
    for j, point in enumerate(points):
        others = [other for other in points if other != point]
        a[:, j] = [point**i for i in range(outputs)]
        g[j] = np.array([point**i for i in range(taps)]) / np.prod([point - other for other in others])
        b[j, : n - 1] = np.poly(others)[::-1]
    a[-1, -1] = g[-1, -1] = 1
    b[-1] = np.poly(points)[::-1]
    return a, g, b


def error(points: tuple[float, ...], outputs: int, taps: int, rounded: bool) -> float:
    """The relative RMS error of a two-dimensional filter; rounded: operands of the products are bfloat16."""
    a, g, b = (matrix.astype(np.float32) for matrix in transforms(points, outputs, taps))
    n = len(b)
    random = np.random.default_rng(0)
    x = random.standard_normal((TILES, CHANNELS, n, n)).astype(np.float32)
    w = (random.standard_normal((OUTPUTS, CHANNELS, taps, taps)) / (taps * CHANNELS**0.5)).astype(np.float32)
    exact = np.zeros((TILES, OUTPUTS, outputs, outputs))
    for i in range(taps):
        for j in range(taps):
            window = x[:, :, i : i + outputs, j : j + outputs].astype(np.float64)
            exact += np.einsum("tcij,kc->tkij", window, w[:, :, i, j].astype(np.float64))
    u = np.einsum("ia,kcab,jb->ijkc", g.astype(np.float64), w, g.astype(np.float64)).astype(np.float32)
    v = np.einsum("jb,tcib->ijtc", b, np.einsum("ia,tcab->tcib", b, x))
    if rounded:
        u, v = to_bfloat16(u), to_bfloat16(v)
    products = np.stack([[v[i, j] @ u[i, j].T for j in range(n)] for i in range(n)])
    y = np.einsum("jb,tkib->tkij", a, np.einsum("ia,abtk->tkib", a, products))
    return float(np.sqrt(np.mean((y - exact) ** 2) / np.mean(exact**2)))


def to_bfloat16(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """x rounded to bfloat16, to the nearest even."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


if __name__ == "__main__":
    main()
