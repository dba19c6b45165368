"""Verdicts at their boundaries, and false discovery rates."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from statsmodels.stats.multitest import multipletests

from pipelines.claims.verdicts import q_values, verdict_of


@pytest.mark.parametrize(
    ("sign", "low", "high", "verdict"),
    [
        (1, 0.01, 0.4, "holds"),
        (-1, 0.01, 0.4, "opposes"),
        (-1, -0.4, -0.01, "holds"),
        (1, -0.4, -0.01, "opposes"),
        (1, 0.0, 0.4, "cannot be told"),
        (-1, -0.4, 0.0, "cannot be told"),
        (1, -0.1, 0.1, "cannot be told"),
        (0, 0.01, 0.4, "no sign"),
        (0, np.nan, np.nan, "no sign"),
        (1, np.nan, np.nan, "not measured"),
    ],
)
def test_a_verdict_is_told_only_where_the_interval_leaves_zero(
    sign: int, low: float, high: float, verdict: str
) -> None:
    assert verdict_of(sign, low, high) == verdict


def test_rates_are_those_of_statsmodels_and_leave_out_what_was_not_tested() -> None:
    p = pd.Series([0.001, np.nan, 0.04, 0.03, 0.8], index=list("abcde"))
    found = q_values(p)
    assert np.isnan(found["b"])
    expected = multipletests(p.dropna(), method="fdr_bh")[1]
    assert_allclose(found.dropna(), expected)


def test_nothing_tested_has_no_rate() -> None:
    assert q_values(pd.Series([np.nan, np.nan])).isna().all()
