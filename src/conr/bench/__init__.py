"""Grids of runs, datasets x methods x seeds, and their result files."""

from conr._extras import require

require(
    "conr.bench", "lightning", "torchmetrics", "jsonargparse", "rich", "tensorboard", "joblib", "matplotlib", "jinja2"
)

from conr.bench.ablation import FACTORS, Ablation, ablation_tasks, measure  # noqa: E402  the check comes first
from conr.bench.ablation_page import write_ablation  # noqa: E402
from conr.bench.datasets import GridDataset, grid_datasets, with_options  # noqa: E402
from conr.bench.grid import Task, grid_tasks, run_grid, task_epochs  # noqa: E402
from conr.bench.method_settings import EVERY, read_method_settings, with_method_settings  # noqa: E402
from conr.training.failures import Failure, failed  # noqa: E402

__all__ = [
    "EVERY",
    "FACTORS",
    "Ablation",
    "Failure",
    "GridDataset",
    "Task",
    "ablation_tasks",
    "failed",
    "grid_datasets",
    "grid_tasks",
    "measure",
    "read_method_settings",
    "run_grid",
    "task_epochs",
    "with_method_settings",
    "with_options",
    "write_ablation",
]
