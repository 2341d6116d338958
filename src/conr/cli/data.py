"""The verb ``data``: what datasets there are, what is in them, and whether their files are right."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from conr._checks import check_choice
from conr._progress import working
from conr.cli.parsing import parse, verb_parser
from conr.data import Protocol, RegressionData
from conr.data.catalog import DATASETS, dataset_class, needed_options
from conr.density import REGIONS
from conr.density.splits import SPLITS
from conr.methods.presets import VANILLA, dataset_names, preset_config
from conr.report.histogram import histogram_picture, terminal_histogram
from conr.report.tables import TextTable
from conr.tables.typed import quote_columns

ACTIONS = {
    "list": "all datasets",
    "describe": "show what a dataset is, where to get its files, and how its labels are distributed",
    "check": "check that a dataset's files are complete and valid; exit status 1 if not",
    "prepare": "make the files that a dataset's protocol derives from the raw ones",
}

MOST_LISTED = 20

_USAGE = "usage: conr data ACTION [NAME] [options of the dataset]      conr data ACTION NAME --help explains these\n\n"


def data(options: Sequence[str]) -> int:
    """Run ``list``, ``describe``, ``check`` or ``prepare`` and return the exit status."""
    words = list(options)
    if not words or words[0] in ("-h", "--help"):
        print(_USAGE + "\n".join(f"  {action:<10}{summary}" for action, summary in ACTIONS.items()))
        return 0
    action, *rest = words
    check_choice("action", action, ACTIONS)
    if action == "list":
        return _list()
    if not rest or rest[0].startswith("-"):
        raise ValueError(f"conr data {action}: expected the name of a dataset ({', '.join(DATASETS)}), got none")
    name, *given = rest
    dataset = dataset_class(name)
    console = Console(highlight=False)
    needed = _needed(name)
    if action == "describe" and needed and not given:
        _print_card(console, dataset)
        console.print(f"\nTo see its labels, give its files: {', '.join(needed)}", markup=False)
        return 0
    parser = verb_parser(f"data {action} {name}", f"{name}: {ACTIONS[action]}.")
    parser.add_class_arguments(dataset)
    parser.set_defaults(_preset_options(name))
    parser.add_argument("--protocol", type=Protocol | None, default=None, help="redraw the splits")
    if action == "describe":
        parser.add_argument("--picture", type=str | None, default=None, help="write the histogram to this file (.png)")
    parameters = inspect.signature(dataset).parameters
    flags = [option for option, parameter in parameters.items() if parameter.annotation is bool]
    chosen = parser.instantiate_classes(parse(parser, quote_columns(given), flags=flags))
    built = dataset(**{option: chosen[option] for option in parameters})
    built.protocol = chosen.protocol
    if action == "describe":
        return _describe(console, built, None if chosen.picture is None else Path(chosen.picture))
    return _check(console, built) if action == "check" else _prepare(console, built)


def _preset_options(name: str) -> dict[str, Any]:
    """Options that the dataset's presets give it, so that it is looked at as it is trained on."""
    if name not in dataset_names():
        return {}
    options: dict[str, Any] = preset_config(f"{name}-{VANILLA}")["data"].get("init_args", {})
    return options


def _needed(name: str) -> list[str]:
    known = _preset_options(name)
    return [f"--{option}" for option in needed_options(dataset_class(name)) if option not in known]


def _list() -> int:
    cards = {name: dataset_class(name).card for name in sorted(DATASETS)}
    rows = [(name, card.summary if card else "", ", ".join(_needed(name)) or "nothing") for name, card in cards.items()]
    header = ("name", "what it is", "needs")
    Console().print(TextTable.of("", header, rows, words=header).terminal())
    return 0


def _describe(console: Console, data: RegressionData, picture: Path | None) -> int:
    _print_card(console, type(data))
    console.print()
    with working(f"reading {data.title}"):
        data.shot_density()
    _print_splits(console, data)
    label = f"{data.label_name} ({data.label_unit})" if data.label_unit else data.label_name
    density = data.shot_density()
    console.print(terminal_histogram(density, label, data.label_dimensions), soft_wrap=True)
    if picture is not None:
        title = f"training labels of {data.title}"
        histogram_picture(density, label, picture, title=title, dimensions=data.label_dimensions)
        console.print(f"picture: {picture.resolve()}", markup=False, soft_wrap=True)
    return 0


def _check(console: Console, data: RegressionData) -> int:
    with working(f"reading {data.title}"):
        problems = data.problems()
    for problem in problems[:MOST_LISTED]:
        console.print(f"wrong: {problem}", markup=False, soft_wrap=True)
    if problems:
        more = f", of which the first {MOST_LISTED} are listed" if len(problems) > MOST_LISTED else ""
        console.print(f"{data.title}: {len(problems)} wrong{more}", markup=False)
        return 1
    _print_splits(console, data)
    console.print(f"{data.title}: all is well", markup=False)
    return 0


def _prepare(console: Console, data: RegressionData) -> int:
    with working(f"preparing {data.title}"):
        made = data.prepare_files()
    for path in made:
        console.print(f"made: {path}", markup=False, soft_wrap=True)
    if not made:
        console.print(f"{data.name}: nothing to make", markup=False)
    return 0


def _print_card(console: Console, dataset: type[RegressionData]) -> None:
    console.print(dataset.name, style="bold", markup=False)
    card = dataset.card
    if card is None:
        return
    lines = [card.summary, f"source:  {card.source}", f"licence: {card.licence}"]
    if card.layout:
        width = max(map(len, card.layout))
        lines += ["files:", *(f"  {path:<{width}}  {meaning}" for path, meaning in card.layout.items())]
    if card.counts:
        lines.append("published: " + ", ".join(f"{split} {count:,}" for split, count in card.counts.items()))
    lines += [f"note: {note}" for note in card.notes]
    console.print("\n".join(lines), markup=False)


def _print_splits(console: Console, data: RegressionData) -> None:
    density = data.shot_density()
    header = ("split", "samples", "lowest", "highest", *REGIONS)
    rows = []
    for split in SPLITS:
        dataset = getattr(data.splits, split)
        if data.dense:  # its labels are those of pixels, and not held
            rows.append((split, f"{len(dataset):,}", *("" for _ in header[2:])))
            continue
        labels = dataset.labels
        columns = labels.reshape(len(labels), -1).T  # (k, n)
        counts = [f"{count:,}" for count in density.regions(labels).bincount(minlength=len(REGIONS)).tolist()]
        low, high = (", ".join(f"{value:g}" for value in end(columns, dim=1)) for end in (torch.amin, torch.amax))
        rows.append((split, f"{len(labels):,}", low, high, *counts))
    console.print(TextTable.of("", header, rows).terminal())
