import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.held import held_inputs

from conr.data import ArrayDataset, BlindSpot, Splits, Table

ROWS = 120


def write(folder: Path, lines: list[str], name: str = "shells.csv") -> str:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def shells(changes: dict[int, str] | None = None) -> list[str]:
    """A table with a number, a category and the label 0 to 7, where 0 is frequent; ``changes`` replace lines."""
    random = np.random.default_rng(0)
    lines = ["length,sex,rings"]
    for row in range(ROWS):
        rings = min(int(random.exponential(2)), 7)
        lines.append(f"{rings + random.normal():.3f},{'FMI'[row % 3]},{rings}")
    for number, line in (changes or {}).items():
        lines[number - 1] = line
    return lines


def rows_of(splits: Splits, split: str) -> list[int]:
    return [int(name.removeprefix("row-")) for name in getattr(splits, split).ids]


def test_inputs_are_scaled_numbers_and_one_column_per_category(tmp_path: Path) -> None:
    lines = shells()
    data = Table(path=write(tmp_path, lines), target="rings", scaling="standard")
    splits = data.splits
    assert sorted(rows_of(splits, "train") + rows_of(splits, "val") + rows_of(splits, "test")) == list(range(2, 122))
    cells = [line.split(",") for line in lines]
    train = np.array([float(cells[row - 1][0]) for row in rows_of(splits, "train")])
    for split in ("train", "val", "test"):
        own = [cells[row - 1] for row in rows_of(splits, split)]
        expected = np.array(
            [
                [(float(length) - train.mean()) / train.std(), *(float(sex == other) for other in "FIM")]
                for length, sex, _ in own
            ]
        )
        dataset = getattr(splits, split)
        assert held_inputs(dataset).dtype is dataset.labels.dtype is torch.float32
        np.testing.assert_allclose(held_inputs(dataset), expected, atol=1e-5)
        assert dataset.labels.tolist() == [float(rings) for _, _, rings in own]
    assert (data.title, data.label_name) == ("table-shells", "rings")


def test_validation_and_test_are_balanced_and_about_a_tenth_each(tmp_path: Path) -> None:
    path = write(tmp_path, shells())
    splits = Table(path=path, target="rings").splits
    assert splits.bins.edges[0].tolist() == list(range(9))
    per_label = Counter(splits.test.labels.tolist())
    assert set(per_label.values()) == {1, 2} - ({1} if 1 not in per_label.values() else set())
    assert 8 <= len(splits.val) == len(splits.test) <= 16
    larger = Table(path=path, target="rings", most=5).splits
    assert max(Counter(larger.test.labels.tolist()).values()) == 5
    assert Table(path=path, target="rings", data_seed=1).splits.test.ids != splits.test.ids
    assert Table(path=path, target="rings").splits.test.ids == splits.test.ids


def test_missing_values_are_imputed_by_the_training_rows(tmp_path: Path) -> None:
    lines = ["x,kind,y,part"]
    lines += [f"{row},{'ab'[row % 2]},{row},train" for row in range(9)]
    lines += [",a,3,train", "4,,3,val", ",a,5,test", "2,new,6,test"]
    path = write(tmp_path, lines)
    data = Table(path=path, target="y", split_column="part", scaling="none")
    train, test = held_inputs(data.splits.train), held_inputs(data.splits.test)
    assert train[9].tolist() == [4, 1, 1, 0]  # the median of 0 to 8, and that it was missing
    assert held_inputs(data.splits.val).tolist() == [[4, 0, 0, 0]]  # no row of train misses its category
    assert test.tolist() == [[4, 1, 1, 0], [2, 0, 0, 0]]


def test_numbers_may_be_named_categories_and_columns_ignored(tmp_path: Path) -> None:
    lines = ["code,name,x,y"] + [f"{row % 3},person {row},{row},{row % 5}" for row in range(200)]
    path = write(tmp_path, lines)
    data = Table(path=path, target="y", categorical=["code"], ignore=["name"])
    assert held_inputs(data.splits.train).shape[1] == 1 + 3
    assert held_inputs(Table(path=path, target="y", ignore=[1]).splits.train).shape[1] == 2
    with pytest.warns(UserWarning, match="column 'name' left out: every row has a different text"):
        assert held_inputs(Table(path=path, target="y").splits.train).shape[1] == 2
    lines = ["name,x,y"] + [f"person {row % 150},{row},{row % 5}" for row in range(200)]
    path = write(tmp_path, lines)
    message = "column 'name': expected numbers or at most 100 categories, got 150 different texts such as 'person 0'"
    with pytest.raises(ValueError, match=re.escape(message)):
        Table(path=path, target="y").load()
    with pytest.warns(UserWarning, match="1 of 2 columns left out; the first is 'name'"):
        assert held_inputs(Table(path=path, target="y", skip_bad=True).splits.train).shape[1] == 1


def test_targets_go_by_name_or_position_and_may_be_several(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = [f"{a:.2f} {b:.2f} {a + b:.2f}" for a, b in random.normal(size=(300, 2))]
    path = write(tmp_path, lines)
    for target in (-1, 2, "column-3"):
        data = Table(path=path, target=target, header=False)
        assert data.splits.train.labels.ndim == 1
        assert held_inputs(data.splits.train).shape[1] == 2
        assert data.label_name == "column-3"
    both = Table(path=path, target=[0, "column-3"], header=False, bin_count=3, many=30, few=5)
    train = both.splits.train
    assert (train.labels.shape[1], both.splits.bins.shape, both.label_name) == (2, (3, 3), "column-1, column-3")
    first = [float(value) for value in lines[int(train.ids[0].removeprefix("row-")) - 1].split()]
    assert train.labels[0].tolist() == pytest.approx([first[0], first[2]])
    assert both.shot_density().many == 30


def test_bins_by_width_or_count(tmp_path: Path) -> None:
    path = write(tmp_path, shells())
    assert Table(path=path, target="rings", bin_width=2).splits.bins.edges[0].tolist() == [0, 2, 4, 6, 8]
    assert len(Table(path=path, target="rings", bin_count=3).splits.bins) == 3


def test_a_protocol_decides_before_anything_is_fitted(tmp_path: Path) -> None:
    data = Table(path=write(tmp_path, shells()), target="rings", scaling="standard")
    data.protocol = BlindSpot(low=2, high=2, test_per_bin=3)
    train = data.splits.train
    assert 2 not in train.labels.tolist()
    assert held_inputs(train)[:, 0].mean().item() == pytest.approx(0, abs=1e-5)
    assert data.title == "table-shells-blind-spot-2-2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({5: "long,F,2"}, "shells.csv, row 5: column 'length': expected a number, got 'long'"),
        ({9: "inf,F,2"}, "shells.csv, row 9: column 'length': expected a finite number, got inf"),
        ({7: "1,F,"}, "shells.csv, row 7: column 'rings': expected a finite number as label, got none"),
        ({7: "1,F,nan"}, "shells.csv, row 7: column 'rings': expected a finite number as label, got none"),
        ({3: "1,F,many"}, "shells.csv, row 3: column 'rings': expected a finite number as label, got 'many'"),
        ({3: "1,F,-inf"}, "shells.csv, row 3: column 'rings': expected a finite number as label, got '-inf'"),
        ({4: "1,F"}, "shells.csv, row 4: expected 3 fields, got 2"),
    ],
)
def test_the_first_bad_row_is_named_or_bad_rows_are_left_out(
    tmp_path: Path, changes: dict[int, str], message: str
) -> None:
    path = write(tmp_path, shells(changes))
    with pytest.raises(ValueError, match=re.escape(message)):
        Table(path=path, target="rings").load()
    assert Table(path=path, target="rings").problems() == [f"{tmp_path}/{message}"]
    data = Table(path=path, target="rings", skip_bad=True)
    with pytest.warns(
        UserWarning, match=re.escape(f"1 of {ROWS} rows left out; the first is row {next(iter(changes))}")
    ):
        splits = data.splits
    kept = rows_of(splits, "train") + rows_of(splits, "val") + rows_of(splits, "test")
    assert sorted(kept) == [row for row in range(2, ROWS + 2) if row not in changes]


def test_a_check_lists_every_bad_row_and_column(tmp_path: Path) -> None:
    lines = [f"{line},{'empty' if number == 0 else ''}" for number, line in enumerate(shells({5: "x,F,2", 6: "1,F,?"}))]
    lines[9] = "1,F"
    found = Table(path=write(tmp_path, lines), target="rings").problems()
    assert [problem.removeprefix(f"{tmp_path}/shells.csv, ") for problem in found] == [
        "column 'empty': expected values, got none in any row",
        "row 5: column 'length': expected a number, got 'x'",
        "row 6: column 'rings': expected a finite number as label, got none",
        "row 10: expected 4 fields, got 2",
    ]
    assert Table(path=write(tmp_path, shells()), target="rings").problems() == []


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (shells(), {"target": "ring"}, "target: expected a column of "),
        (shells(), {"target": "ring"}, "('length', 'sex', 'rings'), got 'ring'; did you mean 'rings'?"),
        (shells(), {"target": 3}, "target: expected a position in the 3 columns of "),
        (shells(), {"target": "rings", "ignore": ["age"]}, "ignore: expected a column of "),
        (shells(), {"target": "rings", "split_column": "sex"}, "column 'sex': expected train, val or test, got 'F'"),
        (shells(), {"target": []}, "target: expected the name or position of a column, got none"),
        (shells(), {"target": "rings", "ignore": ["sex", "length"]}, "expected columns beside the target, got none"),
        (["x,y"] + ["1,5"] * 9, {"target": "y"}, "column 'y': expected labels that differ, got 5 in all 9 rows"),
        (["x,y", "1,1e300", *["1,5"] * 8], {"target": "y"}, "32-bit numbers can hold and distinguish, got 5 to 1e+300"),
        (
            ["x,y", "1,1e-300", *["1,0"] * 8],
            {"target": "y"},
            "32-bit numbers can hold and distinguish, got 0 to 1e-300",
        ),
        (["x,y", "1,16777216.5", *["1,16777216"] * 8], {"target": "y"}, "32-bit numbers can hold and distinguish"),
        (["x,y,z", "1,2,", "2,3,"], {"target": "y"}, "column 'z': expected values, got none in any row (ignore leaves"),
        (["x,y", "1,2", "2,3"], {"target": "y"}, "shells.csv: labels: expected a bin of at least 3 samples"),
        (
            ["x,y,part", "1,2,train", "1,3,test"],
            {"target": "y", "split_column": "part"},
            "expected samples in train, val, test, got none in val (train 1, val 0, test 1)",
        ),
        (shells(), {"target": "rings", "most": 0}, "most: expected a number of at least 1, got 0"),
        (shells(), {"target": "rings", "scaling": "minmax"}, "scaling: expected one of 'quantile'"),
        (shells(), {"target": "rings", "categories": "hash"}, "categories: expected one of 'onehot'"),
        (shells(), {"target": "rings", "imputation": "zero"}, "imputation: expected one of 'median'"),
        (shells(), {"target": "rings", "bin_count": 2, "bin_width": 1}, "width and count: expected one of them"),
        (shells(), {"target": "rings", "many": 5}, "many: expected a number of at least 20, got 5"),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: Path, lines: list[str], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Table(path=write(tmp_path, lines), **options).load()  # type: ignore[arg-type]


def test_a_column_of_words_in_skipped_rows_only_tells_nothing(tmp_path: Path) -> None:
    lines = ["x,y", "high,none", *(f",{row % 10}" for row in range(40))]
    with pytest.warns(UserWarning, match="row"):
        splits = Table(path=write(tmp_path, lines), target="y", skip_bad=True).load()
    assert isinstance(splits.train, ArrayDataset)
    assert splits.train.inputs.isfinite().all()


def test_nothing_usable_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    path = write(tmp_path, ["x,y", "1,a", "2,b"])
    with pytest.raises(ValueError, match="expected numbers as labels, got text in 2 of 2 rows, the first 'a' in row 2"):
        Table(path=path, target="y", skip_bad=True).load()
    path = write(tmp_path, ["x,y", ",1", ",2"])
    with pytest.raises(ValueError, match=r"expected usable columns, got none of 1: 'x' \(expected values"):
        Table(path=path, target="y", skip_bad=True).load()


def test_other_rows_are_predicted_as_the_training_rows_were_prepared(tmp_path: Path) -> None:
    path = write(tmp_path, shells())
    splits = Table(path=path, target="rings").splits
    row = rows_of(splits, "test")[0]
    length, sex, _ = shells()[row - 1].split(",")
    others = write(tmp_path, ["sex,length", f"{sex},{length}", f"{sex},"], "others.csv")
    data = Table(path=path, target="rings", predict_path=others)
    loader = data.predict_dataloader()
    (batch,) = list(loader)
    torch.testing.assert_close(batch[0], held_inputs(splits.test)[0])
    assert loader.dataset.ids == ["row-2", "row-3"]  # type: ignore[attr-defined]
    without = write(tmp_path, ["sex,width", "F,1"], "without.csv")
    with pytest.raises(ValueError, match=r"without.csv: expected the columns of the training file, found no 'length'"):
        Table(path=path, target="rings", predict_path=without).predict_dataloader()
    wrong = write(tmp_path, ["sex,length", "F,1", "F,long"], "wrong.csv")
    with pytest.raises(ValueError, match=r"wrong.csv, row 3: column 'length': expected a number, got 'long'"):
        Table(path=path, target="rings", predict_path=wrong).predict_dataloader()


def test_rows_that_repeat_others_are_counted(tmp_path: Path) -> None:
    """In all columns that are used: the first one numbers the rows. A missing number repeats a missing number."""
    file = tmp_path / "rows.csv"
    rows = [f"{i},{i % 30 or ''},{i % 7},{'abc'[i % 3]},{i % 30}" for i in range(300)]
    file.write_text("\n".join(["id,size,weight,colour,age", *rows]) + "\n")
    with pytest.warns(UserWarning, match=r"rows.csv: 90 of 300 rows repeat an earlier .*, the first is row 212$"):
        assert len(Table(path=str(file), target="age", ignore=["id"]).splits.train) > 0
