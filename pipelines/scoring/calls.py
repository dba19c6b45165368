"""The call of each sample, with its reason: resistant, responsive, uncertain or out of scope."""

from collections.abc import Sequence

import pandas as pd

from features.gene_report import LEAST_COVERAGE, GeneReport

__all__ = ["cohort_doubts", "make_calls"]


def cohort_doubts(genes: GeneReport, *, unlike_training: bool) -> tuple[str, ...]:
    """Return what puts every sample of the cohort out of scope, the weightiest first."""
    doubts = []
    if genes.grade == "too little":
        doubts.append(
            f"scored by force: only {genes.coverage:.0%} of the catalogue's genes are in the file "
            f"(at least {LEAST_COVERAGE:.0%} needed)"
        )
    if unlike_training:
        doubts.append(
            "the values are centred or scaled per gene and scored by mean z; the model was trained "
            "and validated on ranks"
        )
    return tuple(doubts)


def make_calls(
    predictions: pd.DataFrame,
    shift_reasons: "pd.Series[str]",
    *,
    coverage: float,
    doubts: Sequence[str],
) -> pd.DataFrame:
    """Return ``call`` and ``call_reason`` of each sample."""
    rows = [
        _call(probability, labels, shift, reason=reason, coverage=coverage, doubts=doubts)
        for probability, labels, shift, reason in zip(
            predictions["probability"],
            predictions["prediction_set"],
            predictions["shift_score"],
            shift_reasons,
            strict=True,
        )
    ]
    return pd.DataFrame(rows, columns=["call", "call_reason"], index=predictions.index)


def _call(
    probability: float,
    labels: str,
    shift_score: float,
    *,
    reason: str,
    coverage: float,
    doubts: Sequence[str],
) -> tuple[str, str]:
    if doubts:
        return "out_of_scope", doubts[0]
    if shift_score > 1:
        return "out_of_scope", f"unlike the training samples: {reason}"
    aim = f"{coverage:.0%} coverage of either class"
    what = f"probability {probability:.3f}; the prediction set at {aim}"
    if labels in ("resistant", "responsive"):
        return labels, f"{what} holds {labels} alone"
    held = "both labels" if labels else "neither label"
    return "uncertain", f"{what} holds {held}"
