"""Figures within subgroups, how samples are grouped, and the estimate of tumour purity."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from features.catalogue import Catalogue
from features.errors import ModelError
from models.metrics import evaluate_predictions
from models.subgroups import PURITY_FEATURES, purity_proxy, subgroup_columns, subgroup_table

NAN = float("nan")
FIGURES = ["auroc", "low", "high", "brier", "brier_low", "brier_high"]


def make_predictions(seed: int = 0, *, size: int = 60, cohorts: int = 2) -> pd.DataFrame:
    """Predictions with some skill; cohorts differ in response rate and in the scores' level."""
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(cohorts):
        resistant = (rng.random(size) < 0.3 + 0.4 * number / cohorts).astype(float)
        resistant[:2] = 0.0, 1.0
        score = resistant + rng.normal(0, 1.5, size) + 3 * number
        parts.append(
            pd.DataFrame(
                {
                    "cohort": f"c{number}",
                    "patient_id": [f"p{i // 2}" for i in range(size)],
                    "resistant": resistant,
                    "score": score,
                    "probability": rng.random(size),
                },
                index=[f"c{number}/s{i}" for i in range(size)],
            )
        )
    return pd.concat(parts)


def pooled_auroc(part: pd.DataFrame) -> float:
    """The definition, pair by pair."""
    won, pairs = 0.0, 0
    for _, cohort in part.groupby("cohort"):
        for positive in cohort.loc[cohort["resistant"] == 1, "score"]:
            for negative in cohort.loc[cohort["resistant"] == 0, "score"]:
                won += (positive > negative) + 0.5 * (positive == negative)
                pairs += 1
    return won / pairs


def test_figures_of_each_level_equal_their_definitions() -> None:
    predictions = make_predictions()
    predictions["score"] = predictions["score"].round()
    sex = pd.Series(np.resize(["female", "male", "male"], len(predictions)), predictions.index)
    table = subgroup_table(predictions, pd.DataFrame({"sex": sex}), n_resamples=50, seed=1)
    assert list(table.columns) == ["group", "level", "n", "resistant", "cohorts", *FIGURES]
    assert list(table["level"]) == ["female", "male"]
    for row in table.itertuples():
        part = predictions[sex == row.level]
        assert (row.n, row.resistant) == (len(part), int(part["resistant"].sum()))
        assert row.cohorts == 2
        assert row.auroc == pytest.approx(pooled_auroc(part))
        assert row.brier == pytest.approx(brier_score_loss(part["resistant"], part["probability"]))
        assert row.low < row.auroc < row.high
        assert row.brier_low < row.brier < row.brier_high


def test_within_one_cohort_the_figure_is_the_usual_auroc() -> None:
    predictions = make_predictions(cohorts=1)
    groups = pd.DataFrame({"all": "all"}, index=predictions.index)
    table = subgroup_table(predictions, groups, n_resamples=20, seed=0)
    expected = roc_auc_score(predictions["resistant"], predictions["score"])
    assert table["auroc"][0] == pytest.approx(expected)


def test_a_group_of_everyone_in_a_cohort_has_the_intervals_of_the_evaluation() -> None:
    predictions = make_predictions()
    groups = predictions[["cohort"]]
    table = subgroup_table(predictions, groups, n_resamples=200, seed=7).set_index("level")
    estimates = evaluate_predictions(predictions, n_resamples=200, seed=7)
    for cohort in ("c0", "c1"):
        known = estimates[f"{cohort}.auroc"]
        found = table.loc[cohort, ["auroc", "low", "high"]].astype(float)
        np.testing.assert_allclose(found, [known.value, known.low, known.high], rtol=1e-12)


def test_cohorts_that_differ_in_level_and_response_rate_do_not_help() -> None:
    predictions = make_predictions(size=300)
    predictions["score"] = (predictions["cohort"] == "c1") * 10.0
    predictions["score"] += np.random.default_rng(3).normal(size=len(predictions))
    groups = pd.DataFrame({"all": "all"}, index=predictions.index)
    table = subgroup_table(predictions, groups, n_resamples=100, seed=0)
    assert roc_auc_score(predictions["resistant"], predictions["score"]) > 0.55
    assert table["low"][0] < 0.5 < table["high"][0]
    assert table["auroc"][0] == pytest.approx(0.5, abs=0.08)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-5, 5))
def test_order_of_cohorts_and_rising_scales_of_scores_are_nothing(
    seed: int, scale: float, shift: float
) -> None:
    predictions = make_predictions(seed, size=20)
    rng = np.random.default_rng(seed)
    groups = pd.DataFrame({"g": rng.choice(["x", "y"], len(predictions))}, predictions.index)
    first = subgroup_table(predictions, groups, n_resamples=20, seed=2, least=2)
    changed = pd.concat([predictions.iloc[20:], predictions.iloc[:20]])
    changed["score"] = changed["score"] * scale + shift
    second = subgroup_table(changed, groups, n_resamples=20, seed=2, least=2)
    pd.testing.assert_frame_equal(first, second)


def test_the_interval_holds_the_true_auroc_about_as_often_as_it_says() -> None:
    truth, held, rounds = 0.7602, 0, 60  # normal scores one standard deviation apart
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        y = np.tile([0.0, 1.0], 60)
        predictions = pd.DataFrame(
            {
                "cohort": np.repeat(["a", "b"], 60),
                "patient_id": [f"p{i}" for i in range(120)],
                "resistant": y,
                "score": y + rng.normal(size=120),
                "probability": 0.5,
            },
            index=[f"s{i}" for i in range(120)],
        )
        groups = pd.DataFrame({"all": "all"}, index=predictions.index)
        row = subgroup_table(predictions, groups, n_resamples=200, seed=seed).iloc[0]
        held += bool(row["low"] <= truth <= row["high"])
    assert 0.85 <= held / rounds <= 1.0


def test_small_levels_are_listed_without_figures_and_levels_without_a_pair_without_auroc() -> None:
    predictions = make_predictions(cohorts=1)
    few = predictions.index[:9]
    resistant = predictions.index[9:][predictions["resistant"].iloc[9:] == 1][:12]
    level = pd.Series("most", predictions.index)
    level[few], level[resistant] = "few", "resistant"
    table = subgroup_table(predictions, pd.DataFrame({"g": level}), n_resamples=20, seed=0)
    table = table.set_index("level")
    assert table.loc["few", "n"] == 9
    assert table.loc["few", FIGURES].isna().all()
    assert table.loc["resistant", ["n", "resistant"]].tolist() == [12, 12]
    assert table.loc["resistant", ["auroc", "low", "high"]].isna().all()
    assert table.loc["resistant", ["brier", "brier_low", "brier_high"]].notna().all()
    assert table.loc["most", FIGURES].notna().all()


def test_samples_without_label_score_or_level_take_no_part() -> None:
    predictions = make_predictions()
    groups = pd.DataFrame({"g": "x"}, index=predictions.index)
    whole = subgroup_table(predictions, groups, n_resamples=20, seed=0)
    added = predictions.iloc[:3].set_axis(["n1", "n2", "n3"])
    added["resistant"], added["score"] = [NAN, 1.0, 0.0], [1.0, NAN, 9.0]
    more = pd.concat([predictions, added])
    levels = groups.reindex(more.index)  # n3 has no level
    found = subgroup_table(more, levels, n_resamples=20, seed=0)
    pd.testing.assert_frame_equal(found.drop(columns=FIGURES), whole.drop(columns=FIGURES))
    assert found["auroc"][0] == whole["auroc"][0]


def test_groups_keep_their_order_and_categories_theirs() -> None:
    predictions = make_predictions()
    thirds = pd.Categorical(
        np.resize(["high", "low"], len(predictions)), ["low", "middle", "high"], ordered=True
    )
    groups = pd.DataFrame({"z": thirds, "a": "only"}, index=predictions.index)
    table = subgroup_table(predictions, groups, n_resamples=20, seed=0)
    assert list(zip(table["group"], table["level"], strict=True)) == [
        ("z", "low"),
        ("z", "high"),
        ("a", "only"),
    ]


def test_no_groups_and_no_usable_samples_give_an_empty_table_with_its_columns() -> None:
    predictions = make_predictions()
    nothing = subgroup_table(
        predictions, pd.DataFrame(index=predictions.index), n_resamples=5, seed=0
    )
    unlabelled = predictions.assign(resistant=NAN)
    none = subgroup_table(unlabelled, predictions[["cohort"]], n_resamples=5, seed=0)
    for table in (nothing, none):
        assert table.empty
        assert list(table.columns) == ["group", "level", "n", "resistant", "cohorts", *FIGURES]


def test_predictions_that_lack_a_column_are_refused() -> None:
    predictions = make_predictions().drop(columns="probability")
    with pytest.raises(ModelError, match="lack the columns \\['probability'\\]"):
        subgroup_table(predictions, predictions[["cohort"]], n_resamples=5, seed=0)


def test_samples_are_grouped_by_what_is_known_of_them() -> None:
    samples = pd.DataFrame(
        {
            "cohort": "c",
            "drug_class": ["anti_pd1_pdl1", "combination", None, "anti_ctla4"],
            "cancer_type": "melanoma",
            "timepoint": "unstated",
            "sex": ["female", "male", None, "male"],
            "age": [64.9, 65.0, NAN, 30.0],
            "stage": [3.0, 4.75, NAN, 4.0],
        },
        index=list("wxyz"),
    )
    features = pd.DataFrame({"caf_ecm": [0.1, 0.2, 0.3, 0.4]}, index=samples.index)
    groups = subgroup_columns(samples, features)
    assert list(groups.columns) == [
        *("drug_class", "cancer_type", "timepoint", "sex", "biopsy_site"),
        *("age", "stage", "purity"),
    ]
    assert groups.index.equals(samples.index)
    missing = groups.isna()
    assert groups["age"].where(~missing["age"], None).tolist() == ["<65", ">=65", None, "<65"]
    assert groups["stage"].where(~missing["stage"], None).tolist() == ["III", "IV", None, "IV"]
    assert groups["purity"].tolist() == ["high", "middle", "middle", "low"]
    assert missing["biopsy_site"].all()
    assert missing["sex"].tolist() == [False, False, True, False]


def test_thirds_of_purity_are_taken_within_the_cohort_and_ties_stay_together() -> None:
    stroma = [*range(9), *range(100, 109), 1.0, 1.0, 1.0, 1.0, 5.0, 6.0]
    samples = pd.DataFrame({"cohort": [*"a" * 9, *"b" * 9, *"c" * 4, *"d" * 2]})
    features = pd.DataFrame({"caf_ecm": stroma}, index=samples.index, dtype=float)
    purity = subgroup_columns(samples, features)["purity"]
    for cohort in "ab":
        found = purity[samples["cohort"] == cohort].tolist()
        assert found == ["high"] * 3 + ["middle"] * 3 + ["low"] * 3
    assert purity[samples["cohort"] == "c"].tolist() == ["middle"] * 4
    assert purity[samples["cohort"] == "d"].isna().all()


def test_the_markers_of_purity_are_in_the_catalogue_and_of_other_cells(
    catalogue: Catalogue,
) -> None:
    compartments = {marker.id: marker.compartment for marker in catalogue.markers}
    names = [name for group in PURITY_FEATURES.values() for name in group]
    assert {compartments[name] for name in names} <= {
        "t_cell",
        "b_cell",
        "myeloid",
        "stroma",
        "any",
    }
    assert set(names) <= {marker.id for marker in catalogue.markers_of("ici")}


def test_the_proxy_ranks_simulated_purity_and_immune_and_stroma_weigh_the_same() -> None:
    rng = np.random.default_rng(0)
    cohorts = pd.Series(np.repeat(["a", "b"], 100))
    purity = rng.uniform(0.1, 0.9, 200)
    names = [name for group in PURITY_FEATURES.values() for name in group]
    features = pd.DataFrame(
        {name: 1 - purity + rng.normal(0, 0.2, 200) + 5 * (cohorts == "b") for name in names}
    )
    proxy = purity_proxy(features, cohorts=cohorts)
    for cohort in "ab":
        rows = cohorts == cohort
        assert proxy[rows].corr(pd.Series(purity)[rows], method="spearman") > 0.85
        assert proxy[rows].mean() == pytest.approx(0.0, abs=1e-12)
    relative = features.groupby(cohorts).transform(lambda x: (x - x.mean()) / x.std(ddof=0))
    groups = [relative[list(names)].mean(axis=1) for names in PURITY_FEATURES.values()]
    np.testing.assert_allclose(proxy, -sum(groups) / 2, atol=1e-12)


def test_the_proxy_takes_what_is_measured_and_is_missing_where_nothing_is() -> None:
    cohorts = pd.Series(["a", "a", "a"])
    features = pd.DataFrame({"caf_ecm": [1.0, 2.0, NAN], "mapk": [1.0, 2.0, 3.0]})
    np.testing.assert_allclose(purity_proxy(features, cohorts=cohorts), [1.0, -1.0, NAN])
    assert purity_proxy(features[["mapk"]], cohorts=cohorts).isna().all()
