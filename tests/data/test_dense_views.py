import math
from typing import Any

import pytest
import torch
from torch import Tensor

from conr.data import DenseViews, make_views
from conr.data.image_views import IMAGENET_MEAN, IMAGENET_STD

STILL: dict[str, Any] = {"flip": 0.0, "degrees": 0.0, "lighting": 0.0, "jitter": 0.0}


def batch(n: int = 3, size: tuple[int, int] = (12, 16)) -> tuple[Tensor, Tensor]:
    """Normalised images, and labels of half their size with a gap."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(n, 3, *size, generator=generator)
    labels = 10 * torch.rand(n, 1, size[0] // 2, size[1] // 2, generator=generator)
    labels[:, :, 1, 2] = math.nan
    return normalised(pixels), labels


def normalised(pixels: Tensor) -> Tensor:
    return (pixels - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)


def colors(images: Tensor) -> Tensor:
    return images * torch.tensor(IMAGENET_STD).view(3, 1, 1) + torch.tensor(IMAGENET_MEAN).view(3, 1, 1)


def test_without_any_change_all_stays() -> None:
    images, labels = batch()
    view, turned = DenseViews(**STILL)(images, labels)
    torch.testing.assert_close(view, images)
    torch.testing.assert_close(turned, labels, equal_nan=True, rtol=0, atol=0)


def test_image_and_labels_are_mirrored_together() -> None:
    torch.manual_seed(0)
    images, labels = batch(n=20)
    view, turned = DenseViews(**STILL | {"flip": 0.5})(images, labels)
    mirrored = 0
    for i in range(20):
        was_mirrored = not torch.allclose(view[i], images[i], atol=1e-4)
        mirrored += was_mirrored
        torch.testing.assert_close(view[i], images[i].flip(-1) if was_mirrored else images[i], atol=1e-4, rtol=1e-4)
        expected = labels[i].flip(-1) if was_mirrored else labels[i]
        assert torch.equal(turned[i].nan_to_num(-1), expected.nan_to_num(-1))
    assert 3 < mirrored < 17


def test_a_rotation_keeps_squares_square_and_labels_on_their_image() -> None:
    """A dot 30 pixels right of the centre moves along a circle; the label's dot, at half the resolution, with it."""
    torch.manual_seed(0)
    n, height, width = 40, 81, 121
    pixels = torch.zeros(n, 3, height, width)
    pixels[:, :, 38:43, 88:93] = 1
    labels = torch.ones(n, 1, height, width)
    labels[:, :, 38:43, 88:93] = 9
    view, turned = DenseViews(**STILL | {"degrees": 5.0})(normalised(pixels), labels)
    bright = colors(view)[:, 0]  # (n, h, w)
    rows, columns = torch.meshgrid(torch.arange(height) - 40.0, torch.arange(width) - 60.0, indexing="ij")
    down = (bright * rows).sum((1, 2)) / bright.sum((1, 2))
    right = (bright * columns).sum((1, 2)) / bright.sum((1, 2))
    torch.testing.assert_close(torch.hypot(down, right), torch.full((n,), 30.0), atol=0.05, rtol=0)
    angles = torch.rad2deg(torch.atan2(down, right))
    assert angles.abs().max() <= 5.01
    assert angles.min() < -3.5
    assert angles.max() > 3.5
    far = (turned.squeeze(1) == 9).float()  # (n, h, w)
    torch.testing.assert_close((far * rows).sum((1, 2)) / far.sum((1, 2)), down, atol=0.5, rtol=0)  # nearest pixel
    assert set(turned.nan_to_num(0).unique().tolist()) == {0, 1, 9}  # no depth between two


def test_what_turns_in_from_outside_is_black_and_has_no_label() -> None:
    torch.manual_seed(1)
    labels = torch.full((8, 1, 40, 60), 3.0)
    labels[:, :, 20, 30] = math.nan
    view, turned = DenseViews(**STILL | {"degrees": 5.0})(normalised(torch.ones(8, 3, 80, 120)), labels)
    pixels = colors(view).mean(1)
    unknown = turned.isnan().squeeze(1)
    assert unknown[:, 20, 30].all()
    assert 8 < unknown.sum() < 0.1 * unknown.numel()
    assert (turned[~unknown.unsqueeze(1)] == 3).all()
    assert pixels.min().item() == pytest.approx(0, abs=1e-5)
    assert pixels[:, 30:50, 30:90].min().item() == pytest.approx(1, abs=1e-5)


def test_brightness_contrast_and_saturation_by_hand() -> None:
    """Black, white and a red: what a change leaves alone tells which it was."""
    torch.manual_seed(0)
    pixels = torch.zeros(1, 3, 1, 4)
    pixels[0, :, 0, 1] = 1
    pixels[0, 0, 0, 2] = 0.5
    images = normalised(pixels)
    labels = torch.ones(1, 1, 1, 4)
    for _ in range(20):
        view, same = DenseViews(**STILL | {"jitter": 0.4})(images, labels)
        assert torch.equal(same, labels)
        black, white, red, also_black = colors(view)[0, :, 0].T
        torch.testing.assert_close(black, also_black)
        for grey in (black, white):  # stays grey: no change turns grey into a colour
            torch.testing.assert_close(grey, grey.mean().expand(3), atol=1e-5, rtol=0)
        spread = (white - black).mean().item()
        assert 0.6 * 0.6 - 1e-5 <= spread <= 1.4 * 1.4 + 1e-5  # brightness and contrast stretch black to white
        assert 0.5 * 0.6 - 1e-4 <= (red[0] - red[1]).item() / spread <= 0.5 * 1.4 + 1e-4  # and saturation the colour
        torch.testing.assert_close(red[1], red[2], atol=1e-5, rtol=0)


def test_lighting_moves_all_pixels_of_an_image_along_the_principal_components() -> None:
    torch.manual_seed(0)
    images = normalised(torch.rand(4000, 3, 2, 2))
    moved = colors(DenseViews(**STILL | {"lighting": 0.1})(images, torch.ones(4000, 1, 1, 1))[0]) - colors(images)
    torch.testing.assert_close(moved, moved[:, :, :1, :1].expand_as(moved), atol=1e-5, rtol=0)
    directions = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    deviations = (moved[:, :, 0, 0] @ directions).std(dim=0)
    torch.testing.assert_close(deviations, 0.1 * torch.tensor([0.2175, 0.0188, 0.0045]), rtol=0.05, atol=2e-5)


def test_the_seed_decides_and_views_differ() -> None:
    images, labels = batch(n=8)
    transform = DenseViews()
    torch.manual_seed(3)
    first, second = transform(images, labels), transform(images, labels)
    torch.manual_seed(3)
    again = transform(images, labels)
    assert torch.equal(again[0], first[0])
    assert torch.equal(again[1].nan_to_num(-1), first[1].nan_to_num(-1))
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0][0], first[0][1])


def test_views_of_a_batch_keep_labels_with_their_images() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 16).expand(2, 3, 12, 16)
    views = make_views(normalised(ramp), ramp[:, :1] + 1, DenseViews(**STILL | {"flip": 0.5}), "three")
    assert (views.inputs.shape, views.labels.shape) == ((6, 3, 12, 16), (6, 1, 12, 16))
    torch.testing.assert_close(colors(views.inputs)[:, :1] + 1, views.labels, atol=1e-5, rtol=0)
    assert len({tuple(row.tolist()) for row in views.labels[:, 0, 0]}) == 2


def test_inputs_are_left_alone_and_no_value_is_read() -> None:
    images, labels = batch()
    before = images.clone(), labels.clone()
    DenseViews()(images, labels)
    assert torch.equal(images, before[0])
    assert torch.equal(labels.nan_to_num(-1), before[1].nan_to_num(-1))
    on_meta = DenseViews().to("meta")(images.to("meta"), labels.to("meta"))
    assert (on_meta[0].shape, on_meta[1].shape) == (images.shape, labels.shape)
    assert DenseViews().state_dict() == {}


def test_wrong_inputs_and_settings_are_refused() -> None:
    images, labels = batch()
    with pytest.raises(ValueError, match=r"images: expected shape \(n, 3, h, w\), got \(3, 1, 12, 16\)"):
        DenseViews()(images[:, :1], labels)
    with pytest.raises(ValueError, match=r"labels: expected shape \(3, k, h, w\), got \(2, 1, 6, 8\)"):
        DenseViews()(images, labels[:2])
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"flip": 1.5}, r"flip: expected a number in \[0, 1\], got 1.5"),
        ({"jitter": -0.1}, r"jitter: expected a number in \[0, 1\], got -0.1"),
        ({"degrees": -1.0}, "degrees: expected a number of at least 0"),
        ({"lighting": -1.0}, "lighting: expected a number of at least 0"),
    )
    for settings, message in wrong:
        with pytest.raises(ValueError, match=message):
            DenseViews(**settings)
    with pytest.raises(ValueError, match="mean: expected 3 numbers, one per colour, got 1"):
        DenseViews(mean=(0.5,))
    with pytest.raises(ValueError, match="std: expected a number above 0"):
        DenseViews(std=(0.5, 0.5, 0.0))
