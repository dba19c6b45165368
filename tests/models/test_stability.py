from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from features.errors import ModelError
from models.stability import driver_stability, fold_agreement, leading_places

STRONG = [f"d{i}" for i in range(8)]
WEAK = [f"w{i}" for i in range(18)]


def planted() -> tuple[pd.DataFrame, pd.Series]:
    """Return attributions of 30 names in four folds of 50 samples, ten places leading.

    ``d0`` to ``d7`` are strong in every fold; ``here`` is stronger still, but in one fold alone;
    ``near_1`` and ``near_2`` of equal weight contend for the last place; ``never`` is never used.
    """
    rng = np.random.default_rng(0)
    folds = pd.Series(np.repeat(["f1", "f2", "f3", "f4"], 50), index=[f"s{i}" for i in range(200)])
    names = [*STRONG, "here", "near_1", "near_2", "never", *WEAK]
    strength = pd.Series(0.01, index=names)
    strength[STRONG] = np.linspace(3, 2, 8)
    strength[["near_1", "near_2"]] = 0.6
    strength["never"] = 0.0
    values = pd.DataFrame(rng.normal(size=(200, 30)), index=folds.index, columns=names) * strength
    values.loc[folds == "f2", "here"] = rng.normal(size=50) * 4
    return values, folds


def test_drivers_that_lead_everywhere_or_nowhere_are_stable_and_the_others_are_not():
    values, folds = planted()
    found = driver_stability(values, folds=folds, n_resamples=500, seed=0)
    stable = found.index[found["stable"]]
    assert set(stable) == {*STRONG, *WEAK, "never"}
    assert found.loc["d0", ["top_share", "fold_top_share"]].tolist() == [1.0, 1.0]
    assert found.loc["never", ["mean_abs", "low", "high", "top_share"]].tolist() == [0, 0, 0, 0]
    # Patients of the same cohorts would not move it; another model would.
    assert found.loc["here", "rank_high"] <= 10
    assert found.loc["here", "fold_top_share"] == 0.25


def test_the_table_is_ordered_by_strength_and_its_intervals_hold_the_estimates():
    values, folds = planted()
    found = driver_stability(values, folds=folds, n_resamples=300, seed=1)
    mean = values.abs().mean().sort_values(ascending=False)
    pd.testing.assert_series_equal(found["mean_abs"], mean, check_names=False)
    assert found["rank"].tolist() == list(range(1, 31))
    assert found["mean_abs"].between(found["low"], found["high"]).all()
    assert found["rank"].between(found["rank_low"], found["rank_high"]).all()


def test_intervals_are_those_of_scipys_bootstrap():
    values, folds = planted()
    one = values.loc[folds == "f1", ["d0", "w0"]]
    found = driver_stability(one, folds=folds[folds == "f1"], n_resamples=20_000, seed=0)
    for name in one:
        expected = stats.bootstrap(
            (one[name].abs(),), np.mean, n_resamples=20_000, method="percentile", rng=1
        ).confidence_interval
        assert found.loc[name, ["low", "high"]].tolist() == pytest.approx(expected, rel=0.01)


def test_samples_are_drawn_within_their_folds():
    folds = pd.Series(["x"] * 30 + ["y"] * 10)
    values = pd.DataFrame({"a": np.where(folds == "x", 1.0, -5.0), "b": 1.5})
    found = driver_stability(values, folds=folds, n_resamples=200, seed=0)
    assert found.loc["a", ["mean_abs", "low", "high"]].tolist() == pytest.approx([2.0, 2.0, 2.0])


def test_neither_the_order_of_samples_and_names_nor_a_scale_changes_ranks():
    values, folds = planted()
    found = driver_stability(values, folds=folds, n_resamples=200, seed=0)
    order = np.random.default_rng(3).permutation(30)
    other = driver_stability(4 * values.iloc[:, order], folds=folds, n_resamples=200, seed=0)
    columns = ["rank", "rank_low", "rank_high", "top_share", "fold_top_share", "stable"]
    pd.testing.assert_frame_equal(other.loc[found.index, columns], found[columns])
    reverse = slice(None, None, -1)
    again = fold_agreement(values[reverse], folds=folds[reverse])
    assert again.kendall_w == pytest.approx(fold_agreement(values, folds=folds).kendall_w)


def test_agreement_is_that_of_scipy_with_and_without_ties():
    values, folds = planted()
    for table in (values, values.assign(w0=0.0, w1=0.0, w2=0.0)):
        found = fold_agreement(table, folds=folds)
        means = table.abs().groupby(folds).mean()
        n_folds, n_names = means.shape
        assert (found.n_folds, found.n_names) == (n_folds, n_names)
        # Friedman's statistic is W times folds times names less one, ties corrected for.
        chi_square = stats.friedmanchisquare(*means.to_numpy().T).statistic
        assert found.kendall_w == pytest.approx(chi_square / (n_folds * (n_names - 1)), abs=1e-12)
        pairs = [
            stats.spearmanr(means.iloc[i], means.iloc[j]).statistic
            for i, j in combinations(range(n_folds), 2)
        ]
        assert found.spearman == pytest.approx(np.mean(pairs), abs=1e-12)


def test_folds_that_agree_wholly_have_a_concordance_of_one():
    values = pd.DataFrame([[3.0, 2.0, 1.0], [-6.0, 5.0, 0.1], [9.0, 8.0, 7.0]])
    found = fold_agreement(values, folds=pd.Series(["x", "y", "z"]))
    assert (found.spearman, found.kendall_w) == pytest.approx((1.0, 1.0))


def test_without_two_folds_or_any_weight_there_is_no_agreement():
    values = pd.DataFrame([[3.0, 2.0, 1.0], [0.0, 0.0, 0.0], [9.0, 8.0, 7.0]])
    one = fold_agreement(values, folds=pd.Series(["x", "x", "x"]))
    assert np.isnan([one.spearman, one.kendall_w]).all()
    nothing = fold_agreement(0 * values, folds=pd.Series(["x", "y", "z"]))
    assert np.isnan([nothing.spearman, nothing.kendall_w]).all()
    # A fold whose model uses nothing has no order to compare.
    assert fold_agreement(values, folds=pd.Series(["x", "y", "z"])).spearman == pytest.approx(1.0)


def test_a_third_of_few_names_leads():
    assert [leading_places(n) for n in (1, 5, 6, 31, 67)] == [1, 1, 2, 10, 10]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v, f: (v, f[:-1]), r"199 folds do not belong to the 200 samples"),
        (lambda v, f: (v, f.mask(f.index == "s4")), r"1 samples have no fold \(s4\)"),
        (
            lambda v, f: (v.assign(d0=v["d0"].mask(v.index == "s7")), f),
            r"1 samples are not finite \(s7\)",
        ),
        (lambda v, f: (v[:0], f[:0]), r"shape \(0, 30\); give at least a sample"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    values, folds = change(*planted())
    with pytest.raises(ModelError, match=message):
        driver_stability(values, folds=folds, n_resamples=10, seed=0)
    with pytest.raises(ModelError, match=message):
        fold_agreement(values, folds=folds)


def test_no_resamples_are_refused():
    values, folds = planted()
    with pytest.raises(ModelError, match="n_resamples is 0"):
        driver_stability(values, folds=folds, n_resamples=0, seed=0)
