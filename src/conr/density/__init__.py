"""How rare each label is: bins, histograms, smoothing, sample weights and shot regions."""

from conr.density.bins import Bins
from conr.density.dense_weight import DenseWeight
from conr.density.kernels import KERNELS, lds_kernel
from conr.density.label_density import REGIONS, LabelDensity
from conr.density.protocol import SampleWeights

__all__ = ["KERNELS", "REGIONS", "Bins", "DenseWeight", "LabelDensity", "SampleWeights", "lds_kernel"]
