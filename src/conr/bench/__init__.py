"""Grids of runs, datasets x methods x seeds, and their result files."""

from conr._extras import require

require("conr.bench", "lightning", "torchmetrics", "jsonargparse", "rich", "tensorboard", "joblib")

from conr.bench.grid import Task, grid_tasks, run_grid, task_epochs  # noqa: E402  the check comes first

__all__ = ["Task", "grid_tasks", "run_grid", "task_epochs"]
