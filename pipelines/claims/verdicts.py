"""A verdict on each claim, and what many claims at once do to it."""

from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

__all__ = [
    "CANNOT_BE_TOLD",
    "HOLDS",
    "LEVEL",
    "NOT_MEASURED",
    "NOT_TESTABLE",
    "NO_SIGN",
    "OPPOSES",
    "TOLD",
    "Verdict",
    "q_values",
    "verdict_of",
]

Verdict = Literal[
    "holds",
    "opposes",
    "cannot be told",
    "no sign",
    "not measured",
    "not testable in cell lines",
]
HOLDS: Verdict = "holds"
OPPOSES: Verdict = "opposes"
CANNOT_BE_TOLD: Verdict = "cannot be told"
NO_SIGN: Verdict = "no sign"
NOT_MEASURED: Verdict = "not measured"
NOT_TESTABLE: Verdict = "not testable in cell lines"
TOLD = (HOLDS, OPPOSES)
LEVEL = 0.1
"""False discovery rate at which a verdict is said to stand."""


def verdict_of(sign: int, low: float, high: float) -> Verdict:
    """Return the verdict on a sign (+1, -1, 0) by the effect's 95% interval.

    Examples
    --------
    >>> verdict_of(-1, -0.4, -0.1), verdict_of(1, -0.4, -0.1), verdict_of(1, 0.0, 0.4)
    ('holds', 'opposes', 'cannot be told')
    """
    if sign == 0:
        return NO_SIGN
    if not (np.isfinite(low) and np.isfinite(high)):
        return NOT_MEASURED
    if low <= 0 <= high:
        return CANNOT_BE_TOLD
    return HOLDS if (low > 0) == (sign > 0) else OPPOSES


def q_values(p_values: "pd.Series[float]") -> "pd.Series[float]":
    """Return the false discovery rate at which each test is told; NaN stays NaN.

    References
    ----------
    Benjamini and Hochberg, J R Stat Soc B 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    tested = p_values.dropna()
    if tested.empty:
        return p_values.astype(float)
    found = pd.Series(stats.false_discovery_control(tested), index=tested.index)
    return found.reindex(p_values.index)
