"""How far called subtypes of small-cell lung cancer agree with published ones."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from features.cells.agreement import confusion_table
from features.errors import CohortError, examples
from features.subtype_programmes import PROGRAMMES, UNKNOWN
from models.metrics import Array, Estimate, patient_resamples, ratio, read_estimate

__all__ = ["SubtypeAgreement", "agree_on_subtypes"]


@dataclass(frozen=True)
class SubtypeAgreement:
    """Agreement of called subtypes with published ones; ``unknown`` counts as wrong.

    Attributes
    ----------
    confusion
        Samples by published (rows) and called subtype (columns).
    n, right
        Samples with a published subtype, and those of them called so.
    accuracy
        ``right / n`` with Wilson's 95% interval; its standard error is the binomial one.
    balanced_accuracy
        Mean share called right over the published subtypes, with a 95% bootstrap interval over
        samples; a subtype that a resample lacks is left out of it.
    kappa
        Cohen's kappa: agreement beyond that of chance, 0 to 1 where there is any.
    baseline, baseline_right
        The commonest published subtype, and how many samples are right by always calling it.
    """

    confusion: pd.DataFrame
    n: int
    right: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    kappa: float
    baseline: str
    baseline_right: int


def agree_on_subtypes(
    found: "pd.Series[str]", published: "pd.Series[str]", *, seed: int = 0, n_resamples: int = 2000
) -> SubtypeAgreement:
    """Return how far called subtypes agree with the published ones of the same samples.

    Parameters
    ----------
    found
        Called subtype by sample: of :data:`features.subtype_programmes.PROGRAMMES`, or unknown.
    published
        Published subtype by sample; NaN and samples that ``found`` lacks are left out.
    seed, n_resamples
        Of the bootstrap.

    Raises
    ------
    CohortError
        No sample has both, or a published subtype is none of the four.
    """
    known = published.dropna()
    known = known[known.index.isin(found.index)]
    if known.empty:
        raise CohortError("no called sample has a published subtype; give both of the same samples")
    strange = sorted(set(known) - set(PROGRAMMES))
    if strange:
        raise CohortError(
            f"{len(strange)} published subtypes are unknown: {examples(strange)}; allowed: "
            f"{', '.join(PROGRAMMES)}; map them first"
        )
    called = found.reindex(known.index)
    confusion = confusion_table(list(called), list(known))
    columns = [name for name in (*PROGRAMMES, UNKNOWN) if name in confusion.columns]
    right = (called == known).to_numpy()
    low, high = proportion_confint(right.sum(), len(known), alpha=0.05, method="wilson")
    share = float(right.mean())
    counts = known.value_counts()
    return SubtypeAgreement(
        confusion=confusion[columns],
        n=len(known),
        right=int(right.sum()),
        accuracy=Estimate(
            share, float(low), float(high), float(np.sqrt(share * (1 - share) / len(known)))
        ),
        balanced_accuracy=_balanced(right, known, seed=seed, n_resamples=n_resamples),
        kappa=float(cohen_kappa_score(known, called)),
        baseline=str(counts.index[0]),
        baseline_right=int(counts.iloc[0]),
    )


def _balanced(
    right: NDArray[np.bool_], published: "pd.Series[str]", *, seed: int, n_resamples: int
) -> Estimate:
    samples = pd.Series(published.index, index=published.index)
    weights = patient_resamples(samples, count=n_resamples, rng=np.random.default_rng(seed))
    shares: list[Array] = []
    for subtype in sorted(set(published)):
        own = weights[:, (published == subtype).to_numpy()]
        shares.append(ratio(own @ right[published == subtype].astype(float), own.sum(axis=1)))
    return read_estimate(np.nanmean(shares, axis=0))
