"""Large files are read in blocks, and come out as small ones do."""

from pathlib import Path

import numpy as np
import pytest

from conr.tables import blocks, files
from conr.tables.bad_rows import BadRows
from conr.tables.columns import sort_columns

LINES = [
    "Export of today", "a,code,kind,late,empty", "1.5,007,x,1,", " -2 , 8,\"y, ü\" ,NA,", "", ",,,,", "3e-2,9,,7,",
    "4,10,x", "# checked, until here", "5,11,z,text,", *(f"{row},{row:03},x,{row},," for row in range(3)),
    '6,13,"two\r\nlines",8,', *(f'"{row}",{row:03},x,{row},' for row in range(1100)), "6,12,x,none of them,",
    "7,13,x,5,far below",
]  # fmt: skip


@pytest.mark.parametrize("remark", ["", "# checked, until here"])
@pytest.mark.parametrize(("ending", "encoding"), [("\n", "utf-8"), ("\r\n", "cp1252"), ("\n", "utf-16")])
def test_both_ways_of_reading_agree(
    ending: str, encoding: str, remark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    lines = [remark if line.startswith("#") else line for line in LINES]
    path.write_bytes(ending.join(lines).encode(encoding))
    monkeypatch.setattr(blocks, "_ROWS", 100)
    found = []
    for fewest in (1, 2**20):
        monkeypatch.setattr(files, "FEWEST_BYTES", fewest)
        bad = BadRows(path, skip=True)
        table = files.read_table(path, bad, texts=lambda _: ["code"])
        assert (table.column("a").dtype == np.float64) == (fewest == 1)
        found.append((table, bad.problems, sort_columns(table, table.names, bad, categorical=["code"])))
    (fast, wrong, columns), (slow, expected, others) = found
    assert fast.row_numbers.tolist() == slow.row_numbers.tolist()
    assert fast.row_numbers[:6].tolist() == [3, 4, 7, 10, 14, 16]
    assert wrong == expected
    assert set(wrong) == {8, 10, 11, 12, 13, 1116}
    assert fast.notes == slow.notes
    assert [note.removeprefix(f"{path}: ") for note in fast.notes] == [
        *(["not UTF-8, so read as Windows-1252 (encoding sets another)"] if encoding == "cp1252" else []),
        "1 line above the header skipped",
        *(["1 line that begins with # skipped, the first is line 9"] if remark else []),
    ]
    assert columns.unusable == others.unusable
    assert fast.column("kind")[[1, 4]].tolist() == ["y, ü", "two\r\nlines"]
    for name, values in others.columns.values.items():
        np.testing.assert_array_equal(columns.columns.values[name], values)


@pytest.mark.parametrize("odd", ["1_0", "\uff11\uff12", "007", "inf", "1,5", "-"])
def test_what_float_would_take_is_kept_as_it_is_written(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FEWEST_BYTES", 1)
    path = tmp_path / "a.csv"
    path.write_text(f'a,b\n1,2\n"{odd}",3\n4,5\n', encoding="utf-8")
    table = files.read_table(path, BadRows(path, skip=False))
    if odd == "-":
        np.testing.assert_array_equal(table.column("a"), [1, np.nan, 4])
    else:
        assert table.column("a").tolist() == ["1", odd, "4"]
    assert odd == "1,5" or table.column("b").tolist() == [2, 3, 5]  # a decimal comma keeps all texts
