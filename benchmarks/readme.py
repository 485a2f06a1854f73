"""Fill the generated blocks of README.md from the bundle's own headers and benchmarks/results.jsonl.

    python benchmarks/readme.py [--check]

A block stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; nothing in it is typed by hand. `--check` fails
when a block is not what the files say.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from record import latest

from sgi.engine import bundle, intrinsics
from sgi.engine.bundle.contents import header, offset_table, teacher_table
from sgi.engine.offsets import Offset

README = Path(__file__).parents[1] / "README.md"


def types() -> str:
    """The table of types."""
    lines = ["| type | channels | value | meaning | PNG |", "|---|---|---|---|---|"]
    lines += [
        f"| `{t.name}` | {t.channels} | {t.low:g} to {t.high:g} | {t.meaning} | {t.png_bits} bit: {t.png_code} |"
        for t in intrinsics.INTRINSICS.values()
    ]
    return "\n".join(lines)


def offsets() -> str:
    """Held-out figures of the bundled offsets."""
    return offset_table([Offset.load(bundle.offset(name)) for name in intrinsics.MAP_TYPES])


def teacher() -> str:
    """The teacher's errors against the renderer."""
    return teacher_table(header(bundle.TEACHER, "sgi_teacher"))


def benchmark(name: str, unit: str) -> str:
    """The last line of a benchmark as a table, with its machine."""
    line = latest(name)
    if line is None:
        return f"Not measured yet: `python benchmarks/{name}.py`."
    machine = line["machine"]
    rows = [f"| case | {unit} |", "|---|---|"]
    rows += [f"| {case} | {value} |" for case, value in line["figures"].items() if case != "runs"]
    versions = ", ".join(f"{k} {v}" for k, v in machine.items() if k not in ("cpu", "cores"))
    rows.append(f"\n{machine['cpu']}, {machine['cores']} cores; {versions}; {line['date']}.")
    return "\n".join(rows)


BLOCKS = {
    "types": types,
    "offsets": offsets,
    "teacher": teacher,
    "startup": lambda: benchmark("startup", "seconds"),
    "throughput": lambda: benchmark("throughput", "seeds a second"),
}


def filled(text: str) -> str:
    """The text with every block made anew; raises KeyError for a block nobody makes."""
    pattern = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
    return pattern.sub(lambda m: f"{m[1]}{BLOCKS[m[2]]()}\n{m[3]}", text)


def main() -> int:
    """Rewrite README.md, or with --check compare."""
    text = README.read_text()
    wanted = filled(text)
    if "--check" in sys.argv:
        return int(text != wanted)
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
