"""`python -m sgi.cli`: the command line where the console script is not installed."""

from sgi.cli import main

raise SystemExit(main())
