"""Which drivers of a model stay the same over folds and draws of samples."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from features.errors import ModelError, examples

__all__ = ["FoldAgreement", "driver_stability", "fold_agreement", "leading_places"]

Array = NDArray[np.float64]
_MOST_LEADING = 10
_TAIL = 0.025
_FOLDS_AGREE = 2 / 3 - 1e-9


@dataclass(frozen=True)
class FoldAgreement:
    """How far folds agree on which names drive predictions.

    Attributes
    ----------
    spearman
        Mean over pairs of folds of Spearman's correlation of mean |SHAP|; 1 is the same order,
        0 none in common. A pair with a fold whose names all weigh the same has none and is left
        out; NaN where no pair is left, or with fewer than two folds or names.
    kendall_w
        Kendall's coefficient of concordance, corrected for ties: 0 to 1; NaN with fewer than two
        folds or names, or where every fold weighs all names the same.
    n_folds, n_names
        How many were compared.
    """

    spearman: float
    kendall_w: float
    n_folds: int
    n_names: int


def leading_places(n_names: int) -> int:
    """Return how many places count as leading: ten, or a third of the names where that is fewer.

    Examples
    --------
    >>> leading_places(67), leading_places(6), leading_places(2)
    (10, 2, 1)
    """
    return max(1, min(_MOST_LEADING, n_names // 3))


def driver_stability(
    values: pd.DataFrame, *, folds: "pd.Series[str]", n_resamples: int, seed: int
) -> pd.DataFrame:
    """Return how much each name drives predictions, and whether its place is one to rely on.

    A name is ``stable`` when chance does not decide whether it leads: its 95% bootstrap interval
    of ranks lies wholly among the leading places and two thirds of the folds place it there too,
    or it lies wholly below them and two thirds of the folds do not. The bootstrap shows what other
    patients of the same cohorts would change, given the models; the folds, explained by a model
    each that trained on other cohorts, show what another model would. Either alone calls drivers
    stable that the other moves. All other names are marked unstable: a figure should not be read
    by their order.

    Parameters
    ----------
    values
        Attributions (n_samples, n_names) of features, mechanisms or groups, one scale.
    folds
        Fold of each sample, such as the cohort held out; same index as ``values``.
    n_resamples
        Bootstraps of samples within folds.
    seed
        Of the bootstraps.

    Returns
    -------
    DataFrame
        Indexed by name, the strongest first: ``mean_abs`` (mean |SHAP| over all samples), ``low,
        high`` (its 95% bootstrap interval), ``rank, rank_low, rank_high`` (1 is the strongest;
        equals share the better one), ``top_share`` (share of bootstraps that place it among the
        leading, :func:`leading_places`), ``fold_top_share`` (share of folds that do), ``stable``.

    Raises
    ------
    ModelError
        Folds are missing or of other samples, an attribution is not finite, or there is nothing
        to resample.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile interval).
    """
    if n_resamples < 1:
        raise ModelError(f"n_resamples is {n_resamples}; give at least 1")
    strength, codes = _checked(values, folds)
    drawn = _bootstrap_means(strength, codes, n_resamples=n_resamples, seed=seed)
    low, high = np.quantile(drawn, [_TAIL, 1 - _TAIL], axis=0)
    drawn_ranks = _ranks(drawn)
    edges = np.quantile(drawn_ranks, [_TAIL, 1 - _TAIL], axis=0, method="closest_observation")
    leading = leading_places(strength.shape[1])
    fold_top_share = (_ranks(_fold_means(strength, codes)) <= leading).mean(axis=0)
    mean = strength.mean(axis=0)
    inside = (edges[1] <= leading) & (fold_top_share >= _FOLDS_AGREE)
    outside = (edges[0] > leading) & (1 - fold_top_share >= _FOLDS_AGREE)
    table = pd.DataFrame(
        {
            "mean_abs": mean,
            "low": low,
            "high": high,
            "rank": _ranks(mean[None, :])[0],
            "rank_low": edges[0].astype(int),
            "rank_high": edges[1].astype(int),
            "top_share": (drawn_ranks <= leading).mean(axis=0),
            "fold_top_share": fold_top_share,
            "stable": inside | outside,
        },
        index=values.columns.rename("name"),
    )
    return table.sort_values("rank", kind="stable")


def fold_agreement(values: pd.DataFrame, *, folds: "pd.Series[str]") -> FoldAgreement:
    """Return how far folds agree on the order of names by mean |SHAP|.

    Parameters
    ----------
    values, folds
        As in :func:`driver_stability`, with the same errors.

    References
    ----------
    Kendall and Babington Smith, Ann Math Stat 1939, doi:10.1214/aoms/1177732186.
    """
    strength, codes = _checked(values, folds)
    ranks = rankdata(_fold_means(strength, codes), axis=1)
    n_folds, n_names = ranks.shape
    if n_folds < 2 or n_names < 2:
        return FoldAgreement(float("nan"), float("nan"), n_folds, n_names)
    return FoldAgreement(_mean_correlation(ranks), _concordance(ranks), n_folds, n_names)


def _checked(values: pd.DataFrame, folds: "pd.Series[str]") -> tuple[Array, NDArray[np.intp]]:
    """Return absolute attributions and the number of each sample's fold, or refuse them."""
    if values.empty:
        raise ModelError(f"attributions of shape {values.shape}; give at least a sample and a name")
    if not folds.index.equals(values.index):
        raise ModelError(
            f"{len(folds)} folds do not belong to the {len(values)} samples of the attributions; "
            "give both the same index"
        )
    missing = values.index[folds.isna().to_numpy()]
    if len(missing):
        raise ModelError(f"{len(missing)} samples have no fold ({examples(missing)})")
    strength = np.abs(values.to_numpy(dtype=float))
    strange = values.index[~np.isfinite(strength).all(axis=1)]
    if len(strange):
        raise ModelError(
            f"attributions of {len(strange)} samples are not finite ({examples(strange)}); leave "
            "these samples out"
        )
    return strength, pd.factorize(folds)[0]


def _bootstrap_means(
    strength: Array, codes: NDArray[np.intp], *, n_resamples: int, seed: int
) -> Array:
    """Return means (n_resamples, n_names); how often a sample is drawn is its weight."""
    rng = np.random.default_rng(seed)
    total = np.zeros((n_resamples, strength.shape[1]))
    for fold in range(codes.max() + 1):
        members = strength[codes == fold]
        count = len(members)
        times = rng.multinomial(count, np.full(count, 1 / count), size=n_resamples)
        total += times.astype(float) @ members
    return total / len(strength)


def _fold_means(strength: Array, codes: NDArray[np.intp]) -> Array:
    """Return the mean absolute attribution (n_folds, n_names) of each fold."""
    return np.stack([strength[codes == fold].mean(axis=0) for fold in range(codes.max() + 1)])


def _ranks(means: Array) -> NDArray[np.int64]:
    """Return ranks along rows, 1 the largest."""
    return rankdata(-means, method="min", axis=1).astype(np.int64)


def _mean_correlation(ranks: Array) -> float:
    """Return the mean correlation over pairs of rows that are not constant; NaN if none is."""
    varied = ranks[np.ptp(ranks, axis=1) > 0]
    if len(varied) < 2:
        return float("nan")
    found = np.asarray(np.corrcoef(varied))
    return float(found[np.triu_indices(len(varied), k=1)].mean())


def _concordance(ranks: Array) -> float:
    """Return Kendall's W of average ranks (n_folds, n_names), corrected for ties."""
    n_folds, n_names = ranks.shape
    spread = float(((ranks.sum(axis=0) - n_folds * (n_names + 1) / 2) ** 2).sum())
    ties = sum(float((counts**3 - counts).sum()) for counts in map(_tied, ranks))
    most = n_folds**2 * (n_names**3 - n_names) - n_folds * ties
    return 12 * spread / most if most > 0 else float("nan")


def _tied(row: Array) -> NDArray[np.int64]:
    """Return how many names share each rank."""
    return np.unique(row, return_counts=True)[1]
