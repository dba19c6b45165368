"""The long table of what drives each sample: every level adds up to the whole."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from models.explanation import NOT_MEASURED, Attributions
from pipelines.reports.mechanism_table import mechanism_table

MECHANISMS = {"a": "m1", "b": "m1", "c": "m2", "d": "m3"}
GROUPS = {"a": "g1", "b": "g1", "c": "g1", "d": "g2"}


@pytest.fixture
def attributions() -> Attributions:
    rng = np.random.default_rng(0)
    samples = pd.Index(["z", "<b>", "s10"])
    values = pd.DataFrame(rng.normal(size=(3, 4)), index=samples, columns=list("abcd"))
    features = pd.DataFrame(rng.normal(size=(3, 4)), index=samples, columns=list("abcd"))
    features.loc["z", "c"] = np.nan
    return Attributions(values, pd.Series(-0.3, index=samples, name="base_value"), features)


def test_every_level_adds_up_to_log_odds_and_probability(attributions: Attributions) -> None:
    table = mechanism_table(attributions, mechanisms=MECHANISMS, groups=GROUPS)
    total = attributions.base_value + attributions.values.sum(axis=1)
    base = table[table["level"] == "base"].set_index("sample_id")
    for level in ("group", "mechanism", "feature"):
        sums = (
            table[table["level"] == level]
            .groupby("sample_id")[["log_odds", "probability_points"]]
            .sum()
        )
        whole = sums + base[["log_odds", "probability_points"]]
        np.testing.assert_allclose(whole.loc[total.index, "log_odds"], total, rtol=1e-9)
        expected = 100 * expit(total)
        np.testing.assert_allclose(whole.loc[total.index, "probability_points"], expected)


def test_samples_keep_their_order_and_what_was_not_measured_stands_apart(
    attributions: Attributions,
) -> None:
    table = mechanism_table(attributions, mechanisms=MECHANISMS, groups=GROUPS)
    assert list(table["sample_id"].unique()) == ["z", "<b>", "s10"]
    own = table[(table["sample_id"] == "z") & (table["level"] == "mechanism")]
    found = own.set_index("name")["log_odds"]
    assert found["m2"] == 0
    np.testing.assert_allclose(found[NOT_MEASURED], attributions.values.loc["z", "c"])
