"""Peers: who takes part, on the same samples, and clinical models only where there is something."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.cohort import CohortReport
from features.errors import ConfigError
from models.plan import ValidationPlan, make_plan
from models.signatures import SIGNATURES
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset, build_dataset
from pipelines.ingest import IngestedCohort
from pipelines.validation.peers import predict_peers

MakeCohort = Callable[..., ad.AnnData]
CONFIG = ExperimentConfig.model_validate(
    {
        "setting": "ici",
        "cohorts": {"train": ["a", "b"]},
        "validation": {"tide": False, "all_genes": False},
        "model": {"registered_name": "test"},
    }
)


def dataset_of(
    make_cohort: MakeCohort,
    catalogue: Catalogue,
    *,
    exclude: tuple[str, ...] = (),
    **covariates: object,
) -> Dataset:
    """Return two cohorts; the first states the covariates."""
    cohorts = []
    for seed, name in enumerate(("a", "b")):
        adata = make_cohort(24, seed=seed, name=name)
        adata.obs["timepoint"] = "unstated"
        if name == "a":
            adata.obs = adata.obs.assign(**covariates)
        cohorts.append(IngestedCohort(adata, CohortReport((), ()), {name: name}))
    return build_dataset(
        cohorts,
        timepoints=["unstated"],
        exclude=exclude,
        catalogue=catalogue,
        min_coverage=0.5,
        setting="ici",
    )


def peers_of(dataset: Dataset) -> dict[str, pd.DataFrame]:
    plan: ValidationPlan = make_plan(dataset.samples, n_splits=2, n_repeats=1, seed=0)
    return predict_peers(dataset, plan, config=CONFIG, standardisation="cohort")


def test_without_covariates_there_are_signatures_and_the_prior_alone(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    dataset = dataset_of(make_cohort, catalogue)
    peers = peers_of(dataset)
    assert set(peers) == {*SIGNATURES, "prior"}
    for frame in peers.values():
        assert set(frame.index) == set(dataset.samples.index)
        assert frame["resistant"].equals(dataset.samples["resistant"].loc[frame.index])


@pytest.mark.slow
def test_with_a_covariate_clinical_models_take_part_and_score_those_who_state_it(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    age = np.where(np.arange(24) < 20, 60.0 + np.arange(24), np.nan)
    dataset = dataset_of(make_cohort, catalogue, age=age)
    peers = peers_of(dataset)
    assert set(peers) == {*SIGNATURES, "prior", "clinical", "combined"}
    known = dataset.samples["age"].notna()
    assert known.sum() == 20
    clinical = peers["clinical"]["score"].reindex(dataset.samples.index)
    assert clinical.notna().equals(known)
    assert peers["combined"]["score"].notna().all()


@pytest.mark.slow
def test_samples_excluded_by_name_are_out_of_every_table(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    names = ("a/a_s1", "b/b_s0")
    whole = dataset_of(make_cohort, catalogue)
    dataset = dataset_of(make_cohort, catalogue, exclude=names)
    assert list(dataset.samples.index) == [n for n in whole.samples.index if n not in names]
    assert {n: c.n_obs for n, c in dataset.cohorts.items()} == {"a": 23, "b": 23}
    assert not set(names) & set(dataset.features(["a"]).index)
    assert not set(names) & set(dataset.fingerprints().samples)
    left = whole.features(["a", "b"]).drop(index=list(names))
    pd.testing.assert_frame_equal(dataset.features(["a", "b"]), left)


def test_a_sample_to_exclude_that_is_not_there_is_named(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    message = r"samples\.exclude names a_s1, no samples in use; .* cohort/sample_id, such as a/a_s0"
    with pytest.raises(ConfigError, match=message):
        dataset_of(make_cohort, catalogue, exclude=("a_s1", "b/b_s0"))
