import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from features.errors import ModelError
from models.comparison import POOLED_ROWS, compare_with_peers, within_cohort_auroc
from models.meta_analysis import meta_analysis


def predictions(sizes: dict[str, int], *, effect: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parts = []
    for cohort, size in sizes.items():
        y = rng.permutation(np.arange(size) % 2).astype(float)
        frame = pd.DataFrame(
            {
                "cohort": cohort,
                "patient_id": [f"p{i}" for i in range(size)],
                "resistant": y,
                "score": rng.normal(size=size) + effect * y,
            },
            index=[f"{cohort}/s{i}" for i in range(size)],
        )
        parts.append(frame)
    return pd.concat(parts)


def noisy(frame: pd.DataFrame, *, effect: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return frame.assign(score=rng.normal(size=len(frame)) + effect * frame["resistant"])


SIZES = {"a": 40, "b": 60, "c": 24}


def compare(model: pd.DataFrame, peer: pd.DataFrame, *, n: int = 300, seed: int = 0):
    return compare_with_peers(
        model, {"peer": peer}, n_resamples=n, n_permutations=n, seed=seed
    ).set_index("cohort")


def test_differences_are_those_of_scikit_learn_per_cohort_and_pooled():
    model = predictions(SIZES, effect=1.5, seed=0)
    peer = noisy(model, effect=0.3, seed=1)
    table = compare(model, peer)
    assert list(table.index) == [*SIZES, *POOLED_ROWS]
    aurocs, won, total = [], [], []
    for cohort, part in model.groupby("cohort"):
        y = part["resistant"]
        both = [roc_auc_score(y, frame.loc[part.index, "score"]) for frame in (model, peer)]
        assert table.loc[cohort, ["auroc_model", "auroc_peer"]].tolist() == pytest.approx(both)
        aurocs.append(both)
        total.append(y.sum() * (1 - y).sum())
        won.append(np.multiply(both, total[-1]))
    expected = np.mean(aurocs, axis=0)
    assert table.loc["mean", "difference"] == pytest.approx(expected[0] - expected[1])
    pooled = np.sum(won, axis=0) / np.sum(total)
    row = table.loc["within_cohort_pairs"]
    assert [row["auroc_model"], row["auroc_peer"]] == pytest.approx(pooled.tolist())
    assert (table["low"] < table["difference"]).all()
    assert (table["difference"] < table["high"]).all()
    assert table.loc["mean", "n"] == len(model)


def test_random_effects_pool_the_differences_of_the_cohorts():
    model = predictions(SIZES, effect=1.5, seed=0)
    table = compare(model, noisy(model, effect=0.3, seed=1))
    own = table.loc[list(SIZES)]
    expected = meta_analysis(own["difference"], own["standard_error"])
    row = table.loc["random_effects"]
    assert row["difference"] == pytest.approx(expected.estimate)
    assert row["i2"] == pytest.approx(expected.i2)
    assert row["p_value"] == pytest.approx(expected.p_value)
    assert np.isnan(row["auroc_model"])


def test_a_model_against_itself_differs_by_nothing():
    model = predictions(SIZES, effect=1.0, seed=3)
    table = compare(model, model.assign(score=3 * model["score"] - 7))
    np.testing.assert_array_equal(table["difference"].drop("random_effects"), 0.0)
    np.testing.assert_array_equal(table["p_value"].drop("random_effects"), 1.0)


@pytest.mark.slow
def test_the_permutation_test_agrees_with_the_enumeration_of_all_swaps():
    model = predictions({"a": 10}, effect=1.5, seed=5)
    peer = noisy(model, effect=0.0, seed=6)
    y = model["resistant"].to_numpy()
    ranks = np.stack([frame["score"].rank().to_numpy() for frame in (model, peer)])
    observed = roc_auc_score(y, ranks[0]) - roc_auc_score(y, ranks[1])
    extreme = 0
    for swap in itertools.product([False, True], repeat=10):
        first = np.where(swap, ranks[1], ranks[0])
        second = np.where(swap, ranks[0], ranks[1])
        difference = roc_auc_score(y, first) - roc_auc_score(y, second)
        extreme += abs(difference) >= abs(observed) - 1e-12
    table = compare_with_peers(
        model, {"peer": peer}, n_resamples=2, n_permutations=20_000, seed=0
    ).set_index("cohort")
    assert table.loc["a", "p_value"] == pytest.approx(extreme / 2**10, abs=0.012)


@pytest.mark.slow
def test_p_values_of_equal_peers_are_uniform_enough():
    found = []
    for seed in range(120):
        model = predictions({"a": 30, "b": 30}, effect=0.8, seed=seed)
        peer = noisy(model, effect=0.8, seed=1000 + seed)
        found.append(compare(model, peer, n=99, seed=seed).loc["within_cohort_pairs", "p_value"])
    assert 0 <= np.mean(np.array(found) <= 0.05) <= 0.1
    assert np.mean(found) == pytest.approx(0.5, abs=0.09)


def test_a_patients_samples_are_swapped_together():
    model = predictions({"a": 12}, effect=1.0, seed=2)
    peer = noisy(model, effect=0.0, seed=3)
    single = model.assign(patient_id="only one")
    table = compare(single, peer)
    assert table.loc["a", "p_value"] == 1.0  # two permutations, mirror images of one another


def test_samples_without_a_score_of_the_peer_are_left_out_for_both():
    model = predictions(SIZES, effect=1.0, seed=4)
    peer = noisy(model, effect=0.5, seed=5)
    gone = [f"a/s{i}" for i in range(7)]
    holes = peer.copy()
    holes.loc[gone, "score"] = np.nan
    as_missing = compare(model, holes)
    as_absent = compare(model, peer.drop(index=gone))
    unlabelled = model.copy()
    unlabelled.loc[gone, "resistant"] = np.nan
    pd.testing.assert_frame_equal(as_missing, as_absent)
    pd.testing.assert_frame_equal(as_missing, compare(unlabelled, peer))
    assert as_missing.loc["a", "n"] == 33
    kept = model.drop(index=gone)
    kept = kept[kept["cohort"] == "a"]
    assert as_missing.loc["a", "auroc_model"] == pytest.approx(
        roc_auc_score(kept["resistant"], kept["score"])
    )


def test_cohorts_without_both_classes_are_shown_but_not_pooled():
    model = predictions(SIZES, effect=1.0, seed=4)
    model.loc[model["cohort"] == "c", "resistant"] = 1.0
    peer = noisy(model, effect=0.5, seed=5)
    table = compare(model, peer)
    assert np.isnan(table.loc["c", ["difference", "p_value"]].astype(float)).all()
    assert table.loc["mean", "n"] == 100
    assert table.loc["mean", "difference"] == pytest.approx(
        table.loc[["a", "b"], "difference"].mean()
    )
    nothing = compare(model, peer.assign(score=np.nan))
    assert nothing.loc["mean", "n"] == 0
    assert nothing["difference"].isna().all()


def test_a_cohorts_row_does_not_depend_on_the_cohorts_beside_it_nor_on_their_order():
    model = predictions(SIZES, effect=1.0, seed=4)
    peer = noisy(model, effect=0.5, seed=5)
    together, alone = compare(model, peer), compare(model[model["cohort"] == "b"], peer)
    pd.testing.assert_series_equal(together.loc["b"], alone.loc["b"], check_dtype=False)
    turned = compare(model.loc[model.index[::-1]], peer)
    np.testing.assert_allclose(
        turned["difference"].astype(float), together["difference"].astype(float), atol=0.02
    )


def test_within_cohort_pairs_ignore_shifts_between_cohorts():
    model = predictions(SIZES, effect=1.0, seed=0)
    shifted = model.assign(score=model["score"] + model["cohort"].map({"a": 0, "b": 9, "c": -9}))
    before, after = (within_cohort_auroc(x, n_resamples=50, seed=0) for x in (model, shifted))
    assert before == after
    alone = model[model["cohort"] == "a"]
    assert within_cohort_auroc(alone, n_resamples=50, seed=0).value == pytest.approx(
        roc_auc_score(alone["resistant"], alone["score"])
    )


def test_a_peer_without_scores_column_is_named():
    model = predictions(SIZES, effect=1.0, seed=0)
    with pytest.raises(ModelError, match="peer 'tide' lack the columns"):
        compare_with_peers(
            model, {"tide": model[["cohort"]]}, n_resamples=2, n_permutations=2, seed=0
        )


def der_simonian_laird(effect: np.ndarray, error: np.ndarray) -> tuple[float, float, float, float]:
    weight = 1 / error**2
    fixed = (weight * effect).sum() / weight.sum()
    q = (weight * (effect - fixed) ** 2).sum()
    scale = weight.sum() - (weight**2).sum() / weight.sum()
    tau2 = max(0.0, (q - (effect.size - 1)) / scale)
    weight = 1 / (error**2 + tau2)
    return (weight * effect).sum() / weight.sum(), weight.sum() ** -0.5, tau2, q


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.3])
def test_meta_analysis_follows_the_published_formula(spread):
    rng = np.random.default_rng(1)
    error = rng.uniform(0.05, 0.2, 9)
    effect = 0.1 + rng.normal(size=9) * np.sqrt(spread**2 + error**2 * (spread > 0))
    found = meta_analysis(effect, error)
    estimate, standard_error, tau2, q = der_simonian_laird(effect, error)
    assert found.estimate == pytest.approx(estimate)
    assert found.standard_error == pytest.approx(standard_error)
    assert found.tau2 == pytest.approx(tau2)
    assert found.q == pytest.approx(q, abs=1e-12)
    assert found.i2 == pytest.approx(max(0.0, 1 - 8 / q) if q > 1e-9 else 0.0)
    assert found.low == pytest.approx(estimate - 1.959964 * standard_error)
    reach = 2.364624 * np.sqrt(tau2 + standard_error**2)  # t with 7 degrees of freedom
    assert found.predicted_high == pytest.approx(estimate + reach)


def test_meta_analysis_leaves_out_what_has_no_error_and_bears_one_or_no_cohort():
    found = meta_analysis([0.1, 0.3, np.nan, 5.0], [0.1, 0.1, 0.1, 0.0])
    assert found.count == 2
    assert found.estimate == pytest.approx(0.2)
    one = meta_analysis([0.1], [0.05])
    assert (one.estimate, one.standard_error) == (0.1, 0.05)
    assert np.isnan(one.i2)
    assert np.isnan(meta_analysis([], []).estimate)
