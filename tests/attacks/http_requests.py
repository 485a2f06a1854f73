"""Random HTTP requests, well-formed and malformed, for the services."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

NAMES = ("seeds", "types", "psi", "class_index", "format")
GOOD = {"seeds": "0-2", "types": "depth", "psi": "0.7", "class_index": "1", "format": "npz"}
VALUES = (
    "", " ", "0", "-0", "1", "-1", "1.5", "0x10", "1e3", "1e999", "-1e999", "NaN", "inf", "None", "true", "[1]", "{}",
    "4294967295", "4294967296", "18446744073709551616", "9" * 400, "0" * 5000, "0-4294967295", "0-99999999999", "5-1",
    "0,,1", ",", "-", "--", "0-0-0", "1:1", "0:1,0:1", "1:nan", "1:1e39", "1:-1", ":", "1:", "0:0", "depth,depth",
    "depth,", "image,depth", "depth" * 3000, "png", "npz", "NPZ", "../../etc/passwd", "/", "\x00", "\n", "\r\nX: y",
    "\x1b[31m", "\u202e", "\U0001f600", "\u0661", "%", "%zz",
    "%00", ",".join(map(str, range(3000))), ",".join(["0-1"] * 3000), ":".join("1" * 3000), "<script>", "' or 1=1",
    "${jndi:x}",
)  # fmt: skip
ESCAPES = ("%", "%0", "%zz", "%00", "%ff", "%c0%af", "%u0041", "%0d%0aX:%20y", "+", ";", "#", "?", "&&&", "=", "%2525")
PATHS = (
    "/maps", "/model", "/healthz", "/metrics", "/", "//", "/maps/", "/../maps", "/%6daps", "/maps%00", "*", "maps",
    "http://x/maps?seeds=0", "/" + "a" * 20_000, "/%", "/\xff", "/maps;seeds=0", "/docs", "/openapi.json",
)  # fmt: skip
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "G" * 9000,
    "G\x00T",
    "",
    "PRI",
)
VERSIONS = ("HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9.9", "HTTP/1.1x", "HTTPS/1.1", "", "HTTP/1.1 x")
HEADERS = (
    "Content-Length: -1", "Content-Length: 9223372036854775808", "Content-Length: 99999999999999999999999", "X",
    "Content-Length: 1\r\nContent-Length: 2", "Content-Length: 5\r\nTransfer-Encoding: chunked", ": x", " folded: x",
    "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, x", "Expect: 100-continue", "Expect: x", "Host:",
    "Host: a b",
    "Connection: keep-alive", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
    "Connection: Upgrade\r\nUpgrade: h2c", "Authorization: Bearer " + "x" * 5000, "Authorization: Bearer \xe9",
    "Range: bytes=0-1", "Range: bytes=" + ",".join(["0-1"] * 2000), "Range: bytes=9-1", "Accept-Encoding: gzip, br",
    "X: " + "y" * 100_000, "\r\n".join(f"X{i}: y" for i in range(3000)), "X: \x00", "X: \x0b",
    "Cookie: " + "a=b;" * 3000,
    "Content-Type: multipart/form-data; boundary=x", "X-Forwarded-For: 1.1.1.1", "Content-Encoding: gzip",
)  # fmt: skip
BODIES = (
    b"", b"x", b"seeds=0", bytes(100_000), b"5\r\nhello\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFF\r\nx", b"-1\r\nx\r\n",
    b"zz\r\n",
    b"0\r\nX: y\r\n\r\n", b"1;" + b"a" * 100_000 + b"\r\nx\r\n0\r\n\r\n", b"\x1f\x8b" + bytes(50),
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
)  # fmt: skip


@dataclass(frozen=True)
class HttpRequest:
    """The bytes to send, in parts with a pause after each; well_formed: whether one status line must come back."""

    what: str
    parts: tuple[bytes, ...]
    well_formed: bool = False


def draw(dice: random.Random) -> HttpRequest:
    """A random request."""
    return dice.choice((_query, _query, _query, _escaped, _parts, _headers, _body, _slow, _changed, _noise))(dice)


def request(target: str, *headers: str, method: str = "GET", version: str = "HTTP/1.1", body: bytes = b"") -> bytes:
    """The bytes of a request; text is sent as Latin-1."""
    lines = [f"{method} {target} {version}", "Host: x", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + body


def _target(values: list[tuple[str, str]]) -> str:
    return "/maps?" + "&".join(f"{quote(name)}={quote(value, safe=',:')}" for name, value in values)


def _query(dice: random.Random) -> HttpRequest:
    """A wrong value of one or more parameters, other names, many parameters; correctly encoded."""
    values = [(name, GOOD[name]) for name in NAMES if name == "seeds" or dice.random() < 0.3]
    for _ in range(dice.randint(1, 3)):
        values.append((dice.choice((*NAMES, *NAMES, "x", "", "Seeds", "seeds[]", "\x1b[31m")), dice.choice(VALUES)))
    if dice.random() < 0.7:  # no repeated names, so that values are reached
        values = list(dict(values).items())
    if dice.random() < 0.05:
        values *= dice.choice((100, 2000))
    return HttpRequest(f"a query {values}"[:200], (request(_target(values)),), well_formed=True)


def _escaped(dice: random.Random) -> HttpRequest:
    """Percent-encoding that is wrong or unusual."""
    text = "/maps?seeds=0&types=depth"
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(1, len(text) + 1)
        text = text[:place] + dice.choice(ESCAPES) + text[place:]
    return HttpRequest(f"escapes {text}", (request(text),))


def _parts(dice: random.Random) -> HttpRequest:
    method, path, version = dice.choice(METHODS), dice.choice(PATHS), dice.choice(VERSIONS)
    return HttpRequest(f"{method[:9]} {path[:30]} {version}", (request(path, method=method, version=version),))


def _headers(dice: random.Random) -> HttpRequest:
    chosen = dice.sample(HEADERS, dice.randint(1, 3))
    target = dice.choice(("/maps?seeds=0", "/model", "/healthz", "/x"))
    return HttpRequest(f"headers {[header[:40] for header in chosen]}", (request(target, *chosen),))


def _body(dice: random.Random) -> HttpRequest:
    body, method = dice.choice(BODIES), dice.choice(("GET", "POST", "PUT"))
    header = dice.choice(
        ("Transfer-Encoding: chunked", f"Content-Length: {len(body)}", f"Content-Length: {len(body) + 5}", "X: y")
    )
    return HttpRequest(
        f"{method}, {header}, {body[:20]!r}", (request("/maps?seeds=0", header, method=method, body=body),)
    )


def _slow(dice: random.Random) -> HttpRequest:
    """A request that is cut, or sent in parts."""
    data = request("/maps?seeds=0", "Content-Length: 10", method=dice.choice(("GET", "POST")), body=b"0123456789")
    cuts = sorted(dice.randrange(len(data)) for _ in range(dice.randint(1, 3)))
    parts = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    if dice.random() < 0.5:
        parts.pop()
    return HttpRequest(f"in parts {cuts}", tuple(parts))


def _changed(dice: random.Random) -> HttpRequest:
    from attacks.fuzz import CHANGES

    data = bytearray(request(_target(list(GOOD.items())), "Accept: */*"))
    for _ in range(dice.randint(1, 4)):
        if data:
            dice.choice(CHANGES)(data, dice)
    return HttpRequest("changed bytes", (bytes(data),))


def _noise(dice: random.Random) -> HttpRequest:
    makers: tuple[Callable[[], bytes], ...] = (
        lambda: dice.randbytes(dice.choice((1, 10, 1000, 100_000))),
        lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(500),  # a client of TLS
        lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + dice.randbytes(50),
        lambda: b"\r\n" * dice.choice((1, 1000)),
        lambda: b"A" * 200_000,
        lambda: b"",
        lambda: request("/healthz").replace(b"Connection: close\r\n", b"") * dice.choice((2, 50)),
    )
    return HttpRequest("noise", (dice.choice(makers)(),))
