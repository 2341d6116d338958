import copy
import math
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.contracts.batches import Batch, make_batch
from tests.losses.remembering_process import remember
from tests.oracles.srl import batch_centroids, next_surrogate
from torch import Tensor

from conr.losses import SRLLoss, srl_loss

EDGES = torch.tensor([0.0, 1.0, 2.0, 4.0, 5.0])  # middles 0.5, 1.5, 3, 4.5


def module(**changes: Any) -> SRLLoss:
    return SRLLoss(**{"num_features": 5, "low": 0, "high": 6, "bin_width": 1, "num_points": 30} | changes)


def test_four_samples_by_hand() -> None:
    """Bin 0 holds samples 0 and 1, bin 2 samples 2 and 3; memory knows bins 0 and 1, nothing knows bin 3."""
    features = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [0.0, 1.0]], dtype=torch.float64)
    labels = torch.tensor([0.2, 0.9, 2.0, 3.5], dtype=torch.float64)
    surrogate = torch.tensor([[-1.0, 0.0], [0.6, 0.8], [0.0, 0.0], [0.0, 0.0]])
    points = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    half = math.sqrt(0.5)
    centroids = [(half, half), (0.6, 0.8), (0.0, 1.0)]  # of the batch, of memory, of the batch
    envelope = 1 - (max(c[0] for c in centroids) + max(-c[1] for c in centroids)) / 2
    evenness = math.dist(centroids[0], centroids[1]) ** 2 / 1.0 + math.dist(centroids[1], centroids[2]) ** 2 / 1.5

    def contrast(unit: tuple[float, float], own: int) -> float:
        logits = [(unit[0] * c[0] + unit[1] * c[1]) / 0.5 for c in centroids]
        return math.log(sum(map(math.exp, logits))) - logits[own]

    terms = [contrast((1, 0), 0), contrast((0, 1), 0), contrast((0, 1), 2), contrast((0, 1), 2)]
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)
    weighted = sum(w * term for w, term in zip(weights.tolist(), terms, strict=True)) / 4
    loss = srl_loss(
        features,
        labels,
        edges=EDGES,
        surrogate=surrogate,
        points=points,
        envelope=0.1,
        homogeneity=0.2,
        contrast=3.0,
        temperature=0.5,
        weights=weights,
    )
    # The table of surrogates is float32.
    assert loss.item() == pytest.approx(0.1 * envelope + 0.2 * evenness + 3 * weighted, rel=1e-7)


def test_the_first_epoch_has_no_loss() -> None:
    regularizer = module()
    batch = make_batch(0)
    features = batch.features.requires_grad_()
    loss = regularizer(features, batch.labels)
    assert loss == 0
    (slope,) = torch.autograd.grad(loss, features)
    assert not slope.any()
    regularizer.on_train_epoch_end()
    assert regularizer(features, batch.labels) > 0


def test_memory_follows_the_epochs() -> None:
    """Three epochs of three batches each; the last label never occurs, another one only later."""
    regularizer = module(momentum=0.7)
    memory = [[0.0] * 5 for _ in range(6)]
    for epoch in range(3):
        batches = [make_batch(10 * epoch + part, n=12) for part in range(3)]
        batches = [batch._replace(labels=batch.labels.clamp(max=3 + epoch / 2).floor()) for batch in batches]
        for batch in batches:
            regularizer(batch.features, batch.labels, batch.predictions, batch.weights)
        joined = Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
        edges = [float(edge) for edge in range(7)]
        memory = next_surrogate(memory, batch_centroids(joined.features.tolist(), joined.labels.tolist(), edges), 0.7)
        regularizer.on_train_epoch_end()
        torch.testing.assert_close(regularizer.surrogate, torch.tensor(memory))
    assert regularizer.surrogate[4].any()
    assert not regularizer.surrogate[5].any()


def test_an_epoch_without_batches_changes_nothing() -> None:
    regularizer = module()
    regularizer(*make_batch(0))
    regularizer.on_train_epoch_end()
    before = regularizer.surrogate.clone()
    regularizer.on_train_epoch_end()
    torch.testing.assert_close(regularizer.surrogate, before)


def test_evaluation_leaves_no_trace() -> None:
    regularizer = module().eval()
    regularizer(*make_batch(0))
    assert not regularizer.epoch_sums.any()


def test_a_diverged_batch_does_not_spoil_the_memory() -> None:
    regularizer, twin = module(), module()
    batch = make_batch(0)
    broken = batch._replace(features=batch.features * torch.inf)
    for each in (regularizer, twin):
        each(*batch)
    regularizer(*broken)
    for each in (regularizer, twin):
        each.on_train_epoch_end()
    assert torch.equal(regularizer.surrogate, twin.surrogate)


def test_a_run_resumed_within_an_epoch_goes_on_as_before() -> None:
    regularizer = module()
    for seed in (0, 1):
        regularizer(*make_batch(seed))
        regularizer.on_train_epoch_end()
    regularizer(*make_batch(2))
    resumed = module()
    resumed.load_state_dict(copy.deepcopy(regularizer.state_dict()))
    for each in (regularizer, resumed):
        each(*make_batch(3))
        each.on_train_epoch_end()
    assert torch.equal(resumed(*make_batch(4)), regularizer(*make_batch(4)))


def test_centroids_are_constants_in_the_contrast() -> None:
    batch = make_batch(6, d=3)
    surrogate = torch.nn.functional.normalize(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    edges = torch.arange(7.0)
    centroids = surrogate.double()
    for k, centroid in batch_centroids(batch.features.tolist(), batch.labels.tolist(), edges.tolist()).items():
        centroids[k] = torch.tensor(centroid)
    slopes: list[Tensor] = []
    for by_library in (True, False):
        features = batch.features.clone().requires_grad_()
        if by_library:
            tables: dict[str, Any] = {"edges": edges, "surrogate": surrogate, "points": surrogate}
            loss = srl_loss(features, batch.labels, envelope=0.0, homogeneity=0.0, temperature=0.3, **tables)
        else:
            logits = torch.nn.functional.normalize(features, dim=1) @ centroids.T / 0.3
            loss = torch.nn.functional.cross_entropy(logits, batch.labels.flatten().long())
        slopes += torch.autograd.grad(loss, features)
    torch.testing.assert_close(*slopes)


def test_homogeneity_pulls_neighbours_together_and_the_envelope_apart() -> None:
    """Bins 0 and 1 start at a right angle."""
    labels, edges = torch.tensor([0.5, 1.5]), torch.tensor([0.0, 1.0, 2.0])
    cosine = {}
    for name in ("homogeneity", "envelope"):
        features = torch.eye(2).requires_grad_()
        coefficients: dict[str, Any] = {"homogeneity": 0.0, "envelope": 0.0, "contrast": 0.0} | {name: 1.0}
        angles = torch.arange(0.0, 2 * math.pi, 0.1)
        points = torch.stack((angles.cos(), angles.sin()), dim=1)
        for _ in range(100):
            loss = srl_loss(features, labels, edges=edges, surrogate=torch.eye(2), points=points, **coefficients)
            (slope,) = torch.autograd.grad(loss, features)
            features = (features - 0.1 * slope).detach().requires_grad_()
        cosine[name] = torch.nn.functional.cosine_similarity(features[0], features[1], dim=0).item()
    assert cosine["homogeneity"] > 0.99
    assert cosine["envelope"] < -0.9


def test_two_processes_remember_what_one_does(tmp_path: Path) -> None:
    regularizer = module()
    batch = make_batch(0, n=20)
    regularizer(batch.features, batch.labels)
    regularizer.on_train_epoch_end()
    torch.save((batch.features, batch.labels), tmp_path / "batch.pt")
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=remember, args=(rank, tmp_path), daemon=True) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode == 0
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), regularizer.surrogate)


GOOD: dict[str, Any] = {
    "features": torch.zeros(4, 3),
    "labels": torch.zeros(4),
    "edges": EDGES,
    "surrogate": torch.zeros(4, 3),
    "points": torch.ones(2, 3),
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": torch.zeros(4, 2)}, ValueError, r"labels: expected one dimension, .* got shape \(4, 2\); SRL is"),
        (
            {"edges": torch.zeros(1)},
            ValueError,
            r"edges: expected shape \(bins \+ 1,\) with at least one bin, got \(1,",
        ),
        ({"surrogate": torch.zeros(4, 2)}, ValueError, r"surrogate: expected shape \(4, 3\), got \(4, 2\)"),
        (
            {"points": torch.zeros(0, 3)},
            ValueError,
            r"points: expected shape \(N, 3\) with N of at least 1, got \(0, 3\)",
        ),
        ({"points": torch.zeros(2, 3, device="meta")}, ValueError, "points: expected device cpu like the other inputs"),
        ({"temperature": 0.0}, ValueError, "temperature: expected a number above 0, got 0.0"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        srl_loss(**GOOD | change)


def test_the_module_checks_its_bins_and_prints_them() -> None:
    for change, message in (
        ({"num_features": 0}, "num_features: expected a number of at least 1, got 0"),
        ({"num_points": 0}, "num_points: expected a number of at least 1, got 0"),
        ({"bin_width": 0.0}, "width: expected a number above 0, got 0.0"),
        ({"high": -1.0}, "high: expected a number of at least 0, got -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            module(**change)
    assert "low=0, high=6, bin_width=1, envelope=0.1" in repr(module())
