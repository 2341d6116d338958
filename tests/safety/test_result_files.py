"""Damaged, hostile and wrong files that a report, a grid or an evaluation reads."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runs.test_reading import BOMB
from tests.runs.test_results import example, outputs
from tests.safety.damage import DAMAGES, JSON_DAMAGES, refusal, refused, wrong_values

from conr.runs.failures import Failure
from conr.runs.history import read_history
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult

FAILURE = Failure("table-houses", "conr", 0, "ValueError: broken", "Traceback ...", "2026-01-01T00:00:00+00:00")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "toy" / "conr" / "seed-0"
    folder.mkdir(parents=True)
    example().write(folder)
    outputs().write(folder)
    FAILURE.write(folder)
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["result.json", "outputs.npz", "failure.json"])
def test_a_damaged_file_is_named(name: str, damage: str, run: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    path = run / name
    path.write_bytes(DAMAGES[damage](path.read_bytes(), mark))
    read = {"result.json": RunResult.read, "outputs.npz": Outputs.read, "failure.json": Failure.read}[name]
    with pytest.raises(ValueError, match=f"{name}: expected"):
        read(run)
    assert not mark.exists()


@pytest.mark.parametrize("damage", JSON_DAMAGES)
@pytest.mark.parametrize("name", ["result.json", "failure.json"])
def test_json_of_another_form_is_named(name: str, damage: str, run: Path) -> None:
    (run / name).write_text(JSON_DAMAGES[damage])
    with pytest.raises(ValueError, match=f"{name}: expected"):
        (RunResult.read if name == "result.json" else Failure.read)(run)


@pytest.mark.parametrize("inside", [None, "label", "bins", "metrics", "checkpoint"])
def test_values_of_another_kind_are_refused_or_harmless(inside: str | None, run: Path, tmp_path: Path) -> None:
    """What is not refused can be reported: whatever `RunResult.read` lets through makes a page."""
    from conr.report import write_report  # noqa: PLC0415  loads slowly

    path = run / "result.json"
    whole: dict[str, Any] = json.loads(path.read_text())
    accepted = []
    for what, content in wrong_values(whole if inside is None else whole[inside]):
        path.write_text(json.dumps(content if inside is None else {**whole, inside: content}))
        message = refusal(lambda: RunResult.read(run))
        if message is None:
            accepted.append((what, path.read_text()))
        else:
            assert re.search(r"result\.json: .*expected", message), what
    for what, text in accepted[:: max(1, (len(accepted) + 1) // 2)]:  # a page takes a while
        path.write_text(text)
        message = refusal(lambda: write_report([run], tmp_path / "report.html"))
        assert message is None or "expected" in message, what


def test_failures_of_another_kind_are_refused(run: Path) -> None:
    whole = json.loads((run / "failure.json").read_text())
    for what, content in wrong_values(whole):
        (run / "failure.json").write_text(json.dumps(content))
        message = refusal(lambda: Failure.read(run))
        if message is None:
            assert "text" in what or "seed = -1" in what, what
        else:
            assert re.search(r"failure\.json: .*expected", message), what


def test_arrays_of_another_kind_are_refused(run: Path) -> None:
    whole = outputs()._asdict()
    for name, value in (
        ("labels", np.asarray(["a"] * 4)),
        ("predictions", np.zeros(4, dtype=bool)),
        ("features", np.asarray([["a"]] * 3)),
        ("feature_labels", np.zeros(3, dtype="datetime64[s]")),
    ):
        np.savez(run / "outputs.npz", **{**whole, name: value})
        with pytest.raises(ValueError, match=rf"outputs\.npz: {name}: expected numbers"):
            Outputs.read(run)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epoch,val/mae\nnan,1\n", r"metrics\.csv, line 2: expected the number of an epoch, got nan"),
        (b"epoch,val/mae\ninf,1\n", r"metrics\.csv, line 2: expected the number of an epoch, got inf"),
        (b"epoch,val/mae\n0,1,2\n", r"metrics\.csv, line 2, column None: expected a number"),
        (b"\xff\xfe\n", r"metrics\.csv: expected a CSV file in UTF-8"),
        (b"epoch,val/mae\n0,'" + b"x" * 200_000 + b"\n", r"metrics\.csv, line \d: expected a row of a CSV file"),
    ],
)
def test_a_damaged_history_is_named(content: bytes, message: str, run: Path) -> None:
    path = run / "csv" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_history(run)


@pytest.mark.parametrize("damage", ["cut in the middle", "random bytes", "a pickle that runs code"])
@pytest.mark.parametrize("name", ["result.json", "outputs.npz", "failure.json"])
def test_the_report_refuses_in_one_line(
    name: str, damage: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "executed"
    if name == "failure.json":
        (run.parent / "seed-1").mkdir()
        path = FAILURE.write(run.parent / "seed-1")
    else:
        path = run / name
    path.write_bytes(DAMAGES[damage](path.read_bytes(), mark))
    out = tmp_path / "report.html"
    out.write_text("an earlier report")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused(["report", str(run.parents[2]), f"--out={out}"], capsys, names=path)
    assert out.read_text() == "an earlier report"
    assert not mark.exists()


def test_the_report_refuses_a_configuration_that_grows_by_its_aliases(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.yaml").write_text(BOMB)
    refused(["report", str(run), f"--out={tmp_path / 'report.html'}"], capsys, names=run / "config.yaml")
    assert not (tmp_path / "report.html").exists()
