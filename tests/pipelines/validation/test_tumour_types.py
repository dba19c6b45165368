"""Tumour types apart: which training finds what was planted in which type."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from models.candidates import Candidate, CandidateBuilder
from models.learner import Learner
from models.plan import make_plan
from models.tuning import Tuner
from models.validation import predict_out_of_fold
from pipelines.config import ExperimentConfig
from pipelines.runs.metrics import validation_metrics
from pipelines.validation.assess import assess_predictions
from pipelines.validation.tumour_types import with_tumour_types
from pipelines.validation.validate import Validation

LINE = Tuner((Candidate("line", "linear", settings={"alpha": 0.05}),))
TRAININGS = ["pooled", "leave_one_type_out", "per_type"]
CONFIG = ExperimentConfig.model_validate(
    {
        "setting": "ici",
        "cohorts": {"train": ["a", "b"]},
        "validation": {"n_resamples": 50},
        "model": {"registered_name": "test"},
    }
)


def simulated(*, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Four cohorts of 60: in melanoma (a, b, c) x causes resistance, in kidney (d) it protects."""
    rng = np.random.default_rng(seed)
    cohort = np.repeat(list("abcd"), 60)
    X = pd.DataFrame(rng.normal(size=(240, 2)), columns=["x", "noise"])
    effect = np.where(cohort == "d", -3.0, 3.0)
    samples = pd.DataFrame(
        {
            "cohort": cohort,
            "patient_id": [f"p{i}" for i in range(240)],
            "cancer_type": np.where(cohort == "d", "renal cell carcinoma", "melanoma"),
            "resistant": (rng.random(240) < expit(effect * X["x"])).astype(float),
        }
    )
    samples.loc[::17, "resistant"] = np.nan
    index = [f"s{i}" for i in range(240)]
    return X.set_axis(index), samples.set_axis(index)


def validated(X: pd.DataFrame, samples: pd.DataFrame) -> Validation:
    """Return a validation of the schemes, as :func:`pipelines.validation.validate.validate`."""
    plan = make_plan(samples, n_splits=3, n_repeats=2, seed=0)
    build = CandidateBuilder(("x", "noise"), ("x",), {}, seed=0)
    learner = Learner(samples, lambda cohorts: X, build, "cohort", min_cohort_size=15)
    found = {
        scheme: predict_out_of_fold(learner, splits, tuner=LINE, scheme=scheme)
        for scheme, splits in plan.schemes.items()
        if splits and scheme != "per_type"
    }
    return Validation(
        plan=plan,
        learner=learner,
        main=found["loco"],
        tumour_type=found.get("tumour_type"),
        nested=found["nested"],
        peers={},
        estimates={},
        sizes={},
        tables={},
    )


def typed(X: pd.DataFrame, samples: pd.DataFrame) -> Validation:
    return with_tumour_types(validated(X, samples), config=CONFIG, tuner=LINE)


@pytest.fixture(scope="module")
def found() -> Validation:
    return typed(*simulated())


@pytest.fixture(scope="module")
def table(found: Validation) -> pd.DataFrame:
    return found.tables["tumour_types"].set_index(["tumour_type", "training"])


def test_each_type_has_a_row_for_each_training(found):
    rows = found.tables["tumour_types"]
    assert rows["tumour_type"].tolist() == ["melanoma"] * 3 + ["renal cell carcinoma"] * 3
    assert rows["training"].tolist() == TRAININGS * 2
    scheme = ["loco", "tumour_type", "loco", "loco", "tumour_type", "nested"]
    assert rows["scheme"].tolist() == scheme


def test_an_opposite_effect_in_one_type_is_found_by_its_own_training_alone(table):
    kidney, melanoma = table.loc["renal cell carcinoma"], table.loc["melanoma"]
    assert kidney.loc["per_type", "low"] > 0.7
    assert kidney.loc["pooled", "high"] < 0.3
    assert kidney.loc["leave_one_type_out", "high"] < 0.3
    assert melanoma.loc["leave_one_type_out", "high"] < 0.3
    assert melanoma.loc["per_type", "auroc"] > 0.8


def test_figures_are_those_of_scikit_learn_on_the_predictions(found, table):
    members = found.samples["cancer_type"] == "melanoma"
    for training, out in (("pooled", found.main), ("per_type", found.per_type)):
        frame = out.predictions.dropna(subset=["resistant"])
        frame = frame[frame.index.isin(members.index[members])]
        expected = [
            roc_auc_score(part["resistant"], part["score"]) for _, part in frame.groupby("cohort")
        ]
        assert len(expected) == 3
        row = table.loc[("melanoma", training)]
        assert row["auroc"] == pytest.approx(np.mean(expected), abs=1e-12)
        assert row["low"] < row["auroc"] < row["high"]
        assert row["n"] == len(frame)
        assert row["resistant"] == frame["resistant"].sum()
        assert row["cohorts"] == 3


def test_folds_of_a_lone_cohort_are_taken_together(found, table):
    frame = found.per_type.predictions
    frame = frame[frame["cohort"] == "d"]
    repeats = frame["split"].str.extract(r"/(repeat\d+)\.")[0].to_numpy()
    expected = [roc_auc_score(p["resistant"], p["score"]) for _, p in frame.groupby(repeats)]
    assert len(expected) == 1
    row = table.loc[("renal cell carcinoma", "per_type")]
    assert row["auroc"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert row["n"] == found.samples.query("cohort == 'd'")["resistant"].notna().sum()


def test_a_type_of_one_cohort_says_that_two_trainings_are_the_same(table):
    kidney = table.loc["renal cell carcinoma"]
    assert kidney.loc["leave_one_type_out", "note"] == "one cohort: the same models as pooled"
    assert kidney.loc["leave_one_type_out", "auroc"] == kidney.loc["pooled", "auroc"]
    assert table.loc[("melanoma", "leave_one_type_out"), "note"] == ""


def test_labels_of_other_types_never_enter_a_types_own_predictions(found):
    X, samples = simulated()
    other = samples["cancer_type"] == "melanoma"
    samples.loc[other, "resistant"] = 1.0 - samples.loc[other, "resistant"]
    again = typed(X, samples).per_type.predictions
    own = found.per_type.predictions
    columns = ["score", "probability"]
    pd.testing.assert_frame_equal(
        own.loc[own["cohort"] == "d", columns], again.loc[again["cohort"] == "d", columns]
    )


def test_a_type_with_too_few_of_a_class_says_why_it_cannot_be_told():
    X, samples = simulated()
    kidney = samples.index[samples["cohort"] == "d"]
    samples.loc[kidney, "resistant"] = (np.arange(60) < 3).astype(float)
    row = typed(X, samples).tables["tumour_types"].set_index(["tumour_type", "training"])
    row = row.loc["renal cell carcinoma"]
    assert row.loc["per_type", "note"] == "cannot be told: 3 resistant patients, 5 are needed"
    assert np.isnan(row.loc["per_type", "auroc"])
    assert row.loc["per_type", "n"] == 0
    assert np.isfinite(row.loc["pooled", "auroc"])


def test_a_type_of_one_class_says_so_for_every_training():
    X, samples = simulated()
    samples.loc[samples["cohort"] == "d", "resistant"] = 1.0
    rows = typed(X, samples).tables["tumour_types"]
    rows = rows[rows["tumour_type"] == "renal cell carcinoma"].set_index("training")
    assert rows["auroc"].isna().all()
    assert rows.loc["pooled", "note"] == "cannot be told: no cohort with both classes"
    assert rows.loc["per_type", "note"] == "cannot be told: 0 responsive patients, 5 are needed"


def test_with_a_single_type_nothing_is_told_apart():
    X, samples = simulated()
    alone = validated(X, samples.assign(cancer_type="melanoma"))
    same = with_tumour_types(alone, config=CONFIG, tuner=LINE)
    assert same is alone
    assert "tumour_types" not in same.tables


def test_metrics_name_type_and_training(found):
    samples = found.samples
    tables = assess_predictions(
        found.main.predictions,
        samples=samples,
        groups=samples[["cancer_type"]],
        peers={},
        coverage=0.9,
        n_resamples=20,
        seed=0,
    )
    metrics = validation_metrics(found.with_tables(tables))
    rows = found.tables["tumour_types"].set_index(["tumour_type", "training"])["auroc"]
    named = {name: value for name, value in metrics.items() if name.startswith("tumour_type.")}
    kinds = {"melanoma": "melanoma", "renal_cell_carcinoma": "renal cell carcinoma"}
    assert named == {
        f"tumour_type.{kind}.{training}.auroc": rows.loc[(name, training)]
        for kind, name in kinds.items()
        for training in TRAININGS
    }
    other = replace(found, learner=replace(found.learner, standardisation="reference"))
    assert "tumour_type_reference.melanoma.per_type.auroc" in validation_metrics(
        other.with_tables(tables)
    )
