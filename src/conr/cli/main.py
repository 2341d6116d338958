"""Entry point of the command ``conr``: finds the verb and hands over the rest of the line."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from conr import __version__
from conr._checks import check_choice
from conr._extras import require
from conr._hints import typed_after
from conr._notes import show_warnings_as_notes
from conr._options import OptionError
from conr.cli.own_classes import find_own_classes

VERBS = {
    "demo": "train with and without ConR on real digits and write a report",
    "fit": "train a model: --config PRESET or FILE; --resume RUN continues a killed run",
    "validate": "print the metrics on the validation split: --run RUN uses its best checkpoint",
    "test": "write the metrics on the test split to result.json: --run RUN uses its best checkpoint",
    "predict": "write predictions.csv: --run RUN uses its best checkpoint",
    "data": "list, describe, check and prepare datasets",
    "inspect": "show the labels of a table and suggest settings: FILE --target COLUMN",
    "bench": "compare methods on datasets with several seeds: --datasets ... --methods ...",
    "ablate": "vary ConR's settings one at a time: --dataset ... --grid window=0.5,1,2",
    "tune": "search for ConR's settings on the validation split, within a budget: --dataset ... --trials 30",
    "explain": "show what a run does with rare labels, as one HTML file: RUN",
    "table": "train on a CSV file, predict and evaluate other files: fit, predict, evaluate",
    "report": "write one HTML file about tested runs",
    "presets": "list the presets for --config",
}

_OF_LIGHTNING = ("fit", "validate", "test", "predict")
_RUNS = {  # a verb is loaded when it runs, so that help answers at once
    "ablate": "conr.cli.bench.ablate",
    "tune": "conr.cli.tune.search",
    **dict.fromkeys(_OF_LIGHTNING, "conr.training.command.run_command"),
}
_TAKE_CLASSES = (*_OF_LIGHTNING, "data", "bench", "ablate", "tune", "explain", "table")

_BEFORE_OPTIONS = {  # of the data, for hints
    **dict.fromkeys(("table", "inspect", "data"), "--"),
    **dict.fromkeys((*_OF_LIGHTNING, "bench", "ablate", "tune"), "--data."),
}

TRACEBACK_VARIABLE = "CONR_TRACEBACK"
STOPPED = 130  # the exit status of what Ctrl-C has stopped, by the shells' convention

_GO_ON = ("demo", "bench", "ablate", "tune")  # what is finished is kept, and what was begun goes on


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    It is 0, 1 if a check found something, 2 for unusable input, 130 if it was stopped by hand.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        show_warnings_as_notes()
        os.environ.setdefault("PYTHONSAFEPATH", "1")  # processes of a grid look for no module in the current folder
        if words and words[0] in _TAKE_CLASSES:
            find_own_classes(words)
    try:
        with typed_after(_BEFORE_OPTIONS.get(words[0] if words else "")):
            return _run(words)
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stop:
        go_on = "; repeat the command to continue" if words[0] in _GO_ON else ""
        if words[0] == "fit" and stop.args:
            go_on = f"; to continue: conr fit --resume {stop}"
        print(f"\nconr {words[0]}: stopped{go_on}", file=sys.stderr)
        return STOPPED
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError, MemoryError) as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        text = str(error) or type(error).__name__
        where = "" if isinstance(error, OptionError) else f"\n({TRACEBACK_VARIABLE}=1 shows where)"
        print(f"conr {words[0]}: {text}{where}", file=sys.stderr)
        return 2


def _run(words: list[str]) -> int:
    status = _run_verb(words)
    sys.stdout.flush()  # a pipe without a reader tells now, not when the interpreter ends
    return status


def _run_verb(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print("usage: conr VERB [options]      conr VERB --help explains the options\n")
        print("\n".join(f"  {verb:<10}{summary}" for verb, summary in VERBS.items()))
        return 0
    if words[0] == "--version":
        print(f"conr {__version__}")
        return 0
    verb, *options = words
    check_choice("verb", verb, VERBS)
    if verb == "presets":
        require("conr presets", "yaml")
        from conr.methods.presets import preset_names

        print("\n".join(preset_names()))
        return 0
    require(f"conr {verb}", "lightning", "torchmetrics", "jsonargparse", "rich", "matplotlib", "jinja2", "sklearn")
    module, _, function = _RUNS.get(verb, f"conr.cli.{verb}.{verb}").rpartition(".")
    run = getattr(import_module(module), function)
    if verb in _OF_LIGHTNING:
        run(words)
        return 0
    return run(options) or 0


if __name__ == "__main__":
    sys.exit(main())
