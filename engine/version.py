"""The version of sgi-engine: the one place that states it. pyproject.toml and CMakeLists.txt read it from here."""

__version__ = "0.1.0"
