import numpy as np

from conr.rare import GivenPredictions, RareIntervals, Rebalanced


def test_predictions_of_a_network_are_corrected_and_bounded() -> None:
    random = np.random.default_rng(0)
    labels = random.gamma(1.0, 10.0, 800)
    predictions = 10 + (labels - 10) / 2 + random.normal(size=800) * 2  # shrunken
    known, new = slice(0, 500), slice(500, 800)
    corrected = Rebalanced(GivenPredictions(), cv="prefit", random_state=0).fit(predictions[known], labels[known])
    errors = np.abs(corrected.predict(predictions[new]) - labels[new])
    assert errors.mean() < 0.85 * np.abs(predictions[new] - labels[new]).mean()
    bounded = RareIntervals(corrected, cv="prefit").fit(predictions[known], labels[known])
    low, high = bounded.predict_interval(predictions[new]).T
    assert ((low <= labels[new]) & (labels[new] <= high)).mean() > 0.85
    columns = GivenPredictions().fit(None).predict(predictions[:, None])
    assert (columns == predictions).all()
    assert GivenPredictions().predict(np.ones((3, 2))).shape == (3, 2)
