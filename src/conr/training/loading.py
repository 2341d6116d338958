"""A finished run as objects: its dataset and its network, untrained and trained."""

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

from lightning import Trainer
from lightning.pytorch.cli import LightningCLI

from conr.data import RegressionData
from conr.runs.folder import best_checkpoint, read_config
from conr.training.checkpoints import first_line, read_checkpoint
from conr.training.command import OWN_WAYS, RunCommand
from conr.training.module import RegressionModule
from conr.training.quiet import silence_known_noise

_OF_FIT = ("ckpt_path", "weights_only")  # arguments of the verb, which a run without one does not have


class LoadedRun(NamedTuple):
    """Dataset and network of a run, as `load_run` gives them.

    Attributes:
        data: the dataset.
        module: the network, in evaluation mode.
        method: as the run is called.
        monitor: the validation metric that chose the best epoch.
    """

    data: RegressionData
    module: RegressionModule
    method: str
    monitor: str


def load_run(folder: Path, *, trained: bool = True) -> LoadedRun:
    """Build a run's dataset and network from its folder.

    Args:
        folder: of the run.
        trained: with the weights of the best epoch; else as the run's seed initialises them.

    Raises:
        FileNotFoundError: no run's folder, or one without a best checkpoint.
        ValueError: a checkpoint that breaks, or does not fit the network.
        SystemExit: a configuration that does not parse; the message is printed.

    Notes:
        The checkpoint is read without executing code from it. The configuration names classes, which are imported: do
        not load the run of someone you do not trust.
    """
    checkpoint = best_checkpoint(folder)
    silence_known_noise()
    config = read_config(folder)
    kept = {name: value for name, value in config.items() if name not in _OF_FIT}
    command = _LoadedCommand([f"--config={json.dumps(kept)}"])
    data, module = command.datamodule, command.model
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    cast("Any", trainer).datamodule = data
    module.trainer = trainer
    module.setup("test")
    if trained:
        content = read_checkpoint(checkpoint)
        try:
            module.load_state_dict(content["state_dict"])
        except RuntimeError as error:
            raise ValueError(
                f"{checkpoint}: expected a checkpoint of this run, got one that does not fit it: {first_line(error)}"
            ) from error
    output: Any = command.config.output
    return LoadedRun(data, module.eval(), output.method, output.monitor)


class _LoadedCommand(RunCommand):
    """The options of ``fit`` without the verb, and the dataset and network that they describe."""

    datamodule: RegressionData
    model: RegressionModule

    def __init__(self, arguments: list[str]) -> None:
        self._verb = "fit"
        LightningCLI.__init__(
            self,
            RegressionModule,
            RegressionData,
            **OWN_WAYS,
            seed_everything_default=0,
            args=arguments,
            run=False,
        )

    def instantiate_classes(self) -> None:
        """Build dataset and network, without a trainer."""
        self.config_init = self.parser.instantiate_classes(self.config)
        self.datamodule = self._get(self.config_init, "data")
        self.datamodule.protocol = self._get(self.config_init, "protocol")
        self.model = self._get(self.config_init, "model")
