"""Notebooks as pages: ``python -m docs.notebook_pages`` runs them and keeps what they show; MkDocs reads that.

The notebooks in ``docs/notebooks`` are kept with their outputs, so that a page, and a viewer of notebooks, shows
pictures without running anything. Each runs in an empty folder. As a hook of MkDocs this module adds a page for each,
made of its text, code and outputs, in the look of the other pages and with nothing from elsewhere; the notebook itself
lies beside its page.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parent / "notebooks"
SECONDS = 240
"""Most that a cell may take."""

_STYLE = re.compile(r"<style.*?</style>|(?<=<table)[^>]*|(?<=<tr) style=[^>]*", re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Called by MkDocs with all files: add a page for each notebook."""
    from mkdocs.structure.files import File  # noqa: PLC0415  not needed to run notebooks

    for file in [one for one in files if one.src_uri.endswith(".ipynb")]:
        notebook = json.loads(Path(file.abs_src_path).read_text(encoding="utf-8"))
        name = Path(file.src_uri)
        files.append(File.generated(config, str(name.with_suffix(".md")), content=page(notebook, name.name)))
    return files


def page(notebook: dict[str, Any], name: str) -> str:
    """A notebook as Markdown.

    Args:
        notebook: content of the file.
        name: of the file, to which the page links.
    """
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        parts += [shown for output in cell["outputs"] if (shown := _shown(output))]
    parts.append(f"[The notebook of this page]({name}).")
    return "\n\n".join(parts) + "\n"


def execute(path: Path) -> dict[str, Any]:
    """Run a notebook in an empty folder and return it with its outputs, without warnings and what names a folder.

    Args:
        path: of the notebook.

    Raises:
        CellExecutionError: a cell fails.
    """
    import nbformat  # noqa: PLC0415  not needed to show notebooks
    from nbclient import NotebookClient  # noqa: PLC0415

    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=SECONDS, coalesce_streams=True, resources={"metadata": {"path": folder}}
        )
        client.execute()
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    content: dict[str, Any] = json.loads(nbformat.writes(notebook).replace(f"{folder}/", ""))  # type: ignore[no-untyped-call]
    return content


def main() -> int:
    """Run notebooks, by default all, and write them with their outputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="files (default: all)")
    parser.add_argument("--out", type=Path, default=None, help="folder for the results (default: where they are)")
    given = parser.parse_args()
    for path in given.notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
        content = execute(path)
        out = (given.out or path.parent) / path.name
        out.write_text(json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
        print(out)
    return 0


def _shown(output: dict[str, Any]) -> str:
    """An output as Markdown: a picture, a table or text."""
    if output["output_type"] == "stream":
        return _text(output["text"])
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"].split())
        return f'<div class="picture"><img alt="picture of the code above" src="data:image/png;base64,{picture}"></div>'
    if "text/markdown" in data:
        return "".join(data["text/markdown"]).strip()
    if "<table" in "".join(data.get("text/html", "")):
        table = _STYLE.sub("", "".join(data["text/html"]))
        return "\n".join(line.strip() for line in table.splitlines() if line.strip())
    return _text(data.get("text/plain", ""))


def _text(lines: str | list[str]) -> str:
    text = "".join(lines).rstrip()
    return f"```text\n{text}\n```" if text else ""


if __name__ == "__main__":
    sys.exit(main())
