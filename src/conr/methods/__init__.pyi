from conr.methods.automatic import resolve as resolve
from conr.methods.hooks import Hooks as Hooks
from conr.methods.hooks import hooks_of as hooks_of
from conr.methods.retraining import RRT as RRT
from conr.methods.scale import LabelScale as LabelScale
from conr.methods.terms import Regularizer as Regularizer
from conr.methods.terms import Terms as Terms
