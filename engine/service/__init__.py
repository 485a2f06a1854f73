"""HTTP service of an exported model: `sgi-engine serve`, or `create_app` for a server of one's own.

Needs `pip install "sgi-engine[cpu,service]"`. The names are imported on first use: the viewer uses modules of this
package without its other packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgi.engine.service.app import create_app
    from sgi.engine.service.settings import ServiceSettings

__all__ = ["ServiceSettings", "create_app"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from sgi.engine.service.app import create_app

        return create_app
    if name == "ServiceSettings":
        from sgi.engine.service.settings import ServiceSettings

        return ServiceSettings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
