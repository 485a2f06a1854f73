"""Plugins: things that other installed packages add to one of our tables, such as a teacher, a backend or a map format.

A package declares an entry point in its pyproject.toml. The group selects the table, the name is that of the new entry:

    [project.entry-points."sgi_engine.formats"]
    tiff = "my_package.tiff_format:Tiff"

The tables look here only for a name that they do not contain, and where all names are listed, so that plugins cost
nothing at start. A built-in name cannot be replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sgi.engine.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

BACKENDS = "sgi_engine.backends"
EXPORTERS = "sgi_engine.exporters"
FORMATS = "sgi_engine.formats"
TEACHERS = "sgi_engine.teachers"


def find_plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name, sorted, without importing any of them.

    Raises UserError where two packages use one name.
    """
    from importlib.metadata import entry_points  # takes 20 ms

    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise UserError(
                f"packages {package_of(other)} and {package_of(entry)} both provide {entry.name!r} of {group}: "
                "uninstall one of them"
            )
    return found


def names_with_plugins(group: str, built_in: Iterable[str]) -> tuple[str, ...]:
    """The built-in names of a table, then those that plugins add."""
    own = tuple(built_in)
    return (*own, *(name for name in find_plugins(group) if name not in own))


def load_plugin(group: str, name: str) -> Any | None:
    """The object that a plugin's entry point names, imported; None if no package provides the name.

    Raises UserError, naming the package, where its import fails.
    """
    entry = find_plugins(group).get(name)
    if entry is None:
        return None
    try:
        return entry.load()
    except Exception as error:
        package = package_of(entry)
        raise UserError(
            f"plugin {name!r} of package {package} does not import ({type(error).__name__}: {error}): "
            f"`pip install --upgrade {package}`, or uninstall it"
        ) from error


def package_of(entry: EntryPoint) -> str:
    """Name of the package that provides an entry point, as pip lists it."""
    return entry.dist.name if entry.dist else entry.module
