"""A notebook as a page of the site: its text, its code, and the outputs that are stored in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def page_of(notebook: Mapping[str, Any]) -> str:
    """Markdown of a notebook of format 4, parsed from JSON."""
    parts = []
    for cell in notebook["cells"]:
        source = _text(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts += [f"```python\n{source}\n```", *map(_output, cell["outputs"])]
    return "\n\n".join(parts) + "\n"


def _output(output: Mapping[str, Any]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return _text(data["text/html"])
    if "image/png" in data:
        return f'<img src="data:image/png;base64,{_text(data["image/png"]).strip()}" alt="output of the cell">'
    # Not a block of code, which would have a button to copy it.
    return (
        f'<pre style="overflow-x:auto">{escape(_text(output.get("text", data.get("text/plain", ""))).rstrip())}</pre>'
    )


def _text(value: str | Sequence[str]) -> str:
    """A text of a notebook, which files store as one string or as lines."""
    return value if isinstance(value, str) else "".join(value)
