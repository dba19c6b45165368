"""Does more of a feature go with more resistance? One scale for labels and for numbers."""

import numpy as np
import pandas as pd

from models.metrics import Array, patient_resamples, ratio, read_estimate

__all__ = ["concordance_with"]


def concordance_with(
    features: pd.DataFrame,
    outcome: "pd.Series[float]",
    *,
    units: "pd.Series[str]",
    n_resamples: int,
    rng: np.random.Generator,
    strata: "pd.Series[str] | None" = None,
) -> pd.DataFrame:
    """Return Somers' D of each feature given the outcome, with its bootstrap standard error.

    Of two samples whose outcome differs: the probability that the one with the higher outcome has
    the higher value, minus that of the reverse; ties of the feature count neither way. Of a label
    it is 2 · AUROC − 1, the rank-biserial correlation; of a number without ties Kendall's tau. So
    both stand on one scale, −1 to 1. Samples of one unit weigh one together, are drawn together
    and are never compared with each other.

    Parameters
    ----------
    features
        (n_samples, n_features); NaN where not measured.
    outcome
        Label (1, 0) or number of each sample, the same index; NaN where unknown.
    units
        Patient or cell line of each sample.
    n_resamples, rng
        Of the bootstrap over units.
    strata
        Tissue of each sample: only samples of one are compared; None compares all.

    Returns
    -------
    table
        Index ``feature``; ``n`` (units with value and outcome), ``value``, ``standard_error``; NaN
        where the outcome or the feature does not vary.

    References
    ----------
    Somers, Am Sociol Rev 1962, doi:10.2307/2090408; for labels and numbers alike: Newson, Stata J
    2002, doi:10.1177/1536867X0200200103.

    Examples
    --------
    >>> x = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0]})
    >>> y, lines = pd.Series([0.0, 1.0, 0.0, 1.0]), pd.Series(list("abcd"))
    >>> rng = np.random.default_rng(0)
    >>> concordance_with(x, y, units=lines, n_resamples=50, rng=rng).loc["x", "value"]
    np.float64(0.5)
    """
    known = outcome.notna().to_numpy()
    y, named = outcome.to_numpy(dtype=float)[known], units.to_numpy()[known]
    codes = pd.factorize(named)[0]
    ordered = np.sign(y[:, None] - y[None, :]) * (codes[:, None] != codes[None, :])
    if strata is not None:
        groups = strata.to_numpy()[known]
        ordered *= groups[:, None] == groups[None, :]
    draws = patient_resamples(pd.Series(named), count=n_resamples, rng=rng)
    compared: dict[bytes, tuple[Array, Array]] = {}
    rows = {}
    for name in features.columns:
        x = features[name].to_numpy(dtype=float)[known]
        there = np.isfinite(x)
        x, pairs, key = x[there], ordered[np.ix_(there, there)], there.tobytes()
        if key not in compared:
            weights = draws[:, there] / np.bincount(codes[there])[codes[there]]
            compared[key] = weights, _weight_of(np.abs(pairs), weights)
        weights, total = compared[key]
        won = _weight_of(pairs * np.sign(x[:, None] - x[None, :]), weights)
        varies = np.unique(x).size > 1
        found = read_estimate(ratio(won, total)) if varies else None
        rows[name] = {
            "n": np.unique(codes[there]).size,
            "value": found.value if found else np.nan,
            "standard_error": found.standard_error if found else np.nan,
        }
    columns = ["n", "value", "standard_error"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("feature")


def _weight_of(pairs: Array, weights: Array) -> Array:
    """Return the sum over pairs (n_samples, n_samples), weighted by each row of weights."""
    return np.asarray(((weights @ pairs) * weights).sum(axis=1))
