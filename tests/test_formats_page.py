"""docs/formats.md names every field of every header that the code reads and writes."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = re.sub(r"```.*?```", "", (ROOT / "docs" / "formats.md").read_text(), flags=re.DOTALL)
DATACLASSES = {
    "Artifact": "engine/artifact.py",
    "EngineFacts": "engine/backends/engine_file.py",
    "GeneratorConfig": "engine/generator/config.py",
    "Intrinsic": "engine/intrinsics.py",
    "RunRecord": "engine/run/record.py",
    "Line": "engine/run/manifest.py",
    "ShardLine": "engine/run/shard_files.py",
}
"""Classes whose fields are written to files by other means than `FileKind`, and their modules."""


def fields_of(node: ast.ClassDef) -> list[str]:
    return [
        part.target.id for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    ]


@cache
def schemas() -> dict[str, list[str]]:
    """Class name -> fields of every header of a `FileKind`, and of DATACLASSES."""
    found = {}
    for folder in ("engine", "trainer"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and (
                    DATACLASSES.get(node.name) == path.relative_to(ROOT).as_posix()
                    or (node.name.endswith("Header") and "Struct" in ast.unparse(ast.Tuple(node.bases)))
                ):
                    found[node.name] = fields_of(node)
    return found


def test_all_schemas_are_found():
    assert {"OffsetHeader", "GeneratorHeader", *DATACLASSES} <= set(schemas())


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_field_is_on_the_page(name):
    named = set(re.findall(r"`([^`]+)`", PAGE))
    missing = [field for field in schemas()[name] if field not in named]
    assert not missing, f"docs/formats.md does not describe {', '.join(missing)} of {name}"


def test_every_kind_of_file_is_in_the_table():
    text = "\n".join(path.read_text() for folder in ("engine", "trainer") for path in (ROOT / folder).rglob("*.py"))
    for key, version in re.findall(r'FileKind\(\s*"(\w+)", (\d+)', text):
        assert f"`{key}`, format {version}" in PAGE
