"""Do the features go the way the catalogue says? The finding is reported, never acted on."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from models.metrics import Estimate, evaluate_predictions

__all__ = ["sign_agreement"]


def sign_agreement(
    features: pd.DataFrame,
    samples: pd.DataFrame,
    *,
    signs: Mapping[str, int],
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Return each feature's own AUROC for resistance beside the catalogue's sign.

    Parameters
    ----------
    features
        Unstandardised (n_samples, n_features); the AUROC is within cohorts, so it does not
        depend on the standardisation.
    samples
        ``cohort``, ``patient_id``, ``resistant`` on the same index.
    signs
        +1, -1 or 0 by feature.

    Returns
    -------
    table
        Index ``feature``; ``sign``, ``auroc`` (mean over cohorts; above 0.5 more of it goes with
        resistance), ``low``, ``high`` (95% bootstrap over patients) and ``verdict``: ``agrees``
        or ``opposes`` where the interval excludes 0.5, ``unclear`` where it does not, ``unsigned``.
    """
    rows = {}
    for feature in features.columns:
        predictions = samples[["cohort", "patient_id", "resistant"]].assign(
            score=features[feature], probability=0.5
        )
        estimates = evaluate_predictions(predictions, n_resamples=n_resamples, seed=seed)
        found = estimates.get("auroc", Estimate(np.nan, np.nan, np.nan, np.nan))
        rows[feature] = {
            "sign": signs.get(feature, 0),
            "auroc": found.value,
            "low": found.low,
            "high": found.high,
            "verdict": _verdict(found, signs.get(feature, 0)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("feature")


def _verdict(found: Estimate, sign: int) -> str:
    if sign == 0:
        return "unsigned"
    if found.low > 0.5:
        return "agrees" if sign > 0 else "opposes"
    if found.high < 0.5:
        return "agrees" if sign < 0 else "opposes"
    return "unclear"
