from collections import Counter

import pytest
import torch
from torch import nn

from conr.data import DropoutViews, MixViews, make_views
from conr.models import MLP


def test_dropout_zeroes_the_wanted_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    view = DropoutViews(rate=0.25)(torch.ones(400, 50))
    assert view.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert (view == 0).float().mean().item() == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 20_000) ** 0.5)
    assert torch.equal(DropoutViews(rate=0)(torch.ones(2, 3)), torch.ones(2, 3))


def test_a_network_with_dropout_makes_two_views_of_equal_inputs() -> None:
    torch.manual_seed(0)
    encoder = MLP(4, dropout=0.5)
    rows = torch.randn(6, 4)
    views = make_views(rows, torch.arange(6.0), None, "two")
    features = encoder(views.inputs)
    assert torch.equal(views.inputs[:6], views.inputs[6:])
    assert not torch.equal(features[:6], features[6:])


def test_a_mixture_lies_on_the_way_to_another_row() -> None:
    torch.manual_seed(0)
    n = 300
    rows = torch.eye(n)  # a mixture of rows i and j has 1 - way at i and way at j
    mixed = MixViews(most=0.4)(rows, torch.zeros(n))
    ways = 1 - mixed.diagonal()
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(n))
    assert (mixed > 0).sum(dim=1).unique().tolist() == [2]
    assert ((ways > 0) & (ways <= 0.4)).all()
    assert ways.mean().item() == pytest.approx(0.2, abs=5 * 0.4 / (12 * n) ** 0.5)


def test_every_other_row_is_as_likely_a_partner() -> None:
    torch.manual_seed(0)
    transform = MixViews(most=1)
    drawn = Counter(int(transform(torch.eye(5), torch.zeros(5))[0, 1:].argmax()) for _ in range(2000))
    assert all(abs(drawn[other] - 500) < 5 * (2000 * 0.25 * 0.75) ** 0.5 for other in range(4))


def test_with_a_window_partners_have_labels_alike() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0.0, 1.0, 1.5, 10.0, 11.0, 50.0])
    transform = MixViews(most=0.5, window=1)
    partners: list[set[int]] = [set() for _ in labels]
    for _ in range(100):
        mixed = transform(torch.eye(6), labels)
        for row in range(6):
            partners[row] |= set(mixed[row].nonzero().flatten().tolist()) - {row}
    assert partners == [{1}, {0, 2}, {1}, {4}, {3}, set()]  # the last one has no partner and stays as it is


def test_with_several_label_dimensions_all_must_be_alike() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([[0.0, 0.0], [0.5, 5.0], [5.0, 0.5], [0.5, 0.5]])
    mixed = [MixViews(most=1, window=1)(torch.eye(4), labels) for _ in range(50)]
    assert all(torch.equal(one[1:3], torch.eye(4)[1:3]) for one in mixed)
    assert all(one[0, 1] == one[0, 2] == 0 for one in mixed)


def test_images_are_mixed_as_a_whole() -> None:
    torch.manual_seed(0)
    images = torch.stack([torch.full((2, 3, 3), float(value)) for value in (0, 1)])
    mixed = MixViews(most=0.5)(images, torch.zeros(2))
    assert mixed.shape == images.shape
    assert all(image.unique().numel() == 1 for image in mixed)


def test_make_views_passes_labels_to_a_transform_that_asks_for_them() -> None:
    torch.manual_seed(0)
    views = make_views(torch.eye(3), torch.tensor([0.0, 9.0, 0.0]), MixViews(window=1), "two")
    assert torch.equal(views.inputs[1], torch.eye(3)[1])
    assert torch.equal(views.inputs[4], torch.eye(3)[1])
    assert not torch.equal(views.inputs[0], torch.eye(3)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_views_keep_shape_and_type_and_leave_their_input_alone(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    for transform in (DropoutViews(rate=0.5), MixViews(), MixViews(window=10)):
        inputs, labels = torch.rand(8, 5).to(dtype), torch.arange(8.0)
        before = inputs.clone()
        view = make_views(inputs, labels, transform, "one").inputs
        assert (view.shape, view.dtype) == (inputs.shape, dtype)
        assert torch.equal(inputs, before)
        assert not torch.equal(view, inputs)


def test_views_are_made_on_the_device_of_the_batch_without_looking_at_values() -> None:
    transforms: list[nn.Module] = [DropoutViews(), MixViews(), MixViews(window=1)]
    for transform in transforms:
        # A meta tensor has no values: a step that reads one, or that mixes in a CPU tensor, raises.
        views = make_views(torch.empty(4, 3, device="meta"), torch.empty(4, device="meta"), transform, "original+two")
        assert views.inputs.device.type == "meta"
        assert views.inputs.shape == (12, 3)


def test_a_batch_of_one_stays_as_it_is() -> None:
    row = torch.rand(1, 3)
    assert torch.equal(MixViews()(row, torch.zeros(1)), row)
    assert torch.equal(MixViews(window=1)(row, torch.zeros(1)), row)


def test_wrong_inputs_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rate: expected a number in \[0, 1\), got 1"):
        DropoutViews(rate=1)
    with pytest.raises(ValueError, match=r"most: expected a number in \[0, 1\], got 1.5"):
        MixViews(most=1.5)
    with pytest.raises(ValueError, match="window: expected a number of at least 0, got -1"):
        MixViews(window=-1)
    with pytest.raises(ValueError, match="labels: expected 3 samples like inputs, got 2"):
        MixViews()(torch.zeros(3, 2), torch.zeros(2))
    with pytest.raises(ValueError, match="labels: expected labels, as there is a window, got none"):
        MixViews(window=1)(torch.zeros(3, 2))
    with pytest.raises(TypeError, match=r"inputs: expected a floating-point dtype, got torch.int64"):
        DropoutViews()(torch.zeros(3, 2, dtype=torch.long))
    with pytest.raises(TypeError, match=r"inputs: expected a torch.Tensor, got dict"):
        DropoutViews()({"a": torch.zeros(3)})
