"""Random and endless requests to the HTTP services: answered in one line or closed, and the services go on."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

import pytest
from attacks.fuzz_service import PROGRAMS, attack, is_alive, serving
from native_library import build_folder

REQUESTS = 200
ENDLESS = {
    "a line": (b"", b"A" * 65536),
    "a target": (b"GET /", b"A" * 65536),
    "headers": (b"GET /maps?seeds=0 HTTP/1.1\r\nHost: x\r\n", b"X: yyyyyyyy\r\n" * 5000),
    "a header": (b"GET /maps?seeds=0 HTTP/1.1\r\nHost: x\r\nX: ", b"A" * 65536),
    "a body": (b"POST /maps?seeds=0 HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n", b"A" * 65536),
    "a chunk's length": (b"GET /maps?seeds=0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"1" * 65536),
}
"""Start of a request, and what is repeated after it."""
ENDLESS_BYTES = 32 << 20
MOST_FOR_ENDLESS = 8 << 20


@pytest.fixture(scope="module", params=PROGRAMS)
def service(request, tmp_path_factory):
    if request.param == "python":
        pytest.importorskip("uvicorn")
    elif not (build_folder("release") / "engine/native/examples/sgi-serve").exists():
        pytest.skip("sgi-serve is not built")
    with serving(request.param, tmp_path_factory.mktemp("service"), c_dim=3) as running:
        yield request.param, running


def test_random_requests(service):
    _, running = service
    dice = random.Random(0)
    for _ in range(REQUESTS):
        sent, wrong, _ = attack(running, dice)
        assert not wrong, (sent.what, wrong)
    assert is_alive(running)


@pytest.mark.parametrize("case", ENDLESS)
def test_endless_requests_take_no_memory(service, case):
    name, running = service
    if name == "c++":
        pytest.skip("cpp-httplib limits the length of lines since 0.20.1; tests are built with Debian's version")
    start, more = ENDLESS[case]
    _, base = running.measure()
    with suppress(OSError), socket.create_connection(("127.0.0.1", running.port), 10) as connection:
        connection.sendall(start)
        for _ in range(ENDLESS_BYTES // len(more)):
            connection.sendall(more)
    assert is_alive(running)
    assert running.measure()[1] - base < MOST_FOR_ENDLESS
