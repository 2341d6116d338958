"""How rare each label is: bins, histograms, smoothing, sample weights and shot regions."""

from conr.density.bins import Bins
from conr.density.kernels import KERNELS, lds_kernel
from conr.density.label_density import REGIONS, LabelDensity

__all__ = ["KERNELS", "REGIONS", "Bins", "LabelDensity", "lds_kernel"]
