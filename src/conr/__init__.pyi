from conr.density.bins import Bins as Bins
from conr.density.label_density import LabelDensity as LabelDensity
from conr.estimators.regressor import ConRRegressor as ConRRegressor
from conr.losses.conr import ConRLoss as ConRLoss
from conr.losses.conr import conr_loss as conr_loss
from conr.losses.conr import conr_statistics as conr_statistics

__version__: str

__all__: list[str]
