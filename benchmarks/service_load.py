"""Throughput of `sgi-engine serve` or `sgi-serve` over loopback beside the engine alone, in one run.

python benchmarks/service_load.py [--clients N] [--requests N] [--seeds N] [--type NAME] [--repeats N]
    [--backend NAME] [--program build/native-release/engine/native/examples/sgi-serve]

--program measures the C++ service beside ONNX Runtime from Python, whose library it uses (set SGI_ORT_LIB).

The clients are threads of one process with keep-alive connections; they share the cores with the service. The number
of requests is bounded, and only 127.0.0.1 is contacted.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from sgi.engine.api import Engine, bundled_model


def engine_rate(batch: int, images: int, types: list[str] | None, backend: str) -> float:
    """Seeds a second of `Engine.__call__` in passes of `batch`."""
    with Engine.open(types=types, batch=batch, backend=backend) as engine:
        engine(range(batch))
        began = time.perf_counter()
        for start in range(0, images, batch):
            engine(range(start, start + batch))
        return images / (time.perf_counter() - began)


def serve_command(args: argparse.Namespace) -> list[str]:
    """The command line of the service."""
    common = ["--port", "0", "--batch", str(args.batch)]
    if args.program:
        types = ["--type", ",".join(args.types)] if args.types else []
        return [args.program, str(bundled_model()), *common, *types]
    types = [word for name in args.types or [] for word in ("--type", name)]
    return [sys.executable, "-m", "sgi.cli", "serve", *common, *types, "--backend", args.backend]


def service_rate(command: list[str], clients: int, requests: int, seeds: int) -> tuple[float, float]:
    """Seeds a second in requests of `seeds` seeds, and the median seconds of a request."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        where = urlsplit(process.stdout.readline().strip())
        assert where.hostname == "127.0.0.1", where

        def client(first: int) -> list[float]:
            connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
            seconds = []
            for seed in range(first, first + requests // clients):
                began = time.perf_counter()
                connection.request("GET", f"/maps?seeds={seed * seeds}-{seed * seeds + seeds - 1}")
                response = connection.getresponse()
                response.read()
                assert response.status == 200, response.status
                seconds.append(time.perf_counter() - began)
            connection.close()
            return seconds

        try:
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(client, [10**6] * 2))  # warms up
                began = time.perf_counter()
                seconds = [s for part in pool.map(client, [n * requests for n in range(clients)]) for s in part]
                elapsed = time.perf_counter() - began
        finally:
            process.send_signal(signal.SIGTERM)
    return len(seconds) * seeds / elapsed, statistics.median(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=480)
    parser.add_argument("--seeds", type=int, default=1, help="seeds of a request")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--program", help="sgi-serve")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--type", action="append", dest="types")
    args = parser.parse_args()
    if args.program:
        args.backend = "onnxruntime"
    rows = []
    for _ in range(args.repeats):
        alone = engine_rate(args.batch, args.requests * args.seeds, args.types, args.backend)
        served, seconds = service_rate(serve_command(args), args.clients, args.requests, args.seeds)
        rows.append((alone, served, served / alone, seconds))
        print(f"engine {alone:.1f} seeds/s, service {served:.1f} seeds/s, ratio {served / alone:.2f}", flush=True)
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    print(
        f"median: engine {medians[0]:.1f} seeds/s, service {medians[1]:.1f} seeds/s, ratio {medians[2]:.2f}, "
        f"latency {medians[3] * 1e3:.0f} ms; {args.clients} clients, "
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
