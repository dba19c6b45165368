"""Does the model hold in subgroups? Figures by drug, tumour type, sex and so on."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.reference import standardise_in_cohort
from models.metrics import (
    Array,
    Estimate,
    brier_score,
    check_predictions,
    pairs_won,
    ratio,
    read_estimate,
    stratified_resamples,
)

__all__ = ["PURITY_FEATURES", "purity_proxy", "subgroup_columns", "subgroup_table"]

PURITY_FEATURES: Mapping[str, tuple[str, ...]] = {
    "immune": ("cytolytic", "b_cells_tls", "tam_m2", "mhc_class_ii"),
    "stromal": ("caf_ecm", "angiogenesis"),
}
"""Markers of cells that are not the tumour's; the two groups weigh the same."""
_SENIOR = 65
_TERCILES = ("low", "middle", "high")
_STAGE_NAMES = {1: "I", 2: "II", 3: "III", 4: "IV"}
_AS_STATED = ("drug_class", "cancer_type", "timepoint", "sex", "biopsy_site")


def subgroup_table(
    predictions: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    n_resamples: int,
    seed: int,
    least: int = 10,
) -> pd.DataFrame:
    """Return discrimination and Brier score within each level of each group.

    Parameters
    ----------
    predictions
        ``cohort``, ``patient_id``, ``resistant`` (1, 0, NaN), ``score`` (ranks within a cohort)
        and ``probability``, one row a sample. Samples without label or score are left out.
    groups
        A column for each way to group, on an index that holds that of ``predictions``; a sample
        without a level takes no part in that grouping.
    n_resamples
        Bootstrap resamples of the patients within each cohort.
    seed
        Of the bootstrap; a cohort's resamples depend on it and the cohort's name alone, so that
        all subgroups are drawn together.
    least
        Fewest samples of a level for which figures are given.

    Returns
    -------
    table
        One row per group and level: ``group, level, n, resistant, cohorts, auroc, low, high,
        brier, brier_low, brier_high``. ``auroc`` is over the pairs of a resistant and a
        responsive sample of the same cohort, pooled over the cohorts: cohorts that differ in
        their response rate do not help it. Intervals are 95%. Levels of a categorical column keep
        their order, others are sorted. A level with fewer than ``least`` samples has NaN for all
        figures, one without a pair NaN for the AUROC.

    Raises
    ------
    ModelError
        A column of the predictions is missing, or a sample has several rows.

    Notes
    -----
    Intervals are not corrected for the number of subgroups looked at: some will stand out by
    chance.
    """
    wanted = ("cohort", "patient_id", "resistant", "score", "probability")
    check_predictions(predictions, wanted, where="predictions by subgroup")
    usable = predictions[predictions["score"].notna() & predictions["resistant"].notna()]
    weights = stratified_resamples(usable, count=n_resamples, seed=seed)
    levels = groups.reindex(usable.index)
    rows = []
    for group in groups.columns:
        for level in _levels(levels[group]):
            members = (levels[group] == level).to_numpy()
            figures = _figures(usable[members], weights[:, members], least=least)
            rows.append({"group": group, "level": level, **figures})
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    *("group", "level", "n", "resistant", "cohorts"),
    *("auroc", "low", "high", "brier", "brier_low", "brier_high"),
]


def _levels(values: "pd.Series[str]") -> list[str]:
    present = set(values.dropna())
    if isinstance(values.dtype, pd.CategoricalDtype):
        return [level for level in values.cat.categories if level in present]
    return sorted(present)


def _figures(part: pd.DataFrame, weights: Array, *, least: int) -> dict[str, float]:
    labels = part["resistant"].to_numpy(dtype=float)
    auroc = brier = Estimate(np.nan, np.nan, np.nan, np.nan)
    if len(part) >= least:
        auroc = read_estimate(_pooled_auroc(part, weights))
        probability = part["probability"].to_numpy(dtype=float)
        known = np.isfinite(probability)
        if known.any():
            brier = read_estimate(brier_score(labels[known], probability[known], weights[:, known]))
    return {
        "n": len(part),
        "resistant": int(labels.sum()),
        "cohorts": part["cohort"].nunique(),
        **{"auroc": auroc.value, "low": auroc.low, "high": auroc.high},
        **{"brier": brier.value, "brier_low": brier.low, "brier_high": brier.high},
    }


def _pooled_auroc(part: pd.DataFrame, weights: Array) -> Array:
    """Return the AUROC over pairs within cohorts of each resample; NaN where there is no pair."""
    won, total = np.zeros(len(weights)), np.zeros(len(weights))
    for cohort in part["cohort"].unique():
        rows = (part["cohort"] == cohort).to_numpy()
        labels = part.loc[rows, "resistant"].to_numpy(dtype=float)
        scores = part.loc[rows, "score"].to_numpy(dtype=float)
        gained, pairs = pairs_won(labels, scores, weights[:, rows])
        won, total = won + gained, total + pairs
    return ratio(won, total)


def subgroup_columns(samples: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """Return how each sample is grouped, for :func:`subgroup_table`.

    Parameters
    ----------
    samples
        ``cohort``, and where known ``drug_class``, ``cancer_type``, ``timepoint``, ``sex``,
        ``age``, ``biopsy_site``, ``stage``.
    features
        Unstandardised marker features of the samples (n_samples, n_features), same index.

    Returns
    -------
    groups
        ``drug_class, cancer_type, timepoint, sex, biopsy_site, age`` (<65, >=65), ``stage`` (I to
        IV) and ``purity`` (thirds of :func:`purity_proxy` within the cohort); missing where it is
        not known.
    """
    unknown = pd.Series(np.nan, index=samples.index)
    groups = pd.DataFrame(index=samples.index)
    for name in _AS_STATED:
        groups[name] = samples.get(name, unknown.astype(object))
    age = samples.get("age", unknown).astype(float)
    senior = pd.Series(np.where(age >= _SENIOR, f">={_SENIOR}", f"<{_SENIOR}"), index=age.index)
    groups["age"] = senior.where(age.notna())
    stage = samples.get("stage", unknown).astype(float)
    groups["stage"] = (stage // 1).map(_STAGE_NAMES)
    purity = purity_proxy(features, cohorts=samples["cohort"])
    groups["purity"] = _terciles(purity, cohorts=samples["cohort"])
    return groups


def _terciles(values: "pd.Series[float]", *, cohorts: "pd.Series[str]") -> "pd.Categorical[str]":
    """Return low, middle or high third within the cohort; missing in cohorts of fewer than three.

    Tied samples stay together.
    """
    measured = values.groupby(cohorts).transform("count")
    share = (values.groupby(cohorts).rank() - 0.5) / measured
    third = (share * len(_TERCILES) // 1).where(measured >= len(_TERCILES))
    named = third.map(dict(enumerate(_TERCILES)))
    return pd.Categorical(named, categories=list(_TERCILES), ordered=True)


def purity_proxy(features: pd.DataFrame, *, cohorts: "pd.Series[str]") -> "pd.Series[float]":
    """Return an estimate of tumour purity relative to the cohort (n_samples,), from expression.

    It is minus the mean of two means: the cohort-relative z-scores of the markers of immune cells
    and those of the stroma (:data:`PURITY_FEATURES`), an idea of ESTIMATE. It ranks samples of a
    cohort, has no unit, and is NaN where neither group is measured.

    Parameters
    ----------
    features
        Unstandardised marker features (n_samples, n_features).
    cohorts
        Cohort of each sample, same index.

    References
    ----------
    Yoshihara et al., Inferring tumour purity and stromal and immune cell admixture from
    expression data, Nat Commun 2013, DOI 10.1038/ncomms3612.
    """
    markers = [name for names in PURITY_FEATURES.values() for name in names]
    table = features.reindex(columns=markers).astype(float)
    relative = standardise_in_cohort(table, cohorts=cohorts, min_cohort_size=1)
    means = pd.DataFrame(
        {group: relative[list(names)].mean(axis=1) for group, names in PURITY_FEATURES.items()}
    )
    return (-means.mean(axis=1)).rename("purity_proxy")
