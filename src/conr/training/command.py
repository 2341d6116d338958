"""The verbs fit, validate, test and predict: Lightning's command line, with presets by name and run folders."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from jsonargparse import Namespace
from lightning import Callback, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, ProgressBar, RichProgressBar
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from rich.console import Console

from conr.data import RegressionData
from conr.methods.retraining import RRT
from conr.runs.atomic import free_path, write_text
from conr.runs.folder import (
    BEST_CHECKPOINT,
    CONFIG,
    FIRST_STAGE,
    best_checkpoint,
    end_first_stage,
    first_stage_epochs,
    is_main_process,
    new_run_folder,
    read_config,
    remove_run_folder,
    resume_checkpoint,
)
from conr.runs.yaml_text import yaml_text
from conr.training.callbacks import (
    EpochClock,
    EpochSeed,
    MapWriter,
    PredictionWriter,
    ResolvedNumbers,
    ResultWriter,
)
from conr.training.checkpoints import ReadError, first_line, is_from_restoring, keep_checkpoints_whole
from conr.training.image_size import put_image_size
from conr.training.metrics_table import metrics_table
from conr.training.options import Output, RunOptions, check_trainer, expand_presets, plain_config, take_option
from conr.training.quiet import errors_of_writers_once, interruptions_end_all
from conr.training.retraining import HeadRetraining, encoder_checkpoint

# What Lightning and torch raise for the content of another run's checkpoint, or of one that was tampered with.
_MISFITS = (RuntimeError, LookupError, TypeError, AttributeError, ValueError)


def run_command(
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    on_epoch: Callable[[int], None] | None = None,
    show: bool = True,
) -> Path:
    """Run ``fit``, ``validate``, ``test`` or ``predict`` as typed after ``conr``, and return the run's folder.

    Args:
        arguments: the verb and its options. ``--config`` takes a file or the name of a preset; ``--resume RUN`` (fit)
            and ``--run RUN`` (the others) name the folder of an earlier run and bring its configuration and checkpoint.
        folder: where a new run goes, instead of the next free folder below ``--output.root``.
        on_epoch: called with the number of each training epoch that has ended.
        show: whether the end prints where the run or its predictions are, and a table of metrics.

    Raises:
        ValueError, FileNotFoundError: options that do not parse, an unknown preset, or a folder that is no run's.
        KeyboardInterrupt: it was stopped by hand, with the run's folder if there is one.
    """
    verb = arguments[0]
    options, named = take_option(list(arguments[1:]), "--resume" if verb == "fit" else "--run")
    checkpoint = None
    if named is not None:
        folder = Path(named)
        read_config(folder)  # a damaged one is told by its name
        options = [f"--config={folder / CONFIG}", *options]
        checkpoint = resume_checkpoint(folder) if verb == "fit" else best_checkpoint(folder)
    if verb in ("validate", "test"):
        options = ["--verbose=false", *options]  # Lightning's own table has a line per metric and region
    options = expand_presets(options)
    given = [*options, *([] if checkpoint is None else [f"--ckpt_path={checkpoint}"])]
    try:
        command = RunCommand(given, verb, folder=folder, on_epoch=on_epoch)
        if command.is_first_stage:
            given, _ = take_option(options, "--ckpt_path")  # is for the first
            command = RunCommand(given, verb, folder=command.folder, on_epoch=on_epoch)
    except _MISFITS as error:
        if isinstance(error, ReadError) or not is_from_restoring(error):
            raise
        paths = [option.removeprefix("--ckpt_path=") for option in given if option.startswith("--ckpt_path=")]
        raise ValueError(
            f"{(paths or ['ckpt_path'])[-1]}: expected a checkpoint of this run, got one that does not fit it: "
            f"{first_line(error)}"
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


class RunCommand(RunOptions):
    """One training, validation, test or prediction, run as it is made; see `run_command`.

    With ``--rrt`` a run of ``fit`` has two stages, each a training of its own in the same folder: `RunCommand` runs the
    first one that has not ended, and ``is_first_stage`` says that it was the first.
    """

    folder: Path
    predictions: Path  # of ``predict``
    is_first_stage = False
    _is_new = False  # the folder, and this process has made it

    def __init__(
        self, arguments: Sequence[str], verb: str, *, folder: Path | None, on_epoch: Callable[[int], None] | None
    ) -> None:
        self._given_folder = folder
        self._on_epoch = on_epoch
        try:
            with errors_of_writers_once(), interruptions_end_all(), self._only_begun_runs_stay():
                super().__init__(arguments, verb)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(*filter(None, [getattr(self, "folder", None)])) from stop
        except MisconfigurationException as error:  # as of a metric to monitor that there is not
            raise ValueError(" ".join(str(error).split())) from error
        except OSError as error:
            folder = getattr(self, "folder", None)
            if error.filename is not None or error.errno is None or folder is None:
                raise
            # The write of a logger, for one, does not know its file.
            raise OSError(error.errno, error.strerror, str(folder)) from error

    @contextmanager
    def _only_begun_runs_stay(self) -> Iterator[None]:
        """Remove a new folder if an error comes before the first epoch: there is nothing to look at or to resume."""
        try:
            yield
        except Exception:
            trainer = getattr(self, "trainer", None)
            has_begun = trainer is not None and trainer.fit_loop.epoch_progress.current.ready > 0
            if self._is_new and not has_begun:
                remove_run_folder(self.folder, self._first_made)
            raise

    def before_instantiate_classes(self) -> None:
        """Check numbers of the trainer, and put the size of a dataset's images where the options leave it to them."""
        if self.subcommand is not None:
            config = self.config[self.subcommand]
            check_trainer(config.trainer.as_dict())
            put_image_size(config)

    def instantiate_classes(self) -> None:
        """Build what the options describe; a class that refuses one says so itself.

        Raises:
            ValueError: an option that its class refuses.
        """
        try:
            LightningCLI.instantiate_classes(self)
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
            self._first_made = _first_missing(Path(self.output.root) / data.title / self.output.method)
            self.folder = new_run_folder(Path(self.output.root), data.title, self.output.method, self._seed())
            self._is_new = is_main_process()
        configured = self._get(self.config_init, "trainer")
        callbacks = _as_list(configured.callbacks)
        loggers: list[Logger] = []
        if self.subcommand == "fit":
            if not (self.folder / CONFIG).exists():
                write_text(self.folder / CONFIG, yaml_text(plain_config(self._parser("fit"), self.config["fit"])))
            second = self._second_stage()
            if second is None:
                data.sampling_power = self._get(self.config_init, "sampling_power")
            else:  # weights balance it
                callbacks.append(second)
                kwargs |= {"max_epochs": second.first_epoch + second.rrt.epochs, "max_steps": -1}
            # A resumed run's CSV logger opens the next version_N; TensorBoard adds a file to the same folder.
            version = "" if second is None else "second-stage"  # its steps count from 0
            loggers = [
                CSVLogger(self.folder, name="csv"),
                TensorBoardLogger(self.folder, name="tensorboard", version=version),
            ]
        trainer: Trainer = super().instantiate_trainer(
            logger=loggers + [item for item in _as_list(configured.logger) if isinstance(item, Logger)],
            default_root_dir=self.folder,
            callbacks=callbacks + self._callbacks(configured),
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

    @property
    def output(self) -> Output:
        """Folder and name of the run, as the options say."""
        return cast("Output", self._get(self.config, "output"))

    def _second_stage(self) -> HeadRetraining | None:
        """The callback of a second stage; None in a first one, or if there is one stage only."""
        rrt: RRT | None = self._get(self.config_init, "rrt")
        if rrt is None:
            return None
        first_epoch = first_stage_epochs(self.folder) if rrt.checkpoint is None else 0
        if first_epoch is None:
            self.is_first_stage = True
            return None
        return HeadRetraining(rrt, checkpoint=encoder_checkpoint(rrt, self.folder), first_epoch=first_epoch)

    def _callbacks(self, trainer: Namespace) -> list[Callback]:
        callbacks: list[Callback] = []
        wants_bar = trainer.enable_progress_bar is not False
        if wants_bar and not any(isinstance(callback, ProgressBar) for callback in _as_list(trainer.callbacks)):
            callbacks.append(RichProgressBar())
        if self.subcommand == "fit":
            callbacks += [
                EpochSeed(self._seed()),
                EpochClock(self._on_epoch),
                LearningRateMonitor("epoch"),
                ResolvedNumbers(self.folder),
                self._checkpoint(trainer),
            ]
        elif self.subcommand == "test":
            checkpoint = self._get(self.config_init, "ckpt_path")
            callbacks.append(
                ResultWriter(
                    self.folder,
                    method=self.output.method,
                    seed=self._seed(),
                    checkpoint=None if checkpoint is None else Path(checkpoint),
                    monitor=self.output.monitor,
                )
            )
        elif self.subcommand == "predict":
            data = cast("RegressionData", self.datamodule)
            interval = self._get(self.config_init, "interval")
            if interval is not None:
                from conr.training.bounds import check_interval  # noqa: PLC0415  loads scikit-learn

                check_interval(interval, data)
            self.predictions = free_path(self.folder / ("predictions" if data.dense else "predictions.csv"))
            callbacks.append(
                MapWriter(self.predictions) if data.dense else PredictionWriter(self.predictions, interval)
            )
        return callbacks

    def _checkpoint(self, configured: Namespace) -> ModelCheckpoint:
        return ModelCheckpoint(
            dirpath=self.folder / (FIRST_STAGE if self.is_first_stage else BEST_CHECKPOINT.parent),
            filename=BEST_CHECKPOINT.stem,
            monitor=self.output.monitor,
            mode="min",
            save_last=True,
            save_on_train_epoch_end=True,
            every_n_epochs=configured.check_val_every_n_epoch or 1,  # an epoch without validation cannot be compared
            enable_version_counter=False,
        )

    def _seed(self) -> int | None:
        seed = self._get(self.config, "seed_everything")
        return seed if isinstance(seed, int) and not isinstance(seed, bool) else None


def _first_missing(folder: Path) -> Path:
    """The uppermost of a folder and those around it that is not there; the folder itself if all are."""
    return next((one for one in reversed([folder, *folder.parents]) if not one.exists()), folder)


def _as_list(value: Any) -> list[Any]:
    if value is None or isinstance(value, bool):
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
