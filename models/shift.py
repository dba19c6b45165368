"""Is a sample like what the model has seen? Its distance from the training samples."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.covariance import LedoitWolf
from sklearn.utils.validation import check_is_fitted

from features.errors import ModelError, examples
from features.reference import ReferenceStandardiser
from models.distances import (
    balanced_quantile,
    mahalanobis,
    mean_profile,
    nearest_correlation,
    new_cohort_bound,
    undetected_share,
)

__all__ = ["COMPONENTS", "TISSUE_GENES", "ShiftDetector"]

Profiles = NDArray[np.float32]
_Array = NDArray[np.float64]

COMPONENTS = {
    "missing_genes": lambda value: f"only {1 - value:.0%} of the background genes are measured",
    "missing_marker_genes": lambda value: f"only {1 - value:.0%} of the marker genes are measured",
    "undetected_genes": lambda value: f"{value:.0%} of the measured genes are undetected",
    "rank_distance": lambda value: (
        f"gene ranks correlate with the nearest training cohort only at {1 - value:.2f}"
    ),
    "feature_distance": lambda value: (
        f"marker features lie {value:.1f} standard deviations from the training samples"
    ),
    "tissue_distance": lambda value: (
        f"genes of stroma, vessels and leucocytes stand at rank {1 - value:.2f} of 1, "
        "lower than in the training samples"
    ),
}
"""Column of :meth:`ShiftDetector.measure` → what it says in words; larger is further away."""

TISSUE_GENES = (
    *("COL1A1", "COL1A2", "COL3A1", "DCN", "LUM", "POSTN", "FBLN1", "PDGFRB", "THY1"),
    *("PECAM1", "VWF", "CDH5", "CLDN5", "ESAM", "TIE1"),
    *("PTPRC", "CD53", "LAPTM5", "CORO1A", "CD37", "TYROBP"),
    *("FCER1G", "C1QA", "C1QB", "CD14", "CD163", "CSF1R"),
)
"""Genes of fibroblasts, endothelium and leucocytes: high in tissue, silent in cell lines."""

_FEWEST_TISSUE_GENES = 10
_FEWEST_SAMPLES = 10
_FOLDS_OF_ONE_COHORT = 5
_RIDGE = 1e-6
"""Keeps the covariance invertible where no feature varies."""
_LEARNED = ("undetected_genes", "rank_distance", "feature_distance", "tissue_distance")


class ShiftDetector(BaseEstimator):
    """Distance of each sample from the training samples, 1 being as far as new cohorts go.

    Parameters
    ----------
    most_missing
        Largest share of background genes, and of marker genes, that may be missing. Training
        cohorts cannot teach it: the background is what they all have.
    flagged_share
        Share of a new cohort's samples that may lie above 1.

    Attributes
    ----------
    limits_
        Component → the value from which a sample is out of scope.
    held_out_, held_out_cohorts_
        (n_training,) distances of the training samples, each measured against the other cohorts
        alone, in units of ``limits_``, and the cohort each belongs to.
    cohort_means_
        (n_cohorts, n_background) mean rank profile of each training cohort.
    tissue_columns_
        Columns of the background that hold :data:`TISSUE_GENES`.
    standardiser_, covariance_, feature_names_
        Reference statistics of the features, each cohort counting the same, and the covariance of
        the standardised features (n_features, n_features).

    Notes
    -----
    Components: share of background genes (and of marker genes) missing; share of the measured
    genes tied at the sample's lowest value (many in single cells); one minus Pearson's correlation
    of the gene ranks with the nearest cohort's mean; Mahalanobis distance of the marker features,
    divided by the root of their number (covariance shrunk after Ledoit and Wolf,
    doi:10.1016/S0047-259X(03)00096-4); one minus the mean rank of genes of stroma, vessels and
    leucocytes, which tumour tissue holds and cell lines do not (as ESTIMATE uses them,
    doi:10.1038/ncomms3612). Limits are learned without labels: each training cohort is left out
    in turn and measured against the others (a single cohort in five parts). Of each component the
    cohorts' quantiles at 1 - ``flagged_share`` give the upper 95% prediction bound of a further
    cohort's (:func:`models.distances.new_cohort_bound`). Where more than ``flagged_share`` of what
    was held out lies above any of them, each cohort counting the same, all are widened alike.
    """

    def __init__(self, most_missing: float = 0.5, flagged_share: float = 0.05) -> None:
        self.most_missing = most_missing
        self.flagged_share = flagged_share

    def fit(
        self,
        profiles: Profiles,
        features: pd.DataFrame,
        *,
        cohorts: "pd.Series[str]",
        background: Sequence[str],
    ) -> Self:
        """Learn the reference from all training samples and the limits by leaving cohorts out.

        Parameters
        ----------
        profiles
            Rank profiles (n_samples, n_background), see :func:`features.profile.rank_profile`.
        features
            Unstandardised marker features (n_samples, n_features); NaN is a feature not measured.
        cohorts
            Cohort of each sample.
        background
            Gene of each column of ``profiles``.

        Raises
        ------
        ModelError
            Too few samples, parts of unequal length, or parameters that are no shares.
        """
        self._check(profiles, features, cohorts, background)
        groups = _hold_out_groups(cohorts)
        tissue = np.flatnonzero(pd.Index(background).isin(TISSUE_GENES))
        measured = np.full((len(features), len(_LEARNED)), np.nan)
        for group in np.unique(groups):
            held = groups == group
            rest = clone(self)._learn(profiles[~held], features[~held], cohorts[~held], tissue)
            departures = rest._departures(profiles[held], features[held])
            measured[held] = departures[list(_LEARNED)].to_numpy()
        self._learn(profiles, features, cohorts, tissue)
        self._set_limits(measured, groups)
        return self

    def measure(
        self,
        profiles: Profiles,
        features: pd.DataFrame,
        *,
        gene_coverage: "pd.Series[float] | None" = None,
    ) -> pd.DataFrame:
        """Return how far samples lie from the training samples, and by what.

        Parameters
        ----------
        profiles, features
            As in :meth:`fit`, same background and feature names.
        gene_coverage
            Share of the markers' genes measured in each sample.

        Returns
        -------
        shift
            Index as ``features``: ``shift_score`` (finite; above 1 the sample is out of scope),
            ``reason`` (the worst component, in words), and the components as in
            :data:`COMPONENTS`, NaN where one cannot be told.

        Raises
        ------
        ModelError
            Another background or other features than those fitted.
        """
        check_is_fitted(self)
        self._check_fits(profiles, features)
        components = self._departures(profiles, features)
        if gene_coverage is not None:
            missing = 1.0 - gene_coverage.reindex(features.index).to_numpy(dtype=float)
            components["missing_marker_genes"] = missing
        scores = components / pd.Series(self.limits_)[list(COMPONENTS)]
        worst = scores.fillna(-np.inf).to_numpy().argmax(axis=1)
        values = components.to_numpy()[np.arange(len(worst)), worst]
        names = list(COMPONENTS)
        result = pd.DataFrame({"shift_score": scores.max(axis=1)}, index=features.index)
        result["reason"] = [
            COMPONENTS[names[column]](value) for column, value in zip(worst, values, strict=True)
        ]
        return pd.concat([result, components], axis=1)

    def _learn(
        self,
        profiles: Profiles,
        features: pd.DataFrame,
        cohorts: "pd.Series[str]",
        tissue: NDArray[np.intp],
    ) -> Self:
        """Take the reference: mean profiles, and mean and covariance of the features."""
        labels = cohorts.to_numpy(dtype=str)
        names, sizes = np.unique(labels, return_counts=True)
        self.cohort_means_ = np.array([mean_profile(profiles[labels == n]) for n in names])
        self.tissue_columns_ = tissue
        share = features.notna().groupby(labels).mean().min()
        self.feature_names_ = [str(name) for name in share.index[share >= 0.5]]
        chosen = features[self.feature_names_]
        self.standardiser_ = ReferenceStandardiser().fit(chosen, cohorts=cohorts)
        self.covariance_ = np.empty((0, 0))
        if self.feature_names_:
            standardised = self.standardiser_.transform(chosen).fillna(0.0).to_numpy()
            weights = len(labels) / (len(names) * pd.Series(sizes, names)[labels].to_numpy())
            weighted = standardised * np.sqrt(weights)[:, None]
            covariance = LedoitWolf(assume_centered=True).fit(weighted).covariance_
            self.covariance_ = covariance + _RIDGE * np.eye(len(covariance))
        return self

    def _departures(self, profiles: Profiles, features: pd.DataFrame) -> pd.DataFrame:
        """Return the components (n_samples, n_components), larger further, NaN if not told."""
        values = np.asarray(profiles, dtype=np.float32)
        measured = np.isfinite(values)
        departures = pd.DataFrame(np.nan, index=features.index, columns=list(COMPONENTS))
        departures["missing_genes"] = 1.0 - measured.mean(axis=1)
        departures["undetected_genes"] = undetected_share(values, measured)
        departures["rank_distance"] = 1.0 - nearest_correlation(values, self.cohort_means_)
        standardised = self.standardiser_.transform(features[self.feature_names_]).to_numpy()
        departures["feature_distance"] = mahalanobis(standardised, self.covariance_)
        tissue = values[:, self.tissue_columns_].astype(float)
        enough = np.isfinite(tissue).sum(axis=1) >= _FEWEST_TISSUE_GENES
        departures.loc[enough, "tissue_distance"] = 1.0 - np.nanmean(tissue[enough], axis=1)
        return departures

    def _set_limits(self, measured: _Array, groups: NDArray[np.str_]) -> None:
        """Set each component's limit, then one factor for the furthest of them."""
        share = 1 - self.flagged_share
        limits = np.array([new_cohort_bound(column, groups, share) for column in measured.T])
        scores = measured / limits
        furthest = np.where(np.isfinite(scores), scores, 0.0).max(axis=1)
        factor = max(1.0, balanced_quantile(furthest, groups, share))
        learned = dict(zip(_LEARNED, (limits * factor).tolist(), strict=True))
        fixed = {"missing_genes": self.most_missing, "missing_marker_genes": self.most_missing}
        self.limits_: dict[str, float] = {**fixed, **learned}
        self.held_out_ = furthest / factor
        self.held_out_cohorts_ = groups

    def _check(
        self,
        profiles: Profiles,
        features: pd.DataFrame,
        cohorts: "pd.Series[str]",
        background: Sequence[str],
    ) -> None:
        for name in ("most_missing", "flagged_share"):
            if not 0 < getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}; allowed: between 0 and 1")
        if profiles.shape != (len(features), len(background)) or len(cohorts) != len(features):
            raise ModelError(
                f"profiles {profiles.shape}, {len(features)} rows of features, {len(cohorts)} "
                f"cohorts and {len(background)} background genes do not go together; give one "
                "profile row and one cohort for each row of features"
            )
        if len(features) < _FEWEST_SAMPLES:
            raise ModelError(
                f"{len(features)} training samples; limits of the distance from them need at "
                f"least {_FEWEST_SAMPLES}"
            )

    def _check_fits(self, profiles: Profiles, features: pd.DataFrame) -> None:
        expected = (len(features), self.cohort_means_.shape[1])
        if profiles.shape != expected:
            raise ModelError(
                f"profiles are {profiles.shape}, expected {expected}: samples of the feature "
                "table × background genes of the model; rank them with the model's background"
            )
        absent = [name for name in self.feature_names_ if name not in features]
        if absent:
            raise ModelError(
                f"the feature table lacks {len(absent)} columns ({examples(absent)}); its columns "
                "are the catalogue ids that MarkerFeatures gives"
            )


def _hold_out_groups(cohorts: "pd.Series[str]") -> NDArray[np.str_]:
    """Return what each sample is left out with: its cohort, of a single cohort a fifth."""
    labels = cohorts.to_numpy(dtype=str)
    if len(np.unique(labels)) > 1:
        return labels
    return (np.arange(len(labels)) % _FOLDS_OF_ONE_COHORT).astype(str)
