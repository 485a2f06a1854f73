"""Times of the viewer on the bundled model: from the command to the first picture, and of one change of each control.

python benchmarks/viewer.py [CHANGES] [BACKEND]

A change is a request over HTTP for all five types and values; its times are those on the wire and in the engine.
"""

from __future__ import annotations

import http.client
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from command import COMMAND
from record import append

Screen = dict[str, Any]
CONTROLS: dict[str, Callable[[int], Screen]] = {
    "seed": lambda i: {"seed": i},
    "psi": lambda i: {"psi": i / 100},
    "alpha of depth": lambda i: {"alpha": {"depth": i / 100}},
    "alpha of all": lambda i: {"alpha": dict.fromkeys(("depth", "normal", "albedo", "shading"), i / 100)},
    "mixing": lambda i: {"mix": {"seed": i, "rows": "4-9"}},
    "interpolation": lambda i: {"towards": {"seed": 9, "share": i / 1000}},
}
"""Control -> the screen of change number i."""


def ask(port: int, screen: Screen) -> tuple[float, float]:
    """Milliseconds of a request on the wire and of the engine in it."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    began = time.perf_counter()
    connection.request("POST", "/api/maps", json.dumps(screen))
    body = connection.getresponse().read()
    took = time.perf_counter() - began
    size = int.from_bytes(body[:8], "little")
    return 1000 * took, 1000 * float(json.loads(body[8 : 8 + size])["__metadata__"]["seconds"])


def main(changes: int, backend: str) -> None:
    """Start the viewer, measure, and append the medians."""
    began = time.perf_counter()
    viewer = subprocess.Popen(
        [*COMMAND, "view", "--no-browser", "--backend", backend], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert viewer.stdout is not None
    port = int(viewer.stdout.readline().rsplit(":", 1)[1].strip().strip("/"))
    ask(port, {})
    figures: dict[str, Any] = {"backend": backend, "first picture, s": round(time.perf_counter() - began, 2)}
    try:
        for control, screen in CONTROLS.items():
            ask(port, screen(1))
            times = [ask(port, screen(i)) for i in range(2, changes + 2)]
            wire, engine = (round(statistics.median(column), 1) for column in zip(*times, strict=True))
            figures[f"{control}, ms"] = {"on the wire": wire, "engine": engine, "most": round(max(times)[0], 1)}
    finally:
        viewer.send_signal(signal.SIGINT)
        viewer.wait(30)
    append("viewer", figures)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50, sys.argv[2] if len(sys.argv) > 2 else "auto")
