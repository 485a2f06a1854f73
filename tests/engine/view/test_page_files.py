"""The files of the page: the vendored library is the one that its README describes, and nothing is loaded from afar."""

from __future__ import annotations

import hashlib
import json
import re

from sgi.engine.view.assets import PAGE, assets


def test_vendored_files_have_the_hashes_of_their_readme():
    vendor = PAGE / "vendor"
    listed = dict(re.findall(r"^\| `([\w.]+)` \|.*\| `([0-9a-f]{64})` \|$", (vendor / "README.md").read_text(), re.M))
    files = {path.name: path for path in vendor.iterdir() if path.name != "README.md"}
    assert set(listed) == set(files)
    assert listed == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_modules_that_are_imported_exist():
    text = (PAGE / "index.html").read_text()
    found = re.search(r'id="imports">(.*?)</script>', text, re.DOTALL)
    assert found
    imports = json.loads(found[1])["imports"]
    assert all(url.startswith("/page/") and url.removeprefix("/page/") in assets() for url in imports.values())
    for path in PAGE.glob("*.js"):
        names = re.findall(r'(?:^|\s)(?:import|from) "([^"]+)"', path.read_text())
        assert set(names) <= set(imports), path.name


def test_no_file_names_another_origin_or_runs_text():
    for name, path in assets().items():
        found = re.findall(r"https?://(?!www\.w3\.org/)[\w./-]+|new Function|\beval\(", path.read_text())
        assert not found, name
