"""How strongly a negative repels: the push factor of its label distance."""

from collections.abc import Callable

from torch import Tensor

Push = str | Callable[[Tensor], Tensor]
"""``"exp"``, ``"linear"``, or an elementwise function of scaled label distances (n, m) to positive factors (n, m)."""

PUSHES = ("exp", "linear")


def log_push(scaled_distance: Tensor, push: Push) -> Tensor:
    r"""Logarithm of the push factor: $u$ for ``"exp"``, $\log u$ for ``"linear"``, $\log f(u)$ for a function.

    Args:
        scaled_distance: $u = \eta\, d(y_i, y_q)$, shape (n, m).
        push: see `Push`.

    Returns:
        Shape (n, m), without gradient.

    Raises:
        ValueError: a function that returns another shape.
    """
    if callable(push):
        factors = push(scaled_distance)
        if factors.shape != scaled_distance.shape:
            expected, got = tuple(scaled_distance.shape), tuple(factors.shape)
            raise ValueError(f"push: expected shape {expected} from the given function, got {got}")
        return factors.detach().to(scaled_distance.dtype).log()
    return scaled_distance if push == "exp" else scaled_distance.log()
