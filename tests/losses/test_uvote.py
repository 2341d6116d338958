import math

import pytest
import torch

from conr.density import Bins
from conr.losses import UVOTE, uvote_loss, uvote_vote

LABELS = torch.tensor([28.0, 0.0, 10.0, 10.0], dtype=torch.float64)
OUTPUTS = torch.tensor(  # location and log-scale of two heads
    [[[20, 1], [30, 0.5]], [[0, 0], [1, -9]], [[13, 9], [10, 0]], [[9, 0], [12, 1]]], dtype=torch.float64
)
HEAD_WEIGHTS = torch.tensor([[1.0, 2.0], [1.0, 0.5], [1.0, 1.0], [1.0, 1.0]], dtype=torch.float64)


def laplace(error: float, log_scale: float) -> float:
    return math.log(2) + log_scale + error / math.exp(log_scale)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_four_samples_by_hand(progress: float) -> None:
    """Log-scales of 9 and -9 count as 5 and -5; the second head counts progress^2."""
    share = progress**2
    expected = [
        laplace(8, 1) + share * 2 * laplace(2, 0.5),
        laplace(0, 0) + share * 0.5 * laplace(1, -5),
        laplace(3, 5) + share * laplace(0, 0),
        laplace(1, 0) + share * laplace(2, 1),
    ]
    for given in (progress, torch.tensor(progress)):
        losses = uvote_loss(OUTPUTS, LABELS, head_weights=HEAD_WEIGHTS, progress=given, reduction="none")
        assert losses.tolist() == pytest.approx(expected)


def test_the_surest_head_answers() -> None:
    vote = uvote_vote(OUTPUTS)
    assert vote.predictions.tolist() == [30, 1, 10, 9]
    scales = [math.exp(0.5), math.exp(-5), 1, 1]
    assert vote.deviations.tolist() == pytest.approx([math.sqrt(2) * scale for scale in scales])


def test_one_head_answers_for_all_label_dimensions() -> None:
    """Log-scales 0 + 3 against 1 + 1: the second head, though the first is surer of the first dimension."""
    outputs = torch.tensor([[[[5.0, 0.0], [6.0, 1.0]], [[7.0, 3.0], [8.0, 1.0]]]])
    vote = uvote_vote(outputs)
    assert vote.predictions.tolist() == [[6, 8]]
    assert vote.deviations.tolist() == [pytest.approx([math.sqrt(2) * math.e] * 2)]


def test_weights_of_the_heads_by_hand() -> None:
    """Bins with 4, 9, 0 and 1 samples; powers 0, 1/2 and 1, the last of counts clipped to 2 and 5."""
    labels = torch.tensor([0.5] * 4 + [1.0] * 9 + [3.9])
    criterion = UVOTE(heads=3, clip=(2, 5)).fit(labels, Bins([0, 1, 2, 3, 4]))
    found = criterion.head_weights(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    columns = [[1.0, 1.0, 1.0, 1.0], [1 / 2, 1 / 3, 1.0, 1.0], [1 / 4, 1 / 5, 1 / 2, 1 / 2]]
    for column, raw in zip(found.T.tolist(), columns, strict=True):
        mean = (4 * raw[0] + 9 * raw[1] + raw[3]) / 14
        assert column == pytest.approx([weight / mean for weight in raw], rel=1e-6)
    torch.testing.assert_close(criterion.head_weights(labels).mean(dim=0), torch.ones(3))


def test_progress_says_how_much_the_other_heads_count() -> None:
    criterion = UVOTE().fit(LABELS, Bins([0, 20, 40]))
    for progress in (0.0, 0.3, 1.0):
        criterion.set_progress(progress)
        expected = uvote_loss(
            OUTPUTS, LABELS, head_weights=criterion.head_weights(LABELS), progress=criterion.progress.item()
        )
        torch.testing.assert_close(criterion(OUTPUTS, LABELS), expected)
        assert criterion.progress.item() == pytest.approx(progress)
    assert "progress" not in criterion.state_dict()


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match=r"expected shapes \(n, heads, 2\) and \(n,\), or \(n, k, heads, 2\) and"):
        uvote_loss(OUTPUTS[:, 0], LABELS, head_weights=HEAD_WEIGHTS)
    with pytest.raises(ValueError, match=r"head_weights: expected shape \(4, 2\), got \(4, 3\)"):
        uvote_loss(OUTPUTS, LABELS, head_weights=torch.ones(4, 3))
    with pytest.raises(ValueError, match=r"progress: expected a number in \[0, 1\], got 1.5"):
        uvote_loss(OUTPUTS, LABELS, head_weights=HEAD_WEIGHTS, progress=1.5)
    with pytest.raises(ValueError, match=r"progress: expected a number in \[0, 1\], got -1"):
        UVOTE().set_progress(-1)
    with pytest.raises(ValueError, match=r"expected shapes \(n, 3, 2\) and \(n,\), .*, got \(4, 2, 2\) and \(4,\)"):
        UVOTE(heads=3).fit(LABELS, Bins([0, 40]))(OUTPUTS, LABELS)
    for shape in ((4, 2), (4, 3), (4, 0, 2), (1, 1, 1, 1, 2)):
        with pytest.raises(ValueError, match=r"outputs: expected shape \(n, heads, 2\) or \(n, k, heads, 2\), got"):
            uvote_vote(torch.zeros(shape))
