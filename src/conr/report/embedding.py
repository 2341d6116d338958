"""Features in two dimensions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

MOST_POINTS = 600
FEWEST_POINTS = 10


def embed_features(features: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Place features in the plane by t-SNE, the same way for the same features.

    Args:
        features: shape (m, d).
        labels: shape (m, ...).

    Returns:
        Positions (p, 2) and labels (p, ...) of p <= ``MOST_POINTS`` samples, spread evenly over the given ones.

    Raises:
        ValueError: fewer than ``FEWEST_POINTS`` samples, features that are not finite, or features that are all equal.
    """
    if len(features) < FEWEST_POINTS:
        raise ValueError(f"features: expected at least {FEWEST_POINTS} samples, got {len(features)}")
    rows = np.linspace(0, len(features) - 1, min(len(features), MOST_POINTS)).round().astype(int)
    chosen = features[rows].astype(np.float32)  # (p, d)
    if not np.isfinite(chosen).all():
        raise ValueError("features: expected finite numbers, got NaN or infinity")
    if chosen.shape[1] < 2 or not chosen.std(axis=0).any():
        raise ValueError("features: expected at least two dimensions and features that differ")
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    positions = TSNE(n_components=2, init="pca", random_state=0, perplexity=perplexity).fit_transform(chosen)
    return positions, labels[rows]
