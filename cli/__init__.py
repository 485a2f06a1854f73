"""The `sgi-engine` command: a table of commands, each in a module of its own that is imported only when it runs.

`main` is the whole error policy: what a user can mend is one line on stderr and exit code 2, Ctrl-C is 130, a closed
pipe is quiet; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import keyword
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from sgi.cli.errors import flags_of, with_flags
from sgi.engine.errors import UserError

# Command -> its line in `sgi-engine --help`, which its docstring opens with. `train-teacher` is the function
# `train_teacher` of the module `train_teacher` in this folder.
COMMANDS = {
    "run": "Write the maps of seeds as files.",
    "inspect": "Say what a file is: a generator, a checkpoint, an offset or an exported model; "
    "nothing in it is executed.",
    "import": "Turn a StyleGAN2 checkpoint of any common format into a native generator, running none of its code.",
    "export": "Bake offsets into a generator, write one verified file, "
    "and build an engine or a server's repository of it.",
    "train": "Fit the offset that turns the generator's pictures into maps, and score it on held-out seeds.",
    "score": "Score offsets on held-out seeds, "
    "beside baselines fitted on the pictures that the offsets were fitted on.",
    "combine": "Add offsets up, each times its weight: average fits, add a direction to a map, go part of the way.",
    "invert": "Find the latents of your own pictures and their maps. "
    "Beyond the paper, which is about generated pictures.",
    "relight": "Find directions that change the light, and measure how maps change with it.",
    "eval": "Fit maps and controls, score all of them with intervals beside baselines, "
    "and write a report with a verdict.",
    "ablate": "Measure how a map depends on its offset's space, rows and length, and on the number of pictures.",
    "train-generator": "Train a generator on rooms; stop and continue at will with Ctrl-C and the same command.",
    "train-teacher": "Train the U-Net teacher on rendered rooms, measure it on held-out ones and write its file.",
    "doctor": "Say what is installed, which GPU is here, and which backends work and why the others do not.",
    "bundle": "Train generator and teacher on rooms, fit every offset, export, and write manifest and model card.",
}

INTERRUPTED = 130
USER_ERROR = 2
_BROKEN_PIPE = 1  # as typer answers it where it sees it first
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class _LazyGroup(TyperGroup):
    """Lists commands from the table and imports one only to run it."""

    running: Any = None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        self.running = load_command(name) if name else command
        return name, self.running, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


def load_command(name: str) -> Any:
    """Import a command's module and make it a typer command."""
    function = name.replace("-", "_") + ("_" if keyword.iskeyword(name) else "")
    single = typer.Typer(add_completion=False)
    single.command(name)(getattr(import_module(f"sgi.cli.{function}"), function))
    return typer.main.get_command(single)


def build() -> Any:
    """Make the command group; nothing of a command is imported yet."""
    app = typer.Typer(cls=_LazyGroup, add_completion=False)
    app.callback()(sgi_engine)
    group: Any = typer.main.get_command(app)
    group.commands.update({name: TyperCommand(name, help=text) for name, text in COMMANDS.items()})
    return group


def _print_version(asked: bool) -> None:
    if asked:
        from sgi.engine import __version__

        typer.echo(f"sgi-engine {__version__}")
        raise typer.Exit


def sgi_engine(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Depth, normals, albedo and shading out of a StyleGAN2, exported and fast."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code: 0 done, 2 a mistake the user can mend, 130 Ctrl-C."""
    asked = list(sys.argv[1:] if args is None else args) or ["--help"]
    warnings.formatwarning = _warning
    group = build()
    try:
        result = group.main(args=asked, prog_name="sgi-engine", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except UserError as error:
        return _fail(with_flags(str(error), flags_of(group.running)))
    except BrokenPipeError:
        # The interpreter flushes stdout once more at exit, into a pipe that nobody reads.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        return _fail(f"{error.filename or 'writing'}: {error.strerror}; free space or choose a folder you can write to")
    except Exception as error:
        # typer's usage errors; their classes moved between versions of typer, this method did not.
        if not hasattr(error, "format_message"):
            raise
        return _fail(" ".join(error.format_message().split()))


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning as one line, without the place in the code that Python adds: it is for who typed the command."""
    return f"warning: {message}\n"


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return USER_ERROR
