"""HTTP service of an exported model: `sgi-engine serve`, or `create_app` for a server of one's own.

Needs `pip install "sgi-engine[cpu,service]"`.
"""

from sgi.engine.service.app import create_app
from sgi.engine.service.settings import ServiceSettings

__all__ = ["ServiceSettings", "create_app"]
