from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from conr.data import ImageViews, TableViews, make_views


class AddCall(nn.Module):
    """Adds 10 at the first call, 20 at the second: shows which rows are which view."""

    calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        return inputs + 10 * self.calls


INPUTS = torch.tensor([[1.0], [2.0], [3.0]])
LABELS = torch.tensor([7.0, 8.0, 9.0])


def test_two_views() -> None:
    views = make_views(INPUTS, LABELS, AddCall(), "two")
    assert views.inputs.flatten().tolist() == [11, 12, 13, 21, 22, 23]
    assert views.labels.tolist() == [7, 8, 9, 7, 8, 9]
    assert views.labels[views.criterion_rows].tolist() == [7, 8, 9, 7, 8, 9]
    assert views.labels[views.regularizer_rows].tolist() == [7, 8, 9, 7, 8, 9]


def test_the_original_and_two_views() -> None:
    views = make_views(INPUTS, LABELS, AddCall(), "original+two")
    assert views.inputs[views.criterion_rows].flatten().tolist() == [1, 2, 3]
    assert views.inputs[views.regularizer_rows].flatten().tolist() == [11, 12, 13, 21, 22, 23]
    assert views.inputs.shape == (9, 1)
    assert views.labels.tolist() == [7, 8, 9] * 3


def test_three_views() -> None:
    views = make_views(INPUTS, LABELS, AddCall(), "three")
    assert views.inputs[views.criterion_rows].flatten().tolist() == [11, 12, 13]
    assert views.inputs[views.regularizer_rows].flatten().tolist() == [21, 22, 23, 31, 32, 33]
    assert views.labels.tolist() == [7, 8, 9] * 3


@pytest.mark.parametrize(
    ("mode", "added"), [("one", [10]), ("two", [10, 20]), ("three", [10, 20, 30]), ("original+two", [0, 10, 20])]
)
def test_a_view_may_change_the_labels_with_the_inputs(mode: str, added: list[int]) -> None:
    class Both(AddCall):
        changes_labels = True

        def forward(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
            return super().forward(inputs), labels + 10 * self.calls

    views = make_views(INPUTS, LABELS, Both(), mode)
    assert views.inputs.flatten().tolist() == [one + more for more in added for one in (1, 2, 3)]
    assert views.labels.tolist() == [one + more for more in added for one in (7, 8, 9)]


def test_one_view() -> None:
    views = make_views(INPUTS, LABELS, AddCall(), "one")
    assert views.inputs[views.criterion_rows].flatten().tolist() == [11, 12, 13]
    assert views.inputs[views.regularizer_rows].flatten().tolist() == [11, 12, 13]
    assert views.labels.tolist() == [7, 8, 9]


@pytest.mark.parametrize(("mode", "copies"), [("one", 1), ("two", 2), ("three", 3), ("original+two", 3)])
def test_without_a_transform_the_inputs_repeat(mode: str, copies: int) -> None:
    labels = torch.stack((LABELS, -LABELS), dim=1)  # (n, 2)
    views = make_views(INPUTS, labels, None, mode)
    assert torch.equal(views.inputs, INPUTS.repeat(copies, 1))
    assert torch.equal(views.labels, labels.repeat(copies, 1))


def test_wrong_arguments_of_make_views_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mode: expected one of .*, got 'tow'; did you mean 'two'"):
        make_views(INPUTS, LABELS, None, "tow")
    with pytest.raises(ValueError, match="labels: expected 3 samples like inputs, got 2"):
        make_views(INPUTS, LABELS[:2], None, "two")


def _ramps(n: int) -> Tensor:
    """Images (n, 2, 9, 11): channel 0 holds each pixel's row, channel 1 its column."""
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij")
    return torch.stack((rows, columns)).repeat(n, 1, 1, 1)


def test_shifts_are_whole_pixels_that_repeat_the_border() -> None:
    torch.manual_seed(0)
    shifted = ImageViews(shift=2, noise=0)(_ramps(200))
    for image in shifted:
        down, right = (image[0, 4, 5] - 4).int().item(), (image[1, 4, 5] - 5).int().item()
        rows = [min(max(row + down, 0), 8) for row in range(9)]
        columns = [min(max(column + right, 0), 10) for column in range(11)]
        assert image[0].tolist() == [[row] * 11 for row in rows]
        assert image[1].tolist() == [columns] * 9


def test_a_fill_makes_a_shift_a_random_crop_of_the_padded_image() -> None:
    torch.manual_seed(0)
    images = torch.rand(50, 3, 9, 11)
    seen = set()
    for image, cropped in zip(images, ImageViews(shift=3, fill=-1.0, noise=0)(images), strict=True):
        padded = torch.full((3, 15, 17), -1.0)
        padded[:, 3:12, 3:14] = image
        crops = {(top, left): padded[:, top : top + 9, left : left + 11] for top in range(7) for left in range(7)}
        (corner,) = [corner for corner, crop in crops.items() if torch.equal(crop, cropped)]
        seen.add(corner)
    assert len(seen) > 20


def test_an_automatic_shift_follows_the_height() -> None:
    assert (7 * ImageViews(shift="auto", noise=0)(_ramps(500)[:, :, :7]) == 7 * _ramps(500)[:, :, :7]).all()  # 7 / 14
    tall = torch.arange(28.0).view(1, 1, 28, 1).expand(500, 1, 28, 5)
    moved = ImageViews(shift="auto", noise=0)(tall)[:, 0, 14, 0] - 14
    assert moved.unique().tolist() == [-2, -1, 0, 1, 2]


def test_half_of_the_images_are_mirrored_each_by_itself() -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, 4, 5).expand(10_000, 3, 4, 5)
    flipped = ImageViews(shift=0, flip=0.3, noise=0)(images)
    mirrored = (flipped == images.flip(3)).flatten(1).all(dim=1)  # (n,)
    unchanged = (flipped == images).flatten(1).all(dim=1)  # (n,)
    assert (mirrored ^ unchanged).all()
    assert mirrored.float().mean().item() == pytest.approx(0.3, abs=5 * (0.3 * 0.7 / 10_000) ** 0.5)
    assert torch.equal(ImageViews(shift=0, flip=1, noise=0)(images[:2]), images[:2].flip(3))


def test_mirroring_and_shifting_are_drawn_apart() -> None:
    torch.manual_seed(0)
    views = ImageViews(shift=1, flip=0.5, noise=0)(_ramps(20_000))
    mirrored = views[:, 1, 4, 5] > views[:, 1, 4, 6]  # (n,)
    right = views[:, 1, 4, 5] - 5  # (n,): the middle column stays in the middle
    counts = Counter(zip(mirrored.tolist(), right.int().tolist(), strict=True))
    assert set(counts) == {(side, shift) for side in (False, True) for shift in (-1, 0, 1)}
    assert all(abs(count - 20_000 / 6) < 5 * (20_000 / 6) ** 0.5 for count in counts.values())


def test_every_shift_is_as_likely_and_each_image_has_its_own() -> None:
    torch.manual_seed(0)
    shifted = ImageViews(shift=2, noise=0)(_ramps(10_000))
    pairs = torch.stack((shifted[:, 0, 4, 5] - 4, shifted[:, 1, 4, 5] - 5), dim=1)  # (n, 2)
    counts = Counter((down, right) for down, right in pairs.int().tolist())
    assert set(counts) == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}
    assert all(abs(count - 400) < 5 * 400**0.5 for count in counts.values())


def test_image_noise_has_the_wanted_deviation() -> None:
    torch.manual_seed(0)
    noise = ImageViews(shift=0, noise=0.3)(torch.full((50, 1, 40, 40), 5.0)) - 5
    assert noise.mean().item() == pytest.approx(0, abs=5 * 0.3 / 80_000**0.5)
    assert noise.std().item() == pytest.approx(0.3, rel=5 / 160_000**0.5)
    assert noise[0].flatten().unique().numel() > 1500


def test_views_that_change_nothing() -> None:
    images, rows = torch.rand(3, 1, 5, 5), torch.rand(4, 6)
    assert torch.equal(ImageViews(shift=0, noise=0)(images), images)
    assert torch.equal(TableViews(corruption=0, noise=0)(rows), rows)
    assert torch.equal(TableViews(corruption=1)(rows[:1]), rows[:1])  # no other row to take from


def test_corruption_takes_the_same_column_of_another_row() -> None:
    torch.manual_seed(0)
    n, columns = 500, 40
    rows = (1000 * torch.arange(columns) + torch.arange(n).unsqueeze(1)).float()  # (n, columns), all distinct
    corrupted = TableViews(corruption=0.25)(rows)
    assert torch.equal(corrupted.div(1000, rounding_mode="floor"), torch.arange(columns).expand(n, -1).float())
    changed = corrupted != rows
    # Not an entry is replaced by itself, so the changed share is the corruption, within five binomial deviations.
    assert changed.float().mean().item() == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / (n * columns)) ** 0.5)
    for share in (changed.float().mean(dim=0), changed.float().mean(dim=1)):  # entries are drawn apart from each other
        binomial = (0.25 * 0.75 / (changed.numel() / len(share))) ** 0.5
        assert share.std().item() == pytest.approx(binomial, rel=0.5)


def test_every_other_row_is_as_likely_to_give() -> None:
    torch.manual_seed(0)
    rows = torch.arange(4.0).unsqueeze(1).expand(4, 30_000)
    donors = TableViews(corruption=1)(rows)
    for row in range(4):
        counts = torch.bincount(donors[row].long(), minlength=4)
        expected = torch.tensor([0 if other == row else 10_000 for other in range(4)])
        assert ((counts - expected).abs() <= 5 * 100 * (expected > 0)).all()


def test_table_noise_has_the_wanted_deviation() -> None:
    torch.manual_seed(0)
    noise = TableViews(corruption=0, noise=0.5)(torch.zeros(1000, 100))
    assert noise.std().item() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_views_keep_shape_and_type_and_leave_their_input_alone(dtype: torch.dtype) -> None:
    for transform, inputs in (
        (ImageViews(), torch.rand(3, 2, 8, 6).to(dtype)),
        (ImageViews(shift=4, fill=-1.0, flip=0.5, noise=0), torch.rand(3, 2, 8, 6).to(dtype)),
        (TableViews(corruption=0.5, noise=0.1), torch.rand(8, 5).to(dtype)),
    ):
        before = inputs.clone()
        view = transform(inputs)
        assert (view.shape, view.dtype) == (inputs.shape, dtype)
        assert torch.equal(inputs, before)
        assert not torch.equal(view, inputs)


def test_views_are_made_on_the_device_of_the_batch_without_looking_at_values() -> None:
    for transform, shape in (
        (ImageViews(fill=0.0, flip=0.5), (4, 1, 28, 28)),
        (ImageViews(), (4, 1, 28, 28)),
        (TableViews(noise=0.1), (4, 10)),
    ):
        # A meta tensor has no values: a step that reads one, or that mixes in a CPU tensor, raises.
        inputs, labels = torch.empty(shape, device="meta"), torch.empty(4, device="meta")
        views = make_views(inputs, labels, transform, "original+two")
        assert views.inputs.device.type == views.labels.device.type == "meta"
        assert views.inputs.shape == (12, *shape[1:])


def test_the_seed_decides_and_two_views_differ() -> None:
    images, transform = torch.rand(8, 1, 28, 28), ImageViews()
    torch.manual_seed(3)
    first, second = transform(images), transform(images)
    torch.manual_seed(3)
    assert torch.equal(transform(images), first)
    assert not torch.equal(first, second)


def test_wrong_inputs_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images: expected shape \(n, channels, height, width\), got \(3, 28, 28\)"):
        ImageViews()(torch.zeros(3, 28, 28))
    with pytest.raises(TypeError, match=r"images: expected a floating-point dtype, got torch.uint8"):
        ImageViews()(torch.zeros(3, 1, 28, 28, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"rows: expected shape \(n, columns\), got \(3,\)"):
        TableViews()(torch.zeros(3))
    with pytest.raises(ValueError, match="shift: expected a number of at least 0, got -1"):
        ImageViews(shift=-1)
    with pytest.raises(ValueError, match="noise: expected a number of at least 0"):
        ImageViews(noise=-0.1)
    with pytest.raises(ValueError, match=r"flip: expected a number in \[0, 1\], got -0.5"):
        ImageViews(flip=-0.5)
    with pytest.raises(ValueError, match="fill: expected a finite number, got nan"):
        ImageViews(fill=float("nan"))
    with pytest.raises(ValueError, match=r"corruption: expected a number in \[0, 1\], got 1.5"):
        TableViews(corruption=1.5)
    with pytest.raises(ValueError, match="noise: expected a number of at least 0"):
        TableViews(noise=-0.1)


def test_views_of_several_inputs_are_made_together() -> None:
    inputs = {"first": torch.arange(3.0), "second": torch.arange(6.0).view(3, 2)}

    class Negate(nn.Module):
        def forward(self, parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {name: -part for name, part in parts.items()}

    views = make_views(inputs, torch.zeros(3), Negate(), "original+two")
    assert views.inputs["first"].tolist() == [0, 1, 2, 0, -1, -2, 0, -1, -2]
    assert views.inputs["second"].shape == (9, 2)
