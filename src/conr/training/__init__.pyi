from conr.methods.retraining import RRT as RRT
from conr.methods.terms import Regularizer as Regularizer
from conr.training.add_regularizers import AddRegularizers as AddRegularizers
from conr.training.confusion import ConfusionLogger as ConfusionLogger
from conr.training.module import RegressionModule as RegressionModule
from conr.training.momentum import MomentumMemory as MomentumMemory
from conr.training.retraining import HeadRetraining as HeadRetraining
from conr.training.table_length import TableLength as TableLength
