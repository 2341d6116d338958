from conr.density.bins import Bins as Bins
from conr.density.label_density import LabelDensity as LabelDensity
from conr.estimators.rare_regressor import RareRegressor as RareRegressor
from conr.estimators.regressor import ConRRegressor as ConRRegressor
from conr.losses.conr import ConRLoss as ConRLoss
from conr.losses.conr import conr_loss as conr_loss
from conr.losses.conr import conr_statistics as conr_statistics
from conr.rare.folds import BinnedKFold as BinnedKFold
from conr.rare.folds import train_test_split_binned as train_test_split_binned
from conr.rare.intervals import RareIntervals as RareIntervals
from conr.rare.rebalanced import Rebalanced as Rebalanced
from conr.rare.reweighted import Reweighted as Reweighted
from conr.rare.scorers import rare_scorer as rare_scorer

__version__: str

__all__: list[str]
