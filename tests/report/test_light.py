"""Reports and inspections load what they draw with, and nothing that trains."""

import subprocess
import sys
from pathlib import Path

import numpy as np

VERBS = """
import sys
from conr.cli.main import main
for verb, options in (("report", sys.argv[1:3]), ("inspect", sys.argv[3:])):
    assert main([verb, *options]) == 0
    print("loaded:", *{name.partition(".")[0] for name in sys.modules})
"""


def test_report_and_inspect_load_no_lightning(two_methods: Path) -> None:
    table = two_methods / "table.csv"
    table.write_text("\n".join(["x,y", *(f"{row},{label}" for row, label in enumerate(np.arange(100) % 10))]))
    page = f"--out={two_methods / 'page.html'}"
    words = [two_methods, page, table, "--target=y", f"--out={two_methods / 'inspection'}"]
    done = subprocess.run([sys.executable, "-c", VERBS, *map(str, words)], capture_output=True, text=True, check=True)
    report, inspect = (set(line.split()) for line in done.stdout.splitlines() if line.startswith("loaded:"))
    heavy = {"lightning", "torchmetrics", "sklearn", "pandas", "transformers", "torchvision"}
    assert report & (heavy | {"torch", "scipy"}) == set()
    assert inspect & heavy == set()
