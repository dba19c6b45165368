from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from features.errors import CohortError
from models.baselines import predict_baseline, predict_signatures
from models.calibration_choice import choose_calibrator
from models.candidates import Candidate, CandidateBuilder, resistance_score
from models.classifier import ResistanceClassifier
from models.conformal import ConformalSets
from models.learner import Learner, shuffle_labels
from models.metrics import evaluate_predictions
from models.signatures import SIGNATURES
from models.splits import Split, grouped_splits, leave_one_cohort_out_splits, patient_keys
from models.tuning import Tuner
from models.validation import predict_out_of_fold

pytestmark = pytest.mark.slow

LINE = Candidate("line", "linear", settings={"alpha": 0.05})
NARROW = Candidate("narrow", "linear", features="mechanisms", weights="cohorts")
TREES = Candidate("trees", "boosted", settings={"n_estimators": 15, "n_seeds": 1})
AVERAGE = Candidate("average", "average", members=(LINE, TREES))
LINES = Tuner((LINE, NARROW))
ARMS = ("cohort", "reference")
SETS = ["in_responsive", "in_resistant"]


def simulated(*, effect: float = 2.0, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Four cohorts of 30; feature a drives resistance, batch shifts every feature by cohort."""
    rng = np.random.default_rng(seed)
    cohort = np.repeat(["w", "x", "y", "z"], 30)
    X = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("abc"))
    resistant = (rng.random(120) < expit(effect * X["a"])).astype(float)
    resistant[::17] = np.nan
    X += pd.Series(cohort).map({"w": 0.0, "x": 3.0, "y": -2.0, "z": 9.0}).to_numpy()[:, None]
    samples = pd.DataFrame(
        {"cohort": cohort, "patient_id": [f"p{i // 2}" for i in range(120)], "resistant": resistant}
    )
    index = [f"s{i}" for i in range(120)]
    return X.set_axis(index), samples.set_axis(index)


def learner_of(X, samples, *, arm="cohort", features_of=None) -> Learner:
    build = CandidateBuilder(("a", "b", "c"), ("b", "c"), {}, seed=0, n_jobs=1)
    return Learner(samples, features_of or (lambda cohorts: X), build, arm, min_cohort_size=15)


def run(X, samples, *, tuner=LINES, arm="cohort", splits=None, **options):
    splits = splits or leave_one_cohort_out_splits(samples)
    return predict_out_of_fold(learner_of(X, samples, arm=arm), splits, tuner=tuner, **options)


def loco_auroc(predictions: pd.DataFrame) -> float:
    return evaluate_predictions(predictions, n_resamples=2, seed=0)["auroc"].value


def test_planted_signal_is_found_out_of_cohort_whatever_the_batch():
    X, samples = simulated()
    found = run(X, samples)
    assert loco_auroc(found.predictions) > 0.75
    assert set(found.predictions.index) == set(samples.index)
    assert [choice.name for choice in found.choices] == ["line"] * 4


def test_what_a_fold_chose_is_told():
    X, samples = simulated()
    found = run(X, samples, tuner=Tuner((NARROW, AVERAGE, LINE)))
    assert found.folds["split"].tolist() == ["w", "x", "y", "z"]
    assert found.folds["candidate"].tolist() == [choice.name for choice in found.choices]
    assert found.folds["configuration"].tolist() == [choice.key for choice in found.choices]
    assert found.folds["calibration"].isin(["platt", "beta", "isotonic"]).all()
    labelled = samples["resistant"].notna()
    for row in found.folds.to_dict("records"):
        assert row["n_train"] == (labelled & (samples["cohort"] != row["split"])).sum()
    counts = found.trials.groupby("split")["candidate"].agg(sorted)
    assert counts.tolist() == [["average", "line", "narrow"]] * 4


@pytest.mark.parametrize("arm", ARMS)
def test_the_features_of_a_split_are_learned_without_the_cohort_held_out(arm):
    X, samples = simulated()
    for split in leave_one_cohort_out_splits(samples)[1:3]:
        asked = []

        def features_of(cohorts, asked=asked):
            asked.append(tuple(cohorts))
            return X

        learner = learner_of(X, samples, arm=arm, features_of=features_of)
        predict_out_of_fold(learner, [split], tuner=LINES)
        training = tuple(name for name in "wxyz" if name != split.name)
        inner = [tuple(name for name in training if name != one) for one in training]
        assert sorted(asked) == sorted([training, *inner])


@pytest.mark.parametrize("arm", ARMS)
def test_the_held_out_cohorts_values_standardise_no_training_sample(arm):
    X, samples = simulated()
    held_out = samples["cohort"] == "z"
    strange = X.where(~held_out, 1e6)
    train = np.flatnonzero(~held_out)
    first, second = (learner_of(table, samples, arm=arm) for table in (X, strange))
    pd.testing.assert_frame_equal(
        first.table(train).iloc[train], second.table(train).iloc[train], check_exact=True
    )
    pd.testing.assert_series_equal(
        first.inner_scores(LINE, train), second.inner_scores(LINE, train), check_exact=True
    )


@pytest.mark.parametrize("arm", ARMS)
def test_labels_of_the_held_out_cohort_never_enter_its_predictions(arm):
    X, samples = simulated()
    rows = samples.index[samples["cohort"] == "z"]
    changed = samples.copy()
    changed.loc[rows, "resistant"] = 1.0 - changed.loc[rows, "resistant"]
    tuner = Tuner((LINE, NARROW, AVERAGE))
    splits = leave_one_cohort_out_splits(samples)[2:]  # y and z
    first, second = (
        run(X, table, arm=arm, tuner=tuner, splits=splits) for table in (samples, changed)
    )
    columns = ["score", "probability", "prior", *SETS]
    pd.testing.assert_frame_equal(
        first.predictions.loc[rows, columns],
        second.predictions.loc[rows, columns],
        check_exact=True,
    )
    for table in ("folds", "trials"):
        of_z = [getattr(found, table).query("split == 'z'") for found in (first, second)]
        pd.testing.assert_frame_equal(*of_z, check_exact=True)
    assert first.choices[1] == second.choices[1]
    # The same labels do train the model of the other cohort.
    others = samples.index[samples["cohort"] == "y"]
    scores = [found.predictions.loc[others, "score"] for found in (first, second)]
    assert not np.allclose(*scores)


def test_calibration_and_sets_are_fitted_on_inner_out_of_cohort_scores():
    X, samples = simulated()
    split = leave_one_cohort_out_splits(samples)[1]
    learner = learner_of(X, samples)
    found = predict_out_of_fold(learner, [split], tuner=Tuner((LINE,))).predictions
    rows = samples.iloc[learner.labelled(split.train)]
    by_hand = []
    for cohort in "wyz":
        train = np.flatnonzero(samples["cohort"].isin(set("wyz") - {cohort}))
        scores = learner_of(X, samples).scores(LINE, train)
        by_hand.append(scores[rows.index[rows["cohort"] == cohort]])
    inner = pd.concat(by_hand)
    y = rows["resistant"].astype(int)
    calibrator = choose_calibrator(inner, y, groups=rows["cohort"]).calibrator
    sets = ConformalSets(coverage=0.9).fit(inner, y).predict_set(found["score"])
    np.testing.assert_array_equal(found["probability"], calibrator.predict(found["score"]))
    np.testing.assert_array_equal(found[SETS], sets)
    assert (found["prior"] == y.mean()).all()


def test_a_cohorts_response_rate_does_not_tell_its_inner_scores_apart():
    """Without signal, a model that lacks a resistant cohort starts lower, just where it tests."""
    X, samples = simulated(effect=0.0)
    shares = samples["cohort"].map({"w": 0.2, "x": 0.4, "y": 0.6, "z": 0.8})
    chance = np.random.default_rng(3).random(len(samples))
    samples = samples.assign(resistant=(chance < shares).astype(float))
    constant = replace(LINE, settings={"alpha": 100.0, "l1_ratio": 1.0})
    inner = learner_of(X, samples).inner_scores(constant, np.arange(120))
    np.testing.assert_allclose(inner, 0.0, atol=0.05)


def test_remembered_scores_equal_fresh_ones():
    X, samples = simulated()
    used = learner_of(X, samples, arm="reference")
    splits = leave_one_cohort_out_splits(samples)[:2]
    predict_out_of_fold(used, splits, tuner=Tuner((LINE, NARROW, AVERAGE)))
    for candidate in (LINE, NARROW, TREES, AVERAGE):
        for split in splits:
            fresh = learner_of(X, samples, arm="reference").scores(candidate, split.train)
            pd.testing.assert_series_equal(
                used.scores(candidate, split.train), fresh, check_exact=True
            )
    train = splits[0].train
    model = resistance_score(used.fit(AVERAGE, train), used.table(train))
    np.testing.assert_allclose(used.scores(AVERAGE, train), model, atol=1e-12)


def test_candidates_of_one_name_but_other_settings_are_not_taken_for_each_other():
    X, samples = simulated()
    learner, train = learner_of(X, samples), np.arange(90)
    strict = replace(LINE, settings={"alpha": 5.0})
    assert not np.allclose(learner.scores(LINE, train), learner.scores(strict, train))


def test_unlabelled_samples_are_predicted_but_train_nothing():
    X, samples = simulated()
    unlabelled = samples["resistant"].isna()
    train = np.flatnonzero(samples["cohort"] != "z")
    kept = np.flatnonzero((samples["cohort"] != "z") & ~unlabelled)
    learner = learner_of(X, samples)
    np.testing.assert_array_equal(learner.labelled(train), kept)
    assert learner.inner_scores(LINE, train).index.equals(samples.index[kept])
    found = run(X, samples).predictions
    assert found.loc[unlabelled, ["score", "probability"]].notna().all().all()


def test_attributions_sum_to_the_calibrated_log_odds():
    X, samples = simulated()
    found = run(X, samples, tuner=Tuner((AVERAGE,)), with_attributions=True)
    total = found.attributions.values.sum(axis=1) + found.attributions.base_value
    np.testing.assert_allclose(total, logit(found.predictions["probability"]), atol=1e-6)
    assert run(X, samples).attributions is None


def test_shuffled_labels_give_no_signal_with_the_choice_inside():
    X, samples = simulated(effect=3.0)
    learner, splits = learner_of(X, samples), leave_one_cohort_out_splits(samples)
    tuner = Tuner((LINE, NARROW, replace(LINE, name="strict", settings={"alpha": 0.5})))
    rng = np.random.default_rng(0)
    values = [
        loco_auroc(
            predict_out_of_fold(learner.with_labels_shuffled(rng), splits, tuner=tuner).predictions
        )
        for _ in range(12)
    ]
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values) - 0.5) < 2.1 * error + 0.01
    assert loco_auroc(predict_out_of_fold(learner, splits, tuner=tuner).predictions) > 0.75


def test_a_learner_with_labels_shuffled_remembers_no_score_of_the_true_ones():
    X, samples = simulated()
    learner, train = learner_of(X, samples), np.arange(90)
    true = learner.scores(LINE, train)
    shuffled = learner.with_labels_shuffled(np.random.default_rng(0))
    fresh = learner_of(X, shuffled.samples).scores(LINE, train)
    pd.testing.assert_series_equal(shuffled.scores(LINE, train), fresh)
    assert not np.allclose(fresh, true)
    pd.testing.assert_series_equal(learner.scores(LINE, train), true)


def test_shuffling_keeps_each_cohorts_labels():
    _, samples = simulated()
    shuffled = shuffle_labels(samples, rng=np.random.default_rng(1))
    counts = samples.groupby("cohort")["resistant"].sum()
    pd.testing.assert_series_equal(shuffled.groupby("cohort")["resistant"].sum(), counts)
    assert shuffled["resistant"].isna().equals(samples["resistant"].isna())
    assert not shuffled["resistant"].equals(samples["resistant"])


def test_a_patient_on_both_sides_stops_the_validation():
    X, samples = simulated()
    leak = Split("leaky", np.arange(0, 119), np.array([119]))
    with pytest.raises(CohortError, match="patients on both sides"):
        run(X, samples, splits=[leak])
    with pytest.raises(CohortError, match="patients on both sides"):
        baseline(X, samples, splits=[leak])


def test_grouped_folds_choose_and_calibrate_inside_too():
    X, samples = simulated()
    folds = grouped_splits(samples, n_splits=3, n_repeats=1, seed=0)
    found = run(X, samples, splits=folds, scheme="nested").predictions
    assert found["probability"].between(0, 1).all()
    assert found[SETS].dtypes.eq(bool).all()
    assert evaluate_predictions(found, n_resamples=20, seed=0)["brier"].value < 0.25


def test_one_cohort_is_validated_in_folds_of_its_patients():
    X, samples = simulated()
    alone = samples[samples["cohort"] == "x"]
    folds = grouped_splits(alone, n_splits=3, n_repeats=1, seed=0)
    found = run(X.loc[alone.index], alone, splits=folds).predictions
    assert set(found.index) == set(alone.index[alone["resistant"].notna()])


def test_each_arm_and_scheme_has_trials_of_its_own(tmp_path):
    X, samples = simulated()
    tuner = Tuner((LINE, NARROW), storage=f"sqlite:///{tmp_path / 'trials.db'}", key="data")
    splits = leave_one_cohort_out_splits(samples)[:1]
    for arm in ARMS:
        kept = run(X, samples, arm=arm, splits=splits, tuner=tuner)
        resumed = run(X, samples, arm=arm, splits=splits, tuner=tuner)
        memory = run(X, samples, arm=arm, splits=splits)
        for found in (kept, resumed):
            pd.testing.assert_frame_equal(found.predictions, memory.predictions)
            pd.testing.assert_frame_equal(found.trials, memory.trials)


def baseline(X, samples, *, arm="cohort", splits=None) -> pd.DataFrame:
    return predict_baseline(
        samples,
        splits or leave_one_cohort_out_splits(samples),
        features_of=lambda cohorts: X,
        make_classifier=lambda: ResistanceClassifier(n_seeds=1, n_estimators=15),
        standardisation=arm,
        min_cohort_size=15,
    )


def test_a_baseline_gives_its_own_probabilities_on_the_same_samples():
    X, samples = simulated()
    found, model = baseline(X, samples), run(X, samples).predictions
    assert found.index.equals(model.index)
    assert list(found.columns) == [name for name in model.columns if name not in SETS]
    np.testing.assert_array_equal(found["prior"], model["prior"])
    np.testing.assert_allclose(found["probability"], expit(found["score"]))
    within = X.groupby(samples["cohort"]).transform(lambda part: (part - part.mean()) / part.std())
    train = (samples["cohort"] != "w") & samples["resistant"].notna()
    by_hand = ResistanceClassifier(n_seeds=1, n_estimators=15).fit(
        within[train], samples.loc[train, "resistant"], groups=patient_keys(samples[train])
    )
    held_out = samples["cohort"] == "w"
    y = samples.loc[held_out, "resistant"].dropna()
    mine = roc_auc_score(y, by_hand.decision_function(within.loc[y.index]))
    assert roc_auc_score(y, found.loc[y.index, "score"]) == pytest.approx(mine, abs=0.01)


def signature_table(samples: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        rng.normal(size=(len(samples), len(SIGNATURES))),
        columns=list(SIGNATURES),
        index=samples.index,
    )


def signatures(samples: pd.DataFrame, scores: pd.DataFrame, *, arm="cohort"):
    return predict_signatures(
        samples,
        leave_one_cohort_out_splits(samples),
        scores=scores,
        standardisation=arm,
        min_cohort_size=15,
    )


def test_signatures_and_the_prior_are_predicted_on_the_same_samples():
    _, samples = simulated()
    scores = signature_table(samples).assign(further=samples["resistant"].fillna(0.5))
    found = signatures(samples, scores)
    assert set(found) == {*SIGNATURES, "further", "prior"}
    for predictions in found.values():
        assert set(predictions.index) == set(samples.index)
    assert loco_auroc(found["further"]) == 1.0
    held = samples["cohort"] == "w"
    expected = samples.loc[~held, "resistant"].mean()
    np.testing.assert_allclose(found["prior"].loc[held, "probability"], expected)
    np.testing.assert_allclose(found["prior"].loc[held, "score"], logit(expected))


def test_a_signature_not_measured_in_a_cohort_leaves_its_samples_without_a_score():
    _, samples = simulated()
    scores = signature_table(samples)
    scores.loc[samples["cohort"] == "y", "cd8"] = np.nan
    for arm in ARMS:
        found = signatures(samples, scores, arm=arm)["cd8"]
        assert (found["score"].isna() == (found["cohort"] == "y")).all()
