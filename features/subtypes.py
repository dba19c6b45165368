"""Subtypes of small-cell lung cancer by the four factors and their programmes, with confidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from features.catalogue import Catalogue
from features.errors import CohortError
from features.gene_scores import rank_genes, z_score_genes
from features.reference import MIN_COHORT_SIZE, ReferenceStandardiser, standardise_in_cohort
from features.subtype_programmes import (
    FACTORS,
    INFLAMED,
    LEAST_COVERAGE,
    PROGRAMMES,
    UNKNOWN,
    programme_genes,
    subtype_caveats,
)
from features.transformer import MarkerFeatures

__all__ = ["SUBTYPE_COLUMNS", "call_subtypes", "probability_to_win", "subtype_genes"]

_Matrix = NDArray[np.float64]

_READ = (*PROGRAMMES.values(), INFLAMED)
SUBTYPE_COLUMNS = (
    *("subtype", "confidence", "inflamed", *_READ),
    *(f"n_genes_{name}" for name in _READ),
    *("standardisation", "reason", "caveat"),
)
"""Columns of :func:`call_subtypes`."""

_FURTHEST = 3.0
"""A gene counts at most as this many standard deviations: none decides alone."""
_PRIOR_FREEDOM = 4.0
"""How many genes' scatter the prior variance of a gene, 1 by standardisation, is worth."""
_LEAST_INFLAMED = 1.0
"""Mean z from which a sample is inflamed: a choice, not taken from a source."""
_NODES, _WEIGHTS = np.polynomial.hermite.hermgauss(96)


def subtype_genes(X: ad.AnnData, *, features: MarkerFeatures) -> pd.DataFrame:
    """Return the scores of the programmes' genes (n_samples, n_found), not standardised.

    Parameters
    ----------
    X
        A cohort, bulk or pseudobulk.
    features
        Fitted: its background and its kind of score are used, ranks as fractions of the
        background or z-scores within the cohort.

    Raises
    ------
    CohortError
        As :func:`features.gene_scores.rank_genes` and :func:`features.gene_scores.z_score_genes`.
    """
    programmes = programme_genes(features.catalogue)
    wanted = list(dict.fromkeys(gene for genes in programmes.values() for gene in genes))
    if features.score_kind == "rank":
        return rank_genes(X, background=features.background_, genes=wanted).table(X.obs_names)
    return z_score_genes(X, genes=wanted).table(X.obs_names)


def call_subtypes(
    genes: pd.DataFrame,
    *,
    cohorts: "pd.Series[str]",
    reference: ReferenceStandardiser | None = None,
    min_cohort_size: int = MIN_COHORT_SIZE,
    catalogue: Catalogue | None = None,
) -> pd.DataFrame:
    """Return the subtype of each sample, how sure it is, and what that rests on.

    Parameters
    ----------
    genes
        (n_samples, n_genes): gene scores as :func:`subtype_genes` gives; NaN is not measured,
        and other genes are not read.
    cohorts
        Cohort of each sample, same index.
    reference
        Mean and spread of each gene's score elsewhere. None: each cohort is its own reference; of
        one with fewer than ``min_cohort_size`` samples nothing is called.
    min_cohort_size
        Fewest samples of a cohort that is its own reference.
    catalogue
        Holds the programmes; None takes the packaged one.

    Returns
    -------
    calls
        :data:`SUBTYPE_COLUMNS`, a row a sample: ``subtype`` (SCLC-A, SCLC-N, SCLC-P, SCLC-Y, or
        ``unknown``); ``confidence``, 0 to 1, NaN where unknown; ``inflamed`` (True, False, or NA
        where fewer than half of its genes are measured); the five scores, NaN where nothing is
        measured; ``n_genes_<programme>``, genes measured; ``standardisation``; ``reason``, why a
        sample is unknown; ``caveat``, what the call does not rest on.

    Raises
    ------
    CohortError
        ``cohorts`` is not of these samples.

    Notes
    -----
    Each gene's score is standardised (z) and cut at three standard deviations. A programme's score
    is the mean of its measured genes; its factor weighs as much as the others together, since the
    subtypes are defined by the factors (doi:10.1038/s41568-019-0133-9). The highest of the four
    wins; where none lies above the mean of cohort or reference, the subtype is unknown.

    ``confidence`` is the probability that the winner would win again, were each programme read
    from other genes that scatter around it as these do. The variance of a gene around its
    programme is the sample's own, pooled over the programmes, with the variance of a standardised
    gene (1) counted as four genes more: few genes, or genes that contradict one another, make a
    call less sure. It is not the share of right calls.

    The inflamed state is called apart: mean z of at least 1.
    doi:10.1016/j.ccell.2020.12.014 has it as a fourth subtype, low in ASCL1, NEUROD1 and POU2F3;
    doi:10.1016/j.jtho.2023.05.008 finds benefit of immunotherapy by antigen presentation, and not
    by the four subtypes. Cohort-relative scores say which samples are higher than others of their
    cohort: one that holds a single subtype is torn apart.
    """
    if not genes.index.equals(cohorts.index):
        raise CohortError(
            f"{len(genes)} samples have gene scores and {len(cohorts)} a cohort, not under the "
            "same names in the same order; give the cohort of each"
        )
    programmes = programme_genes(catalogue)
    wanted = list(dict.fromkeys(gene for own in programmes.values() for gene in own))
    given = genes.reindex(columns=wanted).astype(float)
    z = _standardise(given, cohorts, reference=reference, least=min_cohort_size)
    readings = {name: _read(z, own, factor=FACTORS.get(name)) for name, own in programmes.items()}
    measured = given.notna() if reference is None else z.notna()
    table = _call([readings[name] for name in PROGRAMMES.values()], genes.index)
    table["inflamed"] = _inflamed(readings[INFLAMED], n_genes=len(programmes[INFLAMED]))
    for name, reading in readings.items():
        table[name] = reading.score
        table[f"n_genes_{name}"] = measured[list(programmes[name])].sum(axis=1).astype(int)
    table["standardisation"] = "cohort" if reference is None else "reference"
    sizes = cohorts.map(cohorts.value_counts())
    table["reason"] = _reasons(table, sizes, least=0 if reference is not None else min_cohort_size)
    table["caveat"] = subtype_caveats(measured, programmes=programmes)
    return table[list(SUBTYPE_COLUMNS)]


@dataclass(frozen=True)
class _Reading:
    """A programme in each sample, each (n_samples,).

    ``score``: weighted mean z; ``shrinkage``: its standard error per standard deviation of a gene;
    ``count``: genes read; ``scatter``: squares of the genes around their mean.
    """

    score: _Matrix
    shrinkage: _Matrix
    count: NDArray[np.int_]
    scatter: _Matrix


def _standardise(
    genes: pd.DataFrame,
    cohorts: "pd.Series[str]",
    *,
    reference: ReferenceStandardiser | None,
    least: int,
) -> pd.DataFrame:
    """Return z-scores, cut; NaN in cohorts that are too small to be their own reference."""
    if reference is not None:
        known = genes.reindex(columns=[str(name) for name in reference.feature_names_in_])
        z = reference.transform(known).reindex(columns=genes.columns)
        return z.clip(-_FURTHEST, _FURTHEST)
    large = (cohorts.map(cohorts.value_counts()) >= least).to_numpy()
    z = pd.DataFrame(np.nan, index=genes.index, columns=genes.columns)
    z[large] = standardise_in_cohort(
        genes[large], cohorts=cohorts[large], min_cohort_size=least
    ).clip(-_FURTHEST, _FURTHEST)
    return z


def _read(z: pd.DataFrame, genes: Sequence[str], *, factor: str | None) -> _Reading:
    """Return a programme's score, the factor weighing as much as the rest where both are there."""
    values = z[list(genes)].to_numpy(dtype=float)
    measured = np.isfinite(values)
    count = measured.sum(axis=1)
    weights = measured.astype(float)
    if factor in genes:
        weights[:, genes.index(factor)] *= np.maximum(count - 1, 1)
    total = weights.sum(axis=1)
    weights /= np.where(total > 0, total, 1.0)[:, None]
    known = np.where(measured, values, 0.0)
    score = np.where(count > 0, (weights * known).sum(axis=1), np.nan)
    middle = known.sum(axis=1) / np.maximum(count, 1)
    scatter = (np.where(measured, values - middle[:, None], 0.0) ** 2).sum(axis=1)
    return _Reading(score, np.sqrt((weights**2).sum(axis=1)), count, scatter)


def _call(readings: Sequence[_Reading], samples: pd.Index) -> pd.DataFrame:
    """Return ``subtype`` and ``confidence`` by the readings of the four programmes."""
    scores = np.column_stack([reading.score for reading in readings])
    scatter = np.sum([reading.scatter for reading in readings], axis=0)
    freedom = np.sum([np.maximum(reading.count - 1, 0) for reading in readings], axis=0)
    deviation = np.sqrt((_PRIOR_FREEDOM + scatter) / (_PRIOR_FREEDOM + freedom))
    errors = np.column_stack([reading.shrinkage for reading in readings]) * deviation[:, None]
    rows = np.arange(len(samples))
    best = np.argmax(np.nan_to_num(scores, nan=-np.inf), axis=1)
    told = (np.isfinite(scores).sum(axis=1) >= 2) & (scores[rows, best] > 0)
    confidence = probability_to_win(scores, errors=errors)[rows, best]
    table = pd.DataFrame(index=samples)
    table["subtype"] = np.where(told, np.array(list(PROGRAMMES), dtype=object)[best], UNKNOWN)
    table["confidence"] = np.where(told, confidence, np.nan)
    return table


def probability_to_win(scores: _Matrix, *, errors: _Matrix) -> _Matrix:
    """Return the probability that each score is the highest (n_samples, n_scores).

    Scores are independent and normal with standard ``errors``; NaN takes no part. By Gauss-Hermite
    quadrature: nothing is drawn, so a sample alone gets what it gets among others.

    Examples
    --------
    >>> probability_to_win(np.array([[1.0, 0.0]]), errors=np.ones((1, 2))).round(3)
    array([[0.76, 0.24]])
    """
    found = np.full(scores.shape, np.nan)
    for own in range(scores.shape[1]):
        points = scores[:, own, None] + np.sqrt(2) * errors[:, own, None] * _NODES
        below = np.ones_like(points)
        for other in set(range(scores.shape[1])) - {own}:
            there = np.isfinite(scores[:, other])
            distance = points[there] - scores[there, other, None]
            below[there] *= ndtr(distance / errors[there, other, None])
        found[:, own] = below @ _WEIGHTS / np.sqrt(np.pi)
    return np.where(np.isfinite(scores), found, np.nan)


def _inflamed(reading: _Reading, *, n_genes: int) -> "pd.arrays.BooleanArray":
    """Return whether each sample is inflamed, NA where too few of the genes are measured."""
    told = (reading.count > 0) & (reading.count >= LEAST_COVERAGE * n_genes)
    return pd.arrays.BooleanArray(np.nan_to_num(reading.score) >= _LEAST_INFLAMED, ~told)


def _reasons(table: pd.DataFrame, sizes: "pd.Series[int]", *, least: int) -> list[str]:
    """Return why samples are unknown; ``least`` samples make a cohort its own reference."""
    n_measured = (table[[f"n_genes_{name}" for name in PROGRAMMES.values()]] > 0).sum(axis=1)
    known: Mapping[bool, str] = {True: "cohort", False: "reference"}
    reasons = []
    for subtype, size, n in zip(table["subtype"], sizes, n_measured, strict=True):
        if subtype != UNKNOWN:
            reasons.append("")
        elif size < least:
            what = f"the cohort has {size} samples, to be its own reference it needs {least}"
            reasons.append(f"{what}, and no other was given")
        elif n < 2:
            reasons.append(f"genes of only {n} of the 4 programmes are measured: none to compare")
        else:
            reasons.append(f"no programme lies above the mean of the {known[least > 0]}")
    return reasons
