from conr.rare.folds import BinnedKFold as BinnedKFold
from conr.rare.folds import train_test_split_binned as train_test_split_binned
from conr.rare.given import GivenPredictions as GivenPredictions
from conr.rare.intervals import RareIntervals as RareIntervals
from conr.rare.rebalanced import Rebalanced as Rebalanced
from conr.rare.rebalanced import Tradeoff as Tradeoff
from conr.rare.reweighted import Reweighted as Reweighted
from conr.rare.scorers import rare_scorer as rare_scorer
