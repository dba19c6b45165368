"""Samples before and on treatment: which patients are pairs, and what their figures say."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from features.catalogue import Catalogue
from features.cohort import CohortReport
from models.signatures import SIGNATURES
from pipelines.config import ExperimentConfig, load_experiment
from pipelines.ingest import IngestedCohort
from pipelines.validation.on_treatment import (
    find_pairs,
    on_treatment_table,
    on_treatment_tables,
)
from tests.fixtures import ICI

MakeCohort = Callable[..., ad.AnnData]
GENES = ("GZMA", "PRF1")


def config(*, exclude: tuple[str, ...] = (), asked: bool = True) -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {
            "setting": "ici",
            "cohorts": {"train": ["a"]},
            "samples": {"exclude": exclude},
            "validation": {"n_resamples": 50, "on_treatment": asked},
            "model": {"registered_name": "test"},
        }
    )


def ingested(adata: ad.AnnData, name: str) -> IngestedCohort:
    return IngestedCohort(adata, CohortReport((), ()), {name: name})


def paired_cohort(make_cohort: MakeCohort, *, n: int = 40, name: str = "a") -> IngestedCohort:
    """Return n patients with both samples, whose cytolytic genes rise in those who respond."""
    adata = make_cohort(2 * n, seed=1, name=name)
    rng = np.random.default_rng(2)
    rise = rng.normal(size=n)
    labels = (rng.random(n) < expit(-4 * rise)).astype(float)
    columns = [adata.var_names.get_loc(gene) for gene in GENES]
    values = adata.X.copy()
    values[:n, columns] = 4.0
    values[n:, columns] = 4.0 + rise[:, None]
    adata.X = values
    adata.obs = adata.obs.assign(
        patient_id=[f"p{i}" for i in range(n)] * 2,
        timepoint=["pre_treatment"] * n + ["on_treatment"] * n,
        resistant=np.tile(labels, 2),
    )
    return ingested(adata, name)


def without_on(cohort: IngestedCohort, patients: list[str]) -> IngestedCohort:
    """Return the cohort without the on-treatment samples of some patients."""
    obs = cohort.adata.obs
    gone = obs["patient_id"].isin(patients) & (obs["timepoint"] == "on_treatment")
    return ingested(cohort.adata[~gone.to_numpy()].copy(), cohort.name)


@pytest.fixture
def cohort(make_cohort: MakeCohort) -> IngestedCohort:
    return paired_cohort(make_cohort)


def test_a_planted_change_is_found_and_what_was_before_tells_nothing(
    cohort: IngestedCohort, catalogue: Catalogue
) -> None:
    pairs = find_pairs([cohort], config(), catalogue)
    assert pairs is not None
    table = on_treatment_table(
        pairs, signs=catalogue.signs("ici"), n_splits=5, n_resamples=100, seed=0
    ).set_index("predictor")
    change, pre = table.loc["cytolytic_change"], table.loc["pre"]
    assert change["auroc"] > 0.8
    assert change["low"] > 0.5
    assert change["difference"] == pytest.approx(change["auroc"] - pre["auroc"])
    assert change["difference_low"] < change["difference"] < change["difference_high"]
    assert table.loc["cytolytic_pre", "auroc"] == 0.5
    assert table.loc["prior", "auroc"] == 0.5
    assert (table.drop(index="pre_all_patients")["n"] == 40).all()
    assert table.loc[["pre", "pre_all_patients"], "difference"].isna().all()
    score = pairs.scores["cytolytic_change"]
    expected = roc_auc_score(pairs.patients["resistant"], score)
    assert change["auroc"] == pytest.approx(expected, abs=1e-12)


def test_pairs_hold_the_features_of_each_timepoint_of_the_same_patient(
    cohort: IngestedCohort, catalogue: Catalogue
) -> None:
    shuffled = cohort.adata[np.random.default_rng(0).permutation(80)].copy()
    pairs = find_pairs([ingested(shuffled, "a")], config(), catalogue)
    assert pairs is not None
    obs, row = cohort.adata.obs, "a/p7"
    for table, when in ((pairs.pre, "pre_treatment"), (pairs.on, "on_treatment")):
        sample = cohort.adata[((obs["patient_id"] == "p7") & (obs["timepoint"] == when)).to_numpy()]
        alone = find_features(sample, catalogue)
        pd.testing.assert_series_equal(table.loc[row], alone, check_names=False)
    genes = cohort.adata.to_df()[list(SIGNATURES["cytolytic"].genes)].mean(axis=1)
    of_patient = {
        when: genes[(obs["patient_id"] == "p7") & (obs["timepoint"] == when)].iloc[0]
        for when in ("pre_treatment", "on_treatment")
    }
    rise = of_patient["on_treatment"] - of_patient["pre_treatment"]
    assert pairs.scores.loc[row, "cytolytic_change"] == pytest.approx(-rise)


def find_features(sample: ad.AnnData, catalogue: Catalogue) -> "pd.Series[float]":
    """Return the features of one sample by itself: rank features do not hang on the others."""
    from features.transformer import MarkerFeatures

    made = MarkerFeatures(catalogue, setting="ici").fit(sample).transform(sample)
    return made.iloc[0]


def test_patients_without_a_second_sample_count_for_context_alone(
    cohort: IngestedCohort, catalogue: Catalogue
) -> None:
    pairs = find_pairs([without_on(cohort, ["p0", "p1", "p2"])], config(), catalogue)
    assert pairs is not None
    assert len(pairs.patients) == len(pairs.pre) == len(pairs.on) == len(pairs.scores) == 37
    assert len(pairs.everyone) == len(pairs.everyone_pre) == 40
    row = pairs.counts.iloc[0]
    assert (row["pre"], row["on"], row["patients"], row["labelled"]) == (40, 37, 37, 37)


def test_several_samples_of_a_timepoint_are_averaged_and_differing_labels_are_none(
    cohort: IngestedCohort, catalogue: Catalogue
) -> None:
    adata = cohort.adata.copy()
    adata.obs.loc[adata.obs["patient_id"] == "p1", "patient_id"] = "p0"
    adata.obs.loc[adata.obs["patient_id"] == "p0", "resistant"] = 1.0
    rows = (adata.obs["patient_id"] == "p2").to_numpy()
    adata.obs.loc[rows, "resistant"] = [0.0, 1.0]
    whole, pairs = (find_pairs([c], config(), catalogue) for c in (cohort, ingested(adata, "a")))
    assert whole is not None
    assert pairs is not None
    assert "a/p2" not in pairs.patients.index
    assert pairs.counts.iloc[0]["patients"] == 39
    assert pairs.counts.iloc[0]["labelled"] == 38
    expected = whole.pre.loc[["a/p0", "a/p1"]].mean()
    pd.testing.assert_series_equal(pairs.pre.loc["a/p0"], expected, check_names=False)


def test_samples_left_out_by_name_make_no_pair(
    cohort: IngestedCohort, catalogue: Catalogue
) -> None:
    name = cohort.adata.obs["sample_id"].iloc[0]
    pairs = find_pairs([cohort], config(exclude=(f"a/{name}", "other/s1")), catalogue)
    assert pairs is not None
    assert "a/p0" not in pairs.patients.index
    every = tuple("a/" + cohort.adata.obs["sample_id"].astype(str))
    assert find_pairs([cohort], config(exclude=every), catalogue) is None


def test_where_there_are_no_pairs_or_none_are_asked_for_there_is_no_table(
    cohort: IngestedCohort, make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    unpaired = make_cohort(20, name="b")
    unpaired.obs["timepoint"] = "unstated"
    alone = ingested(unpaired, "b")
    assert on_treatment_tables([alone], config=config(), catalogue=catalogue) == {}
    off = config(asked=False)
    assert on_treatment_tables([cohort, alone], config=off, catalogue=catalogue) == {}


def test_too_few_pairs_of_a_class_are_counted_and_the_reason_is_told(
    cohort: IngestedCohort, catalogue: Catalogue
) -> None:
    obs = cohort.adata.obs
    responsive = obs.loc[obs["resistant"] == 0, "patient_id"].unique().tolist()
    few = without_on(cohort, responsive[3:])
    tables = on_treatment_tables([few], config=config(), catalogue=catalogue)
    assert list(tables) == ["on_treatment_pairs"]
    row = tables["on_treatment_pairs"].iloc[0]
    assert row["note"] == "cannot be told: 3 responsive patients, 5 are needed"
    assert row["labelled"] - row["resistant"] == 3


@pytest.mark.real_data
@pytest.mark.slow
def test_riaz_has_42_labelled_pairs_and_every_figure_has_an_interval(
    real_cohorts: dict[str, IngestedCohort], catalogue: Catalogue
) -> None:
    settings = load_experiment(ICI, overrides=["validation.n_resamples=100"])
    tables = on_treatment_tables(list(real_cohorts.values()), config=settings, catalogue=catalogue)
    pairs = tables["on_treatment_pairs"].set_index("cohort")
    riaz = pairs.loc["riaz_2017_gse91061_counts109"]
    assert (riaz["pre"], riaz["on"], riaz["patients"], riaz["labelled"]) == (51, 58, 43, 42)
    assert set(pairs.index[pairs["note"] == ""]) == {"riaz_2017_gse91061_counts109"}
    table = tables["on_treatment"].set_index("predictor")
    assert (table.drop(index="pre_all_patients")["n"] == 42).all()
    assert table.loc["pre_all_patients", "n"] == 49
    assert np.isfinite(table[["auroc", "low", "high", "brier"]]).all().all()
    paired = table.drop(index=["pre", "pre_all_patients"])
    ends = paired[["difference_low", "difference", "difference_high"]].to_numpy()
    assert np.isfinite(ends).all()
    assert (np.diff(ends, axis=1) >= 0).all()
