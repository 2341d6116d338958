"""Metrics over all samples and per shot region."""

from conr._extras import require

require("conr.metrics", "torchmetrics")

from conr.metrics.angular import AngularErrorMetric, angular_error, gaze_metrics  # noqa: E402  the check comes first
from conr.metrics.collapse import CollapseMetric  # noqa: E402
from conr.metrics.depth import DEPTH_METRICS, DepthMetric, depth_metrics  # noqa: E402
from conr.metrics.shot import METRIC_NAMES, regression_metrics, shot_metrics  # noqa: E402

__all__ = [
    "DEPTH_METRICS",
    "METRIC_NAMES",
    "AngularErrorMetric",
    "CollapseMetric",
    "DepthMetric",
    "angular_error",
    "depth_metrics",
    "gaze_metrics",
    "regression_metrics",
    "shot_metrics",
]
