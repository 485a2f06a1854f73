"""Progress of commands: bars on a terminal, lines elsewhere, nothing with --quiet."""

from __future__ import annotations

import inspect
import io
import os
import pty
import re
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from rich.console import Console

from sgi.cli import load_command
from sgi.cli.progress import Lines, bars, progress
from sgi.engine.progress import SILENT


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines():
    """A `Lines` display, its clock, and a function that returns the lines printed so far."""
    out, clock = io.StringIO(), Clock()
    return Lines(out, clock), clock, lambda: out.getvalue().splitlines()


def test_a_line_every_five_seconds_with_the_time_left(lines):
    display, clock, printed = lines
    with display.stage("fits", 100, "steps") as stage:
        for _ in range(12):
            clock.now += 1
            stage.advance(2, "loss 0.5")
        assert printed() == [
            "fits: 10 of 100 steps, 0:00:45 left, loss 0.5",
            "fits: 20 of 100 steps, 0:00:40 left, loss 0.5",
        ]
    assert printed()[2:] == ["fits: 24 steps in 0:00:12"]


def test_a_short_stage_prints_nothing(lines):
    display, clock, printed = lines
    with display.stage("seeds", 1000) as stage:
        clock.now += 4.9
        stage.advance(1000)
    assert printed() == []


def test_seeds_found_at_the_start_do_not_shorten_the_time_left(lines):
    display, clock, printed = lines
    with display.stage("seeds", 2000) as stage:
        stage.advance(1000)
        for _ in range(10):
            clock.now += 5
            stage.advance(10)
        assert printed()[-1] == "seeds: 1100 of 2000, 0:07:30 left"


def test_a_stage_of_unknown_speed_prints_no_time(lines):
    display, clock, printed = lines
    with display.stage("search", 10) as stage:
        clock.now += 6
        stage.advance(0, "waiting")
        assert printed() == ["search: 0 of 10, waiting"]


def test_a_failed_stage_prints_no_last_line(lines):
    display, clock, printed = lines
    with suppress(RuntimeError), display.stage("seeds", 10) as stage:
        clock.now += 5
        stage.advance(1)
        raise RuntimeError
    assert len(printed()) == 1


def test_a_silence_ends_after_thirty_seconds(lines):
    display, clock, printed = lines
    display.message("opening")
    with display.stage("fits", 4):
        for _ in range(8):
            clock.now += 10
            display.check()
    clock.now += 30
    display.check()
    assert printed() == [
        "opening",
        "fits: still running after 0:00:30",
        "fits: still running after 0:01:00",
        "opening: still running after 0:01:50",
    ]


def test_the_silence_is_watched_while_the_display_is_open(monkeypatch):
    monkeypatch.setattr("sgi.cli.progress.SILENCE_SECONDS", 0.02)
    out = io.StringIO()
    with Lines(out) as display, display.stage("fits", 4):
        for _ in range(500):
            if "still running" in out.getvalue():
                break
            time.sleep(0.01)
    assert "fits: still running" in out.getvalue()


LONG = (
    "run",
    "export",
    "train",
    "score",
    "invert",
    "relight",
    "eval",
    "ablate",
    "train-generator",
    "train-teacher",
    "bundle",
)


@pytest.mark.parametrize("name", LONG)
def test_long_commands_have_quiet_and_the_one_display(name):
    command = load_command(name)
    assert "--quiet" in [flag for parameter in command.params for flag in parameter.opts]
    assert "progress(quiet" in inspect.getsource(command.callback.__wrapped__)


def test_bars_show_count_unit_and_note_and_disappear():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    with bars(console) as display:
        with display.stage("fits", 8, "tasks") as stage:
            stage.advance(3, "[depth]")
            display._display.refresh()
            shown = out.getvalue()
        display.message("one line")
        assert not display._display.tasks
    assert re.search(r"fits .*3/8 tasks .*\[depth\]", shown)
    assert "one line\n" in out.getvalue()


def test_quiet_prints_nothing():
    with progress(quiet=True) as display:
        assert display is SILENT


def test_output_that_is_not_a_terminal_gets_lines(capsys):
    with progress() as display:
        assert isinstance(display, Lines)
        display.message("one line")
    assert capsys.readouterr() == ("", "one line\n")


def on_terminal(*arguments: object) -> tuple[str, str]:
    """Run sgi-engine with a pseudo-terminal as stderr: (stdout, what the terminal received)."""
    ours, theirs = pty.openpty()
    code = "import sys, sgi.cli as cli; sys.exit(cli.main())"
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        received = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # the process closed the terminal
                break
            if not part:
                break
            received += part
        assert process.stdout
        out = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    return out.decode(), received.decode()


def test_run_draws_a_bar_with_rate_on_a_terminal(model, tmp_path):
    arguments = ("run", "--seeds", "0-299", "--model", model, "--backend", "onnxruntime", "--no-preview")
    out, received = on_terminal(*arguments, "--outdir", tmp_path / "bar")
    assert "300/300" in received
    assert "seeds/s" in received
    assert out.startswith("wrote 300 seeds")
    out, received = on_terminal(*arguments, "--outdir", tmp_path / "quiet", "--quiet")
    assert received == ""
    assert out.startswith("wrote 300 seeds")
