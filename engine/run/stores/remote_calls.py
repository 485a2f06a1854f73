"""Calls of an fsspec file system: repeated where that can help, and errors that say what to do."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from threading import Event
from typing import Any, TypeVar

from sgi.engine.errors import UserError, one_line

T = TypeVar("T")

_FIRST_DELAYS = (1.0,)
"""Seconds before the next try of a call as long as none has succeeded: the address may be wrong."""
_DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0)
"""The same afterwards: a run of hours survives four minutes without its store."""
_NO_ANSWER = frozenset(
    {
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectionError",
        "FSTimeoutError",
        "HTTPClientError",
        "TimeoutError",
    }
)
"""Names of classes of errors of the network, of Python, botocore, aiohttp and fsspec."""
_BUSY = (errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO))
"""What s3fs makes of the answers 500 and 503."""
OWN_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of the folder of temporary files."""
_AGAIN = "run the same command again to continue"
_SHOWN = 200  # characters of the message of a library


class RemoteCalls:
    """Calls about one URL. say: prints a message while a run waits for the next try.

    Errors become a UserError that names `outdir`, except FileNotFoundError and FileExistsError of an object, which
    mean something to the caller, and errors of the own disk.
    """

    def __init__(self, url: str, say: Callable[[str], None] = lambda text: None) -> None:
        self.url = url
        self._say = say
        self._answered = False
        self._ending = Event()

    def __call__(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """The result of a function that can be called again."""
        number = 0
        while True:
            try:
                found = function(*arguments, **options)
            except Exception as error:
                answer = isinstance(error, (FileNotFoundError, FileExistsError)) and not _lacks_bucket(error)
                if answer:
                    self._answered = True
                    raise
                if isinstance(error, OSError) and error.errno in OWN_DISK:
                    raise
                delays = _DELAYS if self._answered else _FIRST_DELAYS
                if not _can_help(error) or number >= len(delays) or self._ending.is_set():
                    raise self.refusal(error) from error
                self._wait(error, delays[number])
                number += 1
            else:
                self._answered = True
                return found

    def stop_retrying(self) -> None:
        """Let calls that fail from now on fail at once."""
        self._ending.set()

    def refusal(self, error: Exception) -> UserError:
        """What an error means, and what to do."""
        return UserError(f"`outdir={self.url}`: {_meaning(error)}")

    def _wait(self, error: Exception, seconds: float) -> None:
        if self._answered:
            self._say(f"{self.url}: {_words(error)}; next try in {seconds:.0f} s")
            self._ending.wait(seconds)
        else:
            time.sleep(seconds)


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _can_help(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    return bool(_names(error) & _NO_ANSWER) or (isinstance(error, OSError) and error.errno in _BUSY)


def _lacks_bucket(error: BaseException) -> bool:
    """Whether S3 says that there is no such bucket; s3fs makes a FileNotFoundError of it, as for objects."""
    response = getattr(error.__cause__, "response", None) or {}
    return isinstance(response, dict) and response.get("Error", {}).get("Code") == "NoSuchBucket"


def _meaning(error: Exception) -> str:
    words = _words(error)
    if any("Credential" in name or "TokenError" in name for name in _names(error)):
        return (
            f"no credentials ({words}); for S3 set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or "
            f"use a role of the machine; then {_AGAIN}"
        )
    if "ProfileNotFound" in _names(error):
        return f"no credentials ({words}); set AWS_PROFILE to a profile of ~/.aws, or unset it; then {_AGAIN}"
    if isinstance(error, PermissionError):
        return (
            f"refused ({words}); the credentials must be valid and allow to list, read, write and delete there; then "
            f"{_AGAIN}"
        )
    if isinstance(error, FileNotFoundError):
        return f"no such bucket or container ({words}); make it first, or choose another `outdir`"
    if _names(error) & _NO_ANSWER:
        return (
            f"no answer ({words}); check the network and the address, for S3 AWS_ENDPOINT_URL and AWS_DEFAULT_REGION; "
            f"then {_AGAIN}"
        )
    if isinstance(error, OSError) and error.errno in _BUSY:
        return f"the store fails ({words}); {_AGAIN} later"
    return f"the store refuses ({words}); check `outdir`, and for S3 AWS_ENDPOINT_URL and AWS_DEFAULT_REGION"


def _words(error: Exception) -> str:
    """What a library says, without the number of an OSError."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line((text or type(error).__name__).strip().rstrip("."), _SHOWN)
