"""The verb ``table``: fit a model on a file, predict another file, evaluate on a third."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from conr._checks import check_choice, check_seed
from conr.cli.parsing import add_file_format, check_free, parse, split_settings, verb_parser
from conr.tables.typed import typed_columns

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace
    from rich.console import Console

    from conr.estimators import TableModel
    from conr.tables.files import FileFormat
    from conr.tables.source import TableRows

DESCRIPTION = """conr table fit data.csv --target price   finds a model; its folder has a report on held-out rows
conr table predict MODEL new.csv         writes a CSV with a prediction for each row (--interval 0.9 adds bounds)
conr table evaluate MODEL labelled.csv   writes metrics per shot region and a report

`conr table VERB --help` explains the options. `conr inspect data.csv --target price` shows the labels first.
"""


_FIT = """Find a model for a CSV or Parquet file.

By default it tries boosting and networks with rarity weights, and corrects and blends them if rows that the models have
not seen confirm it (RareRegressor). --model boosting uses no networks, --model conr trains one network, and
--model sklearn.ensemble.ExtraTreesRegressor uses any class that you name. Arguments of the model:
--model.objective few --model.max_loss_on_many 0.1 --model.time_limit 60, or of a network
--model conr --model.method lds+conr --model.max_epochs 200. Ctrl-C continues with the finished candidates.
"""


def table(options: Sequence[str]) -> None:
    """Run one of the three."""
    words = list(options)
    if not words or words[0] in ("-h", "--help"):
        print(DESCRIPTION)
        return
    verbs: dict[str, Callable[[list[str]], None]] = {"fit": _fit, "predict": _predict, "evaluate": _evaluate}
    check_choice("verb", words[0], verbs)
    verbs[words[0]](words[1:])


def _fit(words: list[str]) -> None:
    parser = verb_parser("table fit", _FIT)
    parser.add_argument("file", type=str, help="the table")
    parser.add_argument(
        "--target", type=str, required=True, help="column of the label, by name or position; several as '[a, b]'"
    )
    parser.add_argument("--out", type=str | None, default=None, help="folder of the model (default: models/FILE)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the network and of the split")
    parser.add_argument("--ignore", type=str, default="[]", help="columns to leave out: id, or '[id, name]'")
    parser.add_argument("--categorical", type=str, default="[]", help="numeric columns to treat as categories")
    parser.add_argument("--test_share", type=float, default=0.1, help="share of the rows kept to test the model")
    parser.add_argument("--unit", type=str, default="", help="unit of the label, for the report")
    parser.add_argument(
        "--model",
        type=str | None,
        default=None,
        help="rare, boosting, conr, or the path of a class (default: rare; conr for several targets or if you give "
        "settings that only it has)",
    )
    add_file_format(parser)
    own, settings = _model_settings(words)
    chosen = parse(parser, own)

    from rich.console import Console

    from conr._progress import working
    from conr.estimators import fit_table, meant_regressor, named_regressor, write_run
    from conr.report import write_report
    from conr.runs.atomic import write_folder

    check_seed("seed", chosen.seed)
    path, targets = Path(chosen.file), typed_columns([chosen.target])
    folder = Path("models") / path.stem if chosen.out is None else Path(chosen.out)
    check_free(folder)
    console = Console()
    name = chosen.model or meant_regressor(settings, targets=len(targets))
    regressor = named_regressor(name, settings, random_state=chosen.seed)
    if name != "conr":
        regressor.set_params(verbose=1)  # a line per candidate
    with working("fitting the model"):
        fitted = fit_table(
            path,
            targets[0] if len(targets) == 1 else targets,
            regressor,
            ignore=typed_columns([chosen.ignore]),
            categorical=typed_columns([chosen.categorical]),
            test_share=chosen.test_share,
            split_seed=chosen.seed,
            written=_format(chosen),
            skip_bad=chosen.skip_bad,
            report=lambda sentence: console.print(sentence, markup=False, highlight=False, soft_wrap=True),
        )

    def write(inside: Path) -> None:
        fitted.model.save(inside)
        result = write_run(
            inside,
            fitted.model,
            fitted.test,
            name=path.stem,
            seed=chosen.seed,
            seconds=fitted.seconds,
            label_unit=chosen.unit,
        )
        with working("drawing the report"):
            write_report([inside], inside / "report.html", title=f"{result.label['name']} of {path.stem}")
        _print_metrics(console, result.metrics, f"test of {result.label['name']}: {len(fitted.test.inputs)} rows")

    placed = write_folder(folder, write)
    if placed != folder:
        console.print(f"{folder} was written by another command in the meantime", markup=False, soft_wrap=True)
        folder = placed
    console.print(f"model: {folder}\nreport: {(folder / 'report.html').resolve()}", markup=False, soft_wrap=True)


def _predict(words: list[str]) -> None:
    parser = _model_parser("predict", "Predict the rows of a file.", "the table; it needs no target")
    parser.add_argument(
        "--out", type=str | None, default=None, help="CSV file to write (default: FILE-predictions.csv here)"
    )
    parser.add_argument(
        "--interval",
        type=float | None,
        default=None,
        help="also write low and high: bounds that cover this share of labels, rare ones included",
    )
    chosen = parse(parser, words)

    import numpy as np
    from rich.console import Console

    from conr._progress import working
    from conr.runs.atomic import free_path, write_csv

    path = Path(chosen.file)
    out = free_path(Path(f"{path.stem}-predictions.csv")) if chosen.out is None else Path(chosen.out)
    check_free(out)
    with working("predicting"):
        model, rows = _model_and_rows(chosen, labels=False)
        names = ["prediction"] if len(model.targets) == 1 else [f"prediction of {name}" for name in model.targets]
        sets = None if chosen.interval is None else model.label_sets(chosen.interval)  # first, as it may be refused
        predictions = model.predict(rows, strict=chosen.strict)  # (n, k)
        if sets is not None:
            predictions = np.hstack((predictions, sets.intervals(predictions[:, 0])))
            names += ["low", "high"]
    table = ([row, *values] for row, values in zip(rows.inputs.rows.tolist(), predictions.tolist(), strict=True))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(out, ["row", *names], table)
    Console().print(
        f"{len(predictions)} predictions of {', '.join(model.targets)}: {out}", markup=False, soft_wrap=True
    )


def _evaluate(words: list[str]) -> None:
    parser = _model_parser("evaluate", "Test a model on a file with labels.", "the table, with the target's column")
    parser.add_argument(
        "--out", type=str | None, default=None, help="folder of result.json and report.html (default: FILE-evaluation)"
    )
    chosen = parse(parser, words)

    from rich.console import Console

    from conr._progress import working
    from conr.estimators import write_run
    from conr.report import write_report
    from conr.runs.atomic import free_path, write_folder
    from conr.runs.results import RESULT

    path = Path(chosen.file)
    out = free_path(Path(f"{path.stem}-evaluation")) if chosen.out is None else Path(chosen.out)
    check_free(out)
    with working("reading the table"):
        model, rows = _model_and_rows(chosen, labels=True)
    console = Console()
    if model.is_source(path):
        console.print(
            f"note: the model was fitted on rows of {path}, so errors on them say little about new rows; the test "
            f"on rows that were kept out of training is in {Path(chosen.model) / RESULT}",
            markup=False,
            soft_wrap=True,
        )

    for sentence in model.beyond(rows):
        console.print(f"note: {sentence}", markup=False, soft_wrap=True)

    def write(inside: Path) -> None:
        with working("testing the model"):
            result = write_run(inside, model, rows, name=path.stem, strict=chosen.strict)
        with working("drawing the report"):
            write_report([inside], inside / "report.html", title=f"{result.label['name']} of {path.stem}")
        _print_metrics(console, result.metrics, f"{result.label['name']} of {path.name}: {len(rows.inputs.rows)} rows")

    out = write_folder(out, write)
    console.print(
        f"metrics: {out / 'result.json'}\nreport: {(out / 'report.html').resolve()}", markup=False, soft_wrap=True
    )


def _model_settings(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Separate arguments of the model, ``--model.cv 3``, from the verb's own options."""
    own, typed = split_settings(words)
    settings = {}
    for name, value in typed.items():
        owner, dot, setting = name.partition(".")
        if owner == "model" and dot:
            settings[setting.replace("-", "_")] = _value(value)
        else:
            own.append(f"--{name}={value}")
    return own, settings


def _value(text: str) -> Any:
    """The typed value read as YAML, but 1e-3 as a number."""
    if "_" in text:  # to Python and YAML, 1_0 is 10
        return text
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return yaml.safe_load(text)


def _model_and_rows(chosen: "Namespace", *, labels: bool) -> "tuple[TableModel, TableRows]":
    from conr.estimators import TableModel

    model = TableModel.load(Path(chosen.model), trusted=[str(name) for name in typed_columns([chosen.trusted])])
    written = _format(chosen, model.header)
    return model, model.rows(Path(chosen.file), labels=labels, written=written, skip_bad=chosen.skip_bad)


def _model_parser(verb: str, description: str, file: str) -> "ArgumentParser":
    parser = verb_parser(f"table {verb}", description)
    parser.add_argument("model", type=str, help="folder of the model")
    parser.add_argument("file", type=str, help=file)
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse categories that were not in training (default: treat them as none of the known ones)",
    )
    parser.add_argument(
        "--trusted",
        type=str,
        default="[]",
        help="classes outside scikit-learn that the model may hold: '[lightgbm.sklearn.LGBMRegressor]'",
    )
    add_file_format(parser)
    return parser


def _format(chosen: "Namespace", header: bool = True) -> "FileFormat":
    from conr.tables.files import FileFormat

    return FileFormat(
        header=header if chosen.header is None else chosen.header,
        separator=chosen.separator,
        encoding=chosen.encoding,
        decimal=chosen.decimal,
        dates=chosen.dates,
    )


def _print_metrics(console: "Console", metrics: Mapping[str, Mapping[str, float]], title: str) -> None:
    from conr.training.metrics_table import metrics_table

    flat = {
        f"test/{name}" if region == "all" else f"test/{name}_{region}": value
        for region, values in metrics.items()
        for name, value in values.items()
    }
    console.print(metrics_table(flat, "test/", title=title))
