"""Numbers that stand for "auto", in the configuration of a run and in its loggers."""

from pathlib import Path

import yaml
from lightning import Callback, LightningModule, Trainer

from conr.methods.automatic import put_numbers_in
from conr.runs.atomic import write_text
from conr.runs.folder import CONFIG, read_config
from conr.training.module import RegressionModule


class ResolvedNumbers(Callback):
    """Replace "auto" in the configuration of a run by the numbers that it trains with, and give them to its loggers.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the numbers, as the module knows them since its setup."""
        if not (isinstance(pl_module, RegressionModule) and pl_module.resolved and trainer.is_global_zero):
            return
        numbers = {name.rpartition(".")[2]: value for name, value in pl_module.resolved.items()}
        config = read_config(self.folder)
        text = yaml.safe_dump(config | {"model": put_numbers_in(config["model"], numbers)}, sort_keys=False)
        write_text(self.folder / CONFIG, text)
        for logger in trainer.loggers:
            logger.log_hyperparams(pl_module.resolved)
