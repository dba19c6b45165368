"""Covariates from a cohort's YAML to the table of samples, and those of the real cohorts."""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.cohort import CohortReport
from features.covariates import COVARIATES
from features.errors import CohortError, ConfigError
from pipelines.config import configuration_folder, load_cohort
from pipelines.dataset import Dataset, build_dataset
from pipelines.ingest import IngestedCohort
from pipelines.reading.observations import build_observations
from pipelines.reading.tables import read_clinical
from pipelines.settings.cohort import CohortConfig, CovariatesConfig

CLINICAL = pd.DataFrame(
    {
        "sample_id": ["s1", "s2", "s3"],
        "muts": ["10", "", "0"],
        "PS": ["1", "x", "0"],
        "Sex": ["M", "F", "unknown"],
    }
)
COLUMNS = {
    "tmb": {"column": "muts", "missing": ["0"]},
    "ecog": {"column": "PS", "missing": ["x"]},
    "sex": {"column": "Sex"},
}


def observe(clinical: pd.DataFrame | None = CLINICAL, **covariates: object) -> pd.DataFrame:
    tree = {"name": "x", "expression": "e.csv", "covariates": covariates}
    config = CohortConfig.model_validate(tree)
    return build_observations(pd.Index(["s1", "s2", "s3"]), clinical, config=config, notes=[])


def test_the_configuration_knows_every_covariate() -> None:
    assert set(CovariatesConfig.model_fields) == set(COVARIATES)


def test_configured_covariates_end_in_columns_of_their_names() -> None:
    obs = observe(**COLUMNS)
    np.testing.assert_array_equal(obs["tmb"], [10.0, np.nan, np.nan])
    np.testing.assert_array_equal(obs["ecog"], [1.0, np.nan, 0.0])
    assert obs["sex"].tolist() == ["male", "female", None]
    assert not set(COVARIATES) - {"tmb", "ecog", "sex"} & set(obs.columns)


def test_nothing_is_read_that_is_not_configured_and_nothing_without_a_clinical_table() -> None:
    for obs in (observe(), observe(None, **COLUMNS)):
        assert not set(COVARIATES) & set(obs.columns)


def test_samples_that_the_clinical_table_lacks_have_missing_covariates() -> None:
    obs = observe(CLINICAL.iloc[:2], **COLUMNS)
    assert obs.loc["s3", ["tmb", "ecog", "sex"]].isna().all()


def test_a_column_or_a_value_that_is_not_there_is_named_with_the_mend() -> None:
    with pytest.raises(CohortError, match=r"cohort 'x': .* no column 'years' \(covariates\.age\)"):
        observe(age={"column": "years"})
    with pytest.raises(CohortError, match=r"no ecog: 'x' \(samples s2\)"):
        observe(ecog={"column": "PS"})
    with pytest.raises(ConfigError, match=r"covariates\.sex\.values gives 'X' the value '3'"):
        observe(sex={"column": "Sex", "values": {"X": 3}})


def test_a_misspelt_covariate_is_refused_with_the_file_and_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\nexpression: e.csv\ncovariates: {ecgo: {column: PS}}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: unknown key 'covariates\.ecgo'.*'ecog'"):
        load_cohort(str(path), conf=configuration_folder())


def test_numbers_as_spellings_need_no_quotes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = "{column: PS, values: {1: 2, low: 0}, missing: [x]}"
    path.write_text(f"name: x\nexpression: e.csv\ncovariates: {{ecog: {text}}}\n")
    config, _ = load_cohort(str(path), conf=configuration_folder())
    assert config.covariates.ecog is not None
    assert config.covariates.ecog.values == {"1": 2, "low": 0}


@pytest.fixture
def dataset(make_cohort: Callable[..., ad.AnnData], catalogue: Catalogue) -> Dataset:
    """Two cohorts: one states much, the other next to nothing."""
    rich, poor = make_cohort(6, name="rich"), make_cohort(6, name="poor", seed=1)
    rich.obs = rich.obs.assign(
        timepoint="unstated", cancer_type="melanoma", drug=["Nivolumab", "Ipilimumab"] * 3
    ).assign(os_time=12.0, os_event=1.0, ecog=1.0, sex=["female", None] * 3)
    poor.obs = poor.obs.assign(timepoint="unstated", therapy="CTLA4")
    cohorts = [IngestedCohort(adata, CohortReport((), ()), {}) for adata in (rich, poor)]
    return build_dataset(
        cohorts, timepoints=["unstated"], catalogue=catalogue, min_coverage=0.5, setting="ici"
    )


def test_the_table_of_samples_has_the_same_columns_whatever_a_cohort_states(
    dataset: Dataset,
) -> None:
    samples = dataset.samples
    assert list(samples.columns) == [
        *("sample_id", "cohort", "patient_id", "timepoint", "resistant"),
        *("cancer_type", "drug", "drug_class"),
        *("pfs_time", "pfs_event", "os_time", "os_event"),
        *COVARIATES,
        "cell_line",
    ]
    numbers = ["pfs_time", "os_event", *(n for n, one in COVARIATES.items() if one.is_number)]
    assert set(samples[numbers].dtypes.astype(str)) == {"float64"}
    words = samples[["cancer_type", "drug", "drug_class", "sex", "biopsy_site"]]
    assert set(words.dtypes.astype(str)) == {"object"}
    assert samples.loc["rich/rich_s0", "os_time"] == 12.0


def test_what_a_cohort_does_not_state_is_missing_and_the_drug_class_is_derived(
    dataset: Dataset,
) -> None:
    samples = dataset.samples
    rich, poor = (samples[samples["cohort"] == name] for name in ("rich", "poor"))
    assert rich["drug_class"].tolist() == ["anti_pd1_pdl1", "anti_ctla4"] * 3
    assert poor["drug_class"].tolist() == ["anti_ctla4"] * 6
    assert rich["sex"].tolist() == ["female", None] * 3
    assert poor["sex"].tolist() == poor["drug"].tolist() == [None] * 6
    assert poor["ecog"].isna().all()
    assert rich["pfs_time"].isna().all()


STATED = {
    "gide_2019_antiPD1": {"age": 41, "sex": 41, "biopsy_site": 41},
    "hugo_2016": {"stage": 27, "age": 27, "sex": 27, "biopsy_site": 22},
    "imvigor210_nonbladder86_full": {
        **{"tmb": 59, "pdl1_ihc": 86, "ecog": 86, "liver_metastasis": 75},
        **{"sex": 86, "biopsy_site": 60},
    },
    "jung_2019_gse135222": {"tmb": 27, "age": 27, "sex": 27},
    "liu_2019": {
        **{"tmb": 121, "ecog": 118, "stage": 121, "prior_lines": 121, "ldh_high": 118},
        **{"purity": 121, "sex": 121, "biopsy_site": 121},
    },
    "miao_2018_ccrcc": {"tmb": 16, "pdl1_ihc": 15, "age": 33, "sex": 33},
    "prat_2017_gse93157": {"age": 65, "sex": 65},
    "riaz_2017_gse91061_counts109": {"tmb": 92},
    "van_allen_2015": {
        **{"tmb": 40, "stage": 42, "prior_lines": 42, "ldh_high": 41, "age": 42, "sex": 42},
    },
    "zhao_2019_gbm": {"age": 17},
}
"""Samples of each real cohort whose covariate is stated."""


@pytest.mark.real_data
def test_the_covariates_of_the_real_cohorts_are_read(shared: Path, catalogue: Catalogue) -> None:
    found = {}
    for name in STATED:
        config, _ = load_cohort(name, conf=configuration_folder())
        assert config.clinical is not None
        clinical = read_clinical(shared / "cohorts" / config.clinical)
        index = pd.Index(clinical["sample_id"])
        obs = build_observations(index, clinical, config=config, notes=[])
        counts = {
            covariate: int(obs[covariate].notna().sum()) for covariate in obs.filter(COVARIATES)
        }
        found[name] = counts
        assert all(obs[covariate].nunique() > 1 for covariate in counts), name
    assert found == STATED
