"""Run the notebooks of docs/examples/ and store their outputs in them.

    python docs/run_notebooks.py

To change a notebook, edit it in Jupyter or as JSON, and run this. What changes from run to run, or is there twice, is
not stored: times, numbers of cells, and the PNG of a table that is there in HTML.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

EXAMPLES = Path(__file__).parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
SECONDS = 120
"""Longest time of a cell."""


def executed(path: Path, folder: Path) -> NotebookNode:
    """A notebook with new outputs; its cells run in `folder`. Raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )  # fmt: skip
    client.execute()
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
            for output in cell.outputs:
                _simplify(output)
    return notebook


def _simplify(output: NotebookNode) -> None:
    if "execution_count" in output:
        output.execution_count = None
    data = output.get("data", {})
    if "text/html" in data:
        data.pop("image/png", None)


def main() -> None:
    """Run all notebooks."""
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(path, Path(folder)), path)
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
