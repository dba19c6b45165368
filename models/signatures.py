"""Published signatures and the class prior, as baselines with a classifier's interface."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from features.cohort import TARGET_SUM, dense_expression
from models.calibration import PlattCalibrator

__all__ = ["SIGNATURES", "Signature", "SignatureClassifier", "signature_scores"]


@dataclass(frozen=True)
class Signature:
    """A published score of *response* from log expression.

    Attributes
    ----------
    genes
        The score is the mean log expression of those measured.
    pairs
        Or: one point for each pair (first expressed above second), as a share of the pairs
        measured. A pair with a missing gene is left out, never counted as false.
    sign
        +1 when more of it goes with response, -1 with resistance.
    source
        DOI, or what the score is.
    """

    source: str
    genes: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    sign: int = 1


def _genes(names: str) -> tuple[str, ...]:
    return tuple(names.split())


def _pairs(names: str) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in (p.split(">") for p in names.split()))


SIGNATURES: Mapping[str, Signature] = {
    "gep_18": Signature(
        source="10.1172/JCI91190",
        genes=_genes(
            "PSMB10 HLA-DQA1 HLA-DRB1 CMKLR1 HLA-E NKG7 CD8A CCL5 CXCL9 CD27 CXCR6 IDO1 STAT1 "
            "TIGIT LAG3 CD274 PDCD1LG2 CD276"
        ),
    ),
    "ifng_6": Signature(
        source="10.1172/JCI91190", genes=_genes("IDO1 CXCL10 CXCL9 HLA-DRA STAT1 IFNG")
    ),
    "impres": Signature(
        source="10.1038/s41591-018-0157-9",
        pairs=_pairs(
            "CD274>VSIR CD86>CD200 CD40>CD274 CD28>CD276 CD40>CD28 TNFRSF14>CD86 CD27>PDCD1 "
            "CD28>CD86 CD40>CD80 CD40>PDCD1 CD80>TNFSF9 CD86>HAVCR2 CD86>TNFSF4 CTLA4>TNFSF4 "
            "PDCD1>TNFSF4"
        ),
    ),
    "cytolytic": Signature(source="10.1016/j.cell.2014.12.033", genes=_genes("GZMA PRF1")),
    "tls": Signature(
        source="tertiary lymphoid structures, as published predictors use it",
        genes=_genes(
            "CETP LAT CCR6 CCR7 CXCL13 CD1D SELL CD79B EIF1AY PTGDS RBP5 SKAP1 MS4A1 CD79A"
        ),
    ),
    "tgf_beta": Signature(
        source="TGF-beta stroma, as published predictors use it",
        genes=_genes("TGFB1 ACTA2 COL4A1 TAGLN SH3PXD2A"),
        sign=-1,
    ),
    "pdl1": Signature(source="single gene", genes=("CD274",)),
    "pd1": Signature(source="single gene", genes=("PDCD1",)),
    "ctla4": Signature(source="single gene", genes=("CTLA4",)),
    "cd8": Signature(source="two genes", genes=("CD8A", "CD8B")),
}
"""Name → published signature; names stand in the metric ``baseline.<name>.loco.auroc``."""


def signature_scores(adata: ad.AnnData) -> pd.DataFrame:
    """Return each signature's score of *resistance* (n_samples, n_signatures).

    Parameters
    ----------
    adata
        Cohort: ``X`` log1p of CPM or TPM, ``var`` index HGNC symbols.

    Notes
    -----
    A signature none of whose genes is measured is NaN. Where raw counts came in, the scores are
    taken from their log1p CPM, as these rules are commonly run: gene lengths are not divided out.
    """
    wanted = {gene for signature in SIGNATURES.values() for gene in signature.genes}
    wanted |= {gene for s in SIGNATURES.values() for pair in s.pairs for gene in pair}
    found = adata.var_names.isin(pd.Index(sorted(wanted)))
    expression = pd.DataFrame(
        _log_expression(adata)[:, found], index=adata.obs_names, columns=adata.var_names[found]
    )
    return pd.DataFrame(
        {
            name: -signature.sign * _response_score(expression, signature)
            for name, signature in SIGNATURES.items()
        },
        index=adata.obs_names,
    )


def _log_expression(adata: ad.AnnData) -> NDArray[np.float64]:
    if "counts" not in adata.layers:
        return dense_expression(adata)
    counts = np.asarray(adata.layers["counts"], dtype=float)
    return np.log1p(counts * (TARGET_SUM / np.nansum(counts, axis=1, keepdims=True)))


def _response_score(expression: pd.DataFrame, signature: Signature) -> "pd.Series[float]":
    if not signature.pairs:
        return expression.reindex(columns=list(signature.genes)).mean(axis=1)
    genes = {gene for pair in signature.pairs for gene in pair}
    table = expression.reindex(columns=sorted(genes))
    first = table[[pair[0] for pair in signature.pairs]].to_numpy()
    second = table[[pair[1] for pair in signature.pairs]].to_numpy()
    measured = np.isfinite(first) & np.isfinite(second)
    count = measured.sum(axis=1)
    share = np.full(len(table), np.nan)
    np.divide(((first > second) & measured).sum(axis=1), count, out=share, where=count > 0)
    return pd.Series(share, index=expression.index)


class SignatureClassifier(ClassifierMixin, BaseEstimator):
    """One published score as a classifier: a logistic curve over it, its direction held.

    Parameters
    ----------
    signature
        The column of ``X`` that is the score (of resistance).

    Attributes
    ----------
    calibrator_
        The fitted logistic curve; None where no training sample of either class has the score.
    classes_
        0 (responsive), 1 (resistant).
    """

    def __init__(self, *, signature: str = "gep_18") -> None:
        self.signature = signature

    def fit(
        self,
        X: pd.DataFrame,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        cohorts: ArrayLike | None = None,
    ) -> Self:
        """Fit on scores (n_samples, n_signatures) and labels 1 or 0; NaN scores are left out."""
        scores = X[self.signature].to_numpy(dtype=float)
        labels = np.asarray(y, dtype=float)
        measured = np.isfinite(scores)
        both = np.unique(labels[measured]).size == 2
        self.calibrator_ = (
            PlattCalibrator().fit(scores[measured], labels[measured]) if both else None
        )
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the log-odds of resistance (n_samples,); NaN where the score was not measured."""
        check_is_fitted(self)
        scores = X[self.signature].to_numpy(dtype=float)
        if self.calibrator_ is None:
            return np.full(scores.size, np.nan)
        return np.asarray(self.calibrator_.calibrated_log_odds(scores))

    def predict_proba(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return probabilities (n_samples, 2); column 1 is resistant."""
        check_is_fitted(self)
        positive = expit(self.decision_function(X))
        return np.column_stack([1.0 - positive, positive])
