"""The headline of a validation: model and peers side by side, in tables and in a sentence."""

from collections.abc import Iterable, Mapping

import pandas as pd

from features.reference import Standardisation
from pipelines.figures.names import predictor_name
from pipelines.validation.validate import ARMS, Validation

__all__ = ["HELD_OUT_WORDS", "compare", "headline_rows", "main_scheme", "verdict"]

_RANKING = ("auroc", "auprc")
_SCHEMES = ("loco", "nested", "tumour_type")
HELD_OUT_WORDS: Mapping[str, str] = {
    "loco": "Cohorts held out",
    "nested": "Held out within one cohort",
}
"""Scheme → what its figures are of."""


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
                        "scheme": _scheme_of(prefix),
                        "standardisation": arm,
                        "metric": metric,
                        "cohort": cohort or ("mean" if metric in _RANKING else "pooled"),
                        "value": estimate.value,
                        "low": estimate.low,
                        "high": estimate.high,
                    }
                )
    return pd.DataFrame(rows)


def _scheme_of(prefix: str) -> str:
    named = prefix.rpartition(".")[2]
    return next((scheme for scheme in _SCHEMES if named.startswith(scheme)), "loco")


def main_scheme(names: Iterable[str]) -> str:
    """Return the scheme that a run's figures are of, from the schemes or metrics that it has.

    ``loco`` where cohorts were held out, else ``nested``: patients of a single cohort.
    """
    known = {str(name).partition(".")[0] for name in names}
    return "nested" if "nested" in known and not {"loco", "loco_reference"} & known else "loco"


def verdict(comparison: pd.DataFrame) -> str:
    """Return in a sentence how the model ranks beside the best peer and the class prior."""
    scheme = main_scheme(comparison["scheme"])
    chosen = comparison[
        (comparison["scheme"] == scheme)
        & (comparison["standardisation"] == "cohort")
        & comparison["cohort"].isin(["mean", "pooled"])
    ]
    auroc = chosen[chosen["metric"] == "auroc"].set_index("predictor")["value"].astype(float)
    brier = chosen[chosen["metric"] == "brier"].set_index("predictor")["value"].astype(float)
    best = str(auroc.drop("model").idxmax())
    return (
        f"{HELD_OUT_WORDS[scheme]}, cohort-relative: the model's AUROC is "
        f"{auroc['model']:.3f}, that of the best peer {auroc[best]:.3f} ({predictor_name(best)}); "
        f"its Brier score is {brier['model']:.3f}, that of the class prior {brier['prior']:.3f}."
    )


def headline_rows(comparison: pd.DataFrame) -> list[list[str]]:
    """Return the comparison over all held-out cohorts as rows of text.

    Each row: predictor, then AUROC with interval, Brier score and expected calibration error,
    cohort-relative and reference-relative; a dash where a standardisation was not validated.
    """
    chosen = comparison[
        (comparison["scheme"] == main_scheme(comparison["scheme"]))
        & comparison["cohort"].isin(["mean", "pooled"])
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
