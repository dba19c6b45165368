import json
from collections import Counter
from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import models.tuning
from models.candidates import Candidate
from models.tuning import SearchRange, Tuner, weighted_within_cohort_auroc

NAMES = ("noise", "weak", "planted", "middling")
QUALITY = {"noise": 0.0, "weak": 0.5, "planted": 3.0, "middling": 1.0}
CANDIDATES = tuple(Candidate(name, "linear") for name in NAMES)
SEARCHED = (Candidate("line", "linear", settings={"l1_ratio": 0.5}),)


def labelled_samples() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "cohort": np.repeat(["x", "y"], [40, 60]),
            "resistant": rng.permutation(np.arange(100) % 2).astype(float),
        },
        index=[f"s{i}" for i in range(100)],
    )


class InnerScores:
    """Scores as good as their candidate's name says; counts how often each was asked for."""

    def __init__(self, samples: pd.DataFrame, *, fails_on_call: int | None = None) -> None:
        self.samples, self.fails_on_call, self.asked = samples, fails_on_call, Counter()

    def __call__(self, candidate: Candidate) -> "pd.Series[float]":
        if self.asked.total() + 1 == self.fails_on_call:
            raise KeyboardInterrupt("the process ends")
        self.asked[candidate.name] += 1
        noise = np.random.default_rng(1).normal(size=len(self.samples))
        return (self.quality(candidate) * self.samples["resistant"] + noise).iloc[::-1]

    def quality(self, candidate: Candidate) -> float:
        return QUALITY[candidate.name]


class BestAtAlphaOne(InnerScores):
    def quality(self, candidate: Candidate) -> float:
        return 2.0 - abs(np.log10(candidate.settings["alpha"]))


def store(folder) -> str:
    return f"sqlite:///{folder / 'trials.db'}"


def test_the_planted_best_candidate_is_chosen_and_each_is_tried_once():
    samples = labelled_samples()
    scores = InnerScores(samples)
    choice = Tuner(CANDIDATES).choose("fold", samples=samples, inner_scores=scores)
    assert choice.candidate == CANDIDATES[2]
    assert scores.asked == dict.fromkeys(NAMES, 1)
    assert sorted(choice.trials["candidate"]) == sorted(NAMES)
    expected = scores(CANDIDATES[2]).loc[samples.index]
    pd.testing.assert_series_equal(choice.scores, expected, check_names=False)
    best = choice.trials.set_index("candidate")["value"]
    assert best["planted"] == best.max()
    assert best["planted"] == pytest.approx(weighted_within_cohort_auroc(samples, expected))


def test_a_single_candidate_is_taken_without_a_trial():
    samples = labelled_samples()
    tuner = Tuner(CANDIDATES[:1], storage="sqlite:////nowhere/trials.db")
    choice = tuner.choose("fold", samples=samples, inner_scores=InnerScores(samples))
    assert not tuner.chooses
    assert choice.candidate == CANDIDATES[0]
    assert choice.trials.empty


def test_of_equal_candidates_the_first_written_down_is_chosen():
    samples = labelled_samples()
    for order in (CANDIDATES, CANDIDATES[::-1]):
        choice = Tuner(order, trials=8).choose(
            "fold", samples=samples, inner_scores=lambda _: pd.Series(0.0, index=samples.index)
        )
        assert choice.candidate == order[0]
        assert (choice.trials["value"] == 0.5).all()


def test_a_killed_choice_goes_on_where_it_was(tmp_path):
    samples = labelled_samples()
    tuner = Tuner(CANDIDATES, storage=store(tmp_path), key="data")
    killed = InnerScores(samples, fails_on_call=3)
    with pytest.raises(KeyboardInterrupt):
        tuner.choose("fold", samples=samples, inner_scores=killed)
    assert killed.asked.total() == 2
    resumed = InnerScores(samples)
    again = replace(tuner)
    choice = again.choose("fold", samples=samples, inner_scores=resumed)
    assert killed.asked + resumed.asked == dict.fromkeys(NAMES, 1)
    whole = Tuner(CANDIDATES).choose("fold", samples=samples, inner_scores=InnerScores(samples))
    assert choice.candidate == whole.candidate
    pd.testing.assert_series_equal(choice.scores, whole.scores)
    pd.testing.assert_frame_equal(choice.trials, whole.trials)
    finished = InnerScores(samples)
    again.choose("fold", samples=samples, inner_scores=finished)
    assert finished.asked.total() == 0
    replace(tuner, key="other data").choose("fold", samples=samples, inner_scores=finished)
    tuner.choose("other fold", samples=samples, inner_scores=finished)
    assert finished.asked == dict.fromkeys(NAMES, 2)


def test_a_range_is_searched_within_its_bounds():
    samples = labelled_samples()
    ranges = {
        "line": {
            "alpha": SearchRange(low=0.001, high=1000.0, log=True),
            "n_seeds": SearchRange(low=1, high=4),
            "num_leaves": SearchRange(choices=(2, 5)),
        }
    }
    tuner = Tuner(SEARCHED, ranges, trials=15, seed=3)
    choice = tuner.choose("fold", samples=samples, inner_scores=BestAtAlphaOne(samples))
    assert tuner.chooses
    assert len(choice.trials) == 15
    settings = pd.DataFrame([json.loads(text) for text in choice.trials["settings"]])
    assert settings["alpha"].between(0.001, 1000.0).all()
    assert set(settings["n_seeds"]) <= {1, 2, 3, 4}
    assert set(settings["num_leaves"]) == {2, 5}
    best = settings.loc[choice.trials["value"].idxmax()].to_dict()
    assert choice.candidate.settings == {"l1_ratio": 0.5, **best}
    assert abs(np.log10(best["alpha"])) == np.abs(np.log10(settings["alpha"])).min()
    again = tuner.choose("fold", samples=samples, inner_scores=BestAtAlphaOne(samples))
    pd.testing.assert_frame_equal(again.trials, choice.trials)


def test_a_resumed_search_tries_new_settings(tmp_path):
    samples = labelled_samples()
    ranges = {"line": {"alpha": SearchRange(low=0.1, high=10.0, log=True)}}
    tuner = Tuner(SEARCHED, ranges, trials=6, storage=store(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        tuner.choose("fold", samples=samples, inner_scores=BestAtAlphaOne(samples, fails_on_call=4))
    resumed = BestAtAlphaOne(samples)
    choice = tuner.choose("fold", samples=samples, inner_scores=resumed)
    assert resumed.asked.total() == 3
    assert choice.trials["settings"].nunique() == 6


def test_the_budget_of_trials_is_kept():
    samples = labelled_samples()
    choice = Tuner(CANDIDATES, trials=3).choose(
        "fold", samples=samples, inner_scores=InnerScores(samples)
    )
    assert choice.trials["candidate"].tolist() == list(NAMES[:3])


def test_after_the_deadline_a_fold_still_gets_one_trial(monkeypatch):
    samples = labelled_samples()
    clock = count()
    monkeypatch.setattr(models.tuning.time, "monotonic", lambda: float(next(clock)))
    late = replace(Tuner(CANDIDATES), deadline=-1.0)
    choice = late.choose("fold", samples=samples, inner_scores=InnerScores(samples))
    assert len(choice.trials) == 1
    in_time = replace(Tuner(CANDIDATES), deadline=next(clock) + 2.5)
    choice = in_time.choose("fold", samples=samples, inner_scores=InnerScores(samples))
    assert len(choice.trials) == 3


def test_what_was_measured_is_remembered_in_the_store(tmp_path):
    measured = []

    def measure(number: int) -> float:
        measured.append(number)
        return number / 10

    tuner = Tuner(CANDIDATES, storage=store(tmp_path), key="data")
    first = tuner.remembered("null")
    assert [first(number, lambda n=number: measure(n)) for number in (0, 1)] == [0.0, 0.1]
    again = replace(tuner).remembered("null")
    assert [again(number, lambda n=number: measure(n)) for number in (1, 2)] == [0.1, 0.2]
    assert measured == [0, 1, 2]
    elsewhere = tuner.remembered("other null")
    assert elsewhere(1, lambda: 0.7) == 0.7
    nowhere = replace(tuner, storage=None).remembered("null")
    assert [nowhere(1, lambda value=value: value) for value in (0.3, 0.4)] == [0.3, 0.4]


def test_cohorts_count_by_the_inverse_of_their_null_variance():
    samples = labelled_samples()
    score = InnerScores(samples)(CANDIDATES[3]).loc[samples.index]
    values, weights = [], []
    for name in ("x", "y"):
        part = samples[samples["cohort"] == name]
        values.append(roc_auc_score(part["resistant"], score[part.index]))
        positive, negative = (part["resistant"] == 1).sum(), (part["resistant"] == 0).sum()
        # Mann-Whitney: var(AUROC) = (n1 + n0 + 1) / (12 n1 n0) without signal.
        weights.append(1 / ((positive + negative + 1) / (12 * positive * negative)))
    expected = np.average(values, weights=weights)
    assert weighted_within_cohort_auroc(samples, score) == pytest.approx(expected)
    assert weighted_within_cohort_auroc(samples, score[::-1]) == pytest.approx(expected)


def test_a_shift_between_cohorts_wins_nothing_and_one_class_takes_no_part():
    samples = labelled_samples()
    score = InnerScores(samples)(CANDIDATES[1]).loc[samples.index]
    moved = score + 100 * (samples["cohort"] == "x")
    value = weighted_within_cohort_auroc(samples, score)
    assert weighted_within_cohort_auroc(samples, moved) == value
    one_class = samples.assign(resistant=np.where(samples["cohort"] == "x", 1.0, 0.0))
    assert weighted_within_cohort_auroc(one_class, score) == 0.5
    mixed = samples.assign(resistant=samples["resistant"].where(samples["cohort"] == "y", 1.0))
    part = samples[samples["cohort"] == "y"]
    assert weighted_within_cohort_auroc(mixed, score) == pytest.approx(
        roc_auc_score(part["resistant"], score[part.index])
    )


def test_every_candidate_is_met_once_before_any_is_searched_further():
    samples = labelled_samples()
    ranges = {"weak": {"alpha": SearchRange(low=0.1, high=10.0, log=True)}}
    for seed in range(4):
        scores = InnerScores(samples)
        tuner = Tuner(CANDIDATES, ranges, trials=6, seed=seed)
        tuner.choose("fold", samples=samples, inner_scores=scores)
        assert set(scores.asked) == set(NAMES)
        assert scores.asked.total() == 6
