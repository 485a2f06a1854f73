"""Runs the function of one command as typer runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.testing import CliRunner

from sgi.cli.errors import flags_of, with_flags
from sgi.engine.errors import UserError


def run(command: Callable[..., Any], *arguments: object) -> str:
    """Output of a command; raises UserError with flags in place of parameters."""
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if isinstance(result.exception, UserError):
        raise UserError(with_flags(str(result.exception), flags_of(typer.main.get_command(app))))
    assert result.exit_code == 0, result.output
    return result.output
