"""The connection to Ray: a running cluster, or one that is started on this machine and ended with the run."""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir
from types import TracebackType
from typing import Any

from sgi.engine.backends import AUTO
from sgi.engine.cluster.crew import Crew
from sgi.engine.cluster.member import Size
from sgi.engine.errors import UserError, one_line
from sgi.engine.progress import Progress
from sgi.engine.run.plan import Plan

_ADDRESS = re.compile(r"ray://(?P<host>[\w.-]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_SECONDS_TO_CONNECT = 5.0
_ENVIRONMENT = {
    # Ray's messages would be mixed with the progress, or with JSON lines; its log files have them.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # There are three attempts to connect.
    "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": "4",
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "4",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Variables of Ray that are set before it is imported, where they are not set."""


class RayCluster:
    """Workers on Ray; a `sgi.engine.run.plan.Cluster`.

    address: auto, or ray://HOST:PORT of a running cluster. auto is the cluster of RAY_ADDRESS, or the one that runs on
    this machine, or a new one of this machine alone, which ends with this object. workers: how many, None for as many
    as the cluster has room for. worker_cpus: CPU cores of each, or a fraction of one; None for 1, and beside a GPU for
    its share of the cores. worker_gpus: GPUs of each, or a fraction of one; None for one where the cluster has any and
    the device is not cpu. As a context manager it ends the connection.

    Raises UserError for a wrong argument and if Ray is not installed. Ray starts with the first run.
    """

    def __init__(
        self,
        address: str = AUTO,
        workers: int | None = None,
        worker_cpus: float | None = None,
        worker_gpus: float | None = None,
    ) -> None:
        if address != AUTO and not _ADDRESS.fullmatch(address):
            raise UserError(f"`cluster={one_line(address, 80)}`: write auto, or ray://HOST:PORT of a running cluster")
        if workers is not None and workers < 1:
            raise UserError(f"`workers={workers}`: at least 1")
        if worker_cpus is not None:
            _check_share("worker_cpus", worker_cpus, zero=False)
        if worker_gpus is not None:
            _check_share("worker_gpus", worker_gpus, zero=True)
        if find_spec("ray") is None:
            raise UserError(f'`cluster={address}`: ray is not installed: pip install "sgi-engine[scale]"')
        self._address = address
        self._workers, self._cpus, self._gpus = workers, worker_cpus, worker_gpus
        self._ray: Any = None

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, and the cluster if this object started it."""
        if self._ray is not None:
            ray, self._ray = self._ray, None
            with _signals_kept():
                ray.shutdown()

    @contextmanager
    def open(self, plan: Plan, progress: Progress) -> Iterator[Crew]:
        """See `Cluster.open`. Raises UserError for a cluster that cannot be reached, and for one without room."""
        if self._ray is None:
            self._ray = self._connect(progress)
        try:
            crew = Crew(self._ray, plan, self._size(plan), progress)
            try:
                yield crew
            finally:
                crew.close()
        except (ConnectionError, self._ray.exceptions.RaySystemError) as error:
            raise UserError(
                f"`cluster={self._address}`: the connection was lost ({_first_line(error)}); run the same command "
                "again to continue"
            ) from None

    def _connect(self, progress: Progress) -> Any:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        if _has_token():  # clients send it only then, and clusters ask for it by default
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        import ray

        if ray.is_initialized() and self._address == AUTO:  # by the caller of the library
            return _Joined(ray)
        given = os.environ.get("RAY_ADDRESS") or None
        address = self._address if self._address != AUTO else given or _running_here()
        shown = f"cluster={self._address}" + (f"` (RAY_ADDRESS={given})`" if self._address == AUTO and given else "")
        if address not in (None, "local", AUTO):
            _check_reachable(address, shown)
        quiet: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
        try:
            with _signals_kept(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if address in (None, "local"):
                    progress.message("starting Ray on this machine")
                    ray.init(address="local", include_dashboard=False, **quiet)
                else:
                    ray.init(address=address, **quiet)
        except Exception as error:  # Ray raises exceptions of many types
            raise UserError(
                f"`{shown}`: cannot connect: {_first_line(error)}; the cluster must have the same versions of Ray and "
                "Python, and where it asks for a token, RAY_AUTH_TOKEN must have it"
            ) from None
        return ray

    def _size(self, plan: Plan) -> Size:
        """The workers of a run: how many, and the resources of each."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cpus, gpus = (max((node.get(name, 0) for node in nodes), default=0) for name in ("CPU", "GPU"))
        on_gpus = bool(gpus) and plan.record.device != "cpu" and self._gpus is None
        worker_gpus = 1.0 if on_gpus else self._gpus or 0.0
        if worker_gpus > gpus:
            raise UserError(f"`worker_gpus={worker_gpus:g}`: the largest machine of the cluster has {gpus:g} GPUs")
        if plan.record.device == "cuda" and not worker_gpus:
            raise UserError("`device=cuda`: the cluster has no GPU, or `worker_gpus=0`")
        share = max(1.0, float(int(cpus * worker_gpus / gpus))) if worker_gpus else 1.0
        worker_cpus = self._cpus or min(share, cpus)
        if worker_cpus > cpus:
            raise UserError(f"`worker_cpus={worker_cpus:g}`: the largest machine of the cluster has {cpus:g} CPU cores")
        room = sum(
            min(
                int(node.get("CPU", 0) / worker_cpus + 1e-9),
                int(node.get("GPU", 0) / worker_gpus + 1e-9) if worker_gpus else 1 << 30,
            )
            for node in nodes
        )
        shards = math.ceil(len(plan.seeds) / (plan.record.shard_size or 1))
        return Size(max(1, min(self._workers or room, shards)), worker_cpus, worker_gpus)


class _Joined:
    """Ray as the caller connected it, which remains connected."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ray, name)

    def shutdown(self) -> None:
        """Leave the connection to the caller."""


def _check_share(name: str, value: float, zero: bool) -> None:
    if not (0 <= value <= 1024 and (value <= 1 or value == int(value)) and (zero or value)):
        above = "" if zero else "above 0, "
        raise UserError(f"`{name}={value:g}`: {above}a fraction up to 1 or a whole number up to 1024")


def _has_token() -> bool:
    """Whether there is a token for clusters that ask for one."""
    names = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    return any(map(os.environ.get, names)) or (Path.home() / ".ray" / "auth_token").exists()


def _running_here() -> str | None:
    """The address of the cluster that `ray start` started on this machine; None if it does not answer."""
    folder = Path(os.environ.get("RAY_TMPDIR") or gettempdir()) / "ray"
    try:
        address = (folder / "ray_current_cluster").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return address if address and _answers(address) else None


def _check_reachable(address: str, shown: str) -> None:
    if not _answers(address):
        raise UserError(
            f"`{shown}`: nothing answers at {one_line(address, 80)}; start a cluster with `ray start --head`, or check "
            "host and port: that of ray:// is 10001 unless the cluster has another"
        )


def _answers(address: str) -> bool:
    host, _, port = address.partition("://")[2].rpartition(":") if "://" in address else address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_CONNECT):
            return True
    except (OSError, ValueError, OverflowError):
        return False


@contextmanager
def _signals_kept() -> Iterator[None]:
    """A context after which SIGTERM has the handler of before; Ray sets its own, which ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[0] if lines else type(error).__name__, 200)
