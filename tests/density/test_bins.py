import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from conr.density import Bins, LabelDensity, balanced_split, label_bins

GRID = Bins([[0, 1, 3], [-1, 0, 1, 5]])  # 2 x 3 cells


def test_bins_are_half_open_and_the_last_is_closed() -> None:
    bins = Bins([0, 10, 20, 40])
    labels = torch.tensor([0.0, 9.999, 10.0, 19.9, 20.0, 40.0])
    assert bins.index(labels).tolist() == [0, 0, 1, 1, 2, 2]
    assert (len(bins), bins.shape, bins.dimensions) == (3, (3,), 1)
    assert bins.centers.tolist() == [[5.0], [15.0], [30.0]]
    assert bins.edges[0].dtype == torch.float64


def test_cells_of_a_grid_are_numbered_with_the_last_dimension_fastest() -> None:
    labels = torch.tensor([[0.0, -1.0], [0.5, 5.0], [1.0, -0.5], [3.0, 0.0], [2.0, 1.0]])
    assert GRID.index(labels).tolist() == [0, 2, 3, 4, 5]
    assert (len(GRID), GRID.shape, GRID.dimensions) == (6, (2, 3), 2)
    centers = [[0.5, -0.5], [0.5, 0.5], [0.5, 3.0], [2.0, -0.5], [2.0, 0.5], [2.0, 3.0]]
    assert GRID.centers.tolist() == centers
    assert GRID.index(torch.tensor(centers)).tolist() == list(range(6))


@given(
    edges=st.lists(st.integers(-50, 50), min_size=2, max_size=12, unique=True).map(sorted),
    seed=st.integers(0, 2**31),
)
def test_index_is_that_of_a_plain_search(edges: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = [*edges, *random.uniform(edges[0], edges[-1], 20).tolist()]
    expected = [
        next((b for b in range(len(edges) - 1) if edges[b] <= label < edges[b + 1]), len(edges) - 2) for label in labels
    ]
    assert Bins(edges).index(torch.tensor(labels, dtype=torch.float64)).tolist() == expected


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int32, torch.int64]
)
def test_any_real_dtype(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    index = Bins([0, 2, 4, 6]).index(torch.tensor([0, 2, 5, 6]).to(dtype).reshape(shape))
    assert index.tolist() == [0, 1, 2, 2]
    assert index.dtype == torch.int64
    assert index.shape == (4,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_label_that_reads_like_an_edge_starts_its_bin(dtype: torch.dtype) -> None:
    bins = Bins.by_width(width=0.1, low=0, high=5)
    assert len(bins) == 50
    labels = torch.tensor([float(f"{tenths // 10}.{tenths % 10}") for tenths in range(51)], dtype=dtype)
    assert bins.index(labels).tolist() == [*range(50), 49]
    assert bins.edges[0].tolist() == [float(f"{tenths // 10}.{tenths % 10}") for tenths in range(51)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_arithmetic_takes_no_label_out_of_its_bin(dtype: torch.dtype) -> None:
    """Such as 0.7 - 0.4, which is 0.29999999999999993."""
    bins = Bins.by_width(width=0.1, low=-1, high=5)
    tenths = torch.arange(-10, 51).to(dtype)
    for labels in (tenths * 0.1, tenths / 10, 0.1 * (tenths - 3) + 0.3):
        near_zero = (tenths.abs() < 3) & (labels != tenths / 10)  # where two numbers cancel, their rounding is left
        assert bins.index(labels)[~near_zero].tolist() == torch.tensor([*range(60), 59])[~near_zero].tolist()
    assert Bins([0, 0.3, 1]).index(torch.tensor([0.7 - 0.4, 0.1 + 0.2, 0.2999], dtype=torch.float64)).tolist() == [
        1,
        1,
        0,
    ]


def test_large_integers_are_not_rounded() -> None:
    first = 2**24
    assert Bins([first, first + 1, first + 2]).index(torch.tensor([first, first + 1])).tolist() == [0, 1]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, np.float16])
def test_half_precision_labels_on_an_edge_lie_in_its_bin(kind: Any) -> None:
    """Labels 0.0, 0.1, ..., 3.9, and the shot regions of those above and below 2."""
    tenths = [round(0.1 * step, 1) for step in range(40)]
    labels = np.array(tenths, dtype=kind) if kind is np.float16 else torch.tensor(tenths, dtype=kind)
    bins = Bins.by_width(width=0.1, low=0, high=4)
    assert bins.index(labels).tolist() == list(range(40))
    halves = Bins([0, 2, 4])
    density = LabelDensity(halves, many=50, few=20).fit(torch.cat((torch.zeros(60), torch.full((10,), 3.0))))
    assert density.regions(labels).tolist() == [0] * 20 + [2] * 20


def test_half_precision_is_compared_in_float32() -> None:
    """257 is no bfloat16, 256 is: the label 256 lies below the edge 257."""
    assert Bins([255, 256, 257, 300]).index(torch.tensor([256.0], dtype=torch.bfloat16)).tolist() == [1]


@pytest.mark.parametrize(
    ("width", "low", "high", "count", "last"),
    [
        (1, 0, 360, 360, 360),
        (0.1, 0, 5, 50, 5),
        (0.1, 0, 1.1, 11, 1.1),
        (0.7, 0, 2, 3, 2.1),
        (3, 1, 1, 1, 4),
        (2e-13, 0, 1e-12, 5, 1e-12),
    ],
)
def test_by_width(width: float, low: float, high: float, count: int, last: float) -> None:
    edges = Bins.by_width(width=width, low=low, high=high).edges[0]
    assert len(edges) == count + 1
    assert edges[0] == low
    assert edges[-1].item() == pytest.approx(last)
    assert edges.diff().numpy() == pytest.approx(width)


@given(
    labels=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
    width=st.sampled_from([0.1, 1.0, 7.0, 1 / 3]).map(lambda share: share * 1e4),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_by_width_covers_the_labels_it_was_made_from(labels: list[float], width: float, dtype: torch.dtype) -> None:
    values = torch.tensor(labels, dtype=dtype)
    bins = Bins.by_width(values, width=width)
    index = bins.index(values)  # outside would be an error
    assert index[values.argmin()] == 0
    assert index[values.argmax()] >= len(bins) - 2  # rounding may leave the largest at the end of the bin before
    assert math.isclose(len(bins), max(1, (values.max() - values.min()).item() / width), abs_tol=1)


def test_float32_rounding_makes_no_bin_of_its_own() -> None:
    """The float32 label 0.3 is 0.3000000119; it still belongs to the last of three bins."""
    labels = torch.tensor([0.0, 0.1, 0.3])
    bins = Bins.by_width(labels, width=0.1)
    assert len(bins) == 3
    assert bins.index(labels).tolist() == [0, 1, 2]


def test_by_width_per_dimension() -> None:
    labels = torch.tensor([[0.0, 10.0], [2.0, 30.0]])
    bins = Bins.by_width(labels, width=[1, 10])
    assert [one.tolist() for one in bins.edges] == [[0, 1, 2], [10, 20, 30]]
    assert Bins.by_width(labels, width=10, low=[-10, 0]).shape == (2, 3)
    assert Bins.by_width(labels, width=10, low=0, high=[10, 40], clamp=True).shape == (1, 4)


def test_by_count_makes_bins_of_equal_count() -> None:
    labels = torch.arange(100.0) ** 2
    bins = Bins.by_count(labels, count=4)
    assert torch.bincount(bins.index(labels)).tolist() == [25, 25, 25, 25]


def test_by_count_merges_equal_quantiles() -> None:
    """Of nine labels, the quantiles in steps of a quarter are the labels at positions 0, 2, 4, 6 and 8."""
    labels = torch.tensor([0.0] * 6 + [1.0, 2.0, 3.0])
    assert Bins.by_count(labels, count=4).edges[0].tolist() == [0, 1, 3]
    assert Bins.by_count(torch.stack((labels, -labels), dim=1), count=4).edges[1].tolist() == [-3, -1, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0, 20.5, 30.0], r"labels: expected numbers in \[0, 20\], got 20.5 at position 1"),
        ([1.0, 2.0, -3.0], r"labels: expected numbers in \[0, 20\], got -3 at position 2"),
        ([math.nan], r"labels: expected numbers in \[0, 20\], got nan at position 0"),
        ([1.0, math.inf], r"labels: expected numbers in \[0, 20\], got inf at position 1"),
    ],
)
def test_a_label_outside_is_named(labels: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bins([0, 10, 20]).index(torch.tensor(labels))


def test_a_label_outside_a_grid_is_named_with_its_dimension() -> None:
    with pytest.raises(ValueError, match=r"\[-1, 5\] in label dimension 1, got 7 at position 1"):
        GRID.index(torch.tensor([[0.0, 0.0], [0.0, 7.0]]))


def test_clamp() -> None:
    labels = torch.tensor([-100.0, 5.0, 15.0, 20.1, math.inf])
    assert Bins([0, 10, 20], clamp=True).index(labels).tolist() == [0, 0, 1, 1, 1]
    assert Bins([0, 10, 20]).index(labels, check=False).tolist() == [0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="got nan at position 1"):
        Bins([0, 10, 20], clamp=True).index(torch.tensor([1.0, math.nan]))


def test_without_check_no_value_is_read_and_no_edges_are_copied() -> None:
    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    seen: list[str] = []
    labels = torch.tensor([0.5, 2.0])
    GRID.index(torch.stack((labels, labels), dim=1), check=False)  # the first call on a device copies the edges
    watch = Watch()  # type: ignore[no-untyped-call]
    with watch:
        GRID.index(torch.stack((labels, labels), dim=1), check=False)
    assert any("bucketize" in name for name in seen)
    assert not any(word in name for name in seen for word in ("_to_copy", "_local_scalar_dense", "nonzero"))
    with watch:
        GRID.index(torch.stack((labels, labels), dim=1))
    assert any("_local_scalar_dense" in name for name in seen)  # the watch sees a read
    assert GRID.index(torch.empty(3, 2, device="meta"), check=False).device.type == "meta"


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([], "at least two"),
        ([1], "at least two"),
        ([[0, 1], [2]], "at least two"),
        ([0, 0], "strictly increasing"),
        ([0, 2, 1], "strictly increasing"),
        ([0, math.nan], "finite"),
        ([0, math.inf], "finite"),
        ([[0, 1], [1, 0]], "strictly increasing"),
    ],
)
def test_wrong_edges(edges: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=f"edges: .*{message}"):
        Bins(edges)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([1.0, 2.0], TypeError, "expected a torch.Tensor or a NumPy array, got list"),
        (torch.tensor(1.0), ValueError, r"expected shape \(n,\) or \(n, k\)"),
        (torch.ones(2, 2, 2), ValueError, r"expected shape \(n,\) or \(n, k\)"),
        (torch.ones(3, 1), ValueError, r"expected 2 label dimension\(s\), got shape \(3, 1\)"),
        (torch.ones(3, 2, dtype=torch.bool), TypeError, "expected real numbers"),
        (torch.ones(3, 2, dtype=torch.complex64), TypeError, "expected real numbers"),
    ],
)
def test_wrong_labels(labels: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"labels: {message}"):
        GRID.index(labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0, "low": 0, "high": 1}, "width: "),
        ({"width": 1, "low": 1, "high": 0}, "high: expected a number of at least 1"),
        ({"width": 1, "low": 0}, "labels: expected labels, or both low and high"),
        ({"width": 1, "low": 0, "high": math.inf}, "high: expected a finite number"),
        ({"width": 1, "low": math.nan, "high": 1}, "low: expected a finite number"),
        ({"width": [1, 1], "low": 0, "high": 1}, "width: expected 1 numbers, one per label dimension, got 2"),
        ({"width": 1, "labels": torch.empty(0)}, "labels: expected at least one label"),
        ({"width": 1, "labels": torch.tensor([0.0, math.nan])}, r"labels: .*got \[nan\] at position 1"),
    ],
)
def test_wrong_arguments_of_by_width(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bins.by_width(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        (torch.ones(5), 3, "at least two numbers"),
        (torch.empty(0), 3, "at least one label"),
        (torch.arange(5.0), 0, "count: "),
        (torch.tensor([1.0, math.inf]), 2, "finite"),
    ],
)
def test_wrong_arguments_of_by_count(labels: Tensor, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bins.by_count(labels, count=count)


def test_no_labels_have_no_bins() -> None:
    assert GRID.index(torch.empty(0, 2)).tolist() == []
    assert Bins([0, 1]).index(torch.empty(0)).tolist() == []


def test_edges_from_arrays_and_tensors() -> None:
    same = Bins([0, 1, 2.5])
    assert Bins(torch.tensor([0, 1, 2.5])) == same  # type: ignore[arg-type]
    assert Bins(np.array([0, 1, 2.5], dtype=np.float32)) == same  # type: ignore[arg-type]
    assert Bins([np.array([0, 1, 2.5])]) == same  # type: ignore[arg-type]


def test_arrays_are_labels_like_tensors() -> None:
    labels = np.array([0.3, 0.6, 2.9, 1.0, 0.3, 0.6, 0.2], dtype=np.float32)
    frozen = labels.copy()
    frozen.flags.writeable = False
    for one in (labels, labels.astype(">f4"), labels[::-1][::-1], frozen, labels.astype(np.float64)):
        tensor = torch.from_numpy(one.astype(one.dtype.newbyteorder("=")))
        assert Bins.by_count(one, count=3) == Bins.by_count(tensor, count=3)
        bins = label_bins(one)
        assert bins == label_bins(tensor)
        density, same = (LabelDensity(bins, scheme="inverse").fit(each) for each in (one, tensor))
        assert torch.equal(density.weights(one), same.weights(tensor))
        assert torch.equal(density.regions(one), same.regions(tensor))
        rows, equal = (balanced_split(each, Bins([0, 1, 3]), most=1, seed=0) for each in (one, tensor))
        assert {name: part.tolist() for name, part in rows.items()} == {
            name: part.tolist() for name, part in equal.items()
        }
    for wrong in (np.array(["a"]), np.array([True]), np.array([1 + 2j]), np.array([None])):
        with pytest.raises(TypeError, match="labels: expected real numbers, got"):
            Bins([0, 1]).index(wrong)


def test_equality_copies_and_text() -> None:
    bins = Bins([0, 1, 2], clamp=True)
    assert bins == Bins([0.0, 1.0, 2.0], clamp=True)
    assert bins != Bins([0, 1, 2])
    assert bins != Bins([0, 1, 3], clamp=True)
    assert bins != Bins([[0, 1, 2], [0, 1, 2]], clamp=True)
    assert bins != "bins"
    bins.index(torch.tensor([0.5]))
    assert pickle.loads(pickle.dumps(bins)) == bins  # noqa: S301  our own bytes
    assert copy.deepcopy(bins).index(torch.tensor([1.5])).tolist() == [1]
    assert repr(bins) == "Bins(2 over [0, 2], clamp=True)"
    assert repr(GRID) == "Bins(2 over [0, 3], 3 over [-1, 5])"
