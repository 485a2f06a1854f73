"""The `sgi-engine` command: a table of commands, each in its own module, which is imported when the command runs.

`main` handles errors. A mistake that the user can correct is one line on stderr and exit code 2; Ctrl-C is exit code
130; a closed pipe prints nothing. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import keyword
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from inspect import getdoc  # not the module: `sgi.cli.inspect` is a command
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from sgi.cli.errors import flags_of, with_flags
from sgi.cli.terminal import echo, printable
from sgi.engine.errors import UserError

COMMANDS = {
    "run": "Write the maps of seeds or latents as files; the same command continues a stopped run.",
    "sheet": "Write a grid of maps as one picture: rows of seeds, of psi or of alpha.",
    "interpolate": "Walk from seed to seed and write the image beside its maps, as a video or as frames.",
    "verify": "Check a folder of maps against its hashes and its model, and merge the manifests of its parts.",
    "inspect": "Describe a checkpoint, or a file or folder that a command wrote; nothing in it is executed.",
    "import": "Convert a StyleGAN2 checkpoint to a generator file; nothing in it is executed.",
    "export": "Bake offsets into a generator and write one verified model: ONNX, TensorRT or a Triton repository.",
    "train": "Fit the offset of a map type to a teacher and score it on held-out seeds.",
    "score": "Score offsets on held-out seeds, beside baselines that are fitted to the same data.",
    "combine": "Write the weighted sum of offsets as a new offset.",
    "invert": "Find the w+ latents of your own pictures and write their maps.",
    "relight": "Find directions in w+ that change the light, and measure how much the maps change with it.",
    "eval": "Fit offsets and controls, score them with confidence intervals, and write a report with a verdict.",
    "ablate": "Measure how the score of a map depends on the space, rows, images or scale of its offset.",
    "train-generator": "Train a StyleGAN2 on procedural rooms; the same command continues a stopped run.",
    "train-teacher": "Train the U-Net teacher on rendered rooms and measure it on held-out rooms.",
    "view": "Open a page that shows a model or a run folder live: seeds, maps, depth in 3D, other light.",
    "serve": "Serve maps of seeds over HTTP: GET /maps, /model, /healthz, /metrics.",
    "doctor": "List what is installed, the GPUs, and which backends work, with the reason where one does not.",
    "bundle": "Rebuild the bundled files: train generator and teacher, fit the offsets, export, write the model card.",
}
"""Command -> its first line of help.

The command `train-teacher` is the function `train_teacher` of the module `train_teacher` in this folder. The rest of
its help is the function's docstring after the first paragraph. A module with many options divides them by a table
PANELS, title -> names of parameters; the others are under "Options".
"""

_HELP_FLAGS = {"help_option_names": ["-h", "--help"]}
INTERRUPTED = 130
USER_ERROR = 2
_BROKEN_PIPE = 1  # the exit code of typer for it
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_EXTRAS = {
    "run": "cpu",
    "interpolate": "cpu",
    "sheet": "cpu",
    "verify": "cpu",
    "view": "cpu",
    "doctor": "cpu",
    "import": "export",
    "inspect": "export",
    "export": "export",
}
_DEFAULT_EXTRA = "train"
_OPTIONAL = {"torch", "onnx", "ml_dtypes", "onnxruntime", "openvino", "matplotlib", "yaml"}
"""Modules that come with an extra of the package; _EXTRAS: the extra that a command needs."""


class _LazyGroup(TyperGroup):
    """A group that lists its commands from COMMANDS and imports a command only to run it."""

    running: Any = None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        self.running = load_command(name) if name else command
        return name, self.running, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


def load_command(name: str) -> Any:
    """Import the module of a command and return its click command."""
    name_of_function = name.replace("-", "_") + ("_" if keyword.iskeyword(name) else "")
    module = import_module(f"sgi.cli.{name_of_function}")
    function = getattr(module, name_of_function)
    _, _, details = (getdoc(function) or "").partition("\n\n")
    single = typer.Typer(add_completion=False)
    # Lines of a paragraph are joined: the terminal has another width than the source.
    paragraphs = [paragraph.replace("\n", " ") for paragraph in details.split("\n\n")]
    text = "\n\n".join([COMMANDS[name], *paragraphs]).rstrip()
    single.command(name, help=text, context_settings=_HELP_FLAGS)(function)
    command = typer.main.get_command(single)
    for panel, parameters in getattr(module, "PANELS", {}).items():
        for parameter in command.params:
            if parameter.name in parameters:
                setattr(parameter, "rich_help_panel", panel)  # noqa: B010
    if any(parameter.name == "generator" for parameter in command.params):
        command.context_settings["token_normalize_func"] = _option_name
    return command


def _option_name(name: str) -> str:
    """Name of an option without aliases: --network, as in NVIDIA's programs, is --generator.

    A second name in the option itself would take the width of the help text.
    """
    return "generator" if name == "network" else name


def build() -> Any:
    """The command group; no command is imported yet."""
    app = typer.Typer(cls=_LazyGroup, context_settings=_HELP_FLAGS)
    app.callback()(sgi_engine)
    group: Any = typer.main.get_command(app)
    group.commands.update({name: TyperCommand(name, help=text) for name, text in COMMANDS.items()})
    return group


def _print_version(requested: bool) -> None:
    if requested:
        from sgi.engine import __version__

        echo(f"sgi-engine {__version__}")
        raise typer.Exit


def sgi_engine(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Compute depth, normals, albedo and shading with a StyleGAN2."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line. Returns its exit code: 0 success, 2 a mistake that the user can correct, 130 Ctrl-C."""
    _open_closed_streams()
    arguments = list(sys.argv[1:] if args is None else args) or ["--help"]
    for before, word in zip(["", *arguments], arguments):  # noqa: B905
        # As a path an empty text would be the current folder; it comes from an unset variable of the shell.
        if not word or (word.startswith("--") and word.endswith("=")):
            name = word[:-1] or (before if before.startswith("-") else "an argument")
            return _fail(f"{name} is empty: give a value, or leave it out")
    group = build()
    warnings.formatwarning = lambda message, *args: _warning(message, group.running)
    try:
        result = group.main(args=arguments, prog_name="sgi-engine", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except typer.Abort as stop:
        if isinstance(stop.__cause__, EOFError):  # click takes it for the end of a dialogue
            raise stop.__cause__ from None
        return INTERRUPTED
    except MemoryError:
        return _fail("not enough memory; close other programs, or give a smaller file or batch")
    except UserError as error:
        return _fail(with_flags(str(error), flags_of(group.running)))
    except BrokenPipeError:
        # The interpreter flushes stdout at exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        return _fail(f"{error.filename or 'writing'}: {error.strerror}; free space or choose a folder you can write to")
    except ModuleNotFoundError as error:
        if error.name not in _OPTIONAL:
            raise
        extra = _EXTRAS.get(getattr(group.running, "name", ""), _DEFAULT_EXTRA)
        return _fail(f'{error.name} is not installed: pip install "sgi-engine[{extra}]"')
    except Exception as error:
        # Usage errors of typer. Their classes differ between versions of typer, this method does not.
        if not hasattr(error, "format_message"):
            raise
        return _fail(" ".join(error.format_message().split()))


def _open_closed_streams() -> None:
    """Open the null device where the caller closed stdin, stdout or stderr (`>&-`).

    Otherwise the next file that a command opens has the number of the stream, and runtimes print into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest free number
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115


def _warning(message: Warning | str, command: Any) -> str:
    """A warning as one line with the flags of `command`, without the source position that Python adds."""
    return printable(f"warning: {with_flags(str(message), flags_of(command) if command else {})}") + "\n"


def _fail(message: str) -> int:
    echo(f"error: {message}", err=True)
    return USER_ERROR
