"""Tables, pictures and a page that compare runs, out of their result files alone."""

from conr._extras import require

require("conr.report", "lightning", "matplotlib", "jinja2", "sklearn", "rich")

from conr.report.aggregate import DatasetRuns, SummaryRow, load_runs, summary_table  # noqa: E402  the check comes first
from conr.report.comparison import comparison_markdown  # noqa: E402
from conr.report.page import write_report  # noqa: E402
from conr.report.pictures import picture  # noqa: E402
from conr.report.tables import summary_markdown, terminal_table  # noqa: E402
from conr.report.tradeoff import trade_off_pictures  # noqa: E402

__all__ = [
    "DatasetRuns",
    "SummaryRow",
    "comparison_markdown",
    "load_runs",
    "picture",
    "summary_markdown",
    "summary_table",
    "terminal_table",
    "trade_off_pictures",
    "write_report",
]
