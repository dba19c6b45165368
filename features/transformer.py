"""MarkerFeatures: from a cohort's expression to a table of named, documented features."""

from typing import Self

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from features.catalogue import Catalogue, default_catalogue
from features.cohort import dense_expression
from features.errors import CohortError, examples
from features.scoring import MarkerScores, doubled_midranks, score_markers

__all__ = ["MarkerFeatures"]

_FEWEST_BACKGROUND_GENES = 20


class MarkerFeatures(TransformerMixin, BaseEstimator):
    """Rank scores of the catalogue's markers, a column each.

    A gene's score is its mid-rank among a fixed background within the sample, as a fraction. So
    any monotone transformation of a sample (TPM, log TPM with any pseudo-count, scaling) gives
    exactly the same features, the order of samples and genes is nothing, and one sample alone
    gives what it gives in a batch. Unlike other scikit-learn transformers it takes an AnnData.

    Parameters
    ----------
    catalogue
        The markers; None takes the packaged catalogue.
    min_coverage
        Least share of a marker's genes that must be measured; below it the feature is NaN.

    Attributes
    ----------
    background_
        Symbols of the background: the genes of the cohort it was fitted on.
    feature_names_
        Marker ids, in catalogue order.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd
    >>> genes = [*default_catalogue().gene_symbols]
    >>> values = np.random.default_rng(0).gamma(1.0, 5.0, (4, len(genes)))
    >>> cohort = ad.AnnData(np.log1p(values), var=pd.DataFrame(index=genes))
    >>> MarkerFeatures().fit(cohort).transform(cohort).loc["0", "b2m"].round(3) <= 1
    np.True_
    """

    score_kind = "rank"

    def __init__(self, catalogue: Catalogue | None = None, min_coverage: float = 0.5) -> None:
        self.catalogue = catalogue
        self.min_coverage = min_coverage

    def fit(self, X: ad.AnnData, y: None = None) -> Self:
        """Freeze the background: the genes of ``X`` that are measured in every sample."""
        measured = np.isfinite(dense_expression(X)).all(axis=0)
        self.background_ = tuple(str(gene) for gene in X.var_names[measured])
        self.feature_names_ = (self.catalogue or default_catalogue()).marker_ids
        return self

    def transform(self, X: ad.AnnData) -> pd.DataFrame:
        """Return the features (n_samples, n_markers) of a cohort.

        Raises
        ------
        CohortError
            Too few background genes are measured for ranks to mean anything.
        """
        return self._table(self._score(X).scores, X)

    def coverage(self, X: ad.AnnData) -> pd.DataFrame:
        """Return the share of each marker's genes that is measured (n_samples, n_markers)."""
        return self._table(self._score(X).coverage, X)

    def gene_coverage(self, X: ad.AnnData) -> "pd.Series[float]":
        """Return the share of all catalogue genes that is measured in each sample."""
        genes = pd.Index((self.catalogue or default_catalogue()).gene_symbols)
        found = X[:, X.var_names.isin(genes)]
        measured = np.isfinite(dense_expression(found)).sum(axis=1)
        return pd.Series(measured / len(genes), index=X.obs_names, name="gene_coverage")

    def background_coverage(self, X: ad.AnnData) -> float:
        """Return the share of the background's genes that the cohort's file has."""
        check_is_fitted(self)
        return float(pd.Index(self.background_).isin(X.var_names).mean())

    def get_feature_names_out(self, input_features: None = None) -> NDArray[np.object_]:
        """Return the marker ids."""
        check_is_fitted(self)
        return np.asarray(self.feature_names_, dtype=object)

    def _score(self, X: ad.AnnData) -> MarkerScores:
        check_is_fitted(self)
        catalogue = self.catalogue or default_catalogue()
        background = np.flatnonzero(X.var_names.isin(pd.Index(self.background_)))
        if background.size < _FEWEST_BACKGROUND_GENES:
            raise CohortError(
                f"only {background.size} of the model's {len(self.background_)} background genes "
                f"are in the file (its first genes: {examples(X.var_names)}); ranks need at least "
                f"{_FEWEST_BACKGROUND_GENES}: check the gene identifiers"
            )
        genes = np.flatnonzero(X.var_names.isin(pd.Index(catalogue.gene_symbols)))
        ranks, sizes = doubled_midranks(dense_expression(X), background=background, genes=genes)
        return score_markers(
            ranks,
            sizes,
            symbols=list(X.var_names[genes]),
            markers=catalogue.markers,
            min_coverage=self.min_coverage,
        )

    def _table(self, values: NDArray[np.float64], X: ad.AnnData) -> pd.DataFrame:
        return pd.DataFrame(values, index=X.obs_names.copy(), columns=list(self.feature_names_))
