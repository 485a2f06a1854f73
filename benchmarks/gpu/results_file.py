"""The results file of run.py: rows by section, written after every row; later calls add to it and replace rows."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sgi.engine.errors import UserError

SECONDS_BETWEEN_WRITES = 1.0


@dataclass(frozen=True)
class Case:
    """One measurement: rows of a section. name: unique within the section."""

    section: str
    name: str
    rows: Callable[[], Iterable[Any]]

    @property
    def identity(self) -> str:
        """The case in the lists of failed and skipped cases."""
        return f"{self.section}: {self.name}"


class Record:
    """The results; None as the path keeps them in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._written = 0.0
        self.results: dict[str, Any] = {}
        if path is not None and path.exists():
            self.results = json.loads(path.read_text())
        for name in ("failed", "skipped", "done"):
            self.results.setdefault(name, [])

    def set(self, name: str, value: Any, soon: bool = False) -> None:
        """Write one entry; the file is replaced as a whole, so that it is never half written.

        soon: the next entry follows at once, so that the file is written only if it is a second old.
        """
        self.results[name] = value
        if self.path is not None and (not soon or time.monotonic() - self._written > SECONDS_BETWEEN_WRITES):
            self._written = time.monotonic()
            temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
            temporary.write_text(json.dumps(self.results, indent=1))
            os.replace(temporary, self.path)

    def set_machine(self, machine: dict[str, Any]) -> None:
        """Enter the machine; raises UserError if the file has rows of another GPU."""
        former = self.results.get("machine", machine)
        if former.get("gpu") != machine.get("gpu"):
            raise UserError(
                f"{self.path}: measured on {former.get('gpu')}, not {machine.get('gpu')}; use another `out`"
            )
        self.set("machine", machine)

    def has(self, case: Case) -> bool:
        """Whether the case has been measured."""
        return case.identity in self.results["done"]

    def run(self, case: Case) -> None:
        """Add the rows of a case and remove its former ones; an exception is recorded and does not stop the others."""
        for name in ("failed", "skipped", "done"):
            self.results[name] = [e for e in self.results[name] if e != case.identity and e[0] != case.identity]
        rows = [row for row in self.results.get(case.section, []) if row.get("case_name") != case.name]
        self.results[case.section] = rows
        try:
            for row in case.rows():
                rows.append({"case_name": case.name, **row})
                self.set(case.section, rows, soon=True)
                print(case.section, json.dumps(row), flush=True)
            self.set("done", [*self.results["done"], case.identity])
        except Exception as error:
            traceback.print_exc()
            self.set("failed", [*self.results["failed"], [case.identity, f"{type(error).__name__}: {error}"[:300]]])
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def forget(self, section: str) -> None:
        """Remove the rows of a section and what is known of its cases."""
        self.results.pop(section, None)
        for name in ("failed", "skipped", "done"):
            entries = self.results[name]
            self.results[name] = [
                e for e in entries if not (e if isinstance(e, str) else e[0]).startswith(f"{section}: ")
            ]

    def merge(self, path: Path) -> None:
        """Add what another process recorded, and delete its file."""
        if path.exists():
            other = json.loads(path.read_text())
            for name, value in other.items():
                if isinstance(value, list):
                    self.results[name] = [*self.results.get(name, []), *value]
            self.set("done", self.results["done"])
            path.unlink()

    def skip(self, case: Case) -> None:
        """Note a case for which no time was left."""
        if case.identity not in self.results["skipped"]:
            self.set("skipped", [*self.results["skipped"], case.identity])

    def failed_checks(self) -> int:
        """The number of checks that failed or raised."""
        raised = sum(name.startswith("checks: ") for name, _ in self.results["failed"])
        return raised + sum(not row["passed"] for row in self.results.get("checks", []))
