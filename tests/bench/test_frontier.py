import json
from pathlib import Path

import pytest

from conr.bench.ablation import Ablation, Point
from conr.bench.frontier import Strength, frontiers, gain_at_equal_error, write_frontier
from conr.report.aggregate import Spread

WITHOUT = [Strength(0, 5, 20), Strength(0.5, 6, 14), Strength(1, 9, 13)]


@pytest.mark.parametrize(
    ("beside", "gain"),
    [
        (WITHOUT, 0.0),
        ([Strength(0, 5, 19), Strength(0.5, 6, 13), Strength(1, 9, 12)], 1.0),
        # A strength that another beats in both errors does not count.
        ([Strength(0, 5, 19), Strength(0.5, 6, 13), Strength(0.7, 8, 15), Strength(1, 9, 12)], 1.0),
        # Where a curve ends its lowest error goes on: 14 to 13 against 13, then 13 against 13.
        ([Strength(0, 6, 13)], 0.5),
        # Both have begun at 12, where the first has 13 for certain.
        ([Strength(0, 12, 15)], -2.0),
    ],
)
def test_the_area_between_two_curves(beside: list[Strength], gain: float) -> None:
    assert gain_at_equal_error(WITHOUT, beside) == pytest.approx(gain)
    assert gain_at_equal_error(beside, WITHOUT) == pytest.approx(-gain)
    assert gain_at_equal_error(WITHOUT[::-1], beside) == pytest.approx(gain)


def _ablation(method: str, few: float) -> Ablation:
    def point(value: float, many: float, few: float) -> Point:
        errors = {name: Spread(mean, 0, mean, mean, 1) for name, mean in (("many", many), ("few", few), ("all", few))}
        return Point(value, is_preset=value == 0.5, errors=errors)

    points = [point(0, 5, few + 6), point(0.5, 6, few), point(1, 8, few - 1)]
    return Ablation("faces", method, "mae", "years", {"power": points})


def test_a_reweighting_meets_itself_with_conr(tmp_path: Path) -> None:
    ablations = [_ablation("sqinv", 14), _ablation("conr+sqinv", 13), _ablation("lds", 14), _ablation("inv+conr", 1)]
    (found,) = frontiers(ablations)
    assert (found.method, found.axis) == ("sqinv", "power")
    assert found.gain == pytest.approx(1.0)
    numbers, picture = write_frontier(found, tmp_path / "new")
    content = json.loads(numbers.read_text())
    assert content["beside"][1] == {"value": 0.5, "many": 6, "few": 13}
    assert content["gain"] == pytest.approx(1.0)
    assert picture.read_bytes().startswith(b"\x89PNG")
