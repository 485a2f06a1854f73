"""Opening the store of an `outdir`: a folder, or a URL of fsspec such as s3://bucket/prefix."""

from __future__ import annotations

import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sgi.engine.arguments import check_path
from sgi.engine.errors import UserError, one_line
from sgi.engine.run.disk_errors import DiskError
from sgi.engine.run.shard_files import hold, is_held, remove
from sgi.engine.run.stores.local_folder import LocalFolder
from sgi.engine.run.stores.object_store import ObjectStore
from sgi.engine.run.stores.remote_calls import OWN_DISK, RemoteCalls
from sgi.engine.run.stores.store import Store

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://[^/].*", re.IGNORECASE)
_ALMOST_URL = re.compile(r"[a-z][a-z0-9+.-]+:/.*", re.IGNORECASE)
_LOCAL = ("file", "local")
_WEB = ("http", "https")
_PREFIX = f"sgi-run-{platform.node()}-"
_HELD = ".held"
_YOUNG = 60.0  # seconds in which another process locks the folder that it has made
_CONNECT_SECONDS = 5


def is_url(outdir: str | Path) -> bool:
    """Whether `outdir` is a URL of another place than this machine."""
    match = _URL.fullmatch(outdir) if isinstance(outdir, str) else None
    return match is not None and match[1].lower() not in _LOCAL


def check_outdir(outdir: str | Path) -> Path | str:
    """`outdir` as a path, or as a URL without a slash at its end.

    Raises UserError for what can be neither, such as s3:/bucket, and WrongTypeError for other types.
    """
    if is_url(outdir):
        url = str(outdir).rstrip("/")
        if "::" in url or any(sign in url for sign in "*?[#"):
            raise UserError(f"`outdir={one_line(url, 100)}`: a URL without :: * ? [ and #, such as s3://bucket/pairs")
        if urlsplit(url).password is not None:  # it would be shown in messages and in the list of processes
            raise UserError(
                f"`outdir={_without_password(url)}`: a URL without a password; set it in the configuration of fsspec, "
                "~/.config/fsspec"
            )
        if url.partition(":")[0].lower() in _WEB:
            raise UserError(
                f"`outdir={one_line(url, 100)}`: a web address is not the URL of a store; write s3://bucket/pairs, and "
                "set AWS_ENDPOINT_URL to the address of a store that is not Amazon's"
            )
        return url
    if isinstance(outdir, str) and outdir.lower().startswith(tuple(f"{name}://" for name in _LOCAL)):
        return Path(unquote(urlsplit(outdir).netloc + urlsplit(outdir).path))
    path = check_path(outdir, "outdir")
    if _ALMOST_URL.fullmatch(str(outdir)):
        raise UserError(f"`outdir={outdir}`: write a URL as text with two slashes, such as s3://bucket/pairs")
    return path


def _without_password(url: str) -> str:
    user, _, place = urlsplit(url).netloc.rpartition("@")
    return f"{urlsplit(url).scheme}://{user.partition(':')[0]}:***@{place}{urlsplit(url).path}"


def inside(outdir: Path | str, name: str) -> Path | str:
    """The folder or URL `name` in a folder or URL of `check_outdir`."""
    return f"{outdir}/{name}" if isinstance(outdir, str) else outdir / name


@contextmanager
def open_store(
    outdir: str | Path, say: Callable[[str], None] = lambda text: None, lines: str | None = None
) -> Iterator[Store]:
    """The store of a folder or URL. say: prints a message. lines: see `LocalFolder`, the name of that file.

    Nothing is read or written at first. Raises UserError for a URL whose packages are missing. Errors inside the
    context that name the temporary folder of an object store name its URL.
    """
    found = check_outdir(outdir)
    if isinstance(found, Path):
        yield LocalFolder(found, found / lines if lines else None)
        return
    calls = RemoteCalls(found, say)
    files, root = _file_system(found, calls)
    with _temporary_folder() as folder, closing(ObjectStore(found, files, root, folder, calls)) as store:
        try:
            yield store
        except OSError as error:
            if error.errno not in OWN_DISK:
                raise
            where = f"temporary files in {folder.parent} (TMPDIR)"
            raise UserError(f"{where}: {error.strerror}; free space, or choose another folder") from None
        except DiskError as error:
            remedy = error.remedy.replace("another `outdir`", "another folder")
            raise UserError(f"temporary files in {folder.parent} (TMPDIR): {remedy}") from None
        except UserError as error:
            if str(folder) not in str(error):
                raise
            raise UserError(str(error).replace(str(folder), found)) from error


def _file_system(url: str, calls: RemoteCalls) -> tuple[Any, str]:
    """The file system of fsspec for a URL, and the path in it."""
    scheme = url.partition(":")[0].lower()
    try:
        import fsspec
    except ImportError as error:
        raise UserError(f'`outdir={url}`: it needs fsspec ({error}): pip install "sgi-engine[remote]"') from None
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme in ("s3", "s3a"):
        # The defaults of botocore wait for minutes for an address that does not answer.
        own = fsspec.config.conf.get(scheme, {}).get("config_kwargs", {})
        config = {"connect_timeout": _CONNECT_SECONDS, "retries": {"mode": "standard", "total_max_attempts": 1}}
        options["config_kwargs"] = {**config, **own}
    try:
        files, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        remedy = (
            'pip install "sgi-engine[remote]"' if scheme in ("s3", "s3a") else f"it needs the package of {scheme}://"
        )
        raise UserError(f"`outdir={url}`: {one_line(str(error), 120)}: {remedy}") from None
    except ValueError as error:  # an unknown protocol
        raise UserError(
            f"`outdir={url}`: {one_line(str(error), 120)}; choose a folder, or a URL such as s3://bucket/pairs"
        ) from None
    except Exception as error:  # packages of protocols raise errors of their own for wrong settings
        raise calls.refusal(error) from error
    return files, str(root).rstrip("/")


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder in the one of temporary files, which is removed; what killed runs left is removed at first."""
    place = Path(tempfile.gettempdir())
    with suppress(OSError):
        for path in place.glob(f"{_PREFIX}*"):
            old = path.lstat().st_mtime < time.time() - _YOUNG
            if old and path.lstat().st_uid == os.getuid() and not is_held(path / _HELD):
                remove(path)
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise UserError(f"temporary files in {place}: cannot write there ({error.strerror}); set TMPDIR") from None
    (folder / _HELD).touch()  # not the folder, which a run locks while it writes run.json
    held = hold(folder / _HELD)
    try:
        yield folder
    finally:
        os.close(held)
        remove(folder)
