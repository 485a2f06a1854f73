"""Sends random requests to the HTTP services, Python's and C++'s, for a given time.

`python tests/attacks/fuzz_service.py --minutes 5 [--seed 0] [--keep-going] [--service python]`. A request must be
answered with status 200 or 4xx and one printable line, or, if it is malformed, by closing the connection; the service
must go on, within MOST_SECONDS of processor time and MOST_BYTES of memory for each request. The exit code is 1 after a
defect.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attacks.http_requests import HttpRequest, draw, request
from attacks.reader import MOST_BYTES, MOST_SECONDS
from tiny_models import describe, write_model

ROOT = Path(__file__).parents[2]
PROGRAMS = {
    "python": [sys.executable, "-m", "sgi.cli", "serve", "--backend", "onnxruntime", "--model"],
    "c++": [str(ROOT / "build/native-release/engine/native/examples/sgi-serve")],
}
HEALTH = HttpRequest("health", (request("/healthz"),), well_formed=True)
PAUSE, TIMEOUT = 0.02, 10.0
LARGEST_ANSWER = 1 << 24
OTHERWISE_ALLOWED = (501, 505)
"""Status besides 200 and 4xx: methods and versions of HTTP that a service does not have."""


class Service:
    """A running service. measure: processor time in seconds, and largest memory since the last call in bytes."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def measure(self) -> tuple[float, int]:
        folder = Path("/proc") / str(self.process.pid)
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        (folder / "clear_refs").write_text("5")
        return seconds, int(status["VmHWM"].split()[0]) * 1024

    def send(self, sent: HttpRequest) -> bytes:
        """What comes back: one answer, or all until the connection is closed. The client ends malformed requests."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            connection.settimeout(TIMEOUT)
            answer = bytearray()
            with suppress(OSError):  # the service closes the connection after a wrong first line
                for part in sent.parts:
                    connection.sendall(part)
                    if len(sent.parts) > 1:
                        time.sleep(PAUSE)
                if not sent.well_formed:
                    connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while (data := connection.recv(1 << 16)) and len(answer) < LARGEST_ANSWER:
                    answer += data
                    if sent.well_formed and _is_whole(answer):
                        break
            return bytes(answer)


@contextmanager
def serving(name: str, folder: Path, c_dim: int = 0) -> Iterator[Service]:
    """Start a service of a small model."""
    model = write_model(folder / f"model{c_dim}.onnx", describe(c_dim=c_dim))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if name == "c++":
        import onnxruntime

        environment["SGI_ORT_LIB"] = str(Path(onnxruntime.__file__).parent / "capi")
    command = [*PROGRAMS[name], str(model), "--port", "0", "--threads", "1"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://"), (folder / "log").read_text()
        yield Service(process, int(line.split("/maps")[0].rpartition(":")[2]))
    finally:
        process.terminate()
        process.wait(30)


def _is_whole(answer: bytearray) -> bool:
    head, end, _ = bytes(answer[:4000]).partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    return bool(end) and length is not None and len(answer) - len(head) - len(end) >= int(length[1])


def defect(sent: HttpRequest, answer: bytes) -> str | None:
    """What is wrong with an answer; None if nothing is."""
    if not answer:
        return "no answer to a well-formed request" if sent.well_formed else None
    head, _, body = answer.partition(b"\r\n\r\n")
    first = head.split(b"\r\n")[0].split()
    if len(first) < 2 or not first[0].startswith(b"HTTP/1.") or not first[1].isdigit():
        return f"not an answer of HTTP: {answer[:100]!r}"
    status = int(first[1])
    if 100 <= status < 300 or status in OTHERWISE_ALLOWED:
        return None
    if not 400 <= status < 500:
        return f"status {status}: {body[:200]!r}"
    if b"content-encoding:" in head.lower():  # the request asked for it
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return f"an error that is not UTF-8: {body[:200]!r}"
    if sent.well_formed and (not text.strip().isprintable() or not text.strip() or len(text) > 1500):
        return f"an error that is not one printable line: {body[:200]!r}"
    return None


def attack(service: Service, dice: random.Random) -> tuple[HttpRequest, str | None, str]:
    """Send a random request: (the request, what is wrong, and the status that came back)."""
    sent = draw(dice)
    before, base = service.measure()
    try:
        answer = service.send(sent)
    except TimeoutError:
        return sent, "no answer", "none"
    except ConnectionError as error:
        return sent, f"the service ended ({error})", "none"
    wrong = defect(sent, answer)
    after, most = service.measure()
    if after - before > MOST_SECONDS:
        wrong = f"{after - before:.1f} s"
    if most - base > MOST_BYTES:
        wrong = f"{(most - base) >> 20} MiB"
    return sent, wrong, answer[9:12].decode("latin-1") or "closed"


def is_alive(service: Service) -> bool:
    """Whether the service still generates maps."""
    with suppress(OSError):
        return service.process.poll() is None and b" 200 " in service.send(HEALTH)[:20]
    return False


def main() -> int:
    """Fuzz for the given time; returns 1 after a defect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first defect")
    parser.add_argument("--service", action="append", choices=PROGRAMS, help="only this service; repeat it")
    options = parser.parse_args()
    failed = False
    for name in options.service or PROGRAMS:
        for c_dim in (0, 3):
            dice, counts = random.Random(options.seed), Counter[str]()
            with tempfile.TemporaryDirectory() as folder, serving(name, Path(folder), c_dim) as service:
                end = time.monotonic() + 30 * options.minutes
                while time.monotonic() < end:
                    sent, wrong, status = attack(service, dice)
                    if not wrong and not is_alive(service):
                        wrong = "the service does not answer afterwards"
                    counts["defect" if wrong else status] += 1
                    if wrong:
                        failed = True
                        print(f"{name}: {sent.what}: {wrong}", flush=True)
                        if not options.keep_going or not is_alive(service):
                            break
                text = (Path(folder) / "log").read_text()
                if "Traceback" in text or "terminate" in text:
                    failed = True
                    print(f"{name}: {text[-2000:]}")
            print(f"{name}, {c_dim} classes: {counts.total()} requests: {dict(counts)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
