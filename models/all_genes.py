"""A plain LightGBM on all genes: what can be had without knowing any biology."""

from collections.abc import Mapping, Sequence
from typing import Self

import anndata as ad
import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from features.cohort import dense_expression
from features.errors import CohortError, examples
from models.two_class import TwoClassModel
from models.weights import sample_weights, two_classes

__all__ = ["AllGenesClassifier", "all_gene_expression"]


def all_gene_expression(
    cohorts: Mapping[str, ad.AnnData], *, training: Sequence[str]
) -> pd.DataFrame:
    """Return the log expression of every gene that all training cohorts measure.

    Parameters
    ----------
    cohorts
        Name → cohort: ``X`` (n_samples, n_genes) log1p of CPM or TPM, or centred or scaled per
        gene where it came so; ``var`` index HGNC symbols.
    training
        The cohorts whose common genes are taken; the others are not looked at for this.

    Returns
    -------
    pandas.DataFrame
        float32, (n_samples of all cohorts, n_genes), index ``cohort/sample``, columns the symbols
        in alphabetical order, so that the order of a file's genes is nothing. NaN where a cohort
        that is not in ``training`` lacks the gene. Not standardised.

    Raises
    ------
    CohortError
        ``training`` names no cohort or an unknown one, or the training cohorts share no gene.
    """
    known = [name for name in training if name in cohorts]
    if not training or len(known) < len(training):
        raise CohortError(
            f"training is {list(training)!r}, but the cohorts are {examples(cohorts)}: "
            "name at least one of them, and no other"
        )
    genes = _shared_genes({name: cohorts[name] for name in training})
    samples = [f"{name}/{sample}" for name, adata in cohorts.items() for sample in adata.obs_names]
    return pd.DataFrame(
        np.concatenate([_expression(adata, genes) for adata in cohorts.values()]),
        index=pd.Index(samples, name="sample"),
        columns=genes,
    )


def _shared_genes(cohorts: Mapping[str, ad.AnnData]) -> pd.Index:
    measured = [
        set(adata.var_names[np.isfinite(dense_expression(adata)).any(axis=0)])
        for adata in cohorts.values()
    ]
    shared = set.intersection(*measured)
    if not shared:
        raise CohortError(
            f"the training cohorts {examples(cohorts)} share no measured gene; translate their "
            "identifiers to one kind (`oncoresist check` shows them) or leave a cohort out"
        )
    genes: pd.Index = pd.Index(sorted(shared))
    return genes


def _expression(adata: ad.AnnData, genes: pd.Index) -> NDArray[np.float32]:
    positions = adata.var_names.get_indexer(genes)
    present = positions >= 0
    values = np.full((adata.n_obs, len(genes)), np.nan, dtype=np.float32)
    values[:, present] = dense_expression(adata[:, positions[present]])
    return values


class AllGenesClassifier(TwoClassModel):
    """LightGBM nearly as it comes, for tables of thousands of genes: no signs, no tuning, one seed.

    What decides the model is the library's default: 100 trees of at most 31 leaves, learning rate
    0.1, at least 20 samples a leaf, no penalty; but for ``colsample_bytree``. A gene that a new
    cohort lacks and every training sample has is taken as 0, the mean of standardised expression.

    Parameters
    ----------
    max_bin
        Most bins that a gene's values are sorted into. LightGBM's own 255 puts some three of a
        few hundred samples into a bin and takes two to three times as long; 31 puts some fifteen
        there, fewer than the least leaf.
    colsample_bytree
        Share of the genes drawn for each tree. LightGBM's own, all of them, takes twice as long on
        whole transcriptomes.
    random_state
        Seed of the genes drawn.
    n_jobs
        Threads, one by default; the result does not depend on it.

    Attributes
    ----------
    classes_
        The two labels, sorted; the second is the positive class.
    estimator_
        The fitted ``LGBMClassifier``.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> X = pd.DataFrame({"B2M": np.linspace(0, 1, 80), "CD8A": np.zeros(80)})
    >>> y = (X["B2M"] < 0.5).astype(int)
    >>> bool(AllGenesClassifier().fit(X, y).decision_function(X)[0] > 0)
    True

    References
    ----------
    Ke et al., LightGBM, NeurIPS 2017.
    """

    def __init__(
        self,
        *,
        max_bin: int = 31,
        colsample_bytree: float = 0.1,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.max_bin = max_bin
        self.colsample_bytree = colsample_bytree
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        cohorts: ArrayLike | None = None,
    ) -> Self:
        """Fit on standardised expression (n_samples, n_genes) and labels (n_samples,).

        Parameters
        ----------
        X, y
            Expression, NaN for not measured, and labels; exactly two classes.
        groups
            Patient of each sample: a patient's samples together weigh as one. None weighs every
            sample the same.

        Raises
        ------
        ValueError
            There are not two classes.
        """
        values, labels = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
            ensure_min_samples=2,
        )
        self.classes_, encoded = two_classes(labels)
        weights = None if groups is None else sample_weights(len(encoded), groups=groups)
        self.estimator_ = LGBMClassifier(
            max_bin=self.max_bin,
            colsample_bytree=self.colsample_bytree,
            random_state=self.random_state,
            n_jobs=self.n_jobs or 1,
            deterministic=True,
            force_col_wise=True,
            enable_bundle=False,
            verbosity=-1,
        ).fit(values, encoded, sample_weight=weights)
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the log-odds of the positive class (n_samples,)."""
        check_is_fitted(self)
        values = validate_data(
            self, X, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan", reset=False
        )
        return np.asarray(self.estimator_.booster_.predict(values, raw_score=True))
