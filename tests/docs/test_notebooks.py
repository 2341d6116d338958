"""The notebooks run from top to bottom, on fewer rows and epochs, and are kept with what they show."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from docs.notebook_pages import NOTEBOOKS, page

ROOT = Path(__file__).parents[2]
SHORTER = {
    "csv-file": {
        "pd.read_csv(path)": "pd.read_csv(path)[::3]",
        "random_state=0, verbose": "random_state=0, cv=3, verbose",
    },
    "image-folder": {"range(1500)": "range(500)", '"trainer.max_epochs": 15': '"trainer.max_epochs": 1'},
    "own-loop": {"epochs=12": "epochs=1"},
}
"""What is replaced in the code of a notebook, so that a test takes seconds."""


def code_of(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def outputs_of(path: Path) -> list[list[str]]:
    """Kinds of the outputs of each cell."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [[output["output_type"] for output in cell.get("outputs", [])] for cell in cells]


def shortened(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    for code, less in SHORTER[path.stem].items():
        typed, replacement = (json.dumps(one)[1:-1] for one in (code, less))  # as a file of JSON has it
        assert text.count(typed) == 1, code
        text = text.replace(typed, replacement)
    return text


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_and_is_kept_with_its_outputs(path: Path, tmp_path: Path) -> None:
    short = tmp_path / "short" / path.name
    short.parent.mkdir()
    short.write_text(shortened(path), encoding="utf-8")
    command = [sys.executable, "-m", "docs.notebook_pages", str(short), "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert code_of(short) == code_of(tmp_path / path.name)
    assert outputs_of(path) == outputs_of(tmp_path / path.name), "run `python -m docs.notebook_pages`"
    assert "/tmp" not in path.read_text(encoding="utf-8")  # noqa: S108  no folder of a machine
    assert path.stat().st_size < 400_000


def test_a_page_has_text_code_tables_and_pictures() -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["two\n", "lines\n"]},
        {
            "output_type": "execute_result",
            "data": {"text/html": '<style>x</style><table border="1">\n <tr></tr></table>'},
        },
        {"output_type": "display_data", "data": {"image/png": "QUJD\n", "text/plain": "<Figure>"}},
        {"output_type": "execute_result", "data": {"text/plain": "(1, 2)"}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# One\n", "text"]},
        {"cell_type": "code", "source": "1, 2", "outputs": outputs},
    ]
    assert page({"cells": cells}, "one.ipynb") == (
        "# One\ntext\n\n```python\n1, 2\n```\n\n```text\ntwo\nlines\n```\n\n<table>\n<tr></tr></table>\n\n"
        '<div class="picture"><img alt="picture of the code above" src="data:image/png;base64,QUJD"></div>\n\n'
        "```text\n(1, 2)\n```\n\n[The notebook of this page](one.ipynb).\n"
    )
