from conr.smoothing.calibration import BinCalibration as BinCalibration
from conr.smoothing.calibration import calibrate as calibrate
from conr.smoothing.fds import FDS as FDS
from conr.smoothing.moments import BinMoments as BinMoments
from conr.smoothing.vir import VariationalFDS as VariationalFDS
