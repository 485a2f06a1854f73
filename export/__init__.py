"""Export of generators with baked offsets to other runtimes: `export_model` writes one verified file of any format."""

from sgi.export.exporter import Exported
from sgi.export.run_export import export_model

__all__ = ["Exported", "export_model"]
