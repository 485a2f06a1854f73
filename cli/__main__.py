"""`python -m sgi.cli`: the command where it is not installed."""

from sgi.cli import main

main()
