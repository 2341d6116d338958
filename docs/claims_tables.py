"""Tables and pictures of "The paper's claims, checked", from what ``python -m benchmarks.claims`` leaves."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from benchmarks.claims.records import DYNAMICS, IDEAS, MAPPED
from benchmarks.claims.study import BOUND, UNWEIGHTED, WINDOWS
from docs.page_tables import markdown_table
from matplotlib.figure import Figure

from conr.bench.frontier import Strength, draw_curve
from conr.density.regions import GROUPS
from conr.report.histogram import draw_histogram
from conr.report.style import REGION_COLORS, label_colors, write_png
from conr.runs.results import RunResult
from conr.runs.runs import SUFFIX, read_runs

WITHOUT, WITH = "#7a7a7a", "#1f83cb"
FRONT = "faces"
"""The study whose picture stands on the front page."""
_LEADING = {"vanilla": WITHOUT, "conr": WITH, "sqinv": "#d55e00"}
BESIDE, ALONE = "beside weights", "alone"
_CURVES = {BESIDE: WITH, ALONE: "#d55e00"}
FRONTIERS = {"power": "weights N^-p, strength p", "sampling": "balanced sampling, strength"}
_SHOTS = ("many", "median", "few")
_WIDE = 7.2


class _Drawn(NamedTuple):
    name: str
    source: str
    draw: Callable[[Path, Figure], None]
    width: float
    height: float


class Errors(NamedTuple):
    """MAE of each shot region of a method, one number per seed."""

    method: str
    values: Mapping[str, Sequence[float]]

    def mean(self, region: str) -> float:
        """Mean over the seeds."""
        return fmean(self.values[region])


def _errors(path: Path) -> dict[str, Errors]:
    """Errors by method, vanilla first, then as the names are sorted, a method before the same one with ConR."""
    found: dict[str, list[RunResult]] = {}
    for run in read_runs([path]):
        found.setdefault(run.result.method, []).append(run.result)
    order = sorted(found, key=lambda name: (name != "vanilla", name == f"vanilla,{BOUND}", name))
    return {
        name: Errors(name, {group: [one.metrics[group]["mae"] for one in found[name]] for group in GROUPS})
        for name in order
    }


def _dynamics(path: Path) -> dict[str, Any]:
    """By method and seed, what training logged and what the features look like."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return found


def comparison(folder: Path) -> str:
    """Errors of each method, its change of the few-shot error against vanilla, and the part of the gap that it closes.

    Args:
        folder: of one study.
    """
    errors = _errors(folder / f"runs{SUFFIX}")
    vanilla, bound = errors["vanilla"], errors[f"vanilla,{BOUND}"]
    gap = vanilla.mean("few") - bound.mean("few")
    rows = []
    for one in errors.values():
        cells = [_spread(one.values[group]) for group in GROUPS]
        changes = [
            "" if one is vanilla else f"{100 * (one.mean(group) / vanilla.mean(group) - 1):+.0f} %"
            for group in ("many", "few")
        ]
        closed = "" if one in (vanilla, bound) else f"{100 * (vanilla.mean('few') - one.mean('few')) / gap:.0f} %"
        name = "the bound: vanilla on evenly spread labels" if one is bound else f"`{one.method}`"
        rows.append([name, str(len(one.values["all"])), *cells, *changes, closed])
    header = [
        "method",
        "seeds",
        "all",
        "many-shot",
        "median-shot",
        "few-shot",
        "many, change",
        "few, change",
        "gap closed",
    ]
    return markdown_table(header, rows)


def added(folder: Path) -> str:
    """What ConR adds to each method: changes of the errors, and how often the few-shot error falls, seed by seed."""
    errors = _errors(folder / f"runs{SUFFIX}")
    rows = []
    for plain, both in pairs(errors):
        changes = [f"{100 * (both.mean(group) / plain.mean(group) - 1):+.1f} %" for group in GROUPS]
        seeds = list(zip(plain.values["few"], both.values["few"], strict=False))
        better = sum(after < before for before, after in seeds)
        rows.append([f"`{plain.method}`", *changes, f"{better} of {len(seeds)}"])
    return markdown_table(["ConR added to", "all", "many-shot", "median-shot", "few-shot", "few-shot lower in"], rows)


def pairs(errors: Mapping[str, Errors]) -> list[tuple[Errors, Errors]]:
    """Methods without ConR beside the same with it."""
    by_parts = {frozenset(name.split("+")): one for name, one in errors.items()}
    found = []
    for name, one in errors.items():
        parts = frozenset(name.split("+")) - {"vanilla"}
        if "conr" not in parts and (both := by_parts.get(parts | {"conr"})) is not None:
            found.append((one, both))
    return found


def frontier(folder: Path) -> str:
    """Errors at each strength of a reweighting, and the few-shot error that ConR saves at equal many-shot error."""
    rows = []
    for title, curves in _frontiers(folder).items():
        rows.append([title, "without ConR", _points(_without(curves)), ""])
        for name, content in curves.items():
            rows.append([title, f"with ConR as chosen {name}", _points(content["beside"]), f"{content['gain']:.2f}"])
    return markdown_table(["reweighting", "", "many / few at each strength", "saved at equal many-shot error"], rows)


def _without(curves: Mapping[str, Any]) -> list[dict[str, float]]:
    """Strengths without ConR, which are the same however it was chosen."""
    found: list[dict[str, float]] = next(iter(curves.values()))["without"]
    return found


def _points(strengths: Sequence[Mapping[str, float]]) -> str:
    return ", ".join(f"{one['many']:.2f} / {one['few']:.2f}" for one in strengths)


def _frontiers(folder: Path) -> dict[str, dict[str, Any]]:
    """Content of the frontiers that have been run, by title of the reweighting and by how ConR was chosen."""
    found: dict[str, dict[str, Any]] = {}
    for axis, title in FRONTIERS.items():
        for name, place in ((BESIDE, axis), (ALONE, f"alone-{axis}")):
            file = folder / place / "frontier.json"
            if file.is_file():
                found.setdefault(title, {})[name] = json.loads(file.read_text(encoding="utf-8"))
    return found


def features(folder: Path) -> str:
    """Numbers of the features and of the last epoch's pairs, means over seeds."""
    content = _dynamics(folder / DYNAMICS)
    rows = []
    for method, seeds in content.items():
        numbers = [one["features"] for one in seeds.values()]
        last = [one["logged"] for one in seeds.values()]
        cells = [
            f"{fmean(one[name] for one in numbers):.{places}f}"
            for name, places in (("rank_correlation", 3), ("effective_rank", 1))
        ]
        cells += [_percent(_last(one[f"collapse_{region}"]) for one in last) for region in ("many", "few")]
        cells += [f"{fmean(one[name][-1] for one in last):.1f}" for name in ("anchors", "positives", "negatives")]
        rows.append([f"`{method}`", str(len(seeds)), *cells])
    header = ["method", "seeds", "rank correlation", "effective rank", "collapse, many", "collapse, few"]
    return markdown_table([*header, "anchors per batch", "positives per sample", "negatives per sample"], rows)


def ablations(folder: Path) -> str:
    """ConR with other windows and with weights of 1: errors and the numbers of the features."""
    errors = _errors(folder / f"ablations{SUFFIX}")
    content = _dynamics(folder / f"ablations-{DYNAMICS}")
    rows = []
    for variant in (*(f"window={window:g}" for window in WINDOWS), UNWEIGHTED[0]):
        one = errors[f"conr,{variant}"]
        numbers = [seed["features"] for seed in content[f"conr,{variant}"].values()]
        correlation = fmean(number["rank_correlation"] for number in numbers)
        rows.append(
            [
                variant,
                str(len(one.values["all"])),
                *(_spread(one.values[group]) for group in GROUPS),
                f"{correlation:.3f}",
            ]
        )
    return markdown_table(
        ["ConR with", "seeds", "all", "many-shot", "median-shot", "few-shot", "rank correlation"], rows
    )


def ideas(folder: Path) -> str:
    """Other pictures within a window that a picture meets in a batch; then validation errors of what was tried."""
    content = json.loads((folder / IDEAS).read_text(encoding="utf-8"))
    met = [[f"{row['window']:g}", *(f"{row[region]:.2f}" for region in _SHOTS)] for row in content["positives"]]
    tried = [
        [run["idea"], *(f"{run['validation'][region]:.2f}" for region in ("all", *_SHOTS))] for run in content["runs"]
    ]
    heads = [f"{region}-shot" for region in _SHOTS]
    return "\n".join(
        (
            f"Other pictures within the window that a picture meets in a batch of {content['batch']}, by its own age:",
            "",
            markdown_table(["window", *heads], met),
            "",
            "Validation errors, one seed, half the epochs of a run:",
            "",
            markdown_table(["tried", "all", *heads], tried),
        )
    )


def draw(folder: Path, out: Path) -> list[Path]:
    """Draw the pictures of one study, those of its parts that have been run.

    Args:
        folder: of the study.
        out: folder of the pictures, called after the study.
    """
    runs, dynamics = f"runs{SUFFIX}", DYNAMICS
    drawn = (
        *([_Drawn("front", runs, _draw_front, _WIDE, 2.6)] if folder.name == FRONT else []),
        _Drawn("added", runs, _draw_added, _WIDE, 2.4),
        _Drawn("features", dynamics, _draw_features, _WIDE, 2.2),
        _Drawn("training", dynamics, _draw_training, _WIDE, 2.6),
        _Drawn("windows", f"ablations{SUFFIX}", _draw_windows, 4.6, 3.0),
        _Drawn("frontiers", f"frontiers{SUFFIX}", _draw_frontiers, _WIDE, 3.0),
    )
    return [
        write_png(out / f"{folder.name}-{one.name}.png", partial(one.draw, folder), width=one.width, height=one.height)
        for one in drawn
        if (folder / one.source).is_file()
    ]


def _draw_front(folder: Path, figure: Figure) -> None:
    """Training labels, and the error by shot region: without any method, with ConR, and with weights."""
    runs = read_runs([folder / f"runs{SUFFIX}"])
    bins = next(one.result.bins for one in runs if one.result.method == "vanilla")
    label = runs[0].result.label
    left, right = figure.subplots(1, 2)
    draw_histogram(
        left,
        edges=bins["edges"][0],
        counts=bins["train_counts"],
        regions=bins["regions"],
        label=f"{label['name']} ({label['unit']})",
    )
    errors = _errors(folder / f"runs{SUFFIX}")
    for place, method in enumerate(one for one in _LEADING if one in errors):
        values = [errors[method].values[region] for region in _SHOTS]
        spreads = [stdev(one) if len(one) > 1 else 0.0 for one in values]
        look: dict[str, Any] = {"color": _LEADING[method], "ecolor": "#444", "error_kw": {"lw": 0.8}, "label": method}
        right.bar(np.arange(3) + 0.28 * (place - 1), list(map(fmean, values)), 0.26, yerr=spreads, **look)
    right.set_xticks(range(3), ["many-shot", "median-shot", "few-shot"])
    right.set(ylabel=f"MAE ({label['unit']})", title=f"test error, {len(errors['vanilla'].values['few'])} seeds")
    right.legend(fontsize=8.5, loc="upper left")


def _draw_added(folder: Path, figure: Figure) -> None:
    errors = _errors(folder / f"runs{SUFFIX}")
    for axes, region in zip(figure.subplots(1, 3, sharey=True), _SHOTS, strict=True):
        for row, (plain, both) in enumerate(pairs(errors)):
            before, after = plain.mean(region), both.mean(region)
            axes.plot([before, after], [row, row], color=WITHOUT, linewidth=1, zorder=1)
            axes.scatter([before], [row], color=WITHOUT, s=26, zorder=2, label="without" if row == 0 else None)
            axes.scatter([after], [row], color=WITH, s=26, zorder=3, label="with ConR" if row == 0 else None)
        names = [plain.method for plain, _ in pairs(errors)]
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel=f"{region}-shot MAE")
        axes.set_ylim(len(names) - 0.5, -0.5)
    axes.legend(loc="best", fontsize=8.5)


def _draw_features(folder: Path, figure: Figure) -> None:
    content = _dynamics(folder / DYNAMICS)
    shown = [method for method in MAPPED if method in content]
    for axes, method in zip(figure.subplots(1, len(shown)), shown, strict=True):
        run = next(one for one in content[method].values() if "map" in one)
        points = run["map"]
        axes.scatter(points["x"], points["y"], c=points["label"], cmap=label_colors(), s=3, linewidths=0)
        axes.set_title(f"{method}\nrank correlation {run['features']['rank_correlation']:.2f}", fontsize=9)
        axes.set(xticks=[], yticks=[])


def _draw_training(folder: Path, figure: Figure) -> None:
    content = _dynamics(folder / DYNAMICS)
    titles = {
        "anchors": "anchors per batch",
        "collapse_many": "collapse, many-shot",
        "collapse_few": "collapse, few-shot",
    }
    for axes, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        for method, color in (("vanilla", WITHOUT), ("conr", WITH)):
            series = np.array([one["logged"][name] for one in content[method].values()], dtype=float)
            mean = np.ma.masked_invalid(series).mean(0)
            axes.plot(np.arange(1, len(mean) + 1), mean, color=color, linewidth=1.6, label=method)
        axes.set(xlabel="epoch", title=title, ylim=(0, None))
    axes.legend(fontsize=8.5)


def _draw_windows(folder: Path, figure: Figure) -> None:
    errors = _errors(folder / f"ablations{SUFFIX}")
    axes = figure.subplots()
    for region in _SHOTS:
        means = [errors[f"conr,window={window:g}"].mean(region) for window in WINDOWS]
        axes.plot(WINDOWS, means, color=REGION_COLORS[region], marker="o", markersize=4, label=f"{region}-shot")
    axes.set(xlabel="window", ylabel="MAE", ylim=(0, None))
    axes.legend(fontsize=8.5)


def _draw_frontiers(folder: Path, figure: Figure) -> None:
    found = _frontiers(folder)
    subplots = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (title, curves) in zip(subplots, found.items(), strict=True):
        drawn = [("without ConR", WITHOUT, _without(curves))]
        drawn += [(f"ConR as chosen {name}", _CURVES[name], content["beside"]) for name, content in curves.items()]
        for label, color, points in drawn:
            draw_curve(axes, [Strength(**one) for one in points], color=color, label=label)
        axes.set(xlabel="many-shot MAE", ylabel="few-shot MAE", title=title)
        axes.legend(fontsize=8.5)


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _percent(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * fmean(known):.0f} %" if known else ""
