"""Cases of layers between encoder and head that keep statistics of features per label bin."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from conr.density import Bins
from conr.testing.batches import DEGENERATE, TOLERANCE, Batch, Degenerate, make_batch
from conr.testing.contract import Case, Check, end_epoch, equal_states, gradient

EDGES = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
"""Edges of the bins in each label dimension; labels of the batches are whole numbers from 0 to 5."""


@dataclass(frozen=True)
class SmootherCase(Case):
    """A configured smoother, called as ``module(features, labels)``; see `Case`.

    ``make`` is called as ``make(num_features, bins, **settings)``, without ``bins`` where ``fit(labels, bins)`` is to
    bring them; the module also has ``on_train_epoch_end()``. The oracle is called with lists: features and labels of
    each epoch as pairs, features and labels of a batch, and the edges of each label dimension; it returns what the
    batch becomes in training after these epochs.
    """

    label_dimensions: tuple[int, ...] = (1, 2)
    zero_on: tuple[str, ...] = ()

    leaf: ClassVar[str] = "features"
    exact: ClassVar[torch.dtype] = torch.float32  # random numbers differ between precisions
    degenerate: ClassVar[Degenerate] = {
        **{name: DEGENERATE[name] for name in ("no samples", "one sample", "equal labels", "equal features")},
        "huge features": DEGENERATE["huge features"],
        "labels outside the bins": lambda batch: batch._replace(labels=100 * (batch.labels - 3)),
        "one dead feature": lambda batch: batch._replace(features=batch.features * torch.tensor([1, 0, 1])),
        "infinite squares": lambda batch: batch._replace(features=1e25 * batch.features),
    }

    @classmethod
    def own_checks(cls) -> tuple[Check, ...]:
        return (
            equals_its_oracle,
            evaluation_changes_nothing,
            changes_nothing_before_it_knows,
            batches_of_an_epoch_count_as_one,
            bins_may_come_later,
            fitting_again_starts_anew,
            stays_finite,
            a_diverged_batch_is_passed_on_and_forgotten,
            statistics_are_constants,
        )

    def build(self, k: int | None = None, dtype: torch.dtype = torch.float64, **changes: Any) -> nn.Module:
        """The module before its first epoch, in training mode, for features of size 3."""
        torch.manual_seed(1)
        return self.make(3, self.bins(k), **{**self.settings, **changes}).to(dtype)

    def module(self, k: int | None = None, *, dtype: torch.dtype = torch.float64, **changes: Any) -> nn.Module:
        """The module after two epochs of one batch each."""
        module = self.build(k, dtype, **changes)
        for seed in (10, 11):
            self.call(module, self.batch(seed, n=200, k=k).to(dtype))
            end_epoch(module)
        return module

    def bins(self, k: int | None = None) -> Bins:
        """Bins over k label dimensions, of which the last one in each never has a sample."""
        return Bins([EDGES] * (self.dimensions if k is None else k))

    def batch(self, seed: int = 3, n: int = 16, k: int | None = None) -> Batch:
        """Features whose mean and deviation follow the label."""
        batch = make_batch(seed, n=n, d=3, k=self.dimensions if k is None else k)
        label = batch.labels.mean(dim=1, keepdim=True)  # (n, 1)
        return batch._replace(features=(1 + label / 4) * batch.features + label * torch.tensor([1.0, -0.5, 0.0]))

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        return batch.features, batch.labels

    def wrong(self, batch: Batch) -> Mapping[str, tuple[Any, ...]]:
        features, labels = self.inputs(batch)
        return {
            "features": (features[:, 0], features[:, 1:], features.long(), features.tolist(), features.to("meta")),
            "labels": (labels[1:], labels.unsqueeze(2), labels.bool(), labels.tolist()),
        }

    def scalar(self, output: Tensor) -> Tensor:
        return output.square().sum()

    def effect(self, output: Tensor, batch: Batch) -> Tensor:
        return output - batch.features

    def output_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return dtype


def equals_its_oracle(case: SmootherCase) -> None:
    """After random epochs of random batches, a random batch becomes what the oracle says."""
    oracle = case.oracle
    assert oracle is not None

    sizes, dimensions = st.integers(1, 24), st.sampled_from(case.label_dimensions)

    @settings(max_examples=12, deadline=None)
    @given(seed=st.integers(0, 2**31), n=sizes, epochs=st.integers(0, 3), k=dimensions)
    def equal(seed: int, n: int, epochs: int, k: int) -> None:
        module = case.build(k)
        history = []
        for epoch in range(epochs):
            batch = case.batch(seed + epoch, 2 * n, k)
            for rows in (slice(0, n // 2), slice(n // 2, None)):
                case.call(module, batch.rows(rows))
            end_epoch(module)
            history.append((batch.features.tolist(), batch.labels.tolist()))
        batch = case.batch(seed + epochs, n, k)
        found = case.settings if case.oracle_settings is None else case.oracle_settings(module, batch)
        expected = oracle(history, batch.features.tolist(), batch.labels.tolist(), [EDGES] * k, **found)
        wanted = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(case.call(module, batch), wanted, rtol=1e-8, atol=1e-8)

    equal()


def evaluation_changes_nothing(case: SmootherCase) -> None:
    """In evaluation mode features pass through as they are, and nothing is learned from them."""
    module = case.module().eval()
    before = copy.deepcopy(module)
    batch = case.batch()
    assert torch.equal(case.call(module, batch), batch.features)
    assert equal_states(module, before)


def changes_nothing_before_it_knows(case: SmootherCase) -> None:
    """In the first epoch there are no statistics, and features pass through."""
    batch = case.batch()
    assert torch.equal(case.call(case.build(), batch), batch.features)


def batches_of_an_epoch_count_as_one(case: SmootherCase) -> None:
    """An epoch has the same result however its samples are divided and ordered."""
    batch = case.batch(5, n=40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    whole, parts = case.module(), case.module()
    case.call(whole, batch)
    for rows in torch.split(order, [1, 20, 0, 19]):
        case.call(parts, batch.rows(rows))
    for module in (whole, parts):
        end_epoch(module)
    torch.testing.assert_close(
        case.call(parts, case.batch()), case.call(whole, case.batch()), **TOLERANCE[torch.float64]
    )


def bins_may_come_later(case: SmootherCase) -> None:
    """Bins by ``fit`` work as those of the constructor, which win; without any, training says what to do."""
    batch = case.batch()
    torch.manual_seed(1)
    module: Any = case.make(3, **case.settings).double()
    with pytest.raises(RuntimeError, match=r"call fit\(labels, bins\)"):
        case.call(module, batch)
    with pytest.raises(RuntimeError, match=r"call fit\(labels, bins\)"):
        end_epoch(module)
    with pytest.raises(ValueError, match="labels"):
        module.fit(batch.labels * torch.nan, case.bins())
    torch.manual_seed(1)
    module = case.make(3, **case.settings)
    assert module.fit(batch.labels, case.bins()) is module
    own: Any = case.build()
    own.fit(batch.labels, Bins([[0, 10]] * batch.labels.shape[1]))
    for each in (module.double(), own.double()):
        case.call(each, batch)
        end_epoch(each)
    assert torch.equal(case.call(module, batch), case.call(own, batch))


def fitting_again_starts_anew(case: SmootherCase) -> None:
    """After another ``fit``, nothing of the earlier training is left."""
    module: Any = case.module()
    batch = case.batch()
    module.fit(batch.labels, case.bins())
    assert torch.equal(case.call(module.double(), batch), case.call(case.build(), batch))


def stays_finite(case: SmootherCase, name: str) -> None:
    """Epochs of a degenerate batch leave it and its gradient finite, and a good batch after them too."""
    for dtype in (torch.float32, torch.float64):
        module = case.build(dtype=dtype)
        batch = case.degenerate[name](case.batch()).to(dtype)
        for _ in range(3):
            for one in (batch, case.batch().to(dtype)):
                smoothed, grad = gradient(case, module, one)
                assert torch.isfinite(smoothed).all(), f"features in {dtype}"
                assert torch.isfinite(grad).all() or name == "infinite squares", f"gradient in {dtype}"
            end_epoch(module)


def a_diverged_batch_is_passed_on_and_forgotten(case: SmootherCase) -> None:
    """A NaN among the features stays one, and the sample that has it leaves no trace in the statistics."""
    module, twin, batch = case.module(), case.module(), case.batch()
    broken = batch._replace(features=batch.features.clone())
    broken.features[1, 0] = torch.nan
    assert case.call(module, broken)[1, 0].isnan()
    case.call(twin, batch.rows(torch.arange(16) != 1))
    for each in (module, twin):
        end_epoch(each)
    torch.testing.assert_close(case.call(module, batch), case.call(twin, batch), **TOLERANCE[torch.float64])


def statistics_are_constants(case: SmootherCase) -> None:
    """No gradient flows into earlier batches, nor do their graphs stay in memory."""
    module, batch = case.module(), case.batch()
    earlier = batch.features.clone().requires_grad_()
    case.call(module, batch._replace(features=earlier))
    end_epoch(module)
    assert not any(buffer.requires_grad for buffer in module.buffers())
    later = batch._replace(features=batch.features.requires_grad_())
    case.call(module, later).sum().backward()  # type: ignore[no-untyped-call]
    assert earlier.grad is None
