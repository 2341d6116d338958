"""The pair rule: the window's edge, what is infinite or no number, and the push."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from conr import conr_loss, conr_statistics
from conr.losses import accon_loss, ordinal_entropy_loss, rank_n_contrast_loss, ranksim_loss
from conr.metrics import conr_confusion
from conr.pairwise import Rule, Samples, bin_numbers, contrast, equal_labels, pair_sets
from conr.pairwise.pairs import log_push

ENGINES = ["dense", "blockwise", "windowed"]


def decimals(steps: Tensor, step: float, dtype: torch.dtype) -> Tensor:
    """Multiples of a step (n, k) as a file would hold them: 0.3, not 0.30000000000000004."""
    return torch.tensor([[round(step * one, 10) for one in row] for row in steps.tolist()], dtype=dtype)


@pytest.mark.parametrize(
    ("step", "steps", "dtype"),
    [
        (0.1, 1, torch.float32),
        (0.1, 3, torch.float64),
        (0.05, 7, torch.float32),
        (0.7, 1, torch.float64),
        (0.01, 10, torch.float32),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_labels_on_a_grid_are_decided_by_whole_steps(engine: str, step: float, steps: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    labels, predictions = (torch.randint(-30, 90, (120, 1), generator=generator) for _ in range(2))
    alike = (labels - labels.T).abs() <= steps
    agree = (predictions - predictions.T).abs() <= steps
    rule = Rule(round(step * steps, 10), "l2", 0.1, "exp", 0.4)
    samples = Samples(torch.ones(120, 2), *(decimals(part, step, dtype) for part in (labels, predictions)))
    found = contrast(samples, torch.ones(120), rule, engine=engine, block=8)
    assert torch.equal(found.positives, alike.sum(dim=1).float() - 1)
    assert torch.equal(found.negatives, (agree & ~alike).sum(dim=1).float())


@pytest.mark.parametrize(
    ("engine", "k", "dtype"),
    [
        ("dense", 1, torch.float16),
        ("dense", 2, torch.bfloat16),
        ("blockwise", 1, torch.bfloat16),
        ("blockwise", 2, torch.float16),
        ("windowed", 1, torch.float16),
        ("windowed", 1, torch.bfloat16),
    ],
)
def test_half_precision_counts_all_neighbours_on_a_grid_and_no_others(engine: str, k: int, dtype: torch.dtype) -> None:
    """Forty labels in steps of 0.1, of which bfloat16 holds but two or three digits."""
    steps = torch.arange(40).unsqueeze(1)
    alike = (steps - steps.T).abs() <= 1
    predicted = steps.flip(0) // 2
    agree = (predicted - predicted.T).abs() <= 1
    labels, predictions = (decimals(one, 0.1, dtype).expand(-1, k) for one in (steps, predicted))
    rule = Rule(0.1, "linf", 0.1, "exp", 0.4)
    found = contrast(Samples(torch.ones(40, 2), labels, predictions), torch.ones(40), rule, engine=engine, block=8)
    assert torch.equal(found.positives, alike.sum(dim=1).float() - 1)
    assert torch.equal(found.negatives, (agree & ~alike).sum(dim=1).float())
    assert conr_statistics(labels, predictions, window=0.1, distance="linf").positives.sum() == 78


@pytest.mark.parametrize(("engine", "dtype"), [("dense", torch.float32), ("blockwise", torch.float64)])
@pytest.mark.parametrize(("distance", "k"), [("l1", 2), ("linf", 2), ("l2", 2), ("l1", 3), ("linf", 5)])
def test_labels_of_several_dimensions_on_a_grid(engine: str, distance: str, k: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(k)
    labels = torch.randint(-8, 8, (100, k), generator=generator).double()
    steps = torch.cdist(labels, labels, p={"l1": 1.0, "l2": 2.0, "linf": torch.inf}[distance])
    window = {"l1": 3, "l2": 5, "linf": 2}[distance]  # 3, 4, 5 is a right triangle
    tenths = decimals(labels, 0.1, dtype)
    rule = Rule(window / 10, distance, 0.1, "exp", 0.4)
    samples = Samples(torch.ones(100, 2), tenths, torch.zeros_like(tenths))
    found = contrast(samples, torch.ones(100), rule, engine=engine, block=8)
    alike = steps <= window + 1e-9
    assert torch.equal(found.positives, alike.sum(dim=1).float() - 1)
    assert torch.equal(found.negatives, (~alike).sum(dim=1).float())


@pytest.mark.parametrize("engine", ["dense", "blockwise"])
def test_angles_on_a_grid(engine: str) -> None:
    pitch = torch.arange(-15, 16) / 10
    labels = torch.stack((pitch, torch.full_like(pitch, 0.3)), dim=1)
    rule = Rule(0.1, "angular", 0.1, "exp", 0.4)
    found = contrast(Samples(torch.ones(31, 2), labels, labels), torch.ones(31), rule, engine=engine)
    assert found.positives.tolist() == [1, *[2] * 29, 1]


def test_all_neighbours_in_steps_of_a_tenth_are_positives_but_not_for_the_released_code() -> None:
    labels = torch.arange(0, 51) / 10
    assert conr_statistics(labels, torch.zeros(51), window=0.1).positives.sum() == 100
    released: dict[str, Any] = {"window": 0.1, "reduction": "none", "reference": True}
    features = torch.randn(51, 3, generator=torch.Generator().manual_seed(0))
    exact = (labels.unsqueeze(1) - labels).abs() <= 0.1
    for engine in ENGINES:
        found = conr_loss(features, labels, torch.zeros(51), **released, engine=engine)
        assert torch.equal(found != 0, exact.sum(dim=1) > 1)


def test_integers_are_exact_and_an_outlier_changes_no_other_pair() -> None:
    ages = 2**23 + torch.arange(20)
    assert pair_sets(ages.unsqueeze(1), ages.unsqueeze(1), window=1.0, distance="l2").positives.sum() == 2 * 19
    labels = torch.cat((torch.arange(20) / 10, torch.tensor([1e15]))).unsqueeze(1)
    positives = pair_sets(labels, labels, window=0.1, distance="l2").positives
    assert positives[:20, :20].sum() == 2 * 19
    assert not positives[20].any()


@pytest.mark.parametrize(
    ("engine", "k", "labels_dtype"),
    [
        ("dense", 1, torch.int64),
        ("dense", 3, torch.float32),
        ("blockwise", 1, torch.float32),
        ("blockwise", 3, torch.int64),
        ("windowed", 1, torch.int64),
        ("windowed", 1, torch.float32),
    ],
)
def test_distances_are_as_exact_as_the_features(engine: str, k: int, labels_dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(k)
    features = torch.randn(40, 5, dtype=torch.float64, generator=generator)
    labels, predictions = (torch.randint(0, 6, (40, k), generator=generator).to(labels_dtype) for _ in range(2))
    found, exact = (
        conr_loss(features, labels.to(dtype), predictions, window=1.0, engine=engine).item()
        for dtype in (labels_dtype, torch.float64)
    )
    assert found == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("field", ["features", "labels", "predictions", "weights"])
@pytest.mark.parametrize(("engine", "k"), [*itertools.product(["dense", "blockwise"], [1, 2]), ("windowed", 1)])
def test_what_is_infinite_or_no_number_reaches_every_anchor(engine: str, k: int, field: str) -> None:
    for bad in (torch.nan, torch.inf, -torch.inf):
        _reaches_every_anchor(engine, k, field, bad)


def _reaches_every_anchor(engine: str, k: int, field: str, bad: float) -> None:
    generator = torch.Generator().manual_seed(0)
    given: dict[str, Any] = {
        "features": torch.randn(80, 8, generator=generator),
        "labels": torch.randint(0, 10, (80, k), generator=generator).float(),
        "predictions": torch.randint(0, 10, (80, k), generator=generator).float(),
        "weights": torch.ones(80),
    }
    given[field].view(-1)[7] = bad
    options: dict[str, Any] = {"window": 1.0, "engine": engine, "reduction": "none"}
    assert conr_loss(**given, **options).isnan().all()
    good: dict[str, Any] = {name: torch.rand_like(tensor) for name, tensor in given.items()}
    if field != "weights":
        more = Samples(given["features"], given["labels"], given["predictions"])
        assert conr_loss(**good, **options, candidates=more).isnan().all()


@pytest.mark.parametrize(("spoilt", "bad"), [(0, torch.nan), (1, torch.inf)])
def test_statistics_and_confusion_do_not_hide_it(spoilt: int, bad: float) -> None:
    values = [torch.arange(10.0), torch.zeros(10)]
    values[spoilt][3] = bad
    assert all(part.isnan().all() for part in conr_statistics(*values, window=1.0))
    assert all(part.isnan().all() for part in conr_confusion(torch.randn(10, 3), *values, window=1.0))


@pytest.mark.parametrize("scale", [1e-43, 1e-36, 3e37])
@pytest.mark.parametrize(
    ("engine", "k"), [("dense", 1), ("dense", 6), ("blockwise", 1), ("blockwise", 2), ("blockwise", 6), ("windowed", 1)]
)
def test_labels_may_be_as_large_as_their_type_holds(engine: str, k: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 5, generator=generator)
    scaled = [(scale * (20 * torch.rand(60, k, generator=generator) - 10).double()).float() for _ in range(2)]
    labels, predictions = (one.double() / scale for one in scaled)
    window = 2.0 * k
    options: dict[str, Any] = {"engine": engine, "distance_scale": 0.1, "window": window}
    expected = conr_loss(features.double(), labels, predictions, **options | {"engine": "dense"})
    assert expected > 0
    for push in ("exp", "linear"):
        options |= {"distance_scale": 0.1 / scale, "window": scale * window, "push": push}
        if push == "linear":
            own = options | {"engine": "dense", "distance_scale": 0.1, "window": window}
            expected = conr_loss(features.double(), labels, predictions, **own)
        torch.testing.assert_close(conr_loss(features, *scaled, **options), expected.float())


@pytest.mark.parametrize("scale", [1e-42, 3e36])
@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        (ranksim_loss, {}),
        (rank_n_contrast_loss, {}),
        (rank_n_contrast_loss, {"distance": "l2"}),
        (ordinal_entropy_loss, {}),
        (accon_loss, {"label_range": 300.0, "window": 20.0}),
    ],
)
def test_other_losses_over_distances_take_such_labels(loss: Any, settings: dict[str, Any], scale: float) -> None:
    features = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    scaled = (scale * (200 * torch.rand(30, 2, generator=torch.Generator().manual_seed(1)) - 100).double()).float()
    expected = loss(features.double(), scaled.double() / scale, **settings)
    settings = {name: value if isinstance(value, str) else value * scale for name, value in settings.items()}
    assert expected.isfinite()
    torch.testing.assert_close(loss(features, scaled, **settings), expected.float())


def test_labels_whose_pushes_no_number_holds_are_refused() -> None:
    features, labels = torch.randn(9, 4), torch.rand(9, 2) * 1e38
    with pytest.raises(
        ValueError, match=r"labels: expected distances whose products with distance_scale torch.float32"
    ):
        conr_loss(features, labels, labels, window=1.0, distance_scale=1.0)
    assert conr_loss(features.double(), labels, labels, window=1.0, distance_scale=1.0).isfinite()
    labels[0, 0] = torch.inf
    assert conr_loss(features, labels, labels, window=1.0, distance_scale=1.0).isnan()


@pytest.mark.parametrize("changed", ["labels", "predictions"])
@pytest.mark.parametrize("engine", ENGINES)
def test_what_backward_needs_may_not_change_unseen(engine: str, changed: str) -> None:
    """Between forward and backward, such as predictions that are taken back to label units for a metric."""
    generator = torch.Generator().manual_seed(0)
    given: dict[str, Any] = {name: 100 * torch.rand(300, generator=generator) for name in ("labels", "predictions")}
    features = torch.randn(300, 4, generator=generator).requires_grad_()
    loss = conr_loss(features, **given, window=1.0, engine=engine)
    (right,) = torch.autograd.grad(loss, features, retain_graph=True)
    given[changed].mul_(3)
    if engine == "dense":  # keeps masks, not labels
        assert torch.equal(torch.autograd.grad(loss, features)[0], right)
    else:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(loss, features)


def test_push_by_name_and_by_function() -> None:
    scaled = torch.tensor([[0.5, 2.0]])
    assert torch.equal(log_push(scaled, "exp"), scaled)
    assert torch.equal(log_push(scaled, "linear"), scaled.log())
    torch.testing.assert_close(log_push(scaled, lambda u: 1 + u), (1 + scaled).log())
    with pytest.raises(ValueError, match=r"push: expected shape \(1, 2\) from the given function, got \(2,\)"):
        log_push(torch.ones(1, 2), lambda scaled: scaled[0])


def test_bins_are_centred_at_multiples_of_the_width() -> None:
    labels = torch.tensor([[0.3, 0.349], [0.36, -0.04], [0.2501, 1.0]])
    assert bin_numbers(labels, 0.1).tolist() == [[3, 3], [4, 0], [3, 10]]
    assert equal_labels(torch.tensor([[1, 2], [1, 3], [1, 2]])).int().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize("engine", ["dense", "blockwise", "windowed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pushes_beyond_the_logarithm_of_an_empty_sum(engine: str, dtype: torch.dtype) -> None:
    """The push of a pair counts, and no other: it alone makes the loss of a huge distance scale."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 8, generator=generator, dtype=dtype)
    labels, predictions = (50 * torch.rand(40, generator=generator, dtype=dtype) for _ in range(2))
    scaled = [
        conr_loss(features, labels, predictions, window=1.0, distance_scale=scale, engine=engine) / scale
        for scale in (1e12, 1e30)
    ]
    torch.testing.assert_close(scaled[1], scaled[0], rtol=1e-5, atol=0)
