"""The verbs fit, validate, test and predict: Lightning's command line, with presets by name and run folders."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jsonargparse import ArgumentParser, Namespace
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, ProgressBar, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from rich.console import Console

from conr.data import Protocol, RegressionData
from conr.methods.presets import preset_config
from conr.methods.retraining import RRT
from conr.runs.atomic import free_path, write_text
from conr.runs.folder import (
    BEST_CHECKPOINT,
    CONFIG,
    FIRST_STAGE,
    best_checkpoint,
    end_first_stage,
    first_stage_epochs,
    new_run_folder,
    read_config,
    resume_checkpoint,
)
from conr.runs.reading import read_yaml
from conr.tables.typed import quote_columns
from conr.training.callbacks import EpochClock, EpochSeed, MapWriter, MemoryClock, PredictionWriter, ResultWriter
from conr.training.checkpoints import ReadError, first_line, is_from_restoring, keep_checkpoints_whole
from conr.training.metrics_table import metrics_table
from conr.training.module import RegressionModule
from conr.training.quiet import errors_of_writers_once, interruptions_end_all, silence_known_noise
from conr.training.resolved import ResolvedNumbers
from conr.training.retraining import HeadRetraining, encoder_checkpoint
from conr.training.trainer import RunTrainer

# What Lightning and torch raise for the content of another run's checkpoint, or of one that was tampered with.
_MISFITS = (RuntimeError, LookupError, TypeError, AttributeError, ValueError)

OWN_WAYS: dict[str, Any] = {  # of this command line, where Lightning's differ
    "trainer_class": RunTrainer,
    "subclass_mode_data": True,
    "auto_configure_optimizers": False,
    "load_from_checkpoint_support": False,
    "save_config_callback": None,
}


@dataclass
class Output:
    """Folder of a run, and its name in tables.

    Args:
        root: folder of all runs; a run goes to ROOT/DATASET/METHOD/seed-SEED, or the next free name.
        method: name of the method.
        monitor: the validation metric whose lowest value marks the best epoch.
    """

    root: str = "runs"
    method: str = "custom"
    monitor: str = "val/mae"


def run_command(
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    on_epoch: Callable[[int], None] | None = None,
    show: bool = True,
) -> Path:
    """Run ``fit``, ``validate``, ``test`` or ``predict`` with its options, as typed after ``conr``.

    Args:
        arguments: the verb and its options. ``--config`` takes a file or the name of a preset; ``--resume RUN`` (fit)
            and ``--run RUN`` (the others) name the folder of an earlier run and bring its configuration and checkpoint.
        folder: where a new run goes, instead of the next free folder below ``--output.root``.
        on_epoch: called with the number of each training epoch that has ended.
        show: whether the end prints where the run or its predictions are, and a table of metrics.

    Returns:
        The run's folder.

    Raises:
        ValueError, FileNotFoundError: an unknown preset, or a folder that is no run's.
        SystemExit: options that do not parse; the message is printed.
        KeyboardInterrupt: it was stopped by hand, with the run's folder if there is one.
    """
    silence_known_noise()
    verb, options = arguments[0], list(arguments[1:])
    resume: list[str] = []
    flag = "--resume" if verb == "fit" else "--run"
    options, named = _take_option(options, flag)
    if named is not None:
        folder = Path(named)
        read_config(folder)  # a damaged one is told by its name
        options = [f"--config={folder / CONFIG}", *options]
        if verb != "fit":
            options.append(f"--ckpt_path={best_checkpoint(folder)}")
        elif (checkpoint := resume_checkpoint(folder)) is not None:
            resume = [f"--ckpt_path={checkpoint}"]
    if verb in ("validate", "test"):
        options = ["--verbose=false", *options]  # Lightning's own table has a line per metric and region
    options = _expand_presets(options)
    try:
        command = RunCommand([verb, *options, *resume], folder=folder, on_epoch=on_epoch)
        if command.is_first_stage:
            options, _ = _take_option(options, "--ckpt_path")  # is for the first
            command = RunCommand([verb, *options], folder=command.folder, on_epoch=on_epoch)
    except _MISFITS as error:
        if isinstance(error, ReadError) or not is_from_restoring(error):
            raise
        given = [option for option in (*options, *resume) if option.startswith("--ckpt_path=")]
        path = given[-1].removeprefix("--ckpt_path=") if given else "ckpt_path"
        raise ValueError(
            f"{path}: expected a checkpoint of this run, got one that does not fit it: {first_line(error)}"
        ) from error
    if show and command.trainer.is_global_zero:
        _show_end(verb, command)
    return command.folder


def _show_end(verb: str, command: "RunCommand") -> None:
    console = Console()
    if verb in ("validate", "test"):
        prefix = {"validate": "val/", "test": "test/"}[verb]
        console.print(metrics_table(command.trainer.callback_metrics, prefix, title=f"{verb}: {command.folder}"))
    elif verb == "fit":
        for name, value in command.model.resolved.items():
            console.print(f"auto: {name} is {value:.6g}", markup=False)
        console.print(f"run: {command.folder}", markup=False, soft_wrap=True)
    elif verb == "predict":
        console.print(f"predictions: {command.predictions}", markup=False, soft_wrap=True)


def planned_data(arguments: Sequence[str]) -> RegressionData:
    """The dataset of a run that is not started: a check of its options, and of what the dataset is called.

    Args:
        arguments: options as typed after ``conr fit``.

    Raises:
        ValueError, FileNotFoundError: as `run_command`.
        SystemExit: options that do not parse; the message is printed.
    """
    silence_known_noise()
    return cast("RegressionData", _PlannedCommand(_expand_presets(list(arguments))).datamodule)


class RunCommand(LightningCLI):
    """Lightning's command line on `RegressionModule` and any `RegressionData`; see `run_command`.

    With ``--rrt`` a run of ``fit`` has two stages, each a training of its own in the same folder: `RunCommand` runs the
    first one that has not ended, and ``is_first_stage`` says that it was the first.
    """

    folder: Path
    predictions: Path  # of ``predict``
    is_first_stage = False
    is_second_stage = False

    def __init__(
        self, arguments: Sequence[str], *, folder: Path | None, on_epoch: Callable[[int], None] | None
    ) -> None:
        self._verb = arguments[0]
        self._given_folder = folder
        self._on_epoch = on_epoch
        try:
            with errors_of_writers_once(), interruptions_end_all():
                super().__init__(
                    RegressionModule,
                    RegressionData,
                    **OWN_WAYS,
                    seed_everything_default=0,
                    args=list(arguments),
                )
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(*filter(None, [getattr(self, "folder", None)])) from stop
        except OSError as error:
            folder = getattr(self, "folder", None)
            if error.filename is not None or error.errno is None or folder is None:
                raise
            # The write of a logger, for one, does not know its file.
            raise OSError(error.errno, error.strerror, str(folder)) from error

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Only the verb of this run, as each parser takes a good part of a second to build (static in Lightning)."""
        return {self._verb: LightningCLI.subcommands()[self._verb]}

    def _parse_ckpt_path(self) -> None:
        """Take no settings from a checkpoint, as Lightning does: one of someone else could name classes to build."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--output``, ``--rrt``, ``--sampling_power`` and ``--protocol``."""
        parser.add_class_arguments(Output, "output")
        parser.add_argument(
            "--rrt", type=RRT | None, default=None, help="trains the head again, on the frozen encoder (default: not)"
        )
        parser.add_argument(
            "--sampling_power",
            type=float,
            default=0.0,
            help="training samples are drawn by the power of their bin's inverse count: 0 as they are, 1 evenly over "
            "the bins; as they are in the second stage of --rrt",
        )
        parser.add_argument(
            "--protocol",
            type=Protocol | None,
            default=None,
            help="draws the splits anew from all samples of the dataset: BlindSpot, Extrapolation, Interpolation, "
            "with their options as --protocol.OPTION (default: the dataset's own splits)",
        )

    def instantiate_classes(self) -> None:
        """Build what the options describe; a class that refuses one says so itself.

        Raises:
            ValueError: an option that its class refuses.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            # For a union of types jsonargparse lists what each of them says, and all that it was given.
            cause: BaseException = error
            while str(cause).startswith("Does not validate against any") and cause.__cause__ is not None:
                cause = cause.__cause__
            raise ValueError(str(cause)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Choose the run's folder, as all options are known to be right now, and build the trainer.

        A new run's configuration is written at once, so that a run that fails leaves it. The run's loggers and
        callbacks come beside the configured ones.
        """
        data = cast("RegressionData", self.datamodule)
        data.protocol = self._get(self.config_init, "protocol")
        if self._given_folder is not None:
            self.folder = self._given_folder
            self.folder.mkdir(parents=True, exist_ok=True)
        else:
            output = self._get(self.config, "output")
            self.folder = new_run_folder(Path(output.root), data.title, output.method, self._seed())
        if self.subcommand == "fit":
            self._save_config()
        configured = self._get(self.config_init, "trainer")
        callbacks = _as_list(configured.callbacks)
        if self.subcommand == "fit":
            second = self._second_stage()
            if second is None:
                data.sampling_power = self._get(self.config_init, "sampling_power")
            else:  # weights balance it
                self.is_second_stage = True
                callbacks.append(second)
                kwargs |= {"max_epochs": second.first_epoch + second.rrt.epochs, "max_steps": -1}
        callbacks += self._callbacks(configured)
        trainer: Trainer = super().instantiate_trainer(
            logger=self._loggers() + [item for item in _as_list(configured.logger) if isinstance(item, Logger)],
            default_root_dir=self.folder,
            callbacks=callbacks,
            **kwargs,
        )
        keep_checkpoints_whole(trainer)
        return trainer

    def after_fit(self) -> None:
        """Note that the first of two stages has ended."""
        if self.is_first_stage:
            if self.trainer.is_global_zero:
                end_first_stage(self.folder, self.trainer.current_epoch)
            self.trainer.strategy.barrier()

    def _second_stage(self) -> HeadRetraining | None:
        """The callback of a second stage; None in a first one, or if there is one stage only."""
        rrt: RRT | None = self._get(self.config_init, "rrt")
        if rrt is None:
            return None
        if rrt.checkpoint is not None:
            return HeadRetraining(rrt, checkpoint=encoder_checkpoint(rrt, self.folder))
        epochs = first_stage_epochs(self.folder)
        if epochs is None:
            self.is_first_stage = True
            return None
        return HeadRetraining(rrt, checkpoint=encoder_checkpoint(rrt, self.folder), first_epoch=epochs)

    def _save_config(self) -> None:
        path = self.folder / CONFIG
        if not path.exists():
            text = self._parser(self.subcommand).dump(self.config[self.subcommand])
            write_text(path, text)

    def _loggers(self) -> list[Logger]:
        if self.subcommand != "fit":
            return []
        # A resumed run's CSV logger opens the next version_N; TensorBoard adds a file to the same folder.
        version = "second-stage" if self.is_second_stage else ""  # its steps count from 0
        return [CSVLogger(self.folder, name="csv"), TensorBoardLogger(self.folder, name="tensorboard", version=version)]

    def _callbacks(self, trainer: Namespace) -> list[Callback]:
        callbacks: list[Callback] = []
        wants_bar = trainer.enable_progress_bar is not False
        if wants_bar and not any(isinstance(callback, ProgressBar) for callback in _as_list(trainer.callbacks)):
            callbacks.append(RichProgressBar())
        if self.subcommand == "fit":
            callbacks += [
                EpochSeed(self._seed()),
                EpochClock(self._on_epoch),
                MemoryClock(),
                LearningRateMonitor("epoch"),
                ResolvedNumbers(self.folder),
                self._checkpoint(trainer),
            ]
        elif self.subcommand == "test":
            checkpoint = self._get(self.config_init, "ckpt_path")
            callbacks.append(
                ResultWriter(
                    self.folder,
                    method=self._get(self.config, "output").method,
                    seed=self._seed(),
                    checkpoint=None if checkpoint is None else Path(checkpoint),
                    monitor=self._get(self.config, "output").monitor,
                )
            )
        elif self.subcommand == "predict":
            dense = cast("RegressionData", self.datamodule).dense
            self.predictions = free_path(self.folder / ("predictions" if dense else "predictions.csv"))
            callbacks.append(MapWriter(self.predictions) if dense else PredictionWriter(self.predictions))
        return callbacks

    def _checkpoint(self, configured: Namespace) -> ModelCheckpoint:
        return ModelCheckpoint(
            dirpath=self.folder / (FIRST_STAGE if self.is_first_stage else BEST_CHECKPOINT.parent),
            filename=BEST_CHECKPOINT.stem,
            monitor=self._get(self.config, "output").monitor,
            mode="min",
            save_last=True,
            save_on_train_epoch_end=True,
            every_n_epochs=configured.check_val_every_n_epoch or 1,  # an epoch without validation cannot be compared
            enable_version_counter=False,
        )

    def _seed(self) -> int | None:
        seed = self._get(self.config, "seed_everything")
        return seed if isinstance(seed, int) and not isinstance(seed, bool) else None


class _PlannedCommand(RunCommand):
    """The options of ``fit`` without the verb, and the dataset that they describe."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._verb = "fit"
        LightningCLI.__init__(
            self,
            RegressionModule,
            RegressionData,
            **OWN_WAYS,
            seed_everything_default=False,
            parser_kwargs={"allow_abbrev": False},  # a grid compares settings by their whole names
            args=list(arguments),
            run=False,
        )

    def instantiate_classes(self) -> None:
        """Build the dataset alone."""
        parser = ArgumentParser()
        parser.add_subclass_arguments(RegressionData, "data")
        parser.add_argument("--protocol", type=Protocol | None, default=None)
        chosen = Namespace(data=self.config.data, protocol=self.config.protocol)  # type: ignore[no-untyped-call]
        built = parser.instantiate_classes(chosen)
        self.datamodule = built.data
        self.datamodule.protocol = built.protocol


def _take_option(options: list[str], flag: str) -> tuple[list[str], str | None]:
    for position, option in enumerate(options):
        if option.startswith(f"{flag}="):
            return options[:position] + options[position + 1 :], option.removeprefix(f"{flag}=")
        if option == flag:
            if position + 1 == len(options):
                raise ValueError(f"{flag}: expected the folder of a run, got nothing")
            return options[:position] + options[position + 2 :], options[position + 1]
    return options, None


def _expand_presets(options: list[str]) -> list[str]:
    expanded = []
    expects_config = False
    for option in quote_columns(options):
        prefix, value = ("", option) if expects_config else _split_config(option)
        expects_config = option in ("--config", "-c")
        if value is None or Path(value).is_file():
            if value is not None:
                read_yaml(Path(value))  # one that is too large, or grows by its aliases, is refused
            expanded.append(option)
        elif Path(value).suffix in (".yaml", ".yml", ".json"):
            raise FileNotFoundError(f"--config: expected a file or the name of a preset, found no file {value}")
        else:
            expanded.append(prefix + json.dumps(preset_config(value)))
    return expanded


def _split_config(option: str) -> tuple[str, str | None]:
    return ("--config=", option.removeprefix("--config=")) if option.startswith("--config=") else ("", None)


def _as_list(value: Any) -> list[Any]:
    if value is None or isinstance(value, bool):
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
