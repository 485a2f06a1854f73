"""Opens malicious files in a separate process with limits of memory and time, and reports the result of each.

Run as `victim.py FOLDER`; prints one JSON line for each file. An audit hook records the operations that an attack
needs: imports, compiled or executed code, processes, sockets, Python's unpickler, files opened for writing.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import numpy.random  # noqa: F401  numpy imports it on first use, which the hook would record
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator import checkpoints

HEADROOM_BYTES = 512 << 20
SECONDS = 30
LARGE_BYTES = 100_000
FORBIDDEN = (
    "import", "compile", "exec", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect",
    "pickle.find_class", "ctypes.dlopen", "os.remove", "os.rename",
)  # fmt: skip

events: list[str] = []
watching = False


def watch(event: str, args: tuple[Any, ...]) -> None:
    """Record forbidden operations while a file is open."""
    if watching and (
        event in FORBIDDEN or (event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"))
    ):
        events.append(f"{event} {args[0]!s:.60}")


def try_file(path: Path) -> dict[str, Any]:
    """Load one file, and inspect it; a large one is only loaded, because both parse it by the same code."""
    global watching
    events.clear()
    results = []
    large = path.stat().st_size > LARGE_BYTES
    for read in (checkpoints.load,) if large else (checkpoints.load, checkpoints.report):
        watching = True
        signal.alarm(SECONDS)
        try:
            read(path)
            results.append("accepted")
        except UserError as error:
            results.append(f"UserError: {error}")
        except BaseException as error:
            results.append(f"{type(error).__name__}: {error}")
        finally:
            watching = False
            signal.alarm(0)
    return {"name": path.name, "load": results[0], "report": results[-1], "events": list(events)}


def out_of_time(*_: object) -> None:
    """Turn a hang into an error."""
    raise TimeoutError


def main(folder: Path) -> None:
    """Read the good files first, so that lazy imports are done, then the malicious ones."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, out_of_time)
    for good in sorted(folder.glob("good*")):
        checkpoints.load(good)
        checkpoints.report(good)
    sys.addaudithook(watch)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        limit = pages * resource.getpagesize() + HEADROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for path in sorted(folder.glob("attack*")):
        print(json.dumps(try_file(path)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
