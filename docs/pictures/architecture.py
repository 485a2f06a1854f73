"""Draw architecture.svg and fill the table of rooms of docs/architecture.md, from ALLOWED of tests/test_layout.py.

    python docs/pictures/architecture.py [--check]

`--check` fails if the picture or the table is not what ALLOWED gives. An arrow that follows from others is not drawn.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from functools import cache
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = Path(__file__).with_suffix(".svg")
PAGE = ROOT / "docs" / "architecture.md"

JOBS = {
    "cli": "one file a command: parse, call one function, report",
    "engine": "types, seeds, files, offsets, errors",
    "engine.api": "Engine: seeds in, maps out",
    "engine.backends": "runtimes of exported models",
    "engine.backends.triton": "generator on Triton kernels",
    "engine.bundle": "the bundled models",
    "engine.cluster": "shards on workers of Ray",
    "engine.doctor": "what works on this machine",
    "engine.generator": "StyleGAN2 and its checkpoints",
    "engine.generator_model": "a generator as a backend: kernels or cached export",
    "engine.inspect_file": "what a file contains",
    "engine.live": "maps of what a viewer shows",
    "engine.model_recipe": "outputs and settings of a model",
    "engine.run": "seeds to files, resumable",
    "engine.service": "maps over HTTP",
    "engine.view": "local page and its server",
    "engine.walk": "videos between seeds",
    "engine.writers": "file formats of maps",
    "engine.shards": "file formats of many seeds",
    "export": "bake, lower, write, verify",
    "kernels": "kernels by device",
    "kernels.gpu": "Triton operators",
    "trainer": "devices, batches, YAML",
    "trainer.gan": "generator training",
    "trainer.losses": "losses by name",
    "trainer.measures": "errors, intervals",
    "trainer.offsets": "fit and score offsets",
    "trainer.scenes": "procedural rooms, exact maps",
    "trainer.studies": "evaluation, ablations, relighting, truth",
    "trainer.teacher_training": "the bundled teacher's training",
    "trainer.teachers": "models that give targets",
}
"""Room -> its job, in at most two short lines of a box."""

LANES = ("kernels", "engine", "export", "trainer")
COLOURS = {"cli": "#5b4a8a", "kernels": "#a3542e", "engine": "#1f6f8b", "export": "#7a7a1f", "trainer": "#3d7a3d"}
BOX_WIDTH, BOX_HEIGHT, GAP, ROW, EDGE, CORNER, LINE_LENGTH = 140, 56, 18, 104, 20, 5, 24

Box = tuple[float, float, float]
"""Left, top and width."""


@cache
def allowed() -> dict[str, set[str]]:
    """ALLOWED, evaluated without importing the test (which needs pytest)."""
    names: dict[str, object] = {}
    for node in ast.parse((ROOT / "tests" / "test_layout.py").read_text()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id in ("_ENGINE", "_RUN", "ALLOWED") and node.value:
                names[target.id] = eval(compile(ast.Expression(node.value), "ALLOWED", "eval"), dict(names))
    found = names["ALLOWED"]
    assert isinstance(found, dict)
    return found


@cache
def below(room: str) -> frozenset[str]:
    """Every room that can be reached from a room."""
    return frozenset().union(allowed()[room], *(below(other) for other in allowed()[room]))


def arrows(room: str) -> list[str]:
    """Rooms that a room may import, without those that follow from the others; in the order of ALLOWED."""
    others = allowed()[room]
    return [name for name in allowed() if name in others and not any(name in below(o) for o in others - {name})]


@cache
def level(room: str) -> int:
    """Length of the longest way down."""
    return 1 + max((level(other) for other in allowed()[room]), default=-1)


def places() -> tuple[dict[str, Box], float, float]:
    """Left, top and width of each box, and the picture's width and height."""
    cells: dict[tuple[str, int], list[str]] = defaultdict(list)
    for room in allowed():
        cells[room.split(".")[0], level(room)].append(room)
    top = max(level(room) for room in allowed())
    found: dict[str, Box] = {}
    left = 1.5 * GAP
    for lane in LANES:
        columns = max(len(rooms) for (name, _), rooms in cells.items() if name == lane)
        width = columns * (BOX_WIDTH + GAP)
        for (name, row), rooms in cells.items():
            if name == lane:
                share = width / len(rooms)
                for i, room in enumerate(rooms):
                    x = left + i * share + (share - BOX_WIDTH) / 2
                    found[room] = (x, GAP + (top - row) * ROW, BOX_WIDTH)
        left += width + 3 * GAP
    for name, row in [key for key in cells if key[0] not in LANES]:
        for room in cells[name, row]:
            found[room] = (GAP, GAP + (top - row) * ROW, left - 3.5 * GAP)
    return found, left - 1.5 * GAP, GAP + top * ROW + BOX_HEIGHT + GAP


def lines(text: str, length: int) -> list[str]:
    """Words in lines of at most `length` characters."""
    found = [""]
    for word in text.split():
        if len(found[-1]) + len(word) + 1 > length and found[-1]:
            found.append("")
        found[-1] = f"{found[-1]} {word}".strip()
    return found


def picture() -> str:
    """The SVG: a box a room, above every room that it may import."""
    boxes, width, height = places()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="11">',
        "<title>Rooms of the repository and the imports that are allowed</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#ffffff"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
    ]
    parts += [_lane(lane, [box for room, box in boxes.items() if room.split(".")[0] == lane]) for lane in LANES]
    for room in allowed():
        for other in arrows(room):
            parts.append(_arrow(room, other, boxes))
    for room, (x, y, w) in boxes.items():
        colour = COLOURS[room.split(".")[0]]
        parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{w:.0f}" height="{BOX_HEIGHT}" rx="5" fill="#fff" '
            f'stroke="{colour}" stroke-width="1.5"/>'
        )
        middle = x + w / 2
        name = room if "." not in room else "." + room.split(".", 1)[1]
        parts.append(
            f'<text x="{middle:.0f}" y="{y + 18:.0f}" text-anchor="middle" font-weight="bold" fill="{colour}" '
            f'font-size="13">{escape(name if "." not in room else name.removeprefix("."))}</text>'
        )
        for i, line in enumerate(lines(JOBS.get(room, ""), int(LINE_LENGTH * w / BOX_WIDTH))):
            down = y + 34 + 13 * i
            parts.append(
                f'<text x="{middle:.0f}" y="{down:.0f}" text-anchor="middle" fill="#333">{escape(line)}</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


def _lane(name: str, boxes: list[Box]) -> str:
    left, top = min(x for x, _, _ in boxes) - GAP, min(y for _, y, _ in boxes) - 2 * GAP
    right, bottom = max(x + w for x, _, w in boxes) + GAP, max(y for _, y, _ in boxes) + BOX_HEIGHT + GAP / 2
    return (
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{right - left:.0f}" height="{bottom - top:.0f}" rx="8" '
        f'fill="{COLOURS[name]}" fill-opacity="0.07"/><text x="{left + 10:.0f}" y="{top + 18:.0f}" font-weight="bold" '
        f'fill="{COLOURS[name]}">sgi.{name}</text>'
    )


def _arrow(room: str, other: str, boxes: dict[str, Box]) -> str:
    start, end = boxes[room], boxes[other]
    low, high = start[0] + CORNER, start[0] + start[2] - CORNER
    y1, y2 = start[1] + BOX_HEIGHT, end[1]

    def is_free(x: float) -> bool:
        """Whether a vertical line crosses no box between the two rooms."""
        return not any(bx - 2 < x < bx + bw + 2 and y1 < by < y2 for bx, by, bw in boxes.values())

    wanted = end[0] + end[2] / 2
    ways = [x for x in (wanted, end[0] - GAP / 2, end[0] + end[2] + GAP / 2) if low <= x <= high and is_free(x)]
    source = ways[0] if ways else min(max(wanted, low), high)
    target = min(max(source, end[0] + EDGE), end[0] + end[2] - EDGE)
    bend = min(ROW / 2, (y2 - y1) / 2)
    knee = y2 - 2 * bend if ways else y1
    return (
        f'<path d="M{source:.0f} {y1:.0f}V{knee:.0f}C{source:.0f} {knee + bend:.0f} {target:.0f} {y2 - bend:.0f} '
        f'{target:.0f} {y2:.0f}" fill="none" stroke="{COLOURS[room.split(".")[0]]}" stroke-opacity="0.6" '
        'stroke-width="1.3" marker-end="url(#tip)"/>'
    )


def table() -> str:
    """The rooms from the top down: folder or file, job, and what each may import."""
    rows = ["| room | job | imports |", "|---|---|---|"]
    for room in sorted(allowed(), key=lambda name: (-level(name), name)):
        others = ", ".join(f"`{name}`" for name in arrows(room)) or "nothing"
        rows.append(f"| `{room}` | {JOBS.get(room, '')} | {others} |")
    return "\n".join(rows)


def filled(page: str) -> str:
    """The page with its table made anew."""
    pattern = re.compile(r"(<!-- begin rooms -->\n).*?(<!-- end rooms -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{table()}\n{match[2]}", page)


def main() -> int:
    """Write both, or with --check compare."""
    wanted = {PICTURE: picture(), PAGE: filled(PAGE.read_text())}
    if "--check" in sys.argv:
        return int(any(not path.exists() or path.read_text() != text for path, text in wanted.items()))
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
