"""Layers between encoder and head that use what the features of neighbouring labels have in common."""

from conr.smoothing.calibration import BinCalibration, calibrate
from conr.smoothing.fds import FDS
from conr.smoothing.moments import BinMoments

__all__ = ["FDS", "BinCalibration", "BinMoments", "calibrate"]
