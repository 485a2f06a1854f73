"""Errors of the file system as errors of users."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgi.engine.errors import UserError

_GONE = (errno.EIO, errno.ENODEV, errno.ENOTCONN, errno.ENXIO, errno.ESTALE)
"""Errors of a disk that was removed, or of a network file system without its server."""


class DiskError(UserError):
    """A folder that cannot be used. remedy: what is wrong with it and what to do."""

    def __init__(self, outdir: Path, remedy: str) -> None:
        super().__init__(f"`outdir={outdir}`: {remedy}")
        self.outdir = outdir
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[DiskError], tuple[Path, str]]:
        return DiskError, (self.outdir, self.remedy)


@contextmanager
def disk_errors(outdir: Path, started: bool = False) -> Iterator[None]:
    """Turn errors of the file system into a DiskError with the remedy. started: the folder was there before."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "the disk is full; free space and run the same command again to continue"
        elif error.errno in _GONE or (error.errno == errno.ENOENT and started):
            remedy = (
                f"the folder or its disk is gone ({error.strerror}); mount it again and run the same command again to "
                "continue"
            )
        else:
            remedy = f"cannot write there ({error.strerror}); choose another `outdir`"
        raise DiskError(outdir, remedy) from None
