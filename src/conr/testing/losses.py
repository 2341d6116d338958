"""Cases of regularizers, which get the features, and of criteria, which get the predictions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from conr.density import Bins
from conr.testing.batches import DEGENERATE, TOLERANCE, Batch, Degenerate, make_batch
from conr.testing.contract import Case, Check, gradient


def reductions_agree(case: "RegularizerCase | CriterionCase") -> None:
    """``"sum"`` is the sum of the terms of all samples, ``"mean"`` and the default are the sum over n."""
    if not case.per_sample:
        with pytest.raises(TypeError):
            case.module(reduction="none")
        return
    batch = case.batch()
    terms = case.call(case.terms(), batch)
    assert terms.shape == batch.weights.shape
    torch.testing.assert_close(case.call(case.module(reduction="sum"), batch), terms.sum(), **TOLERANCE[torch.float64])
    for module in (case.module(), case.module(reduction="mean")):
        torch.testing.assert_close(case.call(module, batch), terms.mean(), **TOLERANCE[torch.float64])
    with pytest.raises(ValueError, match="reduction"):
        case.module(reduction="avg")


def weights_default_to_one(case: "RegularizerCase | CriterionCase") -> None:
    """No weights mean weights of 1."""
    batch = case.batch()
    expected = case.call(case.module(), batch._replace(weights=torch.ones_like(batch.weights)))
    for rest in ((), (None,)):
        torch.manual_seed(0)
        assert torch.equal(case.module()(*case.inputs(batch)[:-1], *rest), expected)


def weights_multiply(case: "CriterionCase") -> None:
    """Weights multiply the losses of their samples."""
    batch = case.batch()
    plain = case.call(case.terms(), batch._replace(weights=torch.ones_like(batch.weights)))
    torch.testing.assert_close(case.call(case.terms(), batch), batch.weights * plain, **TOLERANCE[torch.float64])


def a_nan_is_not_hidden(case: "RegularizerCase | CriterionCase") -> None:
    """One NaN or infinity in an input, such as a diverged training makes, leaves no finite number in the loss."""
    for name in case.used:
        for bad in (math.nan, math.inf, -math.inf):
            batch = case.batch()
            getattr(batch, name)[1].view(-1)[-1] = bad
            loss = case.call(case.module(), batch)
            assert not loss.isfinite(), f"{loss} with {bad} in {name}"


def only_features_get_a_gradient(case: "RegularizerCase") -> None:
    """Labels, predictions and weights are constants."""
    batch = Batch(*(tensor.requires_grad_() for tensor in case.batch()))
    case.call(case.module(), batch).backward()  # type: ignore[no-untyped-call]
    assert batch.features.grad is not None
    assert batch.labels.grad is None
    assert batch.predictions.grad is None
    assert batch.weights.grad is None


def _far_apart(batch: Batch) -> Batch:
    """Four labels further apart than 1, also as angles."""
    labels = torch.zeros_like(batch.labels)
    labels[:, -1] = torch.tensor([0.0, 1.5, 3.0, 4.5])
    return batch._replace(labels=labels)


@dataclass(frozen=True)
class RegularizerCase(Case):
    """A configured regularizer, called as ``module(features, labels, predictions, weights)``; see `Case`.

    Attributes:
        per_sample: whether the loss is a mean of one term per sample, so that ``make`` takes ``reduction``: ``"mean"``
            (the default), ``"sum"`` or ``"none"``, and the oracle returns the terms of all samples; else the loss.
        feature_sizes: d of the features (n, d) that it can take.
        used: inputs that the loss depends on.
    """

    zero_on: tuple[str, ...] = ("one sample", "no samples")
    per_sample: bool = True
    feature_sizes: tuple[int, ...] = (1, 2, 3, 4, 5)
    used: tuple[str, ...] = ("features", "labels", "predictions", "weights")

    leaf: ClassVar[str] = "features"
    least: ClassVar[int] = 4
    degenerate: ClassVar[Degenerate] = {
        **DEGENERATE,
        "far labels": lambda batch: _far_apart(batch.rows(slice(4))),
        "far predictions": lambda batch: batch._replace(predictions=batch.labels * 1000),
        "zero features": lambda batch: batch._replace(features=torch.zeros_like(batch.features)),
        "one zero feature": lambda batch: batch._replace(
            features=batch.features * (torch.arange(16) != 3).unsqueeze(1)
        ),
        "opposite features": lambda batch: batch._replace(
            features=batch.labels[:, :1].sub(2).sign() * batch.features[:1]
        ),
    }

    @classmethod
    def own_checks(cls) -> tuple[Check, ...]:
        return (reductions_agree, weights_default_to_one, a_nan_is_not_hidden, only_features_get_a_gradient)

    def module(self, k: int | None = None, *, dtype: torch.dtype = torch.float64, **changes: Any) -> nn.Module:
        del k, dtype  # it takes any
        return self.make(**{**self.settings, **changes})

    def terms(self, k: int | None = None) -> nn.Module:
        return self.module(k, reduction="none") if self.per_sample else self.module(k)

    def batch(self, seed: int = 3, n: int = 16, k: int | None = None) -> Batch:
        return make_batch(seed, n=n, d=self.feature_sizes[-1], k=self.dimensions if k is None else k)

    def any_batch(self, seed: int, n: int, k: int) -> Batch:
        size, grid = self.feature_sizes[seed % len(self.feature_sizes)], (1.0, 0.25)[seed // 64 % 2]
        return make_batch(seed, n, size, k, grid=grid)

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        return tuple(batch)

    def wrong(self, batch: Batch) -> Mapping[str, tuple[Any, ...]]:
        return {
            "features": (batch.features[:, 0], batch.features.long(), batch.features.tolist()),
            "labels": (batch.labels[1:], batch.labels.unsqueeze(2), batch.labels.bool()),
            "weights": (batch.weights[1:], batch.weights.long()),
        }


def training_labels(k: int) -> tuple[Tensor, Bins]:
    """Labels (80, k) that criteria are fitted to, mostly small ones, and their bins; the batches' labels are inside."""
    generator = torch.Generator().manual_seed(0)
    labels = (6 * torch.rand(80, k, generator=generator, dtype=torch.float64) ** 2).floor()
    return labels, Bins([[0, 1, 2, 3, 4, 5, 6]] * k)


def _exact(batch: Batch) -> Batch:
    extra = batch.predictions.ndim - batch.labels.ndim
    return batch._replace(predictions=batch.predictions * 0 + batch.labels.reshape(*batch.labels.shape, *(1,) * extra))


@dataclass(frozen=True)
class CriterionCase(Case):
    """A configured criterion, called as ``module(predictions, labels, weights)``; see `Case`.

    ``make`` takes ``reduction``: ``"mean"`` (the default), ``"sum"`` or ``"none"``, and the oracle returns the losses
    of all samples. A module that has ``fit`` gets the labels of a training set and their bins before it is called.

    Attributes:
        outputs: further dimensions of the predictions of each label, such as (4,) for four parameters.
    """

    outputs: tuple[int, ...] = ()

    leaf: ClassVar[str] = "predictions"
    used: ClassVar[tuple[str, ...]] = ("predictions", "labels", "weights")
    per_sample: ClassVar[bool] = True
    degenerate: ClassVar[Degenerate] = {
        **{name: one for name, one in DEGENERATE.items() if not name.endswith("features")},
        "unknown labels": lambda batch: batch._replace(labels=batch.labels + 100),
        "exact predictions": _exact,
        "huge predictions": lambda batch: batch._replace(predictions=1e6 * batch.predictions),
    }

    @classmethod
    def own_checks(cls) -> tuple[Check, ...]:
        return (reductions_agree, weights_default_to_one, weights_multiply, a_nan_is_not_hidden, *_of_fit())

    def checks(self) -> Mapping[str, Check]:
        learns = hasattr(self.make(**self.settings), "fit")
        left_out = set() if learns else {check.__name__ for check in _of_fit()}
        return {name: check for name, check in super().checks().items() if name not in left_out}

    def module(self, k: int | None = None, *, dtype: torch.dtype = torch.float64, **changes: Any) -> nn.Module:
        del dtype  # it takes any
        module = self.make(**{**self.settings, **changes})
        if hasattr(module, "fit"):
            module.fit(*training_labels(self.dimensions if k is None else k))  # type: ignore[operator]
        return module

    def terms(self, k: int | None = None) -> nn.Module:
        return self.module(k, reduction="none")

    def batch(self, seed: int = 3, n: int = 16, k: int | None = None) -> Batch:
        """Predictions (n, k, ...) are not on the grid of the labels, so that no error is 0 and none are equal."""
        k = self.dimensions if k is None else k
        batch = make_batch(seed, n=n, d=1, k=k)
        noise = torch.randn(n, k, *self.outputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return batch._replace(predictions=noise + batch.labels.reshape(n, k, *(1 for _ in self.outputs)))

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        return batch.predictions, batch.labels, batch.weights

    def wrong(self, batch: Batch) -> Mapping[str, tuple[Any, ...]]:
        predictions, labels, weights = self.inputs(batch)
        return {
            "predictions": (predictions[1:], predictions.unsqueeze(-1), predictions.long(), predictions.tolist()),
            "labels": (labels[1:], labels.unsqueeze(-1), labels.bool(), labels.tolist()),
            "weights": (weights[1:], weights.long(), weights.tolist()),
        }


def _of_fit() -> tuple[Check, ...]:
    return fits_again_as_before, must_see_training_labels, fits_equal_labels


def fits_again_as_before(case: CriterionCase) -> None:
    """A second fit forgets the first, and returns the criterion."""
    batch = case.batch()
    module: Any = case.module()
    expected = case.call(module, batch)
    labels, bins = training_labels(batch.labels.shape[1])
    assert module.fit(labels[:7], bins) is module
    assert module.fit(labels, bins) is module
    assert torch.equal(case.call(module, batch), expected)


def must_see_training_labels(case: CriterionCase) -> None:
    """Without a fit, or after one that failed, the criterion says that it must be fitted."""
    batch = case.batch()
    labels, bins = training_labels(batch.labels.shape[1])
    for bad in (labels[:0], labels * torch.nan):
        module: Any = case.make(**case.settings)
        with pytest.raises(ValueError, match="labels"):
            module.fit(bad, bins)
        with pytest.raises(RuntimeError, match="call fit"):
            case.call(module, batch)


def fits_equal_labels(case: CriterionCase) -> None:
    """Training labels that are all equal, or a single one, leave loss and gradient finite."""
    batch = case.batch()
    labels, bins = training_labels(batch.labels.shape[1])
    for few in (labels[:1], labels[:1].expand(5, -1)):
        module: Any = case.make(**case.settings)
        module.fit(few, bins)
        loss, grad = gradient(case, module, batch)
        assert torch.isfinite(loss)
        assert torch.isfinite(grad).all()
