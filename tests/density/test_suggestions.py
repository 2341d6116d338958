import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from conr.data import RegressionData, RotatedDigits
from conr.density import Bins, LabelDensity, suggest_scheme, suggest_settings
from conr.density.default_bins import label_bins
from conr.methods.presets import preset_config

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "conr.md"


def normal(n: int = 3000) -> Tensor:
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_ages_get_the_published_settings() -> None:
    """AgeDB: window 1 year, distance scale 0.01, coefficient 4, as the authors of ConR trained it."""
    ages = torch.cat([torch.tensor([1.0, 101.0]), (40 + 16 * normal()).round().clamp(1, 101)])
    found = suggest_settings(ages, Bins.by_width(width=1, low=0, high=120))
    assert found == (1.0, 0.1, 0.01, 4.0)


@pytest.mark.parametrize("name", ["abalone", "rotated-digits"])
def test_the_presets_chosen_on_validation_data_are_near_but_for_the_coefficient(name: str) -> None:
    """Within a factor of 1.2, the window exactly; how far the coefficient is, the page about ConR says."""
    if name == "rotated-digits":
        data: RegressionData = RotatedDigits()
        labels, bins = data.train_labels(), data.splits.bins
    else:  # ring counts as in the table, without its package: 1 to 29, standard deviation 3.2
        labels = torch.cat([torch.tensor([1.0, 29.0]), (9.9 + 3.2 * normal()).round().clamp(1, 29)])
        bins = label_bins(labels)
    preset = preset_config(f"{name}-conr")["model"]["regularizers"]["conr"]
    wanted = preset["loss"]["init_args"]
    found = suggest_settings(labels, bins)
    assert found.window == wanted["window"]
    assert found.temperature == wanted["temperature"]
    assert 1 / 1.2 <= found.distance_scale / wanted["distance_scale"] <= 1.2
    title = name.replace("-", " ")
    (row,) = re.findall(rf"^\| {title} \(ours\) \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    numbers = [float(cell.split()[0]) for cell in row.split("|")]
    assert numbers[::2] == [wanted["window"], wanted["distance_scale"], preset["coefficient"]]
    assert numbers[1::2] == [found.window, found.distance_scale, found.coefficient]


@pytest.mark.parametrize("factor", [1e-3, 1.0, 250.0])
@pytest.mark.parametrize(("criterion", "power"), [("l1", 1), ("mse", 2)])
def test_settings_follow_the_unit_of_the_labels(factor: float, criterion: str, power: int) -> None:
    labels = normal()
    edges = torch.linspace(-5, 5, 41, dtype=torch.float64)
    one = suggest_settings(labels, Bins(edges.tolist()), criterion=criterion)
    two = suggest_settings(labels * factor, Bins((edges * factor).tolist()), criterion=criterion)
    assert two.window == pytest.approx(one.window * factor)
    assert two.distance_scale == pytest.approx(one.distance_scale / factor, rel=0.06)  # to two digits
    assert two.coefficient == pytest.approx(one.coefficient * factor**power, rel=0.06)


def test_the_window_grows_until_a_batch_holds_positives() -> None:
    """1001 labels from 0 to 1 and 1000 bins: of 8 others one is within 1/16 of the middle ones."""
    labels = torch.linspace(0, 1, 1001, dtype=torch.float64)
    bins = Bins.by_width(width=0.001, low=0, high=1)
    assert suggest_settings(labels, bins, batch_size=9).window == pytest.approx(0.063, abs=0.0011)
    assert suggest_settings(labels, bins, batch_size=64).window == pytest.approx(0.008, abs=0.0011)
    assert suggest_settings(labels, bins, batch_size=1001).window == pytest.approx(0.001)


def test_one_extreme_label_does_not_set_the_coefficient() -> None:
    labels = normal()
    far = torch.cat([labels, torch.tensor([1000.0], dtype=torch.float64)])
    bins = Bins([-10, 0, 10, 1000])
    found = suggest_settings(far, bins)
    assert found.coefficient == pytest.approx(0.4 * float(far.std(correction=0)), rel=0.06)
    assert found.distance_scale == 0.001  # its push stays within e


def test_several_label_dimensions_take_the_widest() -> None:
    labels = torch.stack([normal(), 10 * normal().flip(0)], dim=1)
    bins = Bins.by_width(labels, width=[0.5, 5.0])
    reach = float(labels[:, 1].max() - labels[:, 1].min())
    found = suggest_settings(labels, bins)
    assert found.window % 5 == 0
    assert found.distance_scale == pytest.approx(1 / reach, rel=0.06)


def test_a_single_sample_apart_from_the_others_is_no_matter() -> None:
    found = suggest_settings(torch.tensor([0.0, 1.0]), Bins([0, 0.5, 1.0]), batch_size=2)
    assert found.window == 1.0


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        (torch.tensor([2.0, 2.0]), {}, "expected numbers that differ, got"),
        (torch.tensor([2.0, math.nan]), {}, "expected finite numbers, got"),
        (torch.tensor([]), {}, "expected at least one label"),
        (torch.rand(4, 2), {}, "expected 1 label dimension"),
        (torch.rand(4), {"criterion": "L1"}, "did you mean 'l1'"),
        (torch.rand(4), {"batch_size": 1}, "batch_size: expected a number of at least 2"),
    ],
)
def test_what_cannot_be_used_is_refused(labels: Tensor, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        suggest_settings(labels, Bins([0, 1, 4]), **arguments)  # type: ignore[arg-type]


def test_the_scheme_follows_the_counts() -> None:
    even = LabelDensity(Bins.by_width(width=0.1, low=0, high=1)).fit(torch.linspace(0, 1, 1000))
    assert suggest_scheme(even.counts) == "none"
    assert suggest_scheme(torch.histc(normal(), bins=20).long()) == "sqrt_inverse"
    assert suggest_scheme(torch.tensor([[0, 50], [50, 0]])) == "none"
    assert suggest_scheme(torch.tensor([342, 6])) == "sqrt_inverse"
    assert suggest_scheme(torch.tensor([0, 7])) == "none"
    with pytest.raises(ValueError, match="expected samples in at least one bin"):
        suggest_scheme(torch.zeros(3, dtype=torch.long))
