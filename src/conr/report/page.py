"""The report: one HTML file that needs nothing else."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from conr.report.aggregate import DatasetRuns, load_runs
from conr.report.answer import Answer, find_answers
from conr.report.choice import choice_parts
from conr.report.comparison import GRID_METRICS, compare, published_table
from conr.report.comparison_pictures import ranks_gallery, trade_off_gallery
from conr.report.pictures import MOST_COMPARED, label_pictures, training_pictures
from conr.report.pictures_2d import cell_pictures
from conr.report.style import MethodStyles, Picture, write_page
from conr.report.summary import headline_metric, metric_table, shown_metrics, summary_sentences
from conr.report.tables import NOTHING, Entry, TextTable, significant_text
from conr.runs.failures import Failure, find_failures
from conr.runs.runs import Run
from conr.runs.yaml_text import yaml_text

MAIN_METRICS = 3

# Runs of one comparison differ in these by design.
_IGNORED = ("seed_everything", "output.", "ckpt_path")


def write_report(
    paths: Iterable[Path],
    out: Path,
    *,
    baseline: str | None = None,
    title: str = "Comparison of methods",
    about: Mapping[str, str] | None = None,
) -> Path:
    """Write one HTML page that compares all tested runs at or below the paths.

    The page holds its style and pictures: it is read without a network, on paper, on a phone, light or dark. Runs that
    failed (``failure.json`` of a grid) stand first, then what happened to the rare labels of each dataset.

    Args:
        paths: result files, folders of runs, or folders above.
        out: the file to write, complete or not at all; its folder is made.
        baseline: the method to compare with; by default the one called "baseline" or "vanilla", else the first by name.
        title: of the page.
        about: a sentence on each dataset by name, for readers who do not know it.

    Returns:
        ``out``.

    Raises:
        FileNotFoundError: no result file.
        ValueError: a broken file, an unknown baseline, or runs of one dataset with different label bins.
        OSError: the page cannot be written.
    """
    paths = list(paths)
    groups = load_runs(paths, baseline=baseline)
    styles = MethodStyles(groups)
    comparison = _comparison(groups, styles)
    answers = find_answers(groups, styles, about)
    return write_page(
        out,
        "report.html.j2",
        title=title,
        comparison=comparison,
        failures=_failures_table(find_failures(paths)),
        answers=list(answers.values()),
        sections=[
            _section(group, styles, out, answers.get(group.dataset), compared=comparison is not None)
            for group in groups
        ],
        colors={method: styles.color(method) for group in groups for method in group.methods},
    )


def _comparison(groups: Sequence[DatasetRuns], styles: MethodStyles) -> dict[str, Any] | None:
    found = compare(groups)
    if found is None:
        return None
    return {
        **found._asdict(),
        "trade_offs": trade_off_gallery(groups),
        "rank_pictures": ranks_gallery(groups, styles),
        "title": "All datasets" if len(groups) > 1 else "All methods",
    }


def _section(
    group: DatasetRuns, styles: MethodStyles, out: Path, answer: Answer | None, *, compared: bool
) -> dict[str, Any]:
    metrics = shown_metrics(group)
    # The headline comes first; where that is none of MAE, GM and balanced MAE, a comparison shows all four.
    main = MAIN_METRICS + (compared and headline_metric(group).name not in GRID_METRICS)
    name = group.first.label["name"]
    runs = [run for runs in group.methods.values() for run in runs]
    return {
        "name": group.dataset,
        "baseline": group.rows[0].method,
        "sentences": summary_sentences(group),
        "notes": [*group.notes, *unequal_runs(group), *_left_out(group)],
        "errors": metric_table(group, metrics[:main], f"Test error of {name}", changes=True),
        "other_errors": metric_table(group, metrics[main:], "Other metrics", changes=True) if metrics[main:] else None,
        "choices": [one | {"pictures": _without_answer(one["pictures"], answer)} for one in choice_parts(runs)],
        "pictures": _pictures(group, styles, answer),
        "epochs": any(run.result.epochs for run in runs),
        "published": published_table(group) if compared else None,
        "compact": len(group.methods) > MOST_COMPARED + 1,
        "run_count": len(runs),
        "runs": _runs_table(group.dataset, runs, out.parent),
        "differences": _differences_table(group),
        "configurations": {method: configuration_text(runs[0]) for method, runs in group.methods.items()},
        "versions": list(dict.fromkeys(_named(run.result.versions) for run in runs)),
        "hardware": list(dict.fromkeys(_named(run.result.hardware) for run in runs)),
    }


def _pictures(group: DatasetRuns, styles: MethodStyles, answer: Answer | None) -> list[Picture]:
    """All but the one of the first screen."""
    dimensions = len(group.edges)
    of_labels = label_pictures(group, styles) if dimensions == 1 else cell_pictures(group) if dimensions == 2 else []
    return _without_answer([*of_labels, *training_pictures(group, styles)], answer)


def _without_answer(pictures: Sequence[Picture], answer: Answer | None) -> list[Picture]:
    shown = None if answer is None or answer.picture is None else answer.picture.title
    return [one for one in pictures if one.title != shown]


def _failures_table(failures: Sequence[tuple[Path, Failure]]) -> TextTable:
    rows = [
        [one.dataset, one.method, str(one.seed), one.error, f"{one.dataset}/{one.method}/{folder.name}"]
        for folder, one in failures
    ]
    header = ("dataset", "method", "seed", "error", "folder")
    return TextTable.of("", header, rows, words=("method", "error", "folder"))


def _runs_table(dataset: str, runs: Sequence[Run], page_folder: Path) -> TextTable:
    rows: list[list[Entry | str]] = []
    for run in runs:
        result, best, folder = run.result, run.result.checkpoint, run.folder.resolve()
        seed = NOTHING if result.seed is None else str(result.seed)
        epoch = NOTHING if best["epoch"] is None else str(best["epoch"] + 1)
        value = Entry(significant_text(best["value"], 4), best["monitor"])
        place = "this page's" if folder == page_folder.resolve() else folder.name
        seconds = f"{result.train_seconds:.1f} s"
        rows.append([dataset, result.method, seed, str(result.epochs), epoch, value, seconds, place])
    header = ("dataset", "method", "seed", "epochs", "best epoch", "its value", "training time", "folder")
    return TextTable.of("", header, rows, words=("method", "folder"))


def _differences_table(group: DatasetRuns) -> TextTable:
    found = configuration_differences(group)
    rows = [[setting, *(value or "not set" for value in values)] for setting, values in found.items()]
    return TextTable.of("Settings in which the methods differ", ("setting", *group.methods), rows, words=group.methods)


def _named(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _left_out(group: DatasetRuns) -> list[str]:
    if len(group.edges) <= 2:
        return []
    return [f"Pictures over the label axis are left out: the label has {len(group.edges)} dimensions."]


def configuration_text(run: Run) -> str | None:
    """The resolved configuration of a run as YAML, None if it kept none."""
    return None if run.config is None else yaml_text(run.config)


def configuration_differences(group: DatasetRuns) -> dict[str, list[str]]:
    """Settings in which the methods differ, each with its value per method ("" where it is not set).

    The first run of a method stands for the method; see `unequal_runs` for the others.

    Raises:
        ValueError: a damaged configuration; the message names the file.
    """
    return _differences([_settings(runs[0]) for runs in group.methods.values()])


def unequal_runs(group: DatasetRuns) -> list[str]:
    """A sentence for each method whose runs differ in more than the seed."""
    sentences = []
    for method, runs in group.methods.items():
        found = _differences([_settings(run) for run in runs])
        if found:
            sentences.append(f"The runs of {method} differ in more than the seed: {', '.join(found)}.")
    return sentences


def _differences(configurations: list[dict[str, str]]) -> dict[str, list[str]]:
    # A run without a configuration is unknown, not different.
    known = [one for one in configurations if one]
    keys = sorted(set().union(*known))
    different = [key for key in keys if len({one.get(key, "") for one in known}) > 1]
    return {key: [one.get(key, "") for one in configurations] for key in different}


def _settings(run: Run) -> dict[str, str]:
    return {key: value for key, value in _flat(run.config, "").items() if not key.startswith(_IGNORED)}


def _flat(value: Any, key: str) -> dict[str, str]:
    if isinstance(value, dict):
        prefix = f"{key}." if key else ""
        return {name: text for part, inner in value.items() for name, text in _flat(inner, f"{prefix}{part}").items()}
    if value is None or value == []:  # as if not set
        return {}
    return {key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}
