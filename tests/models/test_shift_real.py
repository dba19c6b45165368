"""Held-out tumour cohorts are in scope, cell lines, single cells, panels and shuffled genes not.

Three of the nine full-transcriptome cohorts are left out in turn and the detector fitted on the
other eight, with its own leave-one-out inside; no label is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.errors import CohortError
from features.fingerprint import Fingerprints, find_duplicates, fingerprint
from features.profile import rank_profile
from features.transformer import MarkerFeatures
from models.shift import ShiftDetector
from pipelines.ingest import IngestedCohort
from pipelines.named_cohort import ingest_named

pytestmark = pytest.mark.real_data

COHORTS = (
    "gide_2019_antiPD1",
    "hugo_2016",
    "imvigor210_nonbladder86_full",
    "jung_2019_gse135222",
    "liu_2019",
    "miao_2018_ccrcc",
    "riaz_2017_gse91061_counts109",
    "van_allen_2015",
    "zhao_2019_gbm",
)
STRANGERS = (
    "drug_response/NCI60_HGU133A/expression.csv.gz",
    "drug_response/CGP_Camptothecin/expression.csv.gz",
    "drug_response/CCLE_SCLC_NAPY/expression.csv.gz",
    "drug_response/HCC_GSE140901_ICI/expression.csv.gz",
    "bulk/prat_2017_gse93157/expression.csv.gz",
    "single_cell/pc9_erlotinib_day11_unlabelled.h5ad",
    "single_cell/sade_feldman_scfeatures_550x3523.h5ad",
    "single_cell/tirosh_melanoma_chetah_150.h5ad",
)
MOST_SAMPLES = 20
HELD_OUT = ("imvigor210_nonbladder86_full", "miao_2018_ccrcc", "zhao_2019_gbm")
"""The cohorts unlike the others: other organs, other pipelines."""


def _sample(adata: ad.AnnData, most: int = MOST_SAMPLES) -> ad.AnnData:
    if adata.n_obs <= most:
        return adata
    rows = np.random.default_rng(0).choice(adata.n_obs, most, replace=False)
    return adata[np.sort(rows)].copy()


@pytest.fixture(scope="module")
def tumours(real_cohorts: dict[str, IngestedCohort]) -> dict[str, ad.AnnData]:
    return {name: real_cohorts[name].adata for name in COHORTS}


@pytest.fixture(scope="module")
def strangers(shared: Path) -> dict[str, ad.AnnData]:
    read = {}
    for name in STRANGERS:
        path = shared / "cohorts" / name
        file, table = (path, None) if path.suffix == ".h5ad" else (None, path)
        found = ingest_named(file, expression=table, clinical=None, cohort=None).adata
        read[name.split("/")[1]] = _sample(found)
    return read


@dataclass(frozen=True)
class Trained:
    transformer: MarkerFeatures
    detector: ShiftDetector

    def flagged(self, adata: ad.AnnData) -> np.ndarray:
        profiles = rank_profile(adata, background=self.transformer.background_)
        shift = self.detector.measure(
            profiles,
            self.transformer.transform(adata),
            gene_coverage=self.transformer.gene_coverage(adata),
        )
        assert np.isfinite(shift["shift_score"]).all()
        return (shift["shift_score"] > 1).to_numpy()


def _train(cohorts: Sequence[ad.AnnData]) -> Trained:
    shared_genes = cohorts[0].var_names
    for cohort in cohorts[1:]:
        shared_genes = shared_genes.intersection(cohort.var_names)
    transformer = MarkerFeatures(setting="ici").freeze([str(gene) for gene in shared_genes])
    background = transformer.background_
    features = pd.concat([transformer.transform(cohort) for cohort in cohorts])
    labels = [str(name) for cohort in cohorts for name in cohort.obs["cohort"]]
    detector = ShiftDetector().fit(
        np.vstack([rank_profile(cohort, background=background) for cohort in cohorts]),
        features,
        cohorts=pd.Series(labels, index=features.index),
        background=background,
    )
    return Trained(transformer, detector)


def test_strangers_are_flagged_and_held_out_tumours_are_not(
    tumours: dict[str, ad.AnnData], strangers: dict[str, ad.AnnData]
) -> None:
    held_out: dict[str, np.ndarray] = {}
    foreign: dict[str, list[np.ndarray]] = {name: [] for name in [*strangers, "shuffled"]}
    for name in HELD_OUT:
        trained = _train([tumours[other] for other in COHORTS if other != name])
        held_out[name] = trained.flagged(tumours[name])
        shuffled = _sample(tumours[name], 10).copy()
        shuffled.X = np.random.default_rng(0).permuted(np.asarray(shuffled.X), axis=1)
        foreign["shuffled"].append(trained.flagged(shuffled))
        for stranger, adata in strangers.items():
            foreign[stranger].append(trained.flagged(adata))
    assert np.concatenate(list(held_out.values())).mean() <= 0.10
    shares = {name: float(np.concatenate(parts).mean()) for name, parts in foreign.items()}
    assert min(shares.values()) >= 0.95, shares


def test_values_without_ranks_are_refused_before_any_distance(
    tumours: dict[str, ad.AnnData], shared: Path
) -> None:
    table = shared / "cohorts" / "drug_response" / "GDSC_COSMIC656" / "expression.csv.gz"
    centred = _sample(ingest_named(None, expression=table, clinical=None, cohort=None).adata)
    background = [str(gene) for gene in tumours["hugo_2016"].var_names]
    with pytest.raises(CohortError, match="centred or scaled per gene"):
        rank_profile(centred, background=background)


def test_no_sample_stands_twice_in_the_nine_cohorts(tumours: dict[str, ad.AnnData]) -> None:
    prints = Fingerprints.concat([fingerprint(adata) for adata in tumours.values()])
    assert len(prints.samples) > 500
    assert find_duplicates(prints).empty


def test_copies_are_found_among_the_nine_cohorts_in_another_unit_and_in_a_panel(
    tumours: dict[str, ad.AnnData], strangers: dict[str, ad.AnnData]
) -> None:
    prints = Fingerprints.concat([fingerprint(adata) for adata in tumours.values()])
    original = tumours["jung_2019_gse135222"]
    rng = np.random.default_rng(0)
    linear = np.expm1(np.asarray(original.X)) * np.exp(rng.normal(0, 0.01, original.shape))
    panel = strangers["prat_2017_gse93157"].var_names
    noisy = ad.AnnData(np.log2(linear + 0.001), obs=original.obs, var=original.var)
    for copy in (noisy, original[:, original.var_names.isin(panel)].copy()):
        found = find_duplicates(fingerprint(copy), prints)
        assert len(found) == original.n_obs
        assert (found["sample"] == found["other"]).all()
