"""Throughput of `sgi-engine serve` or `sgi-serve` over loopback beside the engine alone, in one run.

python benchmarks/service_load.py [--clients N] [--requests N] [--seeds N] [--type NAME] [--repeats N]
    [--backend NAME] [--program build/native-release/engine/native/examples/sgi-serve]

--program measures the C++ service beside ONNX Runtime from Python, whose library it uses (set SGI_ORT_LIB).

The clients are threads of one process with keep-alive connections; they share the cores with the service, and their
share is printed. Engine and service run in turn, several times. The number of requests is bounded, and only 127.0.0.1
is contacted.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from sgi.engine.api import Engine, bundled_model
from sgi.engine.cores import available_cores


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


def client(address: tuple[str, int], first: int, requests: int, seeds: int) -> list[float]:
    """Seconds of each of `requests` requests, one after the other, over one connection.

    It reads responses with plain sockets: `http.client` takes three times as much of the cores, which the service
    then lacks.
    """
    seconds = []
    with socket.create_connection(address, timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for seed in range(first, first + requests * seeds, seeds):
            began = time.perf_counter()
            connection.sendall(b"GET /maps?seeds=%d-%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % (seed, seed + seeds - 1))
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(1 << 18)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            left = int(re.findall(rb"(?i)content-length: *(\d+)", head)[0]) - len(body)
            while left:
                left -= len(connection.recv(min(left, 1 << 18)))
            seconds.append(time.perf_counter() - began)
    return seconds


def service_rate(command: list[str], clients: int, requests: int, seeds: int) -> tuple[float, float, float]:
    """Seeds a second in requests of `seeds` seeds, median seconds of a request, the clients' share of the cores."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        where = urlsplit(process.stdout.readline().strip())
        assert where.hostname == "127.0.0.1", where
        address = (where.hostname, where.port or 0)
        each = requests // clients
        try:
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(lambda n: client(address, 10**7 + n * each, 2, seeds), range(clients)))  # warms up
                began, used = time.perf_counter(), time.process_time()
                parts = pool.map(lambda n: client(address, n * each * seeds, each, seeds), range(clients))
                seconds = [s for part in parts for s in part]
                elapsed, used = time.perf_counter() - began, time.process_time() - used
        finally:
            process.send_signal(signal.SIGTERM)
    share = used / elapsed / available_cores()
    return len(seconds) * seeds / elapsed, statistics.median(seconds), share


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
        served, seconds, share = service_rate(serve_command(args), args.clients, args.requests, args.seeds)
        rows.append((alone, served, served / alone, seconds, share))
        print(f"engine {alone:.1f} seeds/s, service {served:.1f} seeds/s, ratio {served / alone:.2f}", flush=True)
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    print(
        f"median: engine {medians[0]:.1f} seeds/s, service {medians[1]:.1f} seeds/s, ratio {medians[2]:.2f}, "
        f"latency {medians[3] * 1e3:.0f} ms; {args.clients} clients, which take {medians[4]:.1%} of "
        f"{available_cores()} cores; load average {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
