"""Random batches, good ones and bad ones."""

from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
OTHERS = (torch.int64, torch.int32, torch.uint8, torch.bool, torch.complex64)
MODERATE = ("grid", "normal", "equal", "zero", "tiny", "two values")
"""Kinds of numbers on which a finite result is promised."""
EXTREME = ("huge", "largest", "nan", "inf", "one nan")


class Drawn(NamedTuple):
    """A tensor, and whether a finite result may be expected of it."""

    tensor: Any
    is_moderate: bool


def numbers(shape: tuple[int, ...], kind: str, seed: int) -> Tensor:
    """A float64 tensor of a kind of ``MODERATE`` or ``EXTREME``."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    if kind == "grid":
        return torch.randint(0, 6, shape, generator=generator).double()
    if kind == "two values":
        return torch.randint(0, 2, shape, generator=generator).double() * 5
    if kind == "one nan":
        return normal.flatten().index_fill(0, torch.arange(min(1, normal.numel())), torch.nan).reshape(shape)
    scale = {"normal": 1.0, "tiny": 1e-30, "huge": 1e20, "largest": 1e308}
    constant = {"equal": 2.0, "zero": 0.0, "nan": torch.nan, "inf": torch.inf}
    return normal * scale[kind] if kind in scale else torch.full(shape, constant[kind], dtype=torch.float64)


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...], *, is_odd: bool, signed: bool = True) -> Drawn:
    """A tensor of this shape, or an odd one: of another shape, dtype, kind of numbers, or no tensor."""
    seed = draw(st.integers(0, 2**16))
    if not is_odd:
        made = numbers(shape, draw(st.sampled_from(MODERATE)), seed).to(draw(st.sampled_from(FLOATS[:2])))
        return Drawn(made if signed else made.abs(), is_moderate=True)
    change = draw(st.sampled_from(("kind", "kind", "dtype", "rows", "columns", "dimensions", "flat", "type", "device")))
    if change == "type":
        return Drawn(draw(st.sampled_from((None, 3.0, "text", [1.0, 2.0]))), is_moderate=False)
    if change == "rows":
        shape = (draw(st.integers(0, 9)), *shape[1:])
    elif change == "columns":
        shape = (*shape[:1], draw(st.integers(0, 4)), *shape[2:])
    elif change == "dimensions":
        shape = draw(st.sampled_from(((), (*shape, 1), (*shape, 2, 1))))
    elif change == "flat":
        shape = shape[:1]
    kind = draw(st.sampled_from(MODERATE + EXTREME if change == "kind" else MODERATE))
    dtype = draw(st.sampled_from(FLOATS + OTHERS if change == "dtype" else FLOATS))
    made = (
        numbers(shape, kind, seed).nan_to_num(0).to(dtype) if dtype in OTHERS else numbers(shape, kind, seed).to(dtype)
    )
    return Drawn(made.to("meta") if change == "device" else made, kind in MODERATE and signed)


@st.composite
def batches(
    draw: st.DrawFn,
    dimensions: tuple[int, ...],
    *,
    feature_sizes: tuple[int, ...] = (1, 2, 5),
    outputs: tuple[int, ...] = (),
) -> dict[str, Drawn]:
    """Features (n, d), labels (n, k), predictions (n, k, ...) and weights (n,); at most some of them are odd."""
    n, k = draw(st.integers(0, 9)), draw(st.sampled_from(dimensions))
    shapes = {
        "features": (n, draw(st.sampled_from(feature_sizes))),
        "labels": (n, k),
        "predictions": (n, k, *outputs),
        "weights": (n,),
    }
    odd = draw(st.sets(st.sampled_from(sorted(shapes)), max_size=2))
    if k == 1 and draw(st.booleans()):
        shapes |= {"labels": (n,), "predictions": (n, *outputs)}
    return {name: draw(tensors(shape, is_odd=name in odd, signed=name != "weights")) for name, shape in shapes.items()}
