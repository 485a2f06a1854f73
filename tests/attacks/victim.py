"""Opens hostile files in a process of its own, under limits of memory and time, and tells what came of each.

Run as `victim.py FOLDER`; prints one JSON line a file. An audit hook counts everything a payload would need: imports,
compiled or executed code, processes, sockets, the stock unpickler, files opened for writing.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import numpy.random  # noqa: F401  numpy imports it at first use, which the hook would take for a payload's
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator import checkpoints

HEADROOM_BYTES = 512 << 20
SECONDS = 30
FORBIDDEN = (
    "import", "compile", "exec", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect",
    "pickle.find_class", "ctypes.dlopen", "os.remove", "os.rename",
)  # fmt: skip

events: list[str] = []
watching = False


def watch(event: str, args: tuple[Any, ...]) -> None:
    """Note what should not happen while a file is open."""
    if watching and (
        event in FORBIDDEN or (event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"))
    ):
        events.append(f"{event} {args[0]!s:.60}")


def meet(path: Path) -> dict[str, Any]:
    """Load and inspect one file."""
    global watching
    events.clear()
    said = []
    for read in (checkpoints.load, checkpoints.report):
        watching = True
        signal.alarm(SECONDS)
        try:
            read(path)
            said.append("accepted")
        except UserError as error:
            said.append(f"UserError: {error}")
        except BaseException as error:
            said.append(f"{type(error).__name__}: {error}")
        finally:
            watching = False
            signal.alarm(0)
    return {"name": path.name, "load": said[0], "report": said[1], "events": list(events)}


def out_of_time(*_: object) -> None:
    """Make a hang an outcome."""
    raise TimeoutError


def main(folder: Path) -> None:
    """Warm up on a good file, so that lazy imports are done, then meet the others."""
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
        print(json.dumps(meet(path)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
