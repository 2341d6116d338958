"""Large files are read by pandas, and come out as small ones do."""

from pathlib import Path

import numpy as np
import pytest

from conr.tables import files, large
from conr.tables.bad_rows import BadRows
from conr.tables.columns import sort_columns

LINES = [
    "Export of today", "a,code,kind,late,empty", "1.5,007,x,1,", " -2 , 8,y ,NA,", "", ",,,,", "3e-2,9,,7,", "4,10,x",
    "5,11,z,text,", *(f"{row},{row:03},x,{row},," for row in range(3)),
    *(f"{row},{row:03},x,{row}," for row in range(1100)), "6,12,x,none of them,", "7,13,x,5,",
]  # fmt: skip


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_both_ways_of_reading_agree(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(ending.join(LINES).encode())
    found = []
    for fewest in (1, 2**20):
        monkeypatch.setattr(large, "FEWEST_BYTES", fewest)
        bad = BadRows(path, skip=True)
        table = files.read_table(path, bad, texts=lambda _: ["code"])
        assert (table.column("a").dtype == np.float64) == (fewest == 1)
        found.append((table, bad.problems, sort_columns(table, table.names, bad, categorical=["code"])))
    (fast, wrong, columns), (slow, expected, others) = found
    assert fast.row_numbers.tolist() == slow.row_numbers.tolist()
    assert wrong == expected
    assert set(wrong) == {8, 9, 10, 11, 12, 1113}
    assert fast.notes == slow.notes
    assert columns.unusable == others.unusable
    for name, values in others.columns.values.items():
        np.testing.assert_array_equal(columns.columns.values[name], values)


def test_small_quoted_and_foreign_texts_are_read_otherwise() -> None:
    assert large.head_of(b"a,b\n1,2\n") is None
    for content in (b'"a",b\n', "ä,b\n".encode(), b"a,b\r1,2\r", b"a\0b\n"):
        assert large.head_of(content * 2**18) is None
    assert large.head_of(b"a,b\n" * 2**18) is not None
