"""Checks that need no other package, for the files named on the command line; used by .pre-commit-config.yaml.

No file of more than LARGEST bytes outside EXEMPT, and in text files no merge markers, no space before the end
of a line, and one line end at the end of the file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LARGEST = 500_000
EXEMPT = ("engine/bundle/", "benchmarks/gpu/rooms-128/")
_MARKER = re.compile(r"^(<{7} |={7}$|>{7} |\|{7} )", re.MULTILINE)
_TRAILING = re.compile(r"[ \t\r]+$", re.MULTILINE)


def faults(path: Path) -> list[str]:
    """What is wrong with a file, a line each."""
    found = []
    data = path.read_bytes()
    if len(data) > LARGEST and not path.as_posix().startswith(EXEMPT):
        found.append(f"{path}: {len(data)} bytes, more than {LARGEST}")
    if b"\0" in data:
        return found
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return found
    for pattern, what in ((_MARKER, "merge marker"), (_TRAILING, "space at the end of the line")):
        found += [f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {what}" for match in pattern.finditer(text)]
    if text and not (text.endswith("\n") and not text.endswith("\n\n")):
        found.append(f"{path}: must end with one line end")
    return found


def main() -> int:
    """Print the faults of all files; 1 if there are any."""
    found = [fault for name in sys.argv[1:] if Path(name).is_file() for fault in faults(Path(name))]
    print("\n".join(found), end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
