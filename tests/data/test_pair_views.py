import pytest
import torch
from torch import nn

from conr.data import CorruptPairs, DropoutViews, MixPairs, PairViews, SwapPairs, make_views

PAIRS = torch.arange(2000.0 * 2 * 3).view(2000, 2, 3)


def test_whole_pairs_are_swapped_with_the_given_probability() -> None:
    torch.manual_seed(0)
    view = SwapPairs(probability=0.3)(PAIRS)
    assert isinstance(view, torch.Tensor)
    swapped = (view == PAIRS.flip(1)).all(dim=2).all(dim=1)
    kept = (view == PAIRS).all(dim=2).all(dim=1)
    assert (swapped ^ kept).all()
    assert swapped.float().mean().item() == pytest.approx(0.3, abs=5 * (0.21 / 2000) ** 0.5)
    assert torch.equal(SwapPairs(probability=1)(PAIRS), PAIRS.flip(1))
    assert torch.equal(SwapPairs(probability=0)(PAIRS), PAIRS)


def test_all_inputs_of_a_pair_are_swapped_together() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([[1, 2]]).expand(500, 2)
    words = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1).expand(500, 2, 4, 3)
    view = SwapPairs()({"words": words, "lengths": lengths})
    assert isinstance(view, dict)
    assert torch.equal(view["words"][:, :, 0, 0], view["lengths"].float())
    assert view["lengths"].dtype is torch.long
    assert set(map(tuple, view["lengths"].tolist())) == {(1, 2), (2, 1)}


def test_corruption_takes_the_same_entry_of_another_pair() -> None:
    torch.manual_seed(0)
    view = CorruptPairs(corruption=0.25)(PAIRS)
    assert torch.equal(view % 6, PAIRS % 6)  # the same side and column
    share = (view != PAIRS).float().mean().item()
    assert share == pytest.approx(0.25, abs=5 * (0.1875 / PAIRS.numel()) ** 0.5)
    noise = CorruptPairs(corruption=0, noise=0.5)(PAIRS) - PAIRS
    assert noise.std().item() == pytest.approx(0.5, rel=0.05)


def test_mixing_moves_a_pair_towards_one_other_pair() -> None:
    torch.manual_seed(0)
    n = 400
    pairs = nn.functional.one_hot(torch.arange(n), n).double().unsqueeze(1).expand(n, 2, n)  # pair i is the i-th axis
    view = MixPairs(strength=0.2)(pairs)
    assert torch.equal(view[:, 0], view[:, 1])
    torch.testing.assert_close(view.sum(dim=2), torch.ones(n, 2, dtype=torch.float64))
    own = view[:, 0].diagonal()
    assert ((view[:, 0] > 0).sum(dim=1) == 2).all()  # itself and one other
    assert (own >= 0.8).all()
    assert (1 - own).mean().item() == pytest.approx(0.1, abs=5 * 0.2 / 12**0.5 / n**0.5)
    assert torch.equal(MixPairs(strength=0)(pairs), pairs)
    assert torch.equal(MixPairs()(pairs[:1]), pairs[:1])


def test_steps_by_name_and_by_class_act_one_after_the_other() -> None:
    class AddOne(nn.Module):
        def forward(self, pairs: torch.Tensor) -> torch.Tensor:
            return pairs + 1

    views = PairViews(["swap", "corrupt", "mix", "dropout", AddOne(), SwapPairs(probability=1)])
    assert [type(step) for step in views.steps] == [SwapPairs, CorruptPairs, MixPairs, DropoutViews, AddOne, SwapPairs]
    assert torch.equal(PairViews([AddOne(), SwapPairs(probability=1)])(PAIRS), (PAIRS + 1).flip(1))
    assert torch.equal(PairViews([])(PAIRS), PAIRS)
    with pytest.raises(
        ValueError, match=r"steps: expected one of 'swap', 'corrupt', 'mix', 'dropout', got 'swop'; did you mean 'swap'"
    ):
        PairViews(["swop"])


def test_views_keep_the_input_and_differ() -> None:
    transform = PairViews(["swap", "corrupt", "mix", "dropout"])
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        pairs = torch.rand(32, 2, 6).to(dtype)
        before = pairs.clone()
        views = make_views(pairs, torch.zeros(32), transform, "two").inputs
        assert (views.shape, views.dtype) == ((64, 2, 6), dtype)
        assert torch.equal(pairs, before)
        assert not torch.equal(views[:32], views[32:])


def test_views_are_made_on_the_device_without_looking_at_values() -> None:
    # A meta tensor has no values: a step that reads one, or that mixes in a CPU tensor, raises.
    pairs, labels = torch.empty(4, 2, 6, device="meta"), torch.empty(4, device="meta")
    views = make_views(pairs, labels, PairViews(["swap", "corrupt", "mix", "dropout"]), "original+two")
    assert (views.inputs.device.type, views.inputs.shape) == ("meta", (12, 2, 6))


def test_wrong_inputs_and_settings_are_refused() -> None:
    for transform in (SwapPairs(), CorruptPairs(), MixPairs()):
        with pytest.raises(ValueError, match=r"pairs: expected shape \(n, 2, ...\), got \(3, 4\)"):
            transform(torch.zeros(3, 4))
    for transform in (CorruptPairs(), MixPairs()):
        with pytest.raises(TypeError, match=r"pairs: expected a torch.Tensor, got dict \(words can only be swapped\)"):
            transform({"words": PAIRS})
    with pytest.raises(ValueError, match=r"probability: expected a number in \[0, 1\], got 1.5"):
        SwapPairs(probability=1.5)
    with pytest.raises(ValueError, match=r"strength: expected a number in \[0, 1\], got -0\.1"):
        MixPairs(strength=-0.1)
    with pytest.raises(ValueError, match=r"corruption: expected a number in \[0, 1\], got 2"):
        CorruptPairs(corruption=2)
