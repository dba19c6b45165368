"""Recalibration of a frozen model: what moves, what stays, and how its worth is told."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from features.errors import ModelError
from models.calibration import PlattCalibrator, fit_intercept
from models.conformal import ConformalSets
from models.recalibration import base_rate_of, recalibrate, recalibration_of
from models.resistance_model import ModelArm, ResistanceModel

SOURCE = {"cohort": "new", "expression": "abcd", "model": "models:/made/1"}


@pytest.fixture(scope="module")
def model(catalogue) -> ResistanceModel:
    """A model of which only calibrators and sets matter here."""
    rng = np.random.default_rng(1)
    scores = rng.normal(0.0, 2.0, 400)
    y = (rng.random(400) < expit(scores)).astype(float)
    arm = ModelArm(
        None, PlattCalibrator().fit(scores, y), ConformalSets().fit(scores, y), None, 0.5
    )
    arms = {"cohort": arm, "reference": arm}
    return ResistanceModel("ici", catalogue, None, arms, None, 15, {"git_commit": "abc"})


def samples(n: int, *, shift: float = 1.0, seed: int = 2) -> pd.DataFrame:
    """Return labelled samples, two of every third patient, whose log-odds are too low by shift."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0.0, 1.0, n)
    patients = [f"p{i - 1 if i % 3 == 1 else i}" for i in range(n)]
    return pd.DataFrame(
        {
            "cohort": "new",
            "patient_id": patients,
            "log_odds": log_odds,
            "resistant": (rng.random(n) < expit(log_odds + shift)).astype(float),
        },
        index=[f"s{i}" for i in range(n)],
    )


def smoothed_share(y: "pd.Series[float]") -> float:
    """Return the mean of Platt's targets: (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2)."""
    n, resistant = len(y), y.sum()
    targets = y.map({1.0: (resistant + 1) / (resistant + 2), 0.0: 1 / (n - resistant + 2)})
    return float(targets.mean())


@pytest.mark.slow
def test_the_intercept_moves_by_what_the_cohort_differs_and_nothing_else_does(model) -> None:
    new = samples(4000)
    found = recalibrate(model, new, standardisation="cohort", source=SOURCE)
    assert found.delta == pytest.approx(1.0, abs=0.15)
    before, after = model.arms["cohort"], found.model.arms["cohort"]
    log_odds = new["log_odds"].to_numpy()
    moved = logit(after.calibrator.predict(log_odds)) - logit(before.calibrator.predict(log_odds))
    np.testing.assert_allclose(moved, found.delta, atol=1e-9)
    mean = after.calibrator.predict(log_odds).mean()
    assert mean == pytest.approx(new["resistant"].mean(), abs=1e-3)  # smoothed targets
    assert (after.classifier, after.sets, after.standardiser) == (None, before.sets, None)
    assert found.model.arms["reference"] is model.arms["reference"]
    assert model.arms["cohort"] is before


def test_the_threshold_becomes_the_cohort_s_own_smoothed_share_of_resistant_samples(model) -> None:
    # Fixed: the base rate of training stayed, from which on every recalibrated sample is resistant.
    new = samples(60, shift=2.0)
    found = recalibrate(model, new, standardisation="cohort", source=SOURCE)
    expected = smoothed_share(new["resistant"])
    assert expected > 0.6
    assert found.base_rate == pytest.approx(expected, abs=1e-9)
    assert found.model.arms["cohort"].threshold == found.base_rate
    assert model.arms["cohort"].threshold == found.model.arms["reference"].threshold == 0.5
    called = found.model.arms["cohort"].calibrator.predict(new["log_odds"]) >= found.base_rate
    assert 0.3 < called.mean() < 0.7
    assert found.model.facts["recalibrations"][0]["base_rate"] == found.base_rate


def test_whose_base_rate_an_arm_has_is_known(model) -> None:
    once = recalibrate(model, samples(60), standardisation="cohort", source=SOURCE).model
    again = {**SOURCE, "cohort": "newer"}
    twice = recalibrate(once, samples(60, seed=4), standardisation="cohort", source=again).model
    assert base_rate_of(model, standardisation="cohort") == "training"
    assert base_rate_of(once, standardisation="cohort") == "cohort 'new'"
    assert base_rate_of(once, standardisation="reference") == "training"
    assert base_rate_of(twice, standardisation="cohort") == "cohort 'newer'"


def test_no_sample_has_a_probability_from_a_shift_that_its_patient_entered(model) -> None:
    new = samples(60)
    found = recalibrate(model, new, standardisation="cohort", source=SOURCE)
    frozen = model.arms["cohort"].calibrator
    own = logit(found.cross_fitted["probability"]) - frozen.calibrated_log_odds(new["log_odds"])
    folds = own.round(9).groupby(own.round(9)).groups
    assert len(folds) == found.n_folds == 10
    for delta, held in folds.items():
        rest = new.drop(index=held)
        assert not set(rest["patient_id"]) & set(new.loc[held, "patient_id"])
        expected = fit_intercept(frozen, rest["log_odds"], rest["resistant"]).delta
        assert delta == pytest.approx(expected, abs=1e-8)
        rate = smoothed_share(rest["resistant"])
        np.testing.assert_allclose(found.cross_fitted.loc[held, "prior"], rate, atol=1e-9)


@pytest.mark.slow
def test_cross_fitting_does_not_set_label_and_shift_against_each_other(model) -> None:
    # Leaving out one sample at a time would: the shift without a resistant sample is the lower.
    def lead_of_the_resistant(shift: "pd.Series[float]", y: "pd.Series[float]") -> float:
        return float(shift[y == 1].mean() - shift[y == 0].mean())

    frozen, folds, one_out = model.arms["cohort"].calibrator, [], []
    for seed in range(8):
        new = samples(60, seed=seed)
        found = recalibrate(model, new, standardisation="cohort", source=SOURCE)
        calibrated = frozen.calibrated_log_odds(new["log_odds"])
        shift = logit(found.cross_fitted["probability"]) - calibrated
        folds.append(lead_of_the_resistant(shift, new["resistant"]))
        rest = [new.drop(index=name) for name in new.index]
        deltas = [fit_intercept(frozen, part["log_odds"], part["resistant"]).delta for part in rest]
        one_out.append(lead_of_the_resistant(pd.Series(deltas, new.index), new["resistant"]))
    assert np.mean(one_out) < -0.05
    assert abs(np.mean(folds)) < 0.03


def test_unlabelled_samples_take_no_part(model) -> None:
    new = samples(60)
    more = pd.concat([new, samples(9, seed=5).assign(resistant=np.nan).add_suffix("x", axis=0)])
    one, other = (
        recalibrate(model, table, standardisation="cohort", source=SOURCE) for table in (new, more)
    )
    assert one.delta == other.delta
    pd.testing.assert_frame_equal(one.cross_fitted, other.cross_fitted)


def test_recalibrating_twice_adds_up_and_both_stand_in_the_facts(model) -> None:
    first = recalibrate(model, samples(60), standardisation="cohort", source=SOURCE)
    again = {**SOURCE, "cohort": "newer", "expression": "ef", "model": "models:/made/2"}
    new = samples(80, shift=-1.0, seed=4)
    second = recalibrate(first.model, new, standardisation="cohort", source=again)
    direct = recalibrate(model, new, standardisation="cohort", source=again)
    assert first.delta + second.delta == pytest.approx(direct.delta, abs=1e-8)
    facts = second.model.facts
    assert [done["cohort"] for done in facts["recalibrations"]] == ["new", "newer"]
    assert facts["git_commit"] == "abc"
    assert "response rate of cohort 'newer'" in facts["recalibrated"]
    assert "on models:/made/2" in facts["recalibrated"]
    known = {"expression": "?", "standardisation": "cohort"}
    assert recalibration_of(second.model, cohort="new", **known)
    assert recalibration_of(second.model, cohort="?", expression="ef", standardisation="cohort")
    assert not recalibration_of(
        second.model, cohort="new", expression="?", standardisation="reference"
    )
    assert not recalibration_of(model, cohort="new", **known)


def test_too_few_samples_or_patients_of_a_class_are_refused(model) -> None:
    with pytest.raises(ModelError, match=r"cohort 'new' has 19 labelled samples .* at least 20"):
        recalibrate(model, samples(19), standardisation="cohort", source=SOURCE)
    one = samples(30).assign(resistant=[0.0, 0.0] + [1.0] * 28, patient_id=["p", "p", *range(28)])
    with pytest.raises(ModelError, match=r"28 resistant and 1 responsive patients .* of each"):
        recalibrate(model, one, standardisation="cohort", source=SOURCE)
    none = samples(30).assign(resistant=1.0)
    with pytest.raises(ModelError, match="and 0 responsive patients"):
        recalibrate(model, none, standardisation="cohort", source=SOURCE)
