"""The headline of a validation: model and peers side by side, in tables and in a sentence."""

from collections.abc import Mapping

import pandas as pd

from features.reference import Standardisation
from pipelines.figures.names import predictor_name
from pipelines.validation.validate import ARMS, Validation

__all__ = ["compare", "headline_rows", "verdict"]

_RANKING = ("auroc", "auprc")
_SCHEMES = ("loco", "nested", "tumour_type")


def compare(validations: Mapping[Standardisation, Validation]) -> pd.DataFrame:
    """Return all estimates as one table.

    Columns ``predictor, scheme (loco, nested, tumour_type), standardisation, metric, cohort,
    value, low, high``; ``cohort`` is 'mean' (ranking metrics) or 'pooled' (calibration) for all
    together.
    """
    rows = []
    for arm, validation in validations.items():
        for prefix, estimates in validation.estimates.items():
            for name, estimate in estimates.items():
                cohort, _, metric = name.rpartition(".")
                rows.append(
                    {
                        "predictor": prefix.split(".")[1] if "." in prefix else "model",
                        "scheme": next((s for s in _SCHEMES if prefix.startswith(s)), "loco"),
                        "standardisation": arm,
                        "metric": metric,
                        "cohort": cohort or ("mean" if metric in _RANKING else "pooled"),
                        "value": estimate.value,
                        "low": estimate.low,
                        "high": estimate.high,
                    }
                )
    return pd.DataFrame(rows)


def verdict(comparison: pd.DataFrame) -> str:
    """Return in a sentence how the model ranks beside the best peer and the class prior."""
    chosen = comparison[
        (comparison["scheme"] == "loco")
        & (comparison["standardisation"] == "cohort")
        & comparison["cohort"].isin(["mean", "pooled"])
    ]
    auroc = chosen[chosen["metric"] == "auroc"].set_index("predictor")["value"].astype(float)
    brier = chosen[chosen["metric"] == "brier"].set_index("predictor")["value"].astype(float)
    best = str(auroc.drop("model").idxmax())
    return (
        f"Cohorts held out, cohort-relative: the model's AUROC is {auroc['model']:.3f}, that of "
        f"the best peer {auroc[best]:.3f} ({predictor_name(best)}); its Brier score is "
        f"{brier['model']:.3f}, that of the class prior {brier['prior']:.3f}."
    )


def headline_rows(comparison: pd.DataFrame) -> list[list[str]]:
    """Return the comparison over all held-out cohorts as rows of text.

    Each row: predictor, then AUROC with interval, Brier score and expected calibration error,
    cohort-relative and reference-relative; a dash where a standardisation was not validated.
    """
    chosen = comparison[
        (comparison["scheme"] == "loco") & comparison["cohort"].isin(["mean", "pooled"])
    ]
    rows = []
    for predictor, part in chosen.groupby("predictor", sort=False):
        row = [str(predictor)]
        for arm in ARMS:
            own = part[part["standardisation"] == arm].set_index("metric")
            if "auroc" not in own.index:
                row += ["–"] * 3
                continue
            value, low, high = (own[column].astype(float) for column in ("value", "low", "high"))
            row.append(f"{value['auroc']:.3f} ({low['auroc']:.3f} to {high['auroc']:.3f})")
            row += [f"{value[metric]:.3f}" for metric in ("brier", "ece")]
        rows.append(row)
    return rows
