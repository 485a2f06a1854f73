"""`python -m sgi.engine.cli`: the command where it is not installed."""

from sgi.engine.cli import main

main()
