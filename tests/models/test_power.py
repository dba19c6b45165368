from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from models.candidates import Candidate, CandidateBuilder
from models.learner import Learner
from models.plan import ValidationPlan, make_plan
from models.power import learning_curve, null_auroc
from models.splits import leave_one_cohort_out_splits
from models.tuning import Tuner
from models.validation import predict_out_of_fold

LINE = Candidate("line", "linear", settings={"alpha": 0.1})
STRICT = Candidate("strict", "linear", settings={"alpha": 2.0})
TUNER = Tuner((LINE, STRICT))


def simulated(*, effect: float = 1.2, n_noise: int = 12) -> tuple[Learner, ValidationPlan]:
    """Five cohorts of 30, many features without signal, so that more cohorts help."""
    rng = np.random.default_rng(0)
    names = ["a", *(f"noise{i}" for i in range(n_noise))]
    index = [f"s{i}" for i in range(150)]
    X = pd.DataFrame(rng.normal(size=(150, len(names))), columns=names, index=index)
    samples = pd.DataFrame(
        {
            "cohort": np.repeat(list("vwxyz"), 30),
            "patient_id": [f"p{i}" for i in range(150)],
            "cancer_type": "lung",
            "resistant": (rng.random(150) < expit(effect * X["a"])).astype(float),
        },
        index=index,
    )
    samples.loc[index[::29], "resistant"] = np.nan
    build = CandidateBuilder(tuple(names), (), {}, seed=0)
    learner = Learner(samples, lambda cohorts: X, build, "cohort", 15)
    return learner, make_plan(samples, n_splits=2, n_repeats=1, seed=0)


def test_the_learning_curve_rises_with_the_training_cohorts():
    learner, _ = simulated()
    curve = learning_curve(learner, dict.fromkeys("vwxyz", LINE), draws=4, seed=0)
    assert list(curve.columns) == ["n_cohorts", "value", "low", "high", "n_models"]
    assert curve["n_cohorts"].tolist() == [1, 2, 3, 4]
    assert curve["n_models"].tolist() == [20, 20, 20, 5]
    assert (curve["low"] <= curve["value"]).all()
    assert (curve["value"] <= curve["high"]).all()
    assert curve["value"].iloc[-1] > curve["value"].iloc[0]


def test_its_last_point_is_the_leave_one_cohort_out_figure():
    learner, _ = simulated()
    chosen = {name: (LINE, STRICT)[number % 2] for number, name in enumerate("vwxyz")}
    last = learning_curve(learner, chosen, draws=1, seed=0).iloc[-1]
    values = []
    for split in leave_one_cohort_out_splits(learner.samples):
        test = learner.labelled(split.test)
        score = learner.scores(chosen[split.name], split.train).iloc[test]
        values.append(roc_auc_score(learner.samples["resistant"].iloc[test], score))
    assert last["value"] == pytest.approx(np.mean(values))


def test_the_curve_depends_on_its_seed_alone():
    learner, _ = simulated(n_noise=3)
    chosen = dict.fromkeys("vwxyz", LINE)
    first, again, other = (learning_curve(learner, chosen, draws=2, seed=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_a_held_out_cohort_of_one_class_has_no_place_in_the_curve():
    learner, _ = simulated(n_noise=3)
    samples = learner.samples.copy()
    samples.loc[samples["cohort"] == "v", "resistant"] = 1.0
    one_class = replace(learner, samples=samples, _scores={})
    curve = learning_curve(one_class, dict.fromkeys("vwxyz", LINE), draws=10, seed=0)
    # Neither as the cohort held out, nor as the only training cohort.
    assert curve["n_models"].tolist() == [12, 24, 16, 4]
    assert curve["value"].notna().all()


@pytest.mark.slow
def test_without_signal_the_whole_pipeline_ranks_at_chance():
    learner, plan = simulated(effect=4.0, n_noise=3)
    stages = []
    null = null_auroc(learner, plan, tuner=TUNER, permutations=10, seed=0, progress=stages.append)
    assert null["permutation"].tolist() == list(range(10))
    error = null["auroc"].std(ddof=1) / np.sqrt(10)
    assert abs(null["auroc"].mean() - 0.5) < 2.3 * error + 0.01
    true = predict_out_of_fold(learner, plan.schemes["loco"], tuner=TUNER).predictions
    known = true[true["resistant"].notna()]
    observed = known.groupby("cohort")[["resistant", "score"]].apply(
        lambda part: roc_auc_score(part["resistant"], part["score"])
    )
    assert observed.mean() > null["auroc"].max()
    assert stages == [f"labels shuffled, {number} of 10" for number in range(1, 11)]


@pytest.mark.slow
def test_the_null_goes_on_where_it_was_and_never_takes_a_trial_of_the_true_labels(tmp_path):
    learner, plan = simulated(n_noise=3)
    expected = null_auroc(learner, plan, tuner=TUNER, permutations=3, seed=0)
    kept = replace(TUNER, storage=f"sqlite:///{tmp_path / 'trials.db'}", key="data")
    predict_out_of_fold(learner, plan.schemes["loco"], tuner=kept)
    calls = []

    def remembered(number, measure):
        found = kept.remembered("null")(number, lambda: calls.append(number) or measure())
        if calls == [0, 1]:
            calls.append("killed")
            raise KeyboardInterrupt
        return found

    options = {"tuner": kept, "permutations": 3, "seed": 0, "remembered": remembered}
    with pytest.raises(KeyboardInterrupt):
        null_auroc(learner, plan, **options)
    found = null_auroc(learner, plan, **options)
    assert calls == [0, 1, "killed", 2]
    pd.testing.assert_frame_equal(found, expected)
