"""Model against peers on the same samples: paired differences of the AUROC, and their pooling."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from models.meta_analysis import meta_analysis
from models.metrics import (
    Array,
    Estimate,
    check_predictions,
    cohort_generator,
    pairs_won,
    ratio,
    read_estimate,
    stratified_resamples,
)
from models.splits import patient_keys

__all__ = ["POOLED_ROWS", "compare_with_peers", "within_cohort_auroc"]

POOLED_ROWS = ("mean", "within_cohort_pairs", "random_effects")
"""What ``cohort`` says in the rows over all cohorts."""

_COLUMNS = ("cohort", "patient_id", "resistant", "score")
_PERMUTATION_STREAM = 1
_ROUNDING = 1e-12


def within_cohort_auroc(predictions: pd.DataFrame, *, n_resamples: int, seed: int) -> Estimate:
    """Return the AUROC over all pairs of a resistant and a responsive sample of one cohort.

    Cohorts count by their pairs, unlike in the mean of the cohorts' AUROC.

    Parameters
    ----------
    predictions
        ``cohort``, ``patient_id``, ``resistant`` (1, 0, NaN) and ``score`` of each sample; rows
        without label or score are left out.
    n_resamples, seed
        Of the bootstrap over patients within each cohort.

    Raises
    ------
    ModelError
        A column is missing, or a sample has several rows.
    """
    check_predictions(predictions, _COLUMNS, where="the predictions")
    usable = predictions[predictions["score"].notna() & predictions["resistant"].notna()]
    weights = stratified_resamples(usable, count=n_resamples, seed=seed)
    won, total = np.zeros(n_resamples + 1), np.zeros(n_resamples + 1)
    for cohort in usable["cohort"].unique():
        rows = (usable["cohort"] == cohort).to_numpy()
        y, score = (usable.loc[rows, name].to_numpy(dtype=float) for name in ("resistant", "score"))
        of_cohort = pairs_won(y, score, weights[:, rows])
        won, total = won + of_cohort[0], total + of_cohort[1]
    return read_estimate(ratio(won, total))


def compare_with_peers(
    model: pd.DataFrame,
    peers: Mapping[str, pd.DataFrame],
    *,
    n_resamples: int,
    n_permutations: int,
    seed: int,
) -> pd.DataFrame:
    """Return the model's AUROC minus each peer's, per cohort and pooled, with interval and test.

    Parameters
    ----------
    model
        Index of the samples; ``cohort``, ``patient_id``, ``resistant`` (1, 0, NaN) and ``score``.
    peers
        Name → predictions with ``score``, matched to the model's by sample. A sample without
        label or without both scores is left out for both.
    n_resamples
        Bootstrap resamples of the patients within each cohort, the same for model and peer.
    n_permutations
        Permutations of the paired test: scores become ranks within their cohort, and model and
        peer swap those of a patient at random (Bandos et al., Stat Med 2005,
        doi:10.1002/sim.2149). Two-sided; ``(1 + as extreme) / (1 + n_permutations)``.
    seed
        Of both; a cohort's draws depend on its name alone.

    Returns
    -------
    table
        ``peer, cohort, n, auroc_model, auroc_peer, difference, low, high, standard_error,
        p_value, i2, tau2``. Per peer one row a cohort (NaN where it lacks a class), then ``mean``
        (of the cohorts' AUROC), ``within_cohort_pairs`` (AUROC over the pairs within cohorts) and
        ``random_effects`` (meta-analysis of the cohorts' differences, its interval and p-value
        from the normal distribution, so that they agree; no AUROC of its own).

    Raises
    ------
    ModelError
        A column is missing, or a sample has several rows.
    """
    check_predictions(model, _COLUMNS, where="the model's predictions")
    rows: list[dict[str, object]] = []
    for name, peer in peers.items():
        check_predictions(peer, ["score"], where=f"the predictions of the peer '{name}'")
        paired = model.assign(peer_score=peer["score"].reindex(model.index))
        cohorts = {
            str(cohort): _PairedCohort.of(part, n_resamples, n_permutations, seed)
            for cohort, part in paired.groupby("cohort", sort=True)
        }
        rows += [{"peer": name, **row} for row in _rows(cohorts)]
    return pd.DataFrame(rows, columns=["peer", *_ROW_COLUMNS])


_ROW_COLUMNS = (
    *("cohort", "n", "auroc_model", "auroc_peer", "difference", "low", "high"),
    *("standard_error", "p_value", "i2", "tau2"),
)


@dataclass(frozen=True)
class _PairedCohort:
    """Pairs that model and peer order rightly, per resample, and their swapped differences.

    ``model`` and ``peer`` are weights of pairs won (n_resamples + 1,), ``total`` of all pairs;
    ``swapped`` the difference of pairs won in each permutation (n_permutations,).
    """

    n: int
    model: Array
    peer: Array
    total: Array
    swapped: Array

    @classmethod
    def of(
        cls, part: pd.DataFrame, n_resamples: int, n_permutations: int, seed: int
    ) -> "_PairedCohort":
        usable = part.dropna(subset=["resistant", "score", "peer_score"])
        weights = stratified_resamples(usable, count=n_resamples, seed=seed)
        y = usable["resistant"].to_numpy(dtype=float)
        model = rankdata(usable["score"].to_numpy(dtype=float))
        peer = rankdata(usable["peer_score"].to_numpy(dtype=float))
        model_won, total = pairs_won(y, model, weights)
        peer_won, _ = pairs_won(y, peer, weights)
        codes, patients = pd.factorize(patient_keys(usable))
        rng = cohort_generator(seed, part["cohort"].iloc[0], stream=_PERMUTATION_STREAM)
        swaps = rng.integers(0, 2, (n_permutations, len(patients)))[:, codes].astype(float)
        return cls(len(usable), model_won, peer_won, total, _swapped(y, model, peer, swaps))

    @property
    def has_both_classes(self) -> bool:
        return bool(self.total[0] > 0)


def _swapped(y: Array, model: Array, peer: Array, swaps: Array) -> Array:
    """Return the pairs the model wins beyond the peer's after each swap (n_permutations,).

    With ``s`` 1 where a sample's ranks are swapped, a pair (i, j) adds
    ``(1 - s_i - s_j) * same + (s_j - s_i) * crossed``: linear in the swaps.
    """
    positive, negative = y == 1, y == 0

    def wins(first: Array, second: Array) -> Array:
        difference = first[positive][:, None] - second[negative][None, :]
        return np.asarray(0.5 * np.sign(difference) + 0.5)

    same = wins(model, model) - wins(peer, peer)
    crossed = wins(model, peer) - wins(peer, model)
    change = np.zeros(y.size)
    change[positive] = -(same + crossed).sum(axis=1)
    change[negative] = (crossed - same).sum(axis=0)
    return np.asarray(same.sum() + swaps @ change)


def _rows(cohorts: Mapping[str, _PairedCohort]) -> list[dict[str, object]]:
    """Return the rows of one peer: per cohort, then pooled."""
    rows = [
        {"cohort": name, **_row(found.n, *_per_cohort(found))} for name, found in cohorts.items()
    ]
    usable = {name: found for name, found in cohorts.items() if found.has_both_classes}
    n = sum(found.n for found in usable.values())
    if not usable:
        return rows + [{"cohort": name, "n": n} for name in POOLED_ROWS]
    triples = [_per_cohort(found) for found in usable.values()]
    mean = [np.mean(parts, axis=0) for parts in zip(*triples, strict=True)]
    won = [
        np.sum([getattr(found, name) for found in usable.values()], axis=0)
        for name in ("model", "peer", "total", "swapped")
    ]
    pairs = (ratio(won[0], won[2]), ratio(won[1], won[2]), won[3] / won[2][0])
    kept = pd.DataFrame([row for row in rows if row["cohort"] in usable])
    pooled = asdict(meta_analysis(kept["difference"], kept["standard_error"]))
    pooled["difference"] = pooled.pop("estimate")
    return [
        *rows,
        {"cohort": "mean", **_row(n, *mean)},
        {"cohort": "within_cohort_pairs", **_row(n, *pairs)},
        {"cohort": "random_effects", "n": n, **pooled},
    ]


def _per_cohort(found: _PairedCohort) -> tuple[Array, Array, Array]:
    """Return AUROC of model and peer per resample, and their difference per permutation."""
    total = np.full_like(found.swapped, found.total[0])
    return (
        ratio(found.model, found.total),
        ratio(found.peer, found.total),
        ratio(found.swapped, total),
    )


def _row(n: int, model: Array, peer: Array, swapped: Array) -> dict[str, object]:
    difference = read_estimate(model - peer)
    extreme = np.abs(swapped) >= abs(difference.value) - _ROUNDING
    p_value = (1 + extreme.sum()) / (1 + swapped.size)
    return {
        "n": n,
        "auroc_model": float(model[0]),
        "auroc_peer": float(peer[0]),
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "standard_error": difference.standard_error,
        "p_value": float(p_value) if np.isfinite(difference.value) else np.nan,
    }
