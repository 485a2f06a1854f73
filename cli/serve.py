"""`sgi-engine serve`: maps of seeds over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import types_option
from sgi.cli.terminal import echo
from sgi.engine.backends import AUTO
from sgi.engine.errors import UserError


def serve(
    model: Annotated[Path | None, typer.Option("--model", help="Exported model. Default: the bundled rooms.")] = None,
    types: Annotated[
        list[str] | None, types_option("Maps to serve, such as depth,normal. Default: all of the model.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; other than loopback needs --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    token: Annotated[
        str | None, typer.Option("--token", envvar="SGI_TOKEN", help="Bearer token that requests must carry.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images in one pass.")] = 8,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Images that can wait; beyond it: 503.")] = 256,
    request_seeds: Annotated[int, typer.Option("--request-seeds", min=1, help="Seeds of one request.")] = 64,
    backend: Annotated[str, typer.Option("--backend", help="Backend, as of `run`.")] = AUTO,
    device: Annotated[str, typer.Option("--device", help="Device, as of `run`.")] = AUTO,
    precision: Annotated[str | None, typer.Option("--precision", help="bf16 on CPUs that have it.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all cores.")] = None,
) -> None:
    """Serve maps of seeds over HTTP: GET /maps?seeds=0-3&types=depth, /model, /healthz, /metrics."""
    try:
        import uvicorn

        from sgi.engine.service import ServiceSettings, create_app
        from sgi.engine.service.protocol import BoundedProtocol
    except ModuleNotFoundError as error:
        raise UserError(f'{error.name} is not installed: pip install "sgi-engine[cpu,service]"') from None
    from sgi.engine.api import Engine
    from sgi.engine.service.server import bind

    settings = ServiceSettings(
        batch=batch, queue=queue, request_seeds=request_seeds, token=token, types=tuple(types) if types else None
    )
    settings.check_host(host)
    with (
        bind(host, port) as listener,
        Engine.open(
            model, backend=backend, device=device, types=types, batch=batch, threads=threads, precision=precision
        ) as engine,
    ):
        config = uvicorn.Config(
            create_app(engine, settings), http=BoundedProtocol, log_level="warning", timeout_graceful_shutdown=30
        )
        where = f"[{host}]" if ":" in host else host
        echo(f"http://{where}:{listener.getsockname()[1]}/maps?seeds=0&types={engine.artifact.choose_types(types)[0]}")
        uvicorn.Server(config).run(sockets=[listener])
