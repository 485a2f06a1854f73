"""`sgi-engine doctor` prints the findings of sgi.engine.doctor as a table."""

from __future__ import annotations

from sgi.engine import doctor
from sgi.engine.doctor import Finding


def test_a_row_for_each_finding_without_markup(command, monkeypatch):
    groups = ((Finding("GPU", "no", "no driver"),), (Finding("numpy", "yes", "[red]2.4"),))
    monkeypatch.setattr(doctor, "diagnose", lambda: groups)
    code, out, error = command("doctor")
    assert (code, error) == (0, "")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert rows == [["GPU", "no", "no driver"], ["numpy", "yes", "[red]2.4"]]
