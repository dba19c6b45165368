"""Two models' probabilities on the same samples: the difference of their Brier scores."""

import pandas as pd

from models.metrics import Estimate, brier_score, check_predictions, read_estimate
from models.metrics import stratified_resamples as resample

__all__ = ["paired_brier_difference"]

_COLUMNS = ("cohort", "patient_id", "resistant", "probability")


def paired_brier_difference(
    first: pd.DataFrame, second: pd.DataFrame, *, n_resamples: int, seed: int
) -> Estimate:
    """Return the first model's Brier score minus the second's; below 0 the first is nearer.

    Parameters
    ----------
    first
        One row a sample: ``cohort, patient_id, resistant`` (1, 0, NaN) and ``probability``.
    second
        ``probability``, matched by sample. A sample without label or without both probabilities is
        left out for both.
    n_resamples, seed
        Bootstrap resamples of the patients within each cohort, the same for both.

    Raises
    ------
    ModelError
        A column is missing, or a sample has several rows.
    """
    check_predictions(first, _COLUMNS, where="the first model's predictions")
    check_predictions(second, ["probability"], where="the second model's predictions")
    paired = first.assign(other=second["probability"].reindex(first.index))
    usable = paired.dropna(subset=["resistant", "probability", "other"])
    weights = resample(usable, count=n_resamples, seed=seed)
    y = usable["resistant"].to_numpy(float)
    own, other = (
        brier_score(y, usable[name].to_numpy(float), weights) for name in ("probability", "other")
    )
    return read_estimate(own - other)
