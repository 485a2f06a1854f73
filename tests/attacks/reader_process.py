"""Reads attacked files in a separate process with a limit of memory; reports outcome, time and memory of each.

`reader_process.py FOLDER` makes a good file of every kind below FOLDER, prints a line, and then answers lines of JSON
[kind, folder of the attacked copy] with lines of JSON [outcome, seconds, bytes of memory over that of the process].
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from attacks import victim
from attacks.file_kinds import Kind, Refused, all_kinds

from sgi.engine.errors import UserError

MEMORY = 3 << 30
SECONDS = 60


def memory(field: str) -> int:
    """A figure of this process in bytes: VmRSS, or VmHWM for the largest since `reset`; 0 where there is no /proc."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def reset() -> None:
    """Start the measurement of the largest memory again."""
    Path("/proc/self/clear_refs").write_text("5")


def try_file(kind: Kind, root: Path) -> str:
    """`read`, `refused`, or what went wrong."""
    signal.alarm(SECONDS)
    try:
        kind.read(root)
        return "read"
    except (UserError, Refused) as error:
        text = str(error)
        return "refused" if text.isprintable() and len(text) < 1500 else f"not one printable line: {text[:200]!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    finally:
        signal.alarm(0)


def out_of_time(*_: object) -> None:
    """Turn a hang into an error."""
    raise TimeoutError


def main(folder: Path) -> None:
    """Answer requests until stdin ends."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, out_of_time)
    kinds = all_kinds(folder / "good")
    for kind in kinds.values():
        try_file(kind, kind.good)  # does lazy imports
    sys.addaudithook(victim.watch)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    out = sys.stdout
    print(json.dumps("ready"), file=out, flush=True)
    for line in sys.stdin:
        name, root = json.loads(line)
        reset()
        before, start = memory("VmRSS"), time.process_time()
        outcome = try_file(kinds[name], Path(root))
        print(json.dumps([outcome, time.process_time() - start, memory("VmHWM") - before]), file=out, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
