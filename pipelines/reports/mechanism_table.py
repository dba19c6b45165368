"""What drives each sample, as one long table: by group, mechanism and feature."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from models.explanation import Attributions

__all__ = ["LEVELS", "mechanism_table"]

LEVELS = ("base", "group", "mechanism", "feature")
"""Levels of the table; the rows of any of the last three add up, with ``base``, to the whole."""


def mechanism_table(
    attributions: Attributions, *, mechanisms: Mapping[str, str], groups: Mapping[str, str]
) -> pd.DataFrame:
    """Return attributions as a long table.

    Parameters
    ----------
    attributions
        In calibrated log-odds, indexed by sample id.
    mechanisms, groups
        Mechanism class, and group of mechanisms, of each feature.

    Returns
    -------
    table
        ``sample_id``; ``level`` (:data:`LEVELS`); ``name`` (features that were not measured are
        summed to ``not_measured`` in groups and mechanisms); ``log_odds`` (calibrated);
        ``probability_points``: hundredths of the probability. The rows of a level and ``base`` add
        up to the sample's log-odds, and to 100 times its probability.
    """
    percent = attributions.in_probability()
    log_odds = _wide(attributions, mechanisms, groups)
    points = 100.0 * _wide(percent, mechanisms, groups)
    levels, names = zip(*log_odds.columns, strict=True)
    samples = log_odds.index.to_numpy()
    return pd.DataFrame(
        {
            "sample_id": np.repeat(samples, len(names)),
            "level": np.tile(levels, len(samples)),
            "name": np.tile(np.asarray(names, dtype=object), len(samples)),
            "log_odds": log_odds.to_numpy().ravel(),
            "probability_points": points.to_numpy().ravel(),
        }
    )


def _wide(
    attributions: Attributions, mechanisms: Mapping[str, str], groups: Mapping[str, str]
) -> pd.DataFrame:
    """Return all levels side by side (n_samples, n_names), columns by level and name."""
    tables = (
        attributions.base_value.to_frame("base_value"),
        attributions.by_group(groups),
        attributions.by_mechanism(mechanisms),
        attributions.values,
    )
    return pd.concat(dict(zip(LEVELS, tables, strict=True)), axis=1)
