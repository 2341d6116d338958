"""Options of a run: Lightning's command line for them, and presets by name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jsonargparse import ArgumentParser, Namespace
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from conr._checks import check_number
from conr._options import option_errors
from conr.data import Protocol, RegressionData
from conr.methods.presets import preset_config
from conr.methods.retraining import RRT
from conr.runs.reading import read_yaml
from conr.tables.typed import quote_columns
from conr.training.module import RegressionModule
from conr.training.quiet import silence_known_noise

_COLUMNS = ("target", "ignore", "categorical", "split_column")
_CONFIG_FLAGS = ("--config", "-c")
_LOWEST = {
    "max_epochs": -1,
    "min_epochs": 0,
    "max_steps": -1,
    "min_steps": 0,
    "num_nodes": 1,
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "reload_dataloaders_every_n_epochs": 0,
    "log_every_n_steps": 0,
    "num_sanity_val_steps": -1,
    "gradient_clip_val": 0,
}
_BATCHES = (
    *(f"limit_{stage}_batches" for stage in ("train", "val", "test", "predict")),
    "overfit_batches",
    "val_check_interval",
)


@dataclass
class Output:
    """Folder of a run and its name in tables.

    Args:
        root: folder of all runs; a run goes to ROOT/DATASET/METHOD/seed-SEED, or the next free name.
        method: name of the method.
        monitor: the validation metric whose lowest value marks the best epoch.
    """

    root: str = "runs"
    method: str = "custom"
    monitor: str = "val/mae"


class RunTrainer(Trainer):
    """`lightning.Trainer`, where ``1`` batch is one batch and ``1.0`` is all of them.

    Lightning's type is ``Optional[Union[int, float]]``, of which the first that fits is taken. For it `typing` may hand
    out the equal ``Optional[Union[float, int]]`` if any module has asked for that before: then 1 would become 1.0.

    Raises:
        ValueError: as `check_trainer`; no validation although it ends training; other settings that Lightning refuses.
    """

    def __init__(
        self,
        *,
        max_epochs: int | None = None,
        accumulate_grad_batches: int = 1,
        check_val_every_n_epoch: int | None = 1,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        val_check_interval: int | float | None = None,
        **settings: Any,
    ) -> None:
        check_trainer({**locals(), **settings})
        try:
            super().__init__(
                max_epochs=max_epochs,
                accumulate_grad_batches=accumulate_grad_batches,
                check_val_every_n_epoch=check_val_every_n_epoch,
                limit_train_batches=limit_train_batches,
                limit_val_batches=limit_val_batches,
                limit_test_batches=limit_test_batches,
                limit_predict_batches=limit_predict_batches,
                val_check_interval=val_check_interval,
                **settings,
            )
        except MisconfigurationException as error:
            raise ValueError(f"trainer: {error}") from error
        if self.early_stopping_callbacks and limit_val_batches == 0:
            raise ValueError("trainer.limit_val_batches: expected a number above 0, as EarlyStopping is on")


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Require numbers of the trainer that mean something: Lightning takes many a negative one for none or for all.

    Raises:
        ValueError: a number below the lowest that it can be (-1, where it is without end), or a share above 1.
    """
    for name, low in _LOWEST.items():
        if settings.get(name) is not None:
            check_number(f"trainer.{name}", settings[name], low=low)
    for name in _BATCHES:
        value = settings.get(name)
        if value is None:
            continue
        check_number(f"trainer.{name}", value, low=0, open_low=name == "val_check_interval")
        if isinstance(value, float) and value > 1:
            raise ValueError(
                f"trainer.{name}: expected a whole number of batches or a share of at most 1.0, got {value}"
            )


class RunOptions(LightningCLI):
    """Lightning's command line on `RegressionModule` and any `RegressionData`: parses options, and builds nothing.

    Args:
        arguments: options, after the verb if there is one.
        verb: "fit", "validate", "test" or "predict"; None for options of ``fit`` that are not run.
    """

    def __init__(self, arguments: Sequence[str], verb: str | None = None) -> None:
        silence_known_noise()
        self._verb = verb
        super().__init__(
            RegressionModule,
            RegressionData,
            trainer_class=RunTrainer,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            save_config_callback=None,
            seed_everything_default=False if verb is None else 0,
            args=[*filter(None, [verb]), *arguments],
            run=verb is not None,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Only the verb of this run, as each parser takes a good part of a second to build (static in Lightning)."""
        return {} if self._verb is None else {self._verb: LightningCLI.subcommands()[self._verb]}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Make a parser that raises what it does not take, and takes options by their whole names."""
        return super().init_parser(**kwargs, exit_on_error=False, allow_abbrev=False)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Read the options; ValueError, in one line, for those that do not parse."""
        parsers = [parser, *getattr(self, "_subcommand_parsers", {}).values()]
        with option_errors([name for one in parsers for action in one._actions for name in action.option_strings]):
            super().parse_arguments(parser, args)

    def _parse_ckpt_path(self) -> None:
        """Take no settings from a checkpoint, as Lightning does: one of someone else could name classes to build."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--output``, ``--rrt``, ``--sampling_power`` and ``--protocol``, and ``--interval`` of ``predict``."""
        parser.add_class_arguments(Output, "output")
        parser.add_argument(
            "--rrt", type=RRT | None, default=None, help="train the head again on the frozen encoder (default: no)"
        )
        parser.add_argument(
            "--sampling_power",
            type=float,
            default=0.0,
            help="draw training samples by this power of their bin's inverse count: 0 leaves them as they are, 1 draws "
            "evenly over the bins; the second stage of --rrt always leaves them as they are",
        )
        parser.add_argument(
            "--protocol",
            type=Protocol | None,
            default=None,
            help="redraw the splits from all samples of the dataset: BlindSpot, Extrapolation, Interpolation, "
            "with their options as --protocol.OPTION (default: the dataset's own splits)",
        )
        if self._verb == "predict":
            parser.add_argument(
                "--interval",
                type=float | None,
                default=None,
                help="also write low and high: bounds that cover this share of labels, rare ones as well, from the "
                "errors on the validation split",
            )

    def instantiate_classes(self) -> None:
        """Build nothing."""


def planned_data(arguments: Sequence[str]) -> RegressionData:
    """The dataset of a run that is not started: a check of its options, as typed after ``conr fit``.

    Raises:
        ValueError, FileNotFoundError: as `conr.training.command.run_command`.
    """
    config = RunOptions(expand_presets(arguments)).config
    check_trainer(config.trainer.as_dict())
    parser = ArgumentParser()  # of the dataset alone: a network would take time and packages
    parser.add_subclass_arguments(RegressionData, "data")
    parser.add_argument("--protocol", type=Protocol | None, default=None)
    built = parser.instantiate_classes(Namespace(data=config.data, protocol=config.protocol))  # type: ignore[no-untyped-call]
    data = cast("RegressionData", built.data)
    data.protocol = built.protocol
    return data


def plain_config(parser: ArgumentParser, config: Namespace) -> dict[str, Any]:
    """A configuration as plain values, with columns as they were typed: for jsonargparse, 1e3 in a list is a number."""
    content: dict[str, Any] = json.loads(parser.dump(config, format="json"))
    arguments = content["data"].get("init_args", {})
    arguments |= {name: config.data.init_args[name] for name in _COLUMNS if name in arguments}
    return content


def take_option(options: list[str], flag: str) -> tuple[list[str], str | None]:
    """The options without ``flag VALUE`` or ``flag=VALUE``, and its value, None if it is not there."""
    for position, option in enumerate(options):
        if option.startswith(f"{flag}="):
            return options[:position] + options[position + 1 :], option.removeprefix(f"{flag}=")
        if option == flag:
            if position + 1 == len(options):
                raise ValueError(f"{flag}: expected the folder of a run, got nothing")
            return options[:position] + options[position + 2 :], options[position + 1]
    return options, None


def expand_presets(options: Sequence[str]) -> list[str]:
    """The options with the content of each preset that ``--config`` names.

    Raises:
        ValueError: an unknown preset, or a file that is no YAML.
        FileNotFoundError: no such file.
    """
    expanded = []
    previous = ""
    for option in quote_columns(options):
        prefix = "" if previous in _CONFIG_FLAGS else "--config="
        previous = option
        if not option.startswith(prefix):
            expanded.append(option)
            continue
        value = option.removeprefix(prefix)
        if Path(value).is_file():
            content = read_yaml(Path(value))  # one that is too large, or grows by its aliases, is refused
            if not isinstance(content, dict):
                raise ValueError(f"{value}: expected a configuration, names with values, got {type(content).__name__}")
            expanded.append(option)
        elif Path(value).suffix in (".yaml", ".yml", ".json"):
            raise FileNotFoundError(f"--config: expected a file or the name of a preset, found no file {value}")
        else:
            expanded.append(prefix + json.dumps(preset_config(value)))
    return expanded
