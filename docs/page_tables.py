"""Tables of single pages as Markdown, from the committed files that their kinds name."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from conr.runs.runs import read_runs

_REGULARIZERS = {"none": "none", "pixel": "2,048 pixels", "image": "whole images"}


def sts_b_metrics(folder: Path) -> str:
    """Other metrics than the headline's of each method, means over its runs.

    Args:
        folder: with runs of one dataset.
    """
    by_method: dict[str, list[dict[str, Any]]] = {}
    for run in read_runs([folder]):
        by_method.setdefault(run.result.method, []).append(run.result.metrics)
    columns = [(name, region) for name in ("pearson", "spearman", "mae", "gm") for region in ("all", "few")]
    rows = [
        [method, *(f"{fmean(run[region][name] for run in runs):.3f}" for name, region in columns)]
        for method, runs in sorted(by_method.items(), key=lambda item: (item[0] != "vanilla", item[0]))
    ]
    return markdown_table(
        ["method", "Pearson, all", "few", "Spearman, all", "few", "MAE, all", "few", "GM, all", "few"], rows
    )


def change(folder: Path, dataset: str, before: str, after: str) -> str:
    """Percent by which the mean few-shot MAE of a method is below another's.

    Args:
        folder: with the runs.
        dataset: as in the result files.
        before: method.
        after: the other method.
    """
    runs = [run.result for run in read_runs([folder]) if run.result.dataset == dataset]
    one, two = (fmean(run.metrics["few"]["mae"] for run in runs if run.method == name) for name in (before, after))
    return f"{100 * (1 - two / one):.0f} %"


def sts_b_tuning(path: Path) -> str:
    """Validation errors of the settings that were chosen for each method.

    Args:
        path: record of the search.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for method, chosen in record["chosen"].items():
        runs = [run for run in record["runs"] if (run["method"], run["draw"]) == (method, chosen["draw"])]
        mse, few = ([run[name] for run in runs] for name in ("mse", "mse_few"))
        rows.append([method, str(chosen["draw"]), f"{fmean(mse):.3f} ± {stdev(mse):.3f}", f"{fmean(few):.3f}"])
    return markdown_table(["method", "draw", "validation MSE, five seeds", "few-shot"], rows)


def dense_memory(path: Path) -> str:
    """Memory of one training step on depth maps, a row per case.

    Args:
        path: file of ``benchmarks/dense_memory.py``.
    """
    rows = [
        [
            case["backbone"],
            _REGULARIZERS[case["regularizer"]],
            str(case["images"]),
            f"{case['saved_for_backward_mib']:,.0f}",
            f"{case['peak_rss_mib']:,.0f}",
        ]
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]
    ]
    return markdown_table(["network", "ConR", "images per step", "saved, MiB", "peak, MiB"], rows)


def start(path: Path) -> str:
    """Processor seconds of what is loaded before anything happens, a row per line.

    Args:
        path: file of ``benchmarks/start.py``.
    """
    rows = []
    for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
        ratio = f"{case['ratio']:.2f} times `{case['over']}`" if "over" in case else ""
        rows.append([f"`{case['line']}`", f"{case['seconds']:.2f}", ratio, f"{case['aim']}" if "aim" in case else ""])
    return markdown_table(["line", "processor seconds", "ratio", "aim"], rows)


def demo_epochs(path: Path) -> str:
    """Validation errors of short and long trainings on digits, a row per length and rate.

    Args:
        path: file of ``benchmarks/demo_epochs.py``.
    """
    rows: dict[tuple[str, ...], list[str]] = {}
    for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
        row = rows.setdefault((case["schedule"], f"{case['rate']:g}", str(case["epochs"])), [])
        row += [f"{case['val_mae']:.1f}", f"{case['val_mae_few']:.1f}"]
    header = ["schedule", "learning rate", "epochs", "vanilla, all angles", "rare", "conr, all angles", "rare"]
    return markdown_table(header, [[*key, *row] for key, row in rows.items()])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: str = "---") -> str:
    """A table of Markdown.

    Args:
        header: titles of the columns.
        rows: their cells.
        numbers: the rule below all titles but the first; ``---:`` puts numbers to the right.
    """
    rule = ["---", *[numbers] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))
