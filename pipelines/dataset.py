"""Cohorts side by side: one table of samples, and features learned on the cohorts asked for."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anndata as ad
import pandas as pd

from features.catalogue import Catalogue
from features.transformer import MarkerFeatures
from models.signatures import signature_scores
from pipelines.ingest import IngestedCohort, keep_timepoints

__all__ = ["Dataset", "build_dataset"]


@dataclass(frozen=True)
class Dataset:
    """Samples of several cohorts.

    Attributes
    ----------
    cohorts
        Name → cohort, only the samples that take part.
    samples
        One row per sample, index ``cohort/sample_id``: ``sample_id, cohort, patient_id,
        timepoint, resistant``.
    left_out
        Cohort → timepoint → samples left out.
    catalogue, min_coverage, setting
        As for :class:`features.MarkerFeatures`.
    """

    cohorts: Mapping[str, ad.AnnData]
    samples: pd.DataFrame
    left_out: Mapping[str, Mapping[str, int]]
    catalogue: Catalogue
    min_coverage: float
    setting: str
    _features: dict[tuple[str, ...], pd.DataFrame] = field(default_factory=dict, repr=False)

    def of(self, names: Sequence[str]) -> "Dataset":
        """Return the data set of some of the cohorts."""
        kept = self.samples["cohort"].isin(list(names))
        return replace(
            self,
            cohorts={name: self.cohorts[name] for name in names},
            samples=self.samples[kept],
            _features={},
        )

    def transformer(self, training: Sequence[str]) -> MarkerFeatures:
        """Return marker features whose background is the genes that the cohorts share."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Observation names are not unique")
            shared = ad.concat([self.cohorts[name] for name in training], join="inner")
        features = MarkerFeatures(self.catalogue, self.min_coverage, setting=self.setting)
        return features.fit(shared)

    def features(self, training: Sequence[str]) -> pd.DataFrame:
        """Return unstandardised features of all samples, background from ``training`` alone."""
        key = tuple(sorted(training))
        if key not in self._features:
            transformer = self.transformer(key)
            self._features[key] = self._stack(
                {name: transformer.transform(adata) for name, adata in self.cohorts.items()}
            )
        return self._features[key]

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
    catalogue: Catalogue,
    min_coverage: float,
    setting: str,
) -> Dataset:
    """Return the cohorts' samples of the timepoints asked for, side by side.

    Raises
    ------
    CohortError
        A cohort has no sample left.
    """
    kept: dict[str, ad.AnnData] = {}
    left_out: dict[str, dict[str, Any]] = {}
    for cohort in cohorts:
        kept[cohort.name], left_out[cohort.name] = keep_timepoints(cohort, timepoints=timepoints)
    columns = ["sample_id", "cohort", "patient_id", "timepoint", "resistant"]
    samples = pd.concat([adata.obs[columns] for adata in kept.values()])
    samples.index = pd.Index(samples["cohort"] + "/" + samples["sample_id"], name="sample")
    return Dataset(kept, samples, left_out, catalogue, min_coverage, setting)
