"""From a table in a file to a model in a folder, its predictions and its report."""

from conr._extras import require

require("conr.table", "sklearn", "lightning", "torchmetrics", "pandas", "matplotlib", "jinja2")

from conr.table.model import TableModel, fit_table  # noqa: E402  the check comes first
from conr.table.rows import FileFormat  # noqa: E402
from conr.table.run import write_run  # noqa: E402

__all__ = ["FileFormat", "TableModel", "fit_table", "write_run"]
