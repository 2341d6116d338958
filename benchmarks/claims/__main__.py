"""The claims of the paper on real faces and on rotated digits: settings by validation, then methods, bound, frontiers.

1. Search: the learning rate without any method holds for all. Then every method gets eight trials of its own one or
   two numbers, one number after the other at the best of the others: ConR's coefficient over three decades, then its
   window of 1, 3 or 5, its temperature of 0.3 or 0.1, and a finer step of the coefficient. ConR is searched alone and
   beside the chosen weights N^-p; ``sqinv`` below stands for these weights. A mix takes what its parts chose; the best
   of eight mixes is compared too. What counts is the lowest validation MAE of an epoch, of a seed that is none of the
   comparison's; no test split is seen. A trial on faces has half the epochs of a run.
2. Comparison: three seeds of each method, five of the main ones, the best mix and the bound: no method, but as many
   training labels spread as evenly as possible.
3. Frontiers: weights N^-p and balanced sampling at strengths from 0 to 1, without ConR, with ConR as chosen beside
   weights and, as ``frontiers-alone``, as chosen alone, two seeds.
4. Ablations of ConR: windows, and every push and anchor weight 1, two seeds.

``python -m benchmarks.claims faces --data DIR``, where DIR is the folder or the zip archive of UTKFace, and
``python -m benchmarks.claims digits`` go on where they were stopped, also on another machine: trials and choice are in
``results/claims/DATASET/tuning.json`` and ``settings.yaml``, the runs in ``*.runs.jsonl`` there, what they are and
found; Ctrl-C keeps what is finished. ``--only search``, ``runs``, ``frontiers``, ``frontiers-alone`` or ``ablations``
runs one part. No picture is written.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from rich.console import Console

from benchmarks.claims.records import DYNAMICS, collect, collect_dynamics, restore
from benchmarks.claims.search import SETTINGS, best_mix, recorded_trials, search
from benchmarks.claims.study import (
    ABLATION_SEEDS,
    BOUND,
    FRONTIER_SEEDS,
    MAIN,
    MAIN_SEEDS,
    METHODS,
    POWERS,
    SEARCH,
    SEEDS,
    UNWEIGHTED,
    WINDOW,
    WINDOWS,
    Options,
    Study,
    digits,
    faces,
)
from conr.bench import EVERY, Task, frontiers, grid_tasks, measure, with_grid, with_method_settings
from conr.bench.frontier import write_frontier
from conr.cli.grid import run_with_bars, show_failures
from conr.data import UTKFace
from conr.report import load_runs, terminal_table
from conr.runs.runs import SUFFIX

RESULTS = Path(__file__).parents[2] / "results" / "claims"
FRONTIERS, ALONE = "frontiers", "frontiers-alone"
PARTS = ("search", "runs", FRONTIERS, ALONE, "ablations")

Settings = Mapping[str, Options]


def comparison(study: Study, settings: Settings, mix: Sequence[str], methods: Sequence[str] = METHODS) -> list[Task]:
    """The runs of methods, of the best mix if it is known, and of the bound, seed by seed."""
    tasks = grid_tasks([study.dataset], dict.fromkeys([*methods, *mix]), MAIN_SEEDS)
    kept = [task for task in tasks if task.seed < SEEDS or task.method in (*MAIN, *mix)]
    bound = [
        replace(task, options=(*task.options, *study.even.items()), variant=BOUND)
        for task in grid_tasks([study.dataset], ["vanilla"], MAIN_SEEDS)
    ]
    return sorted(_with(study, settings, [*kept, *bound]), key=lambda task: task.seed)


def frontier_tasks(study: Study, settings: Settings, conr: Options) -> list[Task]:
    """Weights by counts and balanced sampling at several strengths, with and without ConR of these settings."""
    without_strength = {EVERY: settings[EVERY], "sqinv+conr": conr, "balanced-sampling+conr": conr}
    tasks = []
    for axis, method in (("power", "sqinv"), ("sampling", "balanced-sampling")):
        made = grid_tasks([study.dataset], [method, f"{method}+conr"], FRONTIER_SEEDS)
        tasks += with_grid(_with(study, without_strength, made), {axis: POWERS})
    return tasks


def ablation_tasks(study: Study, settings: Settings) -> list[Task]:
    """ConR with other windows, and with weights of 1; the other settings as chosen."""
    tasks = _with(study, settings, grid_tasks([study.dataset], ["conr"], ABLATION_SEEDS))
    changes: list[tuple[str, Options]] = [(f"window={window:g}", {WINDOW: window}) for window in WINDOWS]
    return [
        replace(task, options=tuple((dict(task.options) | options).items()), variant=variant)
        for task in tasks
        for variant, options in (*changes, UNWEIGHTED)
    ]


def _with(study: Study, settings: Settings, tasks: Sequence[Task]) -> list[Task]:
    return with_method_settings(tasks, {study.dataset.name: dict(settings)})


def keep(part: str, folders: Sequence[Path], results: Path) -> list[Path]:
    """Write what is committed of finished runs, and return their folders."""
    done = collect(folders, results / f"{part}{SUFFIX}")
    if part not in {FRONTIERS, ALONE}:
        collect_dynamics(done, results / (DYNAMICS if part == "runs" else f"{part}-{DYNAMICS}"))
    return done


def write_curves(part: str, tasks: Sequence[Task], folders: Sequence[Path], results: Path) -> None:
    """Write the frontiers of finished tasks, each to a folder of its own."""
    for frontier in frontiers(measure(tasks, folders)):
        print(f"{frontier.method}: ConR saves {frontier.gain:.2f} {frontier.unit} at equal many-shot error")
        write_frontier(frontier, results / f"{'alone-' if part == ALONE else ''}{frontier.axis}")


def folders_of(tasks: Sequence[Task], root: Path) -> list[Path]:
    """Where a grid keeps these runs."""
    return [root / task.title / task.name / f"seed-{task.seed}" for task in tasks]


def main() -> int:
    """Search, compare, draw the frontiers, ablate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=("faces", "digits"))
    parser.add_argument("--data", help="of faces: folder or zip archive of UTKFace")
    parser.add_argument("--out", type=Path, default=Path("runs/claims"), help="folder of the runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of what is committed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--main", action="store_true", help="search and compare the main methods alone")
    parser.add_argument("--seeds", type=int, default=MAIN_SEEDS, help="stop the comparison after these seeds")
    given = parser.parse_args()
    if (given.study == "faces") != (given.data is not None):
        parser.error("--data: expected the folder or archive of UTKFace with faces, and only there")
    study = faces(given.data) if given.data else digits()
    results = given.results / given.study
    results.mkdir(parents=True, exist_ok=True)
    console = Console()
    if given.data:
        UTKFace(root=given.data, size=32, skip_bad=True).prepare_files()  # every run reads this file
    methods = MAIN if given.main else METHODS
    if "search" in given.only:
        search(study, results, given.out, jobs=given.jobs, console=console, methods=MAIN if given.main else SEARCH)
    if not (results / SETTINGS).is_file():
        parser.error(f"--only: expected a search before the other parts, found no {results / SETTINGS}")
    settings = yaml.safe_load((results / SETTINGS).read_text())[study.dataset.name]
    mix = best_mix(recorded_trials(results))
    parts = {
        "runs": [task for task in comparison(study, settings, mix, methods) if task.seed < given.seeds],
        FRONTIERS: frontier_tasks(study, settings, settings["sqinv+conr"]),
        ALONE: [task for task in frontier_tasks(study, settings, settings["conr"]) if "conr" in task.method],
        "ablations": ablation_tasks(study, settings),
    }
    some_failed = 0
    for part, tasks in parts.items():
        if part not in given.only:
            continue
        root, path = given.out / part, results / f"{part}{SUFFIX}"
        restore(path, root, given.data)
        try:
            folders = run_with_bars(console, tasks, root, settings={}, jobs=given.jobs)
        except KeyboardInterrupt:
            keep(part, folders_of(tasks, root), results)
            raise
        done = keep(part, folders, results)
        some_failed |= show_failures(console, folders)
        for group in load_runs(done):
            console.print(terminal_table(group))
        if part in {FRONTIERS, ALONE}:
            restore(results / f"{FRONTIERS}{SUFFIX}", given.out / FRONTIERS, given.data)
            without = [task for task in parts[FRONTIERS] if "conr" not in task.method]
            beside = [task for task in tasks if "conr" in task.method]
            curves = [*folders_of(without, given.out / FRONTIERS), *folders_of(beside, root)]
            write_curves(part, [*without, *beside], curves, results)
    return some_failed


if __name__ == "__main__":
    raise SystemExit(main())
