"""An S3 server on loopback, moto's, for tests of runs into object stores."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest


class S3Server:
    """A server with one bucket. url: of a place in it that is empty. files: the s3fs file system of it."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        import s3fs

        self.endpoint = endpoint
        self.bucket = bucket
        self.url = f"s3://{bucket}/pairs"
        self.files = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
        self.files.mkdir(bucket)

    def contents(self, url: str | None = None) -> dict[str, bytes]:
        """All objects below a URL, by their names relative to it."""
        root = (url or self.url).removeprefix("s3://")
        return {path[len(root) + 1 :]: self.files.cat_file(path) for path in self.files.find(root)}

    def check_credentials(self, check: bool) -> None:
        """Whether requests with keys that the server does not know are refused from now on."""
        request = urllib.request.Request(
            f"{self.endpoint}/moto-api/reset-auth",
            data=b"0" if check else b"inf",
            method="POST",
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request).read()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of a server that all tests of a process share."""
    server = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    loaders = pytest.importorskip("botocore.loaders")
    load_file = cache(loaders.JSONFileLoader().load_file)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        # Every store has a session of its own, which parses the same descriptions of S3.
        patch.setattr(loaders.JSONFileLoader, "load_file", lambda loader, path: load_file(path))
        yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> S3Server:
    """The server with a new bucket; variables of the environment name it, also for child processes."""
    set_s3(monkeypatch, s3_endpoint)
    number = request.config.__dict__.setdefault("s3_buckets", [])
    number.append(request.node.name)
    return S3Server(s3_endpoint, f"bucket-{len(number)}")


def set_s3(monkeypatch: pytest.MonkeyPatch, endpoint: str, **changes: Any) -> None:
    """Set the variables of the environment from which botocore takes the address and the credentials."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    values = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        **changes,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
