"""mkdocs hooks: pages whose source is outside docs/, links to files that are not on the site, and the packages' names.

Sources are written for reading in the repository. A link to a file of the repository becomes a link to that file's
page; where the site has no page for it, only the link's text remains.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from notebook_page import page_of as notebook_page  # mkdocs finds modules beside a hook

ROOT = Path(__file__).parents[1]
PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
    "release.md": "RELEASE.md",
    "native.md": "engine/native/README.md",
    "model-card.md": "engine/bundle/CARD.md",
    "examples/look.md": "docs/examples/look.ipynb",
}
"""Page of the site -> its source in the repository."""

PACKAGES = ("cli", "engine", "export", "kernels", "trainer")
API = ROOT / "build" / "api" / "sgi"
"""Links to the packages under their import name: mkdocstrings reads sources and does not follow editable installs."""

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s#]+)(?P<anchor>#[^()\s]*)?\)")
_BLOCK = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)


def on_startup(command: str, dirty: bool) -> None:
    """Make the links of API, before any plugin looks for packages."""
    API.mkdir(parents=True, exist_ok=True)
    for name in PACKAGES:
        link = API / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of PAGES."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text()
        content = notebook_page(json.loads(text)) if source.endswith(".ipynb") else text
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links at pages of the site."""
    uri = page.file.src_uri
    source = PAGES.get(uri, f"docs/{uri}")

    def on_site(match: re.Match[str]) -> str:
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            return match[0]
        wanted = page_of(posixpath.normpath(posixpath.join(posixpath.dirname(source), target)))
        if wanted is None or files.get_file_from_path(wanted) is None:
            return match["text"]
        link = posixpath.relpath(wanted, posixpath.dirname(uri) or ".")
        return f"{match['image']}[{match['text']}]({link}{match['anchor'] or ''})"

    parts = _BLOCK.split(markdown)
    return "".join(part if i % 2 else _LINK.sub(on_site, part) for i, part in enumerate(parts))


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Show the paths of sources as they are in the repository, not those of the links."""
    return html.replace(f"{API.relative_to(ROOT).as_posix()}/", "")


def page_of(path: str) -> str | None:
    """Page of the site that shows a file of the repository, or None for a file that no page shows."""
    for page, source in PAGES.items():
        if path == source:
            return page
    return path.removeprefix("docs/") if path.startswith("docs/") else None
