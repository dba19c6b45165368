"""What out-of-cohort predictions are worth: every figure of a validation as a table."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from models.abstention import coverage_table, expected_two_label_share, risk_coverage
from models.calibration_metrics import calibration_estimates, reliability_table
from models.comparison import compare_with_peers, within_cohort_auroc
from models.decision import decision_curve, threshold_figures
from models.metrics import Estimate
from models.subgroups import subgroup_table
from models.survival import kaplan_meier_curves, survival_table
from models.survival_patients import Endpoint

__all__ = ["assess_predictions", "estimates_table"]

ENDPOINTS: tuple[Endpoint, ...] = ("pfs", "os")
_THRESHOLDS = tuple(np.round(np.arange(0.3, 0.96, 0.05), 2))


def estimates_table(estimates: Mapping[str, Estimate]) -> pd.DataFrame:
    """Return named estimates as a table: ``name, value, low, high, standard_error``."""
    rows = [{"name": name, **vars(estimate)} for name, estimate in estimates.items()]
    return pd.DataFrame(rows, columns=["name", "value", "low", "high", "standard_error"])


def assess_predictions(
    predictions: pd.DataFrame,
    *,
    samples: pd.DataFrame,
    groups: pd.DataFrame,
    peers: Mapping[str, pd.DataFrame],
    coverage: float,
    n_resamples: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Return the tables of a validation.

    Parameters
    ----------
    predictions
        Out-of-cohort predictions with conformal sets (:class:`models.validation.OutOfFold`).
    samples
        Survival of each sample (``pfs_time, pfs_event, os_time, os_event``).
    groups
        Subgroup columns (:func:`models.subgroups.subgroup_columns`).
    peers
        Predictions of the peers on the same samples.
    coverage
        Nominal coverage of the sets.
    n_resamples, seed
        Of the bootstrap over patients.

    Returns
    -------
    tables
        ``differences, calibration, reliability, coverage, risk_coverage, decision_curve,
        thresholds, subgroups`` and, per endpoint known, ``survival_<endpoint>,
        kaplan_meier_<endpoint>``.
    """
    noise = {"n_resamples": n_resamples, "seed": seed}
    ranked = {name: frame for name, frame in peers.items() if name != "prior"}
    tables = {
        "differences": compare_with_peers(predictions, ranked, n_permutations=n_resamples, **noise),
        "calibration": estimates_table(_calibration(predictions, noise)),
        "reliability": reliability_table(predictions),
        "coverage": _coverage(predictions, coverage=coverage, noise=noise),
        "decision_curve": decision_curve(predictions, thresholds=_THRESHOLDS, **noise),
        "thresholds": threshold_figures(predictions, thresholds=_THRESHOLDS, **noise),
        "subgroups": subgroup_table(predictions, groups.reindex(predictions.index), **noise),
    }
    kept = risk_coverage(
        predictions, base_rate=predictions["prior"], n_resamples=n_resamples, seed=seed
    )
    tables["risk_coverage"] = kept.curve
    gains = {
        "brier": kept.brier_difference,
        "balanced_accuracy": kept.balanced_accuracy_difference,
    }
    tables["most_certain"] = estimates_table(gains).assign(share=kept.share)
    for endpoint in ENDPOINTS:
        columns = [f"{endpoint}_time", f"{endpoint}_event"]
        followed = predictions.join(samples.reindex(columns=columns))
        if followed[columns].notna().all(axis=1).any():
            tables[f"survival_{endpoint}"] = survival_table(followed, endpoint=endpoint, **noise)
            tables[f"kaplan_meier_{endpoint}"] = kaplan_meier_curves(followed, endpoint=endpoint)
    return tables


def _calibration(predictions: pd.DataFrame, noise: Mapping[str, int]) -> dict[str, Estimate]:
    return {
        **calibration_estimates(predictions, n_resamples=noise["n_resamples"], seed=noise["seed"]),
        "within_cohort_auroc": within_cohort_auroc(
            predictions, n_resamples=noise["n_resamples"], seed=noise["seed"]
        ),
    }


def _coverage(
    predictions: pd.DataFrame, *, coverage: float, noise: Mapping[str, int]
) -> pd.DataFrame:
    sets = predictions[["in_responsive", "in_resistant"]].to_numpy()
    table = coverage_table(predictions, sets, **noise)
    pooled = predictions.assign(cohort="pooled")
    auroc = within_cohort_auroc(pooled, n_resamples=2, seed=0).value
    expected = expected_two_label_share(auroc, coverage=coverage)
    return table.assign(nominal=coverage, pooled_auroc=auroc, expected_two_label=expected)
