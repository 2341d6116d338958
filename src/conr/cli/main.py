"""Entry point of the command ``conr``: finds the verb and hands over the rest of the line."""

import os
import sys
from collections.abc import Sequence

from conr import __version__
from conr._checks import check_choice
from conr._extras import require

VERBS = {
    "demo": "train with and without ConR on real digits and write a report",
    "fit": "train a model: --config PRESET or FILE; --resume RUN goes on with a killed run",
    "validate": "print the metrics on the validation split: --run RUN takes its best checkpoint",
    "test": "write the metrics on the test split to result.json: --run RUN takes its best checkpoint",
    "predict": "write predictions.csv: --run RUN takes its best checkpoint",
    "data": "list, describe, check and prepare datasets",
    "bench": "compare methods on datasets with several seeds: --datasets ... --methods ...",
    "ablate": "vary ConR's settings one at a time: --dataset ... --grid window=0.5,1,2",
    "table": "train on a CSV file, predict and evaluate others: fit, predict, evaluate",
    "report": "write one HTML file about tested runs",
    "presets": "list the presets that --config knows",
}

TRACEBACK_VARIABLE = "CONR_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, 1 if a check found something, 2 for unusable input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print("usage: conr VERB [options]      conr VERB --help explains the options\n")
        print("\n".join(f"  {verb:<10}{summary}" for verb, summary in VERBS.items()))
        return 0
    if words[0] == "--version":
        print(f"conr {__version__}")
        return 0
    try:
        return _run(words[0], words[1:])
    except (ValueError, TypeError, OSError, ImportError) as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        print(f"conr {words[0]}: {error}\n({TRACEBACK_VARIABLE}=1 shows where)", file=sys.stderr)
        return 2


def _run(verb: str, options: list[str]) -> int:
    check_choice("verb", verb, VERBS)
    require(f"conr {verb}", "lightning", "torchmetrics", "jsonargparse", "rich", "matplotlib", "jinja2", "sklearn")
    if verb == "demo":
        from conr.cli.demo import demo

        return demo(options)
    if verb == "bench":
        from conr.cli.bench import bench

        return bench(options)
    if verb == "ablate":
        from conr.cli.ablate import ablate

        return ablate(options)
    if verb == "data":
        from conr.cli.data import data

        return data(options)
    if verb == "table":
        from conr.cli.table import table

        table(options)
    elif verb == "report":
        from conr.cli.report import report

        report(options)
    elif verb == "presets":
        from conr.configs import preset_names

        print("\n".join(preset_names()))
    else:
        from conr.training.command import run_command

        run_command([verb, *options])
    return 0


if __name__ == "__main__":
    sys.exit(main())
