import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from tests.versions import is_before

from conr.estimators import EncodedRegressor


@pytest.mark.skipif(is_before("scikit-learn", 1, 9), reason="earlier boosting takes other quantiles")
def test_positions_among_quantiles_are_the_bins_that_boosting_would_take() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(500, 3))
    inputs[:, 1] = random.integers(0, 9, 500)  # few values: as they are
    inputs[::7, 2] = np.nan
    labels = inputs[:, 0] ** 2 + inputs[:, 1]
    boosting = HistGradientBoostingRegressor(max_iter=20, max_bins=31, early_stopping=False)
    plain = EncodedRegressor(boosting).fit(inputs, labels)
    coded = EncodedRegressor(boosting, most_values=31).fit(inputs, labels)
    assert (sorted(coded.cuts_), plain.cuts_) == ([0, 2], {})
    np.testing.assert_allclose(coded.predict(inputs), plain.predict(inputs), rtol=1e-12)
    with pytest.raises(ValueError, match="most_values: expected a number of at least 2, got 1"):
        EncodedRegressor(boosting, most_values=1).fit(inputs, labels)
