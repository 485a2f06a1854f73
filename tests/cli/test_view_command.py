"""`sgi-engine view`: what it opens and refuses, and the server as a process."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from safetensors.numpy import load

from sgi.engine.offsets import Offset
from sgi.engine.view.opening import kind_of


def test_files_and_folders_that_a_viewer_does_not_show(command, tmp_path):
    (tmp_path / "empty").mkdir()
    Offset("depth", "w", {"offset": np.zeros((1, 4), np.float32)}, "0" * 64).save(tmp_path / "depth.safetensors")
    (tmp_path / "model.onnx").write_bytes(b"<!doctype html><html>")
    (tmp_path / "model.engine").write_bytes(b"ftrt")
    (tmp_path / "page.pkl").write_bytes(b"<!doctype html><html>")
    code, out, err = command("view", "s3://bucket/pairs")
    assert (code, err) == (2, "error: WHAT s3://bucket/pairs: a URL; copy the folder to this machine first\n")
    for arguments, words in (
        (["missing"], "missing: no such file or folder"),
        (["empty"], "error: WHAT "),
        (["depth.safetensors"], "depth.safetensors: an offset file of sgi-engine; give it as --offset"),
        (["model.onnx"], "a web page (HTML)"),
        (["model.engine"], "model.json is not beside it"),
        (["page.pkl"], "page.pkl"),
        (["model.onnx", "--model", "other.onnx"], "other.onnx has no effect beside"),
        (["--offset", "depth.safetensors"], "--offset"),
        (["--seeds", "7"], "--seeds 7 has no effect without --save"),
        (["--save", "x.html", "--size", "2"], "--size 2"),
        (["--save", "x.txt"], "x.txt: a page is an HTML file; choose a name with .html"),
        (["--save", "x.png", "--seeds", "0"], "x.png: a page is an HTML file"),
        (["--token", "\u00e4"], "--token: must be printable ASCII characters"),
    ):
        code, out, err = command(
            "view", "--no-browser", *(tmp_path / a if "." in a or a in ("missing", "empty") else a for a in arguments)
        )
        assert (code, out) == (2, ""), arguments
        assert words in err
        assert err.count("error: ") == 1
        assert err.count("\n") == 1


def test_a_port_in_use_is_one_line(command):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, out, err = command("view", "--no-browser", "--port", port)
    assert (code, out) == (2, "")
    assert (
        err == f"error: --host 127.0.0.1 --port {port}: cannot listen there (Address already in use); choose another\n"
    )


def test_what_is_a_model_or_a_generator_by_its_file(tmp_path):
    for name, kind in (("a.onnx", "model"), ("b.engine", "model"), ("c.pkl", "generator"), ("d.pt", "generator")):
        (tmp_path / name).write_bytes(b"content")
        assert kind_of(tmp_path / name) == kind


def test_the_packages_of_the_extra_are_enough():
    """A process without the packages of other extras imports what the command imports."""
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'prometheus_client', 'httptools', 'uvloop', 'fsspec', 'matplotlib', 'yaml'):\n"
        "    sys.modules[name] = None\n"
        "import uvicorn, sgi.cli.view, sgi.engine.view.app, sgi.engine.view.saving, sgi.engine.service.server\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


class Viewer:
    """A viewer in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sgi.cli", "view", "--no-browser", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.port = int(self.address.rsplit(":", 1)[1].split("/")[0])

    def ask(self, path: str, body: object = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read()

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@pytest.fixture(scope="module")
def viewer():
    viewer = Viewer("--threads", "1")
    yield viewer
    code, err = viewer.stop()
    assert (code, err) == (130, "interrupted\n")


def test_the_first_picture_follows_the_command(viewer):
    """The bound is loose: other tests run beside this one. docs/experiments.md has the time alone."""
    status, body = viewer.ask("/api/maps", {"seed": 0})
    assert (status, load(body)["image.pixels"].shape) == (200, (64, 64, 3))
    print(f"first picture {time.perf_counter() - viewer.began:.2f} s after the command")


def test_the_page_states_the_command_that_starts_the_viewer_again(viewer):
    facts = json.loads(viewer.ask("/api/model")[1])
    assert facts["command"] == f"sgi-engine view --no-browser --threads 1 --port {viewer.port}"


def test_browsers_that_leave_in_the_middle_change_nothing(viewer):
    for part in (b"P", b"POST /api/maps HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{", None):
        with socket.create_connection(("127.0.0.1", viewer.port)) as left:
            if part is None:
                body = b'{"seed": 3}'
                left.sendall(
                    b"POST /api/maps HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
            else:
                left.sendall(part)
            left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset, as a killed browser
    assert viewer.ask("/api/maps", {"seed": 4})[0] == 200
    assert viewer.process.poll() is None


def test_the_progress_ends_before_the_server_runs(command, monkeypatch):
    import uvicorn

    from sgi.cli import progress

    ended = []
    leave = progress.Lines.__exit__

    def noted(*given):
        ended.append("progress")
        leave(*given)

    monkeypatch.setattr(progress.Lines, "__exit__", noted)
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: ended.append("server"))
    command("view", "--no-browser")
    assert ended == ["progress", "server"]
