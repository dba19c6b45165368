"""Population stability index by feature, against a direct computation and under no drift."""

import numpy as np
import pandas as pd
import pytest
import skops.io

from features.errors import ModelError
from models.drift import DriftReference


def _features(n: int, *, seed: int, shift: float = 0.0, width: int = 4) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(shift, 1, (n, width))
    return pd.DataFrame(values, columns=[f"f{i}" for i in range(width)])


def _fit(features: pd.DataFrame, n_cohorts: int = 4, n_bins: int = 10) -> DriftReference:
    cohorts = pd.Series([f"c{i % n_cohorts}" for i in range(len(features))], index=features.index)
    return DriftReference(n_bins).fit(features, cohorts=cohorts)


def test_index_is_that_of_a_direct_computation() -> None:
    training, other = _features(300, seed=0, width=1), _features(80, seed=1, shift=0.4, width=1)
    row = _fit(training).table(other).iloc[0]
    edges = np.quantile(training["f0"], np.arange(1, 10) / 10)
    limits = [-np.inf, *edges, np.inf]
    expected = np.histogram(training["f0"], limits)[0] + 0.5
    actual = np.histogram(other["f0"], limits)[0] + 0.5
    e, a = expected / expected.sum(), actual / actual.sum()
    assert row["psi"] == pytest.approx(((a - e) * np.log(a / e)).sum(), rel=1e-12)
    assert row["expected_psi"] == pytest.approx(9 * (1 / 305 + 1 / 85), rel=1e-12)
    assert row["psi_bound"] == pytest.approx(16.918977604620448 * (1 / 305 + 1 / 85), rel=1e-9)


@pytest.mark.parametrize("n", [20, 40, 150])
def test_without_drift_the_index_is_as_expected_and_rarely_above_its_bound(n: int) -> None:
    drift = _fit(_features(400, seed=0, width=300)).table(_features(n, seed=1, width=300))
    assert drift["psi"].mean() == pytest.approx(drift["expected_psi"].mean(), rel=0.15)
    assert (drift["psi"] > drift["psi_bound"]).mean() <= 0.08
    assert drift["verdict"].isin(["moderate", "drifted"]).mean() <= 0.08


def test_verdicts_go_by_the_index_and_its_noise() -> None:
    training = _features(2000, seed=0, width=5)
    other = _features(500, seed=1, width=5)
    other["f1"] += 0.4
    other["f2"] += 1.5
    other["f3"] = np.nan
    few = other.iloc[:20].drop(columns="f3").assign(f3=training["f3"].iloc[:20])
    verdicts = _fit(training).table(other).set_index("feature")["verdict"]
    assert verdicts.to_dict() == {
        "f0": "stable",
        "f1": "moderate",
        "f2": "drifted",
        "f3": "not measured",
        "f4": "stable",
    }
    small = _fit(training).table(few).set_index("feature")
    assert small.loc["f0", "psi"] > 0.25
    assert small.loc["f0", "verdict"] == "within noise"
    assert small.loc["f2", "verdict"] == "drifted"


def test_most_drifted_features_come_first_and_missing_shares_are_told() -> None:
    training = _features(200, seed=0)
    other = _features(60, seed=1)
    other["f2"] += 3.0
    other.loc[:14, "f0"] = np.nan
    drift = _fit(training).table(other)
    assert drift["feature"].iloc[0] == "f2"
    assert drift.set_index("feature")["share_missing"].to_dict() == {
        "f2": 0.0,
        "f0": 0.25,
        "f1": 0.0,
        "f3": 0.0,
    }


def test_a_feature_that_does_not_vary_tells_whether_a_cohort_leaves_its_value() -> None:
    training = _features(100, seed=0, width=2).assign(f1=1.0)
    reference = _fit(training)
    same, away = (_features(50, seed=1, width=2).assign(f1=value) for value in (1.0, 0.0))
    assert reference.table(same).set_index("feature").loc["f1", "verdict"] == "stable"
    assert reference.table(away).set_index("feature").loc["f1", "verdict"] == "drifted"


def test_what_is_usual_between_training_cohorts_is_told() -> None:
    features = _features(400, seed=0, width=2)
    cohorts = pd.Series([f"c{i % 4}" for i in range(400)])
    features["f1"] += cohorts.str[1].astype(int) * 2.0
    reference = DriftReference().fit(features, cohorts=cohorts)
    assert reference.training_psi_[0] < 0.25 < 1.0 < reference.training_psi_[1]
    single = DriftReference().fit(features, cohorts=pd.Series("one", index=features.index))
    assert np.isnan(single.training_psi_).all()


def test_a_feature_no_training_sample_has_is_not_measured() -> None:
    training = _features(50, seed=0).assign(f1=np.nan)
    drift = _fit(training).table(_features(30, seed=1)).set_index("feature")
    assert drift.loc["f1", "verdict"] == "not measured"


def test_sample_order_changes_nothing_and_state_survives_skops() -> None:
    training, other = _features(120, seed=0), _features(40, seed=1)
    reference = _fit(training, n_cohorts=1)
    turned = _fit(training.iloc[::-1], n_cohorts=1)
    back = skops.io.loads(skops.io.dumps(reference), trusted=["models.drift.DriftReference"])
    for same in (turned, back):
        pd.testing.assert_frame_equal(same.table(other.iloc[::-1]), reference.table(other))


def test_wrong_tables_are_refused() -> None:
    training = _features(50, seed=0)
    with pytest.raises(ModelError, match="9 rows of features and 9 cohorts"):
        _fit(training.iloc[:9])
    with pytest.raises(ModelError, match="n_bins is 1"):
        _fit(training, n_bins=1)
    with pytest.raises(ModelError, match=r"lacks 1 columns \(f2\)"):
        _fit(training).table(training.drop(columns="f2"))
