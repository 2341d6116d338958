from conr.rare.folds import BinnedKFold as BinnedKFold
from conr.rare.folds import train_test_split_binned as train_test_split_binned
