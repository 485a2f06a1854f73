"""Control characters in names and values never reach the terminal."""

from __future__ import annotations

import ast
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from safetensors.numpy import save_file
from tiny_models import describe, write_model

from sgi import cli
from sgi.cli.progress import Lines, bars
from sgi.cli.terminal import echo, new_console, printable

ESCAPES = "\x1b]0;title\x07\x1b[2J\x1b[31mred\x9b1A\r\x08\u202e[bold]\udcff"
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]")


def test_lines_stay_and_control_characters_are_replaced():
    assert printable("a\nb\x1b[31m") == "a\nb\N{REPLACEMENT CHARACTER}[31m"


def test_tables_titles_and_lines_have_no_control_characters(capsys):
    table = Table(ESCAPES, title=ESCAPES)
    table.add_row(ESCAPES)
    console = new_console()
    console.print(table)
    console.print(ESCAPES)
    echo(ESCAPES)
    echo(ESCAPES, err=True)
    out, err = capsys.readouterr()
    assert not FORBIDDEN.search(out + err)
    assert out.count("[bold]") == 5


def test_progress_has_no_control_characters():
    out = io.StringIO()
    with bars(Console(file=out, force_terminal=False)) as shown, shown.stage(ESCAPES, 2, ESCAPES) as stage:
        stage.advance(1, ESCAPES)
        shown.message(ESCAPES)
    lines = Lines(out)
    lines.message(ESCAPES)
    assert "red" in out.getvalue()
    assert not FORBIDDEN.search(out.getvalue())


def name_of_file(tmp_path: Path) -> list[str]:
    return ["inspect", str(tmp_path / f"{ESCAPES}.onnx")]


def value_of_header(tmp_path: Path) -> list[str]:
    header = {"format": 1, "type": ESCAPES[:-1], ESCAPES[:-1]: {ESCAPES[:-1]: [ESCAPES[:-1]]}}
    save_file({"offset": np.zeros((1, 1), np.float32)}, tmp_path / "x.safetensors", {"sgi_offset": json.dumps(header)})
    return ["inspect", str(tmp_path / "x.safetensors")]


def names_in_a_folder(tmp_path: Path) -> list[str]:
    for index in range(3):
        (tmp_path / f"{index}{ESCAPES}.npy").touch()
    return ["inspect", str(tmp_path)]


def folder_of_a_run(tmp_path: Path) -> list[str]:
    model = write_model(tmp_path / "tiny.onnx", describe())
    return ["run", "--model", str(model), "--seeds", "0", "--outdir", str(tmp_path / ESCAPES), "--quiet"]


@pytest.mark.parametrize("case", [name_of_file, value_of_header, names_in_a_folder, folder_of_a_run])
def test_commands_print_no_control_characters(tmp_path, capsys, case):
    cli.main(case(tmp_path))
    out, err = capsys.readouterr()
    assert "red" in out + err
    assert not FORBIDDEN.search(out + err)


def test_commands_print_through_one_module():
    folder = Path(cli.__file__).parent
    for path in folder.glob("*.py"):
        if path.name in ("terminal.py", "progress.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("print", "Console", "typer.echo", "sys.stdout.write", "Text.from_markup"), path


def test_an_end_of_file_within_a_command_is_not_taken_for_an_interruption(monkeypatch):
    def read(*_: object) -> None:
        raise EOFError("No data left in file")

    monkeypatch.setattr("sgi.engine.inspect_file.inspect_file", read)
    with pytest.raises(EOFError):
        cli.main(["inspect", "x"])


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def read(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("sgi.engine.inspect_file.inspect_file", read)
    assert cli.main(["inspect", "x"]) == cli.USER_ERROR
    assert capsys.readouterr().err.startswith("error: not enough memory")
