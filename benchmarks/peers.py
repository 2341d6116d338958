"""Time of RankSim and Rank-N-Contrast against their plain forms: ``python -m benchmarks.peers``, two minutes.

The plain forms of `benchmarks.plain_peers` loop over the rows, or over the positives, as the papers state the losses.
One thread and the processors' time, so that other programs on the machine disturb little. Labels are continuous, so
that nothing ties: the plain form of RankSim leaves ties to a sort. The result is ``benchmarks/results/peers.json``.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.plain_peers import plain_rank_n_contrast, plain_ranksim
from benchmarks.timing import environment, interleaved, milliseconds, peak_extra_bytes, write_results
from conr.losses import rank_n_contrast_loss, ranksim_loss

SIZES = (64, 128, 256, 512, 1024)
FEATURES = (128, 512)
INTERPOLATION = 2.0
TEMPERATURE = 2.0
MOST_BYTES = 2e9

Form = partial[Tensor]


def forms(n: int, d: int) -> dict[str, dict[str, Form]]:
    """Of each loss the plain form and ours."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n, d, generator=generator).requires_grad_()
    labels = torch.rand(n, generator=generator)
    lam, tau = INTERPOLATION, TEMPERATURE
    return {
        "RankSim": {
            "plain": partial(plain_ranksim, features, labels, interpolation=lam),
            "ours": partial(ranksim_loss, features, labels, interpolation=lam, reduction="sum"),
        },
        "Rank-N-Contrast": {
            "plain": partial(plain_rank_n_contrast, features, labels, temperature=tau),
            "ours": partial(rank_n_contrast_loss, features, labels, temperature=tau),
        },
    }


def plain_bytes(loss: str, n: int, d: int) -> float:
    """About what a plain form holds under autograd: n masked matrices, and all differences of features."""
    return 4.0 * (5 * n**3 / 4 + 2 * n * n * d) if loss == "Rank-N-Contrast" else 4.0 * 10 * n * n


def measure(loss: str, n: int, d: int, compared: dict[str, Form]) -> dict[str, Any]:
    """One case of the result file."""
    times = interleaved(compared, seconds=1.0, runs=5, warmups=1)
    memory = {name: peak_extra_bytes(form) for name, form in compared.items()}
    plain, ours = (milliseconds(times[name]["full"], 1) for name in ("plain", "ours"))
    difference = abs(float(compared["plain"]().detach()) - float(compared["ours"]().detach()))
    print(f"{loss} n={n} d={d}: ours {ours:.2f} ms, plain {plain:.1f} ms, difference {difference:.1e}", flush=True)
    return {
        "loss": loss,
        "n": n,
        "d": d,
        "times": times,
        "peak_extra_bytes": memory,
        "difference_of_values": difference,
        "plain_over_ours": plain / ours,
    }


def main() -> None:
    """Measure all sizes, print a line each, and write the result file."""
    torch.set_num_threads(1)
    ran_on: dict[str, Any] = environment()
    cases: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    for n in SIZES:
        for d in FEATURES:
            for loss, compared in forms(n, d).items():
                if plain_bytes(loss, n, d) > MOST_BYTES:
                    reason = f"the plain form needs about {plain_bytes(loss, n, d) / 1e9:.0f} GB"
                    skipped.append({"loss": loss, "n": n, "d": d, "reason": reason})
                else:
                    cases.append(measure(loss, n, d, compared))
    print(write_results("peers", cases, ran_on=ran_on, skipped=skipped))


if __name__ == "__main__":
    main()
