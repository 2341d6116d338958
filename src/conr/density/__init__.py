"""How rare each label is: bins, histograms, smoothing, sample weights and shot regions."""

from conr.density.bins import Bins
from conr.density.dense_weight import DenseWeight
from conr.density.kernels import KERNELS, lds_kernel
from conr.density.label_density import REGIONS, LabelDensity
from conr.density.protocol import SampleWeights
from conr.density.suggestions import ConRSettings, suggest_scheme, suggest_settings

__all__ = [
    "KERNELS",
    "REGIONS",
    "Bins",
    "ConRSettings",
    "DenseWeight",
    "LabelDensity",
    "SampleWeights",
    "lds_kernel",
    "suggest_scheme",
    "suggest_settings",
]
