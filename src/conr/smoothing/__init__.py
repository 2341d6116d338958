"""Layers between encoder and head that use what the features of neighbouring labels have in common."""

from conr.smoothing.calibration import BinCalibration, calibrate
from conr.smoothing.fds import FDS
from conr.smoothing.moments import BinMoments
from conr.smoothing.vir import VariationalFDS

__all__ = ["FDS", "BinCalibration", "BinMoments", "VariationalFDS", "calibrate"]
