"""Cohorts side by side: one table of samples, and features learned on the cohorts asked for."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.cells.transformer import CellFeatures, has_cells
from features.cohort import dense_expression, is_sparse
from features.covariates import COVARIATES
from features.drug_class import name_drug_classes
from features.errors import ConfigError, examples
from features.fingerprint import Fingerprints, fingerprint
from features.gene_order import GeneOrder
from features.gene_scores import ScoreKind
from features.profile import rank_profile
from features.therapy import DrugTable
from features.transformer import MarkerFeatures, measured_genes
from models.drift import DriftReference
from models.gene_reference import GeneReference, gene_ranks
from models.shift import ShiftDetector
from models.signatures import signature_scores
from models.training_reference import TrainingReference
from pipelines.ingest import IngestedCohort, keep_timepoints

__all__ = ["Dataset", "build_dataset"]

_ALWAYS = ("sample_id", "cohort", "patient_id", "timepoint", "resistant")
_WORDS = ("cancer_type", "drug", "drug_class")
_NUMBERS = ("pfs_time", "pfs_event", "os_time", "os_event")


@dataclass(frozen=True)
class Dataset:
    """Samples of several cohorts.

    Attributes
    ----------
    cohorts
        Name → cohort, only the samples that take part.
    samples
        One row per sample, index ``cohort/sample_id``: ``sample_id, cohort, patient_id,
        timepoint, resistant, cancer_type, drug, drug_class, pfs_time, pfs_event, os_time,
        os_event`` (months), ``cell_line`` (it is no tumour) and the covariates of
        :data:`features.covariates.COVARIATES`; NaN (numbers) or None (words) where a cohort does
        not say.
    left_out
        Cohort → timepoint → samples left out.
    catalogue, min_coverage, setting, score_kind
        As for :class:`features.MarkerFeatures`.
    """

    cohorts: Mapping[str, ad.AnnData]
    samples: pd.DataFrame
    left_out: Mapping[str, Mapping[str, int]]
    catalogue: Catalogue
    min_coverage: float
    setting: str | None
    score_kind: ScoreKind = "rank"
    _features: dict[tuple[str, ...], pd.DataFrame] = field(default_factory=dict, repr=False)
    _transformers: dict[tuple[str, ...], MarkerFeatures] = field(default_factory=dict, repr=False)
    _orders: dict[str, GeneOrder] = field(default_factory=dict, repr=False)
    _measured: dict[str, dict[str, None]] = field(default_factory=dict, repr=False)

    def of(self, names: Sequence[str]) -> "Dataset":
        """Return the data set of some of the cohorts."""
        kept = self.samples["cohort"].isin(list(names))
        return replace(
            self,
            cohorts={name: self.cohorts[name] for name in names},
            samples=self.samples[kept],
            _features={},
            _transformers={},
        )

    def without(self, names: Sequence[str]) -> "Dataset":
        """Return the data set without some samples, named as in the index of ``samples``.

        Raises
        ------
        ConfigError
            A name is no sample in use.
        """
        unknown = [name for name in names if name not in self.samples.index]
        if unknown:
            raise ConfigError(
                f"samples.exclude names {examples(unknown)}, no samples in use; give them as "
                f"cohort/sample_id, such as {self.samples.index[0]}"
            )
        kept = ~self.samples.index.isin(list(names))
        rows = self.samples["cohort"].to_numpy()
        cohorts = {name: a[kept[rows == name]].copy() for name, a in self.cohorts.items()}
        return replace(
            self,
            cohorts={name: adata for name, adata in cohorts.items() if adata.n_obs},
            samples=self.samples[kept],
            _features={},
            _transformers={},
            _orders={},
            _measured={},
        )

    def transformer(self, training: Sequence[str]) -> MarkerFeatures:
        """Return marker features whose background is the genes that the cohorts share."""
        key = tuple(training)
        if key not in self._transformers:
            settings = (self.catalogue, self.min_coverage, self.setting, self.score_kind)
            if all(has_cells(self.cohorts[name]) for name in key):
                found: MarkerFeatures = CellFeatures(*settings).fit(self._together(key))
            else:
                found = MarkerFeatures(*settings).freeze(self._shared_genes(key))
            self._transformers[key] = found
        return self._transformers[key]

    def _together(self, names: Sequence[str]) -> ad.AnnData:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Observation names are not unique")
            return ad.concat([self.cohorts[name] for name in names], join="inner")

    def _shared_genes(self, names: Sequence[str]) -> list[str]:
        """Return the genes measured in every sample of the cohorts, in the order of the first."""
        for name in names:
            if name not in self._measured:
                self._measured[name] = dict.fromkeys(measured_genes(self.cohorts[name]))
        first, *others = (self._measured[name] for name in names)
        shared = set(first)
        for other in others:
            shared &= other.keys()
        return [gene for gene in first if gene in shared]

    def features(self, training: Sequence[str]) -> pd.DataFrame:
        """Return unstandardised features of all samples, background from ``training`` alone."""
        key = tuple(sorted(training))
        if key not in self._features:
            transformer = self.transformer(key)
            self._features[key] = self._stack(
                {
                    name: transformer.transform(adata, order=self._order(name))
                    for name, adata in self.cohorts.items()
                }
            )
        return self._features[key]

    def _order(self, name: str) -> GeneOrder | None:
        """Return a cohort's genes in order; sparse and gene-scaled ones are not ranked by it."""
        adata = self.cohorts[name]
        if is_sparse(adata) or self.score_kind != "rank":
            return None
        if name not in self._orders:
            self._orders[name] = GeneOrder.of(dense_expression(adata))
        return self._orders[name]

    def profiles(self, transformer: MarkerFeatures) -> NDArray[np.float32]:
        """Return the rank profiles of all samples (n_samples, n_background)."""
        background = transformer.background_
        return np.vstack([rank_profile(a, background=background) for a in self.cohorts.values()])

    def fingerprints(self) -> Fingerprints:
        """Return a fingerprint of every sample, under the index of ``samples``."""
        parts = [
            fingerprint(adata, names=self.samples.index[self.samples["cohort"] == name])
            for name, adata in self.cohorts.items()
        ]
        return Fingerprints.concat(parts)

    def shift_detector(self) -> ShiftDetector:
        """Return a detector of samples unlike these."""
        names = list(self.cohorts)
        transformer = self.transformer(names)
        return ShiftDetector().fit(
            self.profiles(transformer),
            self.features(names),
            cohorts=self.samples["cohort"],
            background=transformer.background_,
        )

    def gene_ranks(self) -> pd.DataFrame:
        """Return the catalogue genes' ranks within each sample (n_samples, n_genes), NaN absent.

        Fractions of the background that all cohorts share.
        """
        background = self.transformer(list(self.cohorts)).background_
        genes = self.catalogue.gene_symbols
        ranks = {
            name: gene_ranks(adata, background=background, genes=genes)
            for name, adata in self.cohorts.items()
        }
        return self._stack(ranks).reindex(columns=list(genes))

    def gene_coverage(self) -> pd.DataFrame:
        """Return the share of each feature's genes that each cohort has (n_features, n_cohorts)."""
        transformer = self.transformer(list(self.cohorts))
        shares = {
            name: transformer.gene_report(adata).features["coverage"]
            for name, adata in self.cohorts.items()
        }
        return pd.DataFrame(shares).rename_axis("feature")

    def training_reference(self) -> TrainingReference:
        """Return what the samples look like, for a model trained on all of them."""
        features = self.features(list(self.cohorts))
        return TrainingReference(
            shift=self.shift_detector(),
            drift=DriftReference().fit(features, cohorts=self.samples["cohort"]),
            fingerprints=self.fingerprints(),
            genes=GeneReference.learn(self.gene_ranks(), cohorts=self.samples["cohort"]),
        )

    def signature_scores(self) -> pd.DataFrame:
        """Return the published signatures of all samples (n_samples, n_signatures)."""
        return self._stack({name: signature_scores(a) for name, a in self.cohorts.items()})

    def _stack(self, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        stacked = pd.concat([tables[name] for name in self.cohorts])
        return stacked.set_axis(self.samples.index, axis=0)


def build_dataset(
    cohorts: Sequence[IngestedCohort],
    *,
    timepoints: Sequence[str],
    exclude: Sequence[str] = (),
    catalogue: Catalogue,
    min_coverage: float,
    setting: str | None,
    score_kind: ScoreKind = "rank",
) -> Dataset:
    """Return the cohorts' samples of the timepoints asked for, side by side.

    ``exclude`` names further samples to leave out, as ``cohort/sample_id``.

    Raises
    ------
    CohortError
        A cohort has no sample left.
    ConfigError
        A sample to leave out is not there.
    """
    kept: dict[str, ad.AnnData] = {}
    left_out: dict[str, dict[str, Any]] = {}
    for cohort in cohorts:
        kept[cohort.name], left_out[cohort.name] = keep_timepoints(cohort, timepoints=timepoints)
    drugs = DrugTable(catalogue)
    samples = pd.concat([_sample_rows(adata.obs, drugs) for adata in kept.values()])
    samples.index = pd.Index(samples["cohort"] + "/" + samples["sample_id"], name="sample")
    dataset = Dataset(
        kept, samples, left_out, catalogue, min_coverage, setting, score_kind=score_kind
    )
    return dataset.without(exclude) if exclude else dataset


def _sample_rows(obs: pd.DataFrame, drugs: DrugTable) -> pd.DataFrame:
    """Return one row per sample, with the same columns and types whatever a cohort says."""
    table = obs.reindex(columns=[*_ALWAYS, *_WORDS, *_NUMBERS, *COVARIATES])
    therapies = list(obs["therapy"]) if "therapy" in obs else [None] * len(obs)
    table["cell_line"] = obs["cell_line"].astype(bool) if "cell_line" in obs else False
    table["drug_class"] = name_drug_classes(list(table["drug"]), therapies=therapies, table=drugs)
    words = [*_WORDS, *(name for name, one in COVARIATES.items() if not one.is_number)]
    for name in words:
        stated = table[name].astype(object)
        table[name] = stated.where(stated.notna(), None)
    numbers = [name for name in table if name not in (*_ALWAYS, *words, "cell_line")]
    return table.astype(dict.fromkeys(numbers, float))
