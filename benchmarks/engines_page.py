"""Rebuild the tables and the picture of ``docs/engines.md`` from result files: ``python -m benchmarks.engines_page``.

A table stands between ``<!-- engines: NAME -->`` and ``<!-- /engines -->``. ``--check`` changes nothing and fails if a
table is not what the files in ``benchmarks/results`` say.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.timing import RESULTS, milliseconds
from conr.pairwise.engines import DENSE_PASSES, SMALL_PRODUCT, TILE_PASSES, TILED_START, dense_cost, tiled_cost

PAGE = Path(__file__).parents[1] / "docs" / "engines.md"
PICTURE = PAGE.parent / "images" / "engines.png"
NAMES = {
    "plain": "plain loop and masks",
    "vectorised": "vectorised masks",
    "supcon": "SupConLoss (pytorch-metric-learning)",
    "dense": "dense",
    "blockwise": "blockwise",
    "windowed": "windowed",
}
MAIN_SHARE = 0.05
SIZES = (128, 512, 1024, 2048, 8192, 16384, 32768, 65536)
FLOAT32 = 4  # bytes

Case = dict[str, Any]

_TABLE = re.compile(r"(<!-- engines: (?P<name>[a-z-]+) -->\n).*?(<!-- /engines -->)", re.DOTALL)


def load(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """A result file."""
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    for case in found["cases"]:
        case["threads"] = found["threads"]
    return found


def grid() -> list[Case]:
    """All cases of the grid."""
    return [case for n in SIZES for case in load(f"engines_{n}")["cases"]]


def cases_at(**values: float) -> list[Case]:
    """Cases of the grid with these values."""
    return [case for case in grid() if all(case[name] == value for name, value in values.items())]


def full(case: Case, form: str, mode: str = "full") -> float:
    """Milliseconds of a form."""
    return milliseconds(case["times"][form][mode], case["threads"])


def over_best_engine(case: Case) -> float:
    """How much slower what "auto" takes is than the fastest engine, in a case of the grid."""
    engines = [full(case, form) for form in ("dense", "blockwise", "windowed") if form in case["times"]]
    return full(case, case["auto"]) / min(engines)


def over_best(case: Case) -> float:
    """How much slower what "auto" takes is than the faster of the two engines, in a case of ``engine_choice``."""
    pairs = case["n"] * (case["n"] + case["others"])
    dense = dense_cost(pairs, case["d"], FLOAT32)
    tiled = tiled_cost(case["tile_similarities"], case["kept"], case["d"], case["k"], bool(case["others"]))
    return float(case["dense_ms" if dense <= tiled else "tiled_ms"] / min(case["dense_ms"], case["tiled_ms"]))


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown."""
    lines = [list(header), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three digits or so."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(d: int) -> str:
    """Milliseconds of all forms over n, for one number of features."""
    rows = []
    for case in cases_at(d=d, share=MAIN_SHARE):
        cells = [number(full(case, form)) if form in case["times"] else "" for form in NAMES]
        rows.append([f"{case['n']:,}", *cells])
    return table(["n", *NAMES.values()], rows)


def memory() -> str:
    """Peak of what a form holds, in MB, over n."""
    rows = []
    for case in cases_at(d=128, share=MAIN_SHARE):
        peaks = case["peak_extra_bytes"]
        rows.append([f"{case['n']:,}", *(f"{peaks[form] / 1e6:,.0f}" if form in peaks else "" for form in NAMES)])
    return table(["n", *NAMES.values()], rows)


def shares() -> str:
    """Milliseconds of the windowed engine over n and the share of pairs within the window."""
    found = sorted({case["share"] for case in grid()})
    rows = []
    for n in SIZES:
        times = {case["share"]: number(full(case, "windowed")) for case in cases_at(n=n, d=128)}
        rows.append([f"{n:,}", *(times.get(share, "") for share in found)])
    return table(["n", *(f"{share:.0%} of pairs" for share in found)], rows)


def modes() -> str:
    """Forward and backward of what "auto" takes and of the plain form."""
    rows = []
    for n, d in ((128, 2048), (512, 512), (2048, 128), (8192, 128)):
        (case,) = cases_at(n=n, d=d, share=MAIN_SHARE)
        for form in ("plain", case["auto"]):
            cells = [number(full(case, form, mode)) for mode in ("forward", "backward", "full")]
            rows.append([f"{n:,}, {d:,}", NAMES[form], *cells])
    return table(["n, d", "form", "forward", "backward", "full"], rows)


def scaling() -> str:
    """Time and memory with a constant number of neighbours."""
    found = load("engines_scaling")
    rows = []
    for case in found["cases"]:
        cells = [number(full(case, form)) for form in ("blockwise", "windowed")]
        rows.append([f"{case['n']:,}", *cells, f"{case['peak_extra_bytes']['windowed'] / 1e6:,.0f}"])
    fitted = [f"{found['exponents'][form]:.2f}" for form in ("blockwise", "windowed")]
    return table(["n", "blockwise, ms", "windowed, ms", "windowed, MB"], [*rows, ["exponent of n", *fitted, ""]])


def choice() -> str:
    """How much slower "auto" is than the faster engine, by kind of batch."""
    cases = load("engine_choice")["cases"]
    kinds: dict[str, Callable[[Case], bool]] = {
        "one label dimension": lambda case: case["k"] == 1 and not case["others"] and not case["crowd"],
        "one label dimension, more candidates": lambda case: case["k"] == 1 and case["others"] and not case["crowd"],
        "one label dimension, all predictions equal": lambda case: case["crowd"],
        "two label dimensions": lambda case: case["k"] == 2,
    }
    rows = []
    for kind, belongs in kinds.items():
        ratios = [over_best(case) for case in cases if belongs(case)]
        late = sum(ratio > 1.15 for ratio in ratios)
        rows.append([kind, str(len(ratios)), str(late), f"{max(ratios):.2f}"])
    return table(["batches", "points", "more than 15 % slower", "worst"], rows)


def costs() -> str:
    """The constants by which "auto" chooses on a CPU."""
    rows = [
        ("elementwise passes over a matrix of similarities, per pair", str(DENSE_PASSES)),
        ("elementwise passes over a tile, per similarity", str(TILE_PASSES)),
        ("a multiply-add in the small products of tiles", str(SMALL_PRODUCT)),
        ("sorting, cutting and calling of a walk over tiles", f"{TILED_START:,}"),
    ]
    return table(["cost", "in multiply-adds of a large product"], rows)


def aims() -> str:
    """What the engines were to reach, and what was measured."""
    (small,) = cases_at(n=128, d=2048, share=MAIN_SHARE)
    (large,) = cases_at(n=8192, d=128, share=MAIN_SHARE)
    found = load("engines_scaling")
    (largest,) = (case for case in found["cases"] if case["n"] == 65536)
    peak = large["peak_extra_bytes"][large["auto"]] / large["peak_extra_bytes"]["plain"]
    seconds, gigabytes = full(largest, "windowed") / 1e3, largest["peak_extra_bytes"]["windowed"] / 1e9
    ratios = [over_best_engine(case) for case in grid() if case["times"]]
    late = sum(ratio > 1.15 for ratio in ratios)
    exponent = found["exponents"]["windowed"]
    speed_ups = [full(case, "plain") / full(case, case["auto"]) for case in (small, large)]
    rows = [
        ("n = 128, d = 2,048: at least 2 times faster than plain", f"{speed_ups[0]:.1f} times", speed_ups[0] >= 2),
        ("n = 8,192, d = 128: at least 45 times faster than plain", f"{speed_ups[1]:.1f} times", speed_ups[1] >= 45),
        ("there, at most 5 % of plain's peak memory", f"{peak:.1%}", peak <= 0.05),
        ("n = 65,536, d = 128, 200 neighbours: under 8 s", f"{seconds:.2f} s", seconds < 8),
        ("there, under 1 GB", f"{gigabytes:.2f} GB", gigabytes < 1),
        ("exponent of n with 200 neighbours below 1.2", f"{exponent:.2f}", exponent < 1.2),
        (
            '`engine="auto"` at most 15 % slower than the fastest engine on the grid of this page',
            f"{len(ratios) - late} of {len(ratios)} points, worst {max(ratios):.2f}",
            late == 0,
        ),
    ]
    return table(["aim", "measured", ""], ([aim, measured, "met" if met else "missed"] for aim, measured, met in rows))


def training() -> str:
    """Milliseconds of a training step, and of ConR alone."""
    cases = load("training_step")["cases"]
    kinds = list(cases[0]["cpu_ms"])
    rows = []
    for case in cases:
        share = case["loss_cpu_ms"] / case["cpu_ms"]["ConR, two views"]
        cells = [number(case["cpu_ms"][kind]) for kind in kinds]
        rows.append([case["network"], *cells, f"{number(case['loss_cpu_ms'])} ({share:.1%} of the step)"])
    return table(["network", *kinds, "the loss alone"], rows)


def peers() -> str:
    """Milliseconds of RankSim and Rank-N-Contrast and of their plain forms, over n."""
    cases = load("peers")["cases"]
    rows = []
    for n, d in dict.fromkeys((case["n"], case["d"]) for case in cases):
        cells = []
        for loss in dict.fromkeys(case["loss"] for case in cases):
            found = [case for case in cases if (case["n"], case["d"], case["loss"]) == (n, d, loss)]
            cells += [f"{number(full(case, 'plain'))}, {number(full(case, 'ours'))}" for case in found] or [""]
        rows.append([f"{n:,}, {d:,}", *cells])
    return table(["n, d", "RankSim: plain, ours", "Rank-N-Contrast: plain, ours"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "aims": aims,
    "times-few-features": lambda: times(128),
    "times-features": lambda: times(512),
    "times-many-features": lambda: times(2048),
    "memory": memory,
    "shares": shares,
    "modes": modes,
    "scaling": scaling,
    "costs": costs,
    "choice": choice,
    "training": training,
    "peers": peers,
}


def rebuilt(text: str) -> str:
    """The page with all its tables made anew."""
    return _TABLE.sub(lambda match: f"{match[1]}\n{TABLES[match['name']]()}\n\n{match[3]}", text)


def draw(file: Path = PICTURE) -> None:
    """Time and memory over n."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  slow, and not needed to check

    figure, panels = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
    cases = cases_at(d=128, share=MAIN_SHARE)
    neighbours = load("engines_scaling")["cases"]
    for form, name in NAMES.items():
        style = "o-" if form in ("dense", "blockwise", "windowed") else "o--"
        measured = [case for case in cases if form in case["times"]]
        sizes = [case["n"] for case in measured]
        (line,) = panels[0].loglog(sizes, [full(case, form) for case in measured], style, label=name)
        megabytes = [case["peak_extra_bytes"][form] / 1e6 for case in measured]
        panels[1].loglog(sizes, megabytes, style, color=line.get_color(), label=name)
        if form == "windowed":
            sizes, label = [case["n"] for case in neighbours], "windowed, 200 neighbours"
            values = [full(case, form) for case in neighbours]
            panels[0].loglog(sizes, values, "s:", color=line.get_color(), label=label)
            values = [case["peak_extra_bytes"][form] / 1e6 for case in neighbours]
            panels[1].loglog(sizes, values, "s:", color=line.get_color(), label=label)
    panels[0].set(xlabel="samples n", ylabel="forward and backward, ms")
    panels[1].set(xlabel="samples n", ylabel="peak extra memory, MB")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    for panel in panels:
        panel.grid(alpha=0.3)
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def main() -> int:
    """Rebuild or check the page; the exit status is 1 if a check fails."""
    before = PAGE.read_text(encoding="utf-8")
    after = rebuilt(before)
    if "--check" in sys.argv:
        if before != after:
            print(f"{PAGE.name}: a table is not what the result files say; run python -m benchmarks.engines_page")
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    draw()
    return 0


if __name__ == "__main__":
    sys.exit(main())
