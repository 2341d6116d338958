"""Random tables into reading, inspecting, fitting and predicting."""

import json
import math
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import strategies as st
from tests.fuzz.search import Refused, attempt, examples, search

from conr.cli.main import main
from conr.data import Table
from conr.data.inspection import inspect_table
from conr.estimators import ConRRegressor

NAMES = ("y", "a", "b", "price (€)", "a b", '"quoted"', "a,b", "", " ", "1", "年齢", "NaN", "<b>", "x" * 300, "a\nb")
CELLS = (
    "", "NA", "nan", "null", "inf", "-inf", "1e400", "-0", "1,5", "1.234,5", "text", "red", "blue", "'", '"', "1e-300",
    "true", "2020-01-01", "0x10", "\uff11\uff12", "\x00", "a;b", "a\tb", "=1+1", "9" * 40, "é",
)  # fmt: skip
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
TINY: dict[str, Any] = {"members": 2, "width": 8, "depth": 1, "device": "cpu", "random_state": 0}


@st.composite
def column(draw: st.DrawFn, rows: int) -> list[str]:
    """The cells of a column: numbers, categories, a constant, a mixture, or odd texts."""
    usual = ("numbers", "numbers", "whole", "categories")
    kind = draw(
        st.sampled_from((*usual, "constant", "mixed", "odd", "huge", "empty") if draw(st.booleans()) else usual)
    )
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    makers: dict[str, Callable[[], list[Any]]] = {
        "numbers": lambda: [f"{value:.4g}" for value in random.exponential(size=rows)],
        "whole": lambda: [str(value) for value in random.integers(0, 9, rows)],
        "categories": lambda: random.choice(["north", "south", "east"], rows).tolist(),
        "constant": lambda: ["7"] * rows,
        "mixed": lambda: [str(value) if value < 7 else random.choice(CELLS) for value in random.integers(0, 9, rows)],
        "odd": lambda: random.choice(CELLS, rows).tolist(),
        "huge": lambda: [f"{value:.4g}" for value in random.normal(size=rows) * 10.0 ** random.integers(-300, 300)],
        "empty": lambda: [""] * rows,
    }
    cells = makers[kind]()
    if draw(st.integers(0, 7)) == 0 and rows:
        cells[draw(st.integers(0, rows - 1))] = draw(st.sampled_from(CELLS))
    return [str(cell) for cell in cells]


@st.composite
def files(draw: st.DrawFn, most_rows: int) -> tuple[bytes, list[str]]:
    """Content of a CSV file that may be broken, and the words of a command that say how to read it."""
    rows = draw(st.sampled_from((0, 1, 2, 3, 10, *(most_rows,) * 6)))
    width = draw(st.integers(2, 4) if draw(st.integers(0, 5)) else st.just(1))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=width, max_size=width, unique=draw(st.integers(0, 4)) > 0))
    columns = [draw(column(rows)) for _ in range(width)]
    separator = draw(st.sampled_from(list(SEPARATORS)))
    quote = draw(st.sampled_from(('"', '"', "", "'")))
    lines = [separator.join(f"{quote}{cell}{quote}" for cell in line) for line in [names, *zip(*columns, strict=True)]]
    if draw(st.integers(0, 5)) == 0:
        position = draw(st.integers(0, len(lines) - 1))
        lines[position] += draw(st.sampled_from((separator, separator * 3, '"', "\x00", "\r", "\ufeff")))
    text = draw(st.sampled_from(("\n", "\n", "\r\n", "\r"))).join(lines) + draw(st.sampled_from(("\n", "", "\n\n\n")))
    encoding = draw(st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252")))
    content = text.encode(encoding, errors="replace")
    if draw(st.integers(0, 9)) == 0:
        content = content[: draw(st.integers(0, len(content)))] + draw(st.binary(max_size=5))
    words = []
    if draw(st.integers(0, 3)) == 0:
        words.append(f"--separator={draw(st.sampled_from((*(SEPARATORS[separator],) * 4, 'comma', 'dots')))}")
    if draw(st.integers(0, 3)) == 0:
        words.append(f"--encoding={draw(st.sampled_from((*(encoding,) * 4, 'utf-8', 'klingon')))}")
    if draw(st.integers(0, 3)) == 0:
        words.append(f"--decimal={draw(st.sampled_from(('.', '.', '.', ',', ';')))}")
    if draw(st.integers(0, 5)) == 0:
        words.append("--header=false")
    return content, words


def targets(draw: Any) -> int | str:
    wanted: int | str = draw(st.sampled_from((0, 0, 0, 0, -1, -1, 1, "y", "a", 99, "no such")))
    return wanted


def options_of(words: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = dict(word.removeprefix("--").split("=") for word in words)
    return {**given, "header": False} if "header" in given else given


@examples(few=40, many=4_000)
def test_files_are_read_and_inspected(examples: int) -> None:
    accepted = []

    def check(data: st.DataObject) -> None:
        content, words = data.draw(files(60))  # a table needs 50
        target, skip = targets(data.draw), data.draw(st.booleans())
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(folder) / "table.csv"
            path.write_bytes(content)

            def inspect() -> Any:
                table = Table(path=str(path), target=target, skip_bad=skip, **options_of(words))
                return inspect_table(table.file), table.splits

            found = attempt(inspect)
            if isinstance(found, Refused):
                *rows, advice = found.message.split("\n")  # a line for each bad row, if there are several
                assert all("expected" in line or line.startswith("... and ") for line in rows), found.message
                assert not rows or advice.startswith("(skip_bad: "), found.message
                return
            inspection, splits = found
            for part in (splits.train, splits.val, splits.test):
                assert part.inputs.isfinite().all()
                assert part.labels.isfinite().all()
            assert all(math.isfinite(value) for value in inspection.suggestion.settings)
            accepted.append(target)

    search(check, examples, data=st.data())
    assert accepted or examples < 100


@examples(few=3, many=150)
def test_commands_on_files(examples: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Fit and predict: status 0 with finite predictions, or 2 with one line that says why."""

    accepted = []

    def check(data: st.DataObject) -> None:
        content, words = data.draw(files(80))
        target = targets(data.draw)
        words = [*words, *(["--skip_bad"] if data.draw(st.booleans()) else [])]
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path, model = Path(folder) / "table.csv", Path(folder) / "model"
            path.write_bytes(content)
            quick = ["--model.max_epochs=1", *(f"--model.{name}={value}" for name, value in TINY.items())]
            fitting = ["table", "fit", str(path), f"--target={target}", f"--out={model}", *words, *quick]
            if not succeeds(fitting, capfd):
                assert not any(Path(folder).glob("*model*")), "a model that was refused left files"
                return
            result = json.loads((model / "result.json").read_text())
            assert math.isfinite(result["metrics"]["all"]["mae"])
            out = Path(folder) / "predictions.csv"
            predicting = ["table", "predict", str(model), str(path), f"--out={out}", *words]
            if succeeds(predicting, capfd):
                assert np.isfinite(pd.read_csv(out).to_numpy()).all()
                accepted.append(target)

    search(check, examples, data=st.data())
    assert accepted or examples < 100


def succeeds(words: list[str], capfd: pytest.CaptureFixture[str]) -> bool:
    """Whether the status is 0; if not, it is 2 and the error is one line with what was expected."""
    capfd.readouterr()
    status = main(words)
    error = capfd.readouterr().err
    if status == 0:
        return True
    assert status == 2, error
    assert "Traceback" not in error
    line = next(line for line in error.splitlines() if line.startswith("conr table: "))
    assert "expected" in line, line
    return False


VALUES: tuple[Any, ...] = (
    None,
    np.nan,
    np.inf,
    -np.inf,
    True,
    "text",
    "",
    b"bytes",
    1 + 2j,
    [1],
    {"a": 1},
    10**400,
    1e308,
)
DTYPES = (
    "float64",
    "float32",
    "int64",
    "object",
    "bool",
    "category",
    "Int64",
    "string",
    "datetime64[ns]",
    "complex128",
)


@st.composite
def frames(draw: st.DrawFn, rows: int) -> pd.DataFrame:
    """A DataFrame of columns of many kinds, some of them impossible as inputs."""
    columns = []
    for _ in range(draw(st.integers(0, 4))):
        random = np.random.default_rng(draw(st.integers(0, 2**16)))
        usual = ("float64", "float64", "int64", "object", "category", "bool")
        kind = draw(st.sampled_from((*DTYPES, "mixed", "constant", "all missing") if draw(st.booleans()) else usual))
        values: Any = random.integers(0, 5, rows)
        if kind == "float64":
            values = random.normal(size=rows) * 10.0 ** draw(st.sampled_from((0, 0, 0, 300, -300)))
        if kind == "mixed":
            values = random.choice(np.array(VALUES, dtype=object), rows)
        elif kind == "constant":
            values = np.full(rows, 3.0)
        elif kind == "all missing":
            values = np.full(rows, np.nan)
        else:
            values = pd.Series(values).astype(cast("Any", kind))
        series = pd.Series(values)
        if draw(st.integers(0, 3)) == 0 and rows and kind not in ("bool", "int64"):
            series = series.where(pd.Series(random.random(rows) > 0.3))
        columns.append(series)
    unique = draw(st.integers(0, 4)) > 0
    names = draw(
        st.lists(st.sampled_from((*NAMES, *"cdefg")), min_size=len(columns), max_size=len(columns), unique=unique)
    )
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(rows))
    return frame.set_axis(names if draw(st.integers(0, 5)) else list(range(len(columns))), axis=1)


@st.composite
def labels(draw: st.DrawFn, rows: int) -> Any:
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    plain = random.exponential(size=rows)
    return draw(
        st.sampled_from(
            (
                *(plain,) * 4, plain.round(), np.stack([plain, -plain], axis=1), plain * 1e300, plain * 1e-300,
                np.ones(rows), plain[:-1], plain.astype(object), np.where(plain > 2, np.nan, plain),
                np.where(plain > 2, np.inf, plain), plain > 1, [str(one) for one in plain], ["text"] * rows, None, 3.0,
                plain.reshape(-1, 1, 1), plain + 1j,
            )
        )
    )  # fmt: skip


@examples(few=8, many=300)
def test_frames_into_the_estimator(examples: int) -> None:
    """Predictions are finite and of the labels' shape, or the error is one of scikit-learn's kind."""

    accepted = []

    def check(data: st.DataObject) -> None:
        rows = data.draw(st.sampled_from((0, 1, 2, 5, 30, 30, 30)))
        frame, y = data.draw(frames(rows)), data.draw(labels(rows))
        method = data.draw(
            st.sampled_from(("vanilla", "sqinv+conr", "ranksim", "lds", "bmc", "hca", "evidential", "no"))
        )
        weights = data.draw(st.sampled_from((None, None, None, np.ones(rows), -np.ones(rows), np.zeros(rows), "text")))
        settings = data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "scaling": st.sampled_from(("standard", "none", "cubic")),
                    "embedding": st.sampled_from(("periodic", "none")),
                    "window": st.sampled_from((1e-9, 1e9, -1, "wide")),
                    "bin_width": st.sampled_from((1e-12, 1e300, -1.0, None)),
                    "bin_count": st.sampled_from((1, 3, 0, 10**9)),
                    "learning_rate": st.sampled_from((0.0, 1e6, -1.0)),
                    "batch_size": st.sampled_from((1, 2, 10**9, 0)),
                },
            )
        )
        model = ConRRegressor(method, max_epochs=1, **TINY, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                predictions = model.fit(frame, y, sample_weight=weights).predict(frame)
            except (ValueError, TypeError, FloatingPointError) as caught:
                message, predictions = f"{caught}", None
            else:
                message = ""
        if predictions is None:
            assert message
            return
        assert predictions.shape == np.shape(y)
        assert np.isfinite(predictions).all()
        accepted.append(len(predictions))

    torch.manual_seed(0)
    search(check, examples, data=st.data())
    assert accepted or examples < 100
