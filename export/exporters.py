"""The table of exporters.

A new format is a class that implements `Exporter`, in a file of its own, and a line in EXPORTERS. Another package adds
a format by an entry point that names such a class:

    [project.entry-points."sgi_engine.exporters"]
    coreml = "my_package.coreml:CoreMlExporter"
"""

from __future__ import annotations

from functools import cache

from sgi.engine.errors import UserError
from sgi.engine.plugins import EXPORTERS as GROUP
from sgi.engine.plugins import load_plugin, names_with_plugins
from sgi.export.exporter import Exporter
from sgi.export.onnx import OnnxExporter
from sgi.export.tensorrt import TensorRtExporter
from sgi.export.triton_server import TritonServerExporter

EXPORTERS: dict[str, Exporter] = {
    "onnx": OnnxExporter(),
    "tensorrt": TensorRtExporter(),
    "triton-server": TritonServerExporter(),
}


def exporter_names() -> tuple[str, ...]:
    """Names of the built-in exporters and of those that plugins add."""
    return names_with_plugins(GROUP, EXPORTERS)


def get_exporter(name: str) -> Exporter:
    """The exporter of a format; raises UserError for an unknown name and for a plugin that provides no exporter."""
    return EXPORTERS[name] if name in EXPORTERS else _plugin(name)


@cache
def _plugin(name: str) -> Exporter:
    exporter_class = load_plugin(GROUP, name)
    if exporter_class is None:
        raise UserError(f"`file_format={name}`: choose from {', '.join(exporter_names())}")
    made = exporter_class() if isinstance(exporter_class, type) else None
    if not isinstance(made, Exporter):
        raise UserError(
            f"`file_format={name}`: its plugin provides no class with `suffixes`, `settings`, `check` and `write`"
        )
    return made
