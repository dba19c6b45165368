import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import concordance_index
from scipy.stats import chi2

from features.errors import ConfigError, ModelError
from models.meta_analysis import meta_analysis
from models.survival import kaplan_meier_curves, survival_table
from models.survival_patients import comparable_pairs_won, patients_at_risk

SIZES = {"a": 60, "b": 90, "c": 45}


def predictions(sizes: dict[str, int] = SIZES, *, log_hazard: float = 0.5, seed: int = 0):
    rng = np.random.default_rng(seed)
    parts = []
    for number, (cohort, size) in enumerate(sizes.items()):
        score = rng.normal(size=size)
        death = rng.exponential(8 * (number + 1) * np.exp(-log_hazard * score))
        end = rng.exponential(16 * (number + 1), size)
        frame = pd.DataFrame(
            {
                "cohort": cohort,
                "patient_id": [f"p{i}" for i in range(size)],
                "score": score * 3 + number,
                "os_time": np.ceil(np.minimum(death, end)),
                "os_event": (death <= end).astype(float),
            },
            index=[f"{cohort}/s{i}" for i in range(size)],
        )
        parts.append(frame)
    return pd.concat(parts)


def table_of(frame: pd.DataFrame, *, n: int = 100) -> pd.DataFrame:
    return survival_table(frame, endpoint="os", n_resamples=n, seed=0).set_index("cohort")


@pytest.fixture(scope="module")
def usual() -> pd.DataFrame:
    """The table of the usual predictions; nobody changes it."""
    return table_of(predictions())


def test_a_cohorts_row_holds_the_figures_of_lifelines(usual: pd.DataFrame):
    frame, table = predictions(), usual
    for cohort, part in frame.groupby("cohort"):
        row = table.loc[cohort]
        scaled = (part["score"] - part["score"].mean()) / part["score"].std()
        data = pd.DataFrame({"t": part["os_time"], "e": part["os_event"], "x": scaled})
        fitted = CoxPHFitter().fit(data, "t", "e").summary.loc["x"]
        assert row["hazard_ratio"] == pytest.approx(fitted["exp(coef)"])
        assert row["hazard_ratio_low"] == pytest.approx(fitted["exp(coef) lower 95%"])
        assert row["hazard_ratio_high"] == pytest.approx(fitted["exp(coef) upper 95%"])
        high = part["score"] > part["score"].median()
        test = logrank_test(
            part["os_time"][high],
            part["os_time"][~high],
            part["os_event"][high],
            part["os_event"][~high],
        )
        assert row["log_rank_p"] == pytest.approx(test.p_value)
        expected = concordance_index(part["os_time"], -part["score"], part["os_event"])
        assert row["concordance"] == pytest.approx(expected)
        assert row["concordance_low"] < expected < row["concordance_high"]
        assert row["events"] == part["os_event"].sum()


def test_the_pooled_rows_stratify_by_cohort_and_find_the_hazard_that_was_put_in():
    table = table_of(predictions({"a": 250, "b": 250}, log_hazard=0.5, seed=1))
    row = table.loc["stratified"]
    assert np.log(row["hazard_ratio"]) == pytest.approx(0.5, abs=0.12)
    assert row["hazard_ratio_low"] < np.exp(0.5) < row["hazard_ratio_high"]
    assert row["log_rank_p"] < 1e-3
    assert row["concordance_low"] > 0.5
    pooled = table.loc["random_effects"]
    own = table.loc[["a", "b"]]
    logs = np.log(own["hazard_ratio"].astype(float))
    errors = np.log(own["hazard_ratio_high"] / own["hazard_ratio_low"]) / (2 * 1.959964)
    expected = meta_analysis(logs, errors)
    assert np.log(pooled["hazard_ratio"]) == pytest.approx(expected.estimate, abs=1e-6)
    assert pooled["i2"] == pytest.approx(expected.i2, abs=1e-6)


def observed_minus_expected(part: pd.DataFrame) -> tuple[float, float]:
    """Log-rank terms of one stratum by the hypergeometric formula."""
    high = part["score"] > part["score"].median()
    difference = variance = 0.0
    for time in part.loc[part["os_event"] == 1, "os_time"].unique():
        at_risk = part["os_time"] >= time
        died = (part["os_time"] == time) & (part["os_event"] == 1)
        n, n_high, d = at_risk.sum(), (at_risk & high).sum(), died.sum()
        difference += (died & high).sum() - d * n_high / n
        if n > 1:
            variance += d * (n_high / n) * (1 - n_high / n) * (n - d) / (n - 1)
    return difference, variance


def test_the_stratified_log_rank_sums_over_cohorts():
    frame = predictions(log_hazard=0.2, seed=3)
    terms = [observed_minus_expected(part) for _, part in frame.groupby("cohort")]
    difference, variance = np.sum(terms, axis=0)
    expected = chi2.sf(difference**2 / variance, 1)
    assert table_of(frame, n=2).loc["stratified", "log_rank_p"] == pytest.approx(expected)


def test_pooled_concordance_counts_pairs_within_cohorts_only(usual: pd.DataFrame):
    frame = predictions()
    shifted = frame.assign(score=frame["score"] + frame["cohort"].map({"a": 0, "b": 50, "c": -50}))
    pd.testing.assert_frame_equal(table_of(shifted), usual, rtol=1e-6)
    patients = patients_at_risk(frame, endpoint="os")
    ones = np.ones((1, len(patients)))
    won, total = comparable_pairs_won(patients, ones)
    together = concordance_index(frame["os_time"], -frame["score"], frame["os_event"])
    assert won[0] / total[0] == pytest.approx(together)


def test_turning_the_score_round_turns_the_figures_round(usual: pd.DataFrame):
    frame, there = predictions(), usual
    back = table_of(frame.assign(score=-frame["score"]), n=2)
    np.testing.assert_allclose(there["hazard_ratio"], 1 / back["hazard_ratio"], rtol=1e-5)
    np.testing.assert_allclose(there["concordance"][:4], 1 - back["concordance"][:4])


def test_small_and_constant_cohorts_are_left_out_and_named():
    frame = predictions()
    frame.loc[frame["cohort"] == "a", "os_time"] = np.nan
    frame.loc[frame["cohort"] == "b", "score"] = 1.0
    frame.loc[frame.index[frame["cohort"] == "c"][4:], "os_event"] = 0.0
    table = table_of(frame, n=5)
    assert "no patient" in table.loc["a", "note"]
    assert "same score" in table.loc["b", "note"]
    assert "fewer than 5" in table.loc["c", "note"]
    assert table["hazard_ratio"].isna().all()
    assert "stratified" not in table.index
    assert kaplan_meier_curves(frame, endpoint="os").empty


def test_a_separated_cohort_ends_in_nan_with_a_note():
    time = np.arange(1.0, 21.0)
    frame = pd.DataFrame(
        {
            "cohort": "split",
            "patient_id": [f"p{i}" for i in range(20)],
            "score": -time,
            "os_time": time,
            "os_event": (time <= 10).astype(float),
        },
        index=[f"s{i}" for i in range(20)],
    )
    row = table_of(frame, n=5).loc["split"]
    assert np.isnan(row["high_low_hazard_ratio"])
    assert "high against low" in row["note"]
    assert row["concordance"] == 1.0
    assert row["log_rank_p"] < 1e-3


def test_a_patient_counts_once_with_the_mean_score():
    frame = predictions()
    again = frame.iloc[:10].rename(index=lambda name: f"{name}-second")
    doubled = pd.concat([frame, again.assign(score=again["score"] + 2)])
    moved = frame.copy()
    moved.iloc[:10, moved.columns.get_loc("score")] += 1.0
    pd.testing.assert_frame_equal(table_of(doubled, n=5), table_of(moved, n=5))


def test_kaplan_meier_curves_are_those_of_lifelines_by_the_cohorts_own_median():
    frame = predictions()
    curves = kaplan_meier_curves(frame, endpoint="os")
    assert curves["cohort"].unique().tolist() == ["a", "b", "c", "pooled"]
    high = frame["score"] > frame.groupby("cohort")["score"].transform("median")
    for cohort, rows in (("b", frame["cohort"] == "b"), ("pooled", frame["cohort"] != "")):
        part = frame[rows & high]
        fitted = KaplanMeierFitter().fit(part["os_time"], part["os_event"])
        curve = curves[(curves["cohort"] == cohort) & (curves["group"] == "high")]
        expected = fitted.predict(curve["time"].to_numpy()).to_numpy()
        np.testing.assert_allclose(curve["survival"], expected)
        assert curve["at_risk"].iloc[0] == len(part)
        at_risk = [(part["os_time"] >= time).sum() for time in curve["time"]]
        assert curve["at_risk"].tolist() == at_risk
        assert (curve["low"] <= curve["survival"]).all()


def test_times_of_zero_enter_and_negative_ones_do_not():
    frame = predictions()
    frame.iloc[0, frame.columns.get_loc("os_time")] = 0.0
    frame.iloc[1, frame.columns.get_loc("os_time")] = -1.0
    table = table_of(frame, n=2)
    assert table.loc["a", "n"] == SIZES["a"] - 1
    assert np.isfinite(table.loc["stratified", "hazard_ratio"])


def test_a_wrong_endpoint_or_missing_column_is_refused():
    with pytest.raises(ConfigError, match="give pfs or os"):
        survival_table(predictions(), endpoint="dfs", n_resamples=2, seed=0)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="pfs_time"):
        survival_table(predictions(), endpoint="pfs", n_resamples=2, seed=0)


@pytest.mark.real_data
def test_patients_of_gide_whose_tumour_progressed_are_those_with_short_survival(shared):
    folder = shared / "cohorts" / "bulk" / "gide_2019_antiPD1"
    clinical = pd.read_csv(folder / "clinical.csv").set_index("sample_id", drop=False)
    frame = clinical.assign(score=(clinical["recist"].isin(["SD", "PD"])).astype(float))
    for endpoint in ("pfs", "os"):
        table = survival_table(frame, endpoint=endpoint, n_resamples=50, seed=0)
        row = table.set_index("cohort").loc["stratified"]
        assert row["n"] == 41
        assert row["high_low_hazard_ratio_low"] > 1
        assert row["log_rank_p"] < 0.01
        assert row["concordance_low"] > 0.5
