"""Run exported generators: `Engine.open("depth.onnx")(seeds=[0, 1])` returns a dict of arrays.

The names are imported on first use, so that `import sgi.engine` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgi.engine.api import Engine
    from sgi.engine.errors import UserError

    __version__: str

__all__ = ["Engine", "UserError", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Engine":
        from sgi.engine.api import Engine

        return Engine
    if name == "UserError":
        from sgi.engine.errors import UserError

        return UserError
    if name == "__version__":
        from sgi.engine.version import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
