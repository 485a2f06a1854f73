"""Numbers of bytes for people."""

from __future__ import annotations


def byte_size(count: int) -> str:
    """Text of a number of bytes: `12.4 MB`, in powers of 1000."""
    number, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if number < 999.95:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
