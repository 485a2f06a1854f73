"""Every section of docs/experiments.md that the code refers to exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUFFIXES = (".py", ".cpp", ".hpp", ".h")
FOLDERS = ("benchmarks", "cli", "engine", "export", "kernels", "trainer")


def references():
    """(file, section) of every reference, such as `docs/experiments.md, "Losses"`."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                text = re.sub(r"\s*\n\s*(?:#|//)?\s*", " ", path.read_text())
                for match in re.finditer(r"experiments\.md, (.{80})", text):
                    quoted = re.match(r'"([^"]+)"', match[1])
                    yield path.relative_to(ROOT), quoted[1] if quoted else match[1]


def test_sections_exist():
    sections = set(re.findall(r"^### (.+)$", (ROOT / "docs/experiments.md").read_text(), re.MULTILINE))
    found = list(references())
    assert len(found) > 10
    missing = [f"{path}: {section}" for path, section in found if section not in sections]
    assert not missing, "\n".join(missing)
