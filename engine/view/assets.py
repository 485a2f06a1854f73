"""The files of the page: a list of names, so that no other file can be asked for."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

PAGE = Path(__file__).parent / "page"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def assets() -> dict[str, Path]:
    """Name -> file of everything that the page may load: `main.js`, `vendor/three.module.js`."""
    files = (path for path in sorted(PAGE.rglob("*")) if path.is_file() and path.suffix in MEDIA_TYPES)
    return {path.relative_to(PAGE).as_posix(): path for path in files}


def content_security(page: str) -> str:
    """The header `Content-Security-Policy` of a page: nothing is loaded from other sites.

    Scripts inside the page are allowed by their hashes; the import map has to be one.
    """
    inline = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", page, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inline]
    rules = {
        "default-src": "'self'",
        "script-src": " ".join(["'self'", *hashes]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
