"""The one exception for mistakes a user can mend: bad flags, bad files, missing packages or hardware.

The command line prints it as one line and exits with 2; library users catch it by name.
"""

from __future__ import annotations


class UserError(Exception):
    """A mistake the user can mend; its text is one line naming the flag or file and the remedy."""
