"""`sgi-engine view`: a page that shows a model live."""

from __future__ import annotations

import shlex
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from sgi.cli.desktop import has_display
from sgi.cli.options import OffsetFiles, RunBackend, RunCache, RunDevice, RunGenerator, RunModel, Threads
from sgi.cli.progress import progress
from sgi.cli.terminal import echo
from sgi.engine.backends import AUTO
from sgi.engine.byte_size import byte_size
from sgi.engine.errors import UserError, refuse_ignored

PANELS = {
    "Model": ("model", "generator", "offsets", "cache"),
    "Server": ("host", "port", "token", "browser"),
    "One file in place of a server": ("save", "seeds", "size", "psi", "class_index"),
    "Speed": ("backend", "device", "precision", "threads"),
}


def view(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHAT",
            help="An exported model, a generator or checkpoint, or the folder of a run or of `invert`. Default: the "
            "bundled rooms.",
            show_default=False,
        ),
    ] = None,
    model: RunModel = None,
    generator: RunGenerator = None,
    offsets: OffsetFiles = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on. Other than loopback needs a token, which is made.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    token: Annotated[
        str | None, typer.Option("--token", envvar="SGI_TOKEN", help="Token that the page must be opened with.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    backend: RunBackend = AUTO,
    device: RunDevice = AUTO,
    precision: Annotated[str | None, typer.Option("--precision", help="bf16 on CPUs that have it.")] = None,
    threads: Threads = None,
    cache: RunCache = True,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Write one HTML file with the maps of some seeds, and stop. It needs no server."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", help="With --save: seeds, or numbers of a run folder. Default: the first 8."),
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", help="With --save: larger maps are reduced to this side. Default: 256.")
    ] = None,
    psi: Annotated[
        float | None, typer.Option("--trunc", help="With --save: truncation psi. Default: the model's.")
    ] = None,
    class_index: Annotated[
        str | None,
        typer.Option(
            "--class", help="With --save: class of a conditional model, or a mix, as 3:0.7,5:0.3. Default: 0."
        ),
    ] = None,
) -> None:
    """Open a page that shows a model live: image and maps of seeds, truncation, mixing, depth in 3D, other light.

    The address is printed; Ctrl-C ends the server. The page is served to this machine only, unless --host says
    otherwise, and loads nothing from the network.
    """
    opening: dict[str, Any] = {
        "model": model, "generator": generator, "offsets": offsets or [], "backend": backend, "device": device,
        "threads": threads, "precision": precision, "cache": cache,
    }  # fmt: skip
    given = {"seeds": seeds, "size": size, "psi": psi, "class_index": class_index}
    if save is not None:
        _save(save, what, opening, {name: value for name, value in given.items() if value is not None})
        return
    refuse_ignored(given, "without `save`; choose it on the page")
    try:
        import uvicorn

        from sgi.engine.view.app import create_app
    except ModuleNotFoundError as error:
        raise UserError(f'{error.name} is not installed: pip install "sgi-engine[cpu,view]"') from None
    from sgi.engine.service.server import bind
    from sgi.engine.view.opening import open_viewed
    from sgi.engine.view.settings import ViewSettings

    with bind(host, port) as listener:
        with progress() as shown:  # ends before the server runs, as it prints a line whenever nothing else was printed
            viewed = open_viewed(what, **opening, progress=shown)
        with viewed:
            port = listener.getsockname()[1]
            settings = ViewSettings(host=host, token=token, command=_command(port))
            app = create_app(viewed, settings)
            address = settings.address(port)
            echo(address)
            if browser and has_display():
                threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
            config = uvicorn.Config(app, http="h11", ws="none", log_level="warning", timeout_graceful_shutdown=2)
            uvicorn.Server(config).run(sockets=[listener])


def _save(path: Path, what: str | None, opening: dict[str, Any], chosen: dict[str, Any]) -> None:
    """Write a static page."""
    from sgi.engine.view.opening import open_viewed
    from sgi.engine.view.saving import save_view
    from sgi.engine.view.static_page import check_page_path

    check_page_path(path)
    with progress() as shown, open_viewed(what, **opening, progress=shown) as viewed:
        size = save_view(viewed, path, **chosen, progress=shown)
    echo(f"wrote {path}, {byte_size(size)}")


def _command(port: int) -> str:
    """The command line as it was typed, with the port, so that the page finds a viewer that is started again."""
    words = sys.argv[1:]
    if "--port" in words:
        place = words.index("--port")
        del words[place : place + 2]
    words = [word for word in words if not word.startswith("--port=")]
    return shlex.join(["sgi-engine", *words, "--port", str(port)])
