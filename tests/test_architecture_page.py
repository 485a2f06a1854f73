"""docs/architecture.md agrees with the code: picture, table of rooms, files, tables and entry points."""

from __future__ import annotations

import importlib
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_layout import ALLOWED

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
CODE = sorted(set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", TEXT)))
PLACEHOLDER = "NAME"
_SUFFIX = re.compile(r"\.(py|md|toml|yml|svg)$")
PATHS = [word for word in CODE if re.fullmatch(r"[\w./-]+", word) and ("/" in word or _SUFFIX.search(word))]
DOTTED = [word for word in CODE if re.fullmatch(r"sgi(\.\w+)+", word)]
TABLES = [
    (name, re.findall(r"`([^`]+)`", entries))
    for name, entries in re.findall(r"`(sgi(?:\.\w+)+)` \(now\s((?:`[^`]+`,?\s*)+)\)", TEXT)
]
GROUPS = sorted(set(re.findall(r"sgi_engine\.\w+", TEXT)))


def resolve(name: str) -> Any:
    """A module, or an attribute of one; raises ImportError or AttributeError if there is none of that name."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def picture_script() -> SimpleNamespace:
    """The names of docs/pictures/architecture.py."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "pictures" / "architecture.py")))


def test_the_page_names_things_in_the_forms_that_these_tests_find():
    assert len(PATHS) > 60
    assert len(DOTTED) > 10
    assert len(TABLES) >= 6
    assert len(GROUPS) >= 3


@pytest.mark.parametrize("path", PATHS)
def test_every_path_exists(path):
    """A path with NAME is a file to write: its folder exists, or is itself to be written."""
    if PLACEHOLDER in path:
        known = [part for part in Path(path).parents if PLACEHOLDER not in part.as_posix()]
        assert (ROOT / known[0]).is_dir()
        assert known[0] != Path()
    elif "/" in path.rstrip("/") or not _SUFFIX.search(path) or (ROOT / path).exists():
        assert (ROOT / path).exists()
    else:
        # A bare name such as `kernel.py`: the list around it gives the folder.
        assert any((ROOT / "kernels" / "gpu").glob(f"*/{path}"))


@pytest.mark.parametrize("name", DOTTED)
def test_every_python_name_resolves(name):
    resolve(name)


@pytest.mark.parametrize(("name", "entries"), TABLES)
def test_every_table_has_the_entries_that_the_page_states(name, entries):
    table = resolve(name)
    names = [getattr(entry, "__name__", entry) for entry in table]
    assert [str(entry).rpartition(".")[2] for entry in names] == entries


def test_the_page_names_every_group_of_entry_points():
    plugins = importlib.import_module("sgi.engine.plugins")
    groups = {value for value in vars(plugins).values() if isinstance(value, str) and value.startswith("sgi_engine.")}
    assert set(GROUPS) == groups


def test_every_group_of_entry_points_is_used():
    """Each constant of sgi.engine.plugins is used by the room with the table."""
    plugins = importlib.import_module("sgi.engine.plugins")
    constants = {name for name, value in vars(plugins).items() if isinstance(value, str) and value in GROUPS}
    sources = "\n".join(
        path.read_text()
        for room in ("engine", "export", "trainer")
        for path in (ROOT / room).rglob("*.py")
        if path.name != "plugins.py"
    )
    for name in constants:
        assert re.search(rf"plugins import (\w+, )*{name}\b|plugins\.{name}\b", sources), name


def test_the_picture_and_the_table_of_rooms_agree_with_the_layout_test():
    script = picture_script()
    assert script.allowed() == ALLOWED
    assert set(script.JOBS) >= set(ALLOWED)
    assert script.PICTURE.read_text() == script.picture()
    assert script.filled(TEXT) == TEXT


def test_the_picture_implies_every_allowed_import():
    """Drawn arrows, followed downwards, reach exactly the rooms that ALLOWED reaches."""
    script = picture_script()

    def reached(room: str) -> set[str]:
        return {other for direct in script.arrows(room) for other in (direct, *reached(direct))}

    for room in ALLOWED:
        assert reached(room) == script.below(room) >= ALLOWED[room]
