"""Parameter names in messages of the library become the flags of the command that ran."""

from __future__ import annotations

import pytest

from sgi.cli import load_command
from sgi.cli.errors import flags_of, with_flags


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("`class_index=9`: choose 0 to 2", "--class 9: choose 0 to 2"),
        ("`class_index`: the model has no classes", "--class: the model has no classes"),
        ("`preview=False` and `preview=True`", "--no-preview and --preview"),
        ("`seeds=5-1`: reversed", "--seeds 5-1: reversed"),
        ("`psi=nan` of no parameter", "`psi=nan` of no parameter"),
        ("run `sgi-engine export --type depth`", "run `sgi-engine export --type depth`"),
    ],
)
def test_references_become_flags(text, shown):
    flags = {"class_index": ("--class", ""), "seeds": ("--seeds", ""), "preview": ("--preview", "--no-preview")}
    assert with_flags(text, flags) == shown


def test_flags_of_commands():
    flags = flags_of(load_command("run"))
    assert flags["class_index"] == ("--class", "")
    assert flags["preview"] == ("--preview", "--no-preview")
    assert flags["psi"] == ("--trunc", "")
    assert flags_of(load_command("import"))["checkpoint"] == ("FILE", "")
