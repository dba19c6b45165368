"""The HTML page of an evaluation: one file, figures inside."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipelines.evaluate import Evaluation
from pipelines.figures.calibration import decision_curve_figure, reliability_with_intervals
from pipelines.figures.style import png_text
from pipelines.figures.survival import kaplan_meier_pooled
from pipelines.reports.templates import page_environment
from pipelines.scoring.evaluation_figures import ALL, IN_SCOPE, RECALIBRATED
from pipelines.tracking import LoadedModel

__all__ = ["GROUP_NAMES", "figure_rows", "interval", "render_evaluation"]

GROUP_NAMES = {ALL: "all", IN_SCOPE: "in scope", RECALIBRATED: "recalibrated"}
_FIGURES = {
    "auroc": "AUROC",
    "auprc": "AUPRC (resistant)",
    "share_resistant": "Share resistant",
    "brier": "Brier score",
    "brier_of_base_rate": "Brier score of the base rate",
    "brier_skill": "Brier skill against the base rate",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
    "calibration_in_the_large": "Calibration in the large",
    "ece": "Expected calibration error",
    "ece_floor": "… of a perfectly calibrated model",
    "coverage.resistant": "Coverage of the sets, resistant",
    "coverage.responsive": "Coverage of the sets, responsive",
    "coverage.all": "Coverage of the sets, all",
    "two_label_share": "Sets with both labels",
    "share_called.resistant": "Called resistant",
    "share_called.responsive": "Called responsive",
    "share_called.uncertain": "Called uncertain",
    "share_called.out_of_scope": "Called out of scope",
    "pfs.hazard_ratio": "PFS: hazard ratio per SD of the score",
    "pfs.high_low_hazard_ratio": "PFS: hazard ratio, above against below the median",
    "pfs.log_rank_p": "PFS: log-rank p",
    "pfs.concordance": "PFS: concordance",
    "pfs.events": "PFS: events",
    "os.hazard_ratio": "OS: hazard ratio per SD of the score",
    "os.high_low_hazard_ratio": "OS: hazard ratio, above against below the median",
    "os.log_rank_p": "OS: log-rank p",
    "os.concordance": "OS: concordance",
    "os.events": "OS: events",
}
_RULES = {
    "base_rate": "probability at least the base rate of",
    "set_resistant": "set of resistant alone",
    "set_responsive": "no set of responsive alone",
}
_SHARES = ("sensitivity", "specificity", "ppv", "npv", "share_called")


def interval(row: "pd.Series[Any]") -> str:
    """Return ``value (low to high)``; the value alone where there is no interval.

    Examples
    --------
    >>> interval(pd.Series({"value": 0.5, "low": 0.4, "high": np.nan}))
    '0.500'
    """
    if not np.isfinite(row["value"]):
        return "not determined"
    text = f"{row['value']:.3f}"
    known = np.isfinite([row["low"], row["high"]]).all()
    return f"{text} ({row['low']:.3f} to {row['high']:.3f})" if known else text


def figure_rows(evaluation: Evaluation) -> list[tuple[str, list[str]]]:
    """Return name and text of each figure, one text a group (empty where it has none)."""
    texts = evaluation.figures.apply(interval, axis=1)
    named = texts.groupby([evaluation.figures["what"], evaluation.figures["group"]]).first()
    present = [what for what in _FIGURES if what in named.index.get_level_values(0)]
    return [
        (_FIGURES[what], [str(named.get((what, group), "")) for group in evaluation.groups])
        for what in present
    ]


def render_evaluation(
    evaluation: Evaluation, loaded: LoadedModel, *, registered: str | None = None
) -> str:
    """Return the evaluation as one HTML page; ``registered``: the recalibrated model's name."""
    environment = page_environment(html=True)
    scored = evaluation.scored
    samples = evaluation.samples
    return environment.get_template("evaluation.html.j2").render(
        cohort=scored.cohort.name,
        model={"uri": loaded.uri, "version": loaded.version},
        standardisation=samples["standardisation"].iloc[0],
        calibration=samples["calibration_method"].iloc[0],
        base_rate=scored.threshold,
        base_rate_of=evaluation.base_rate_of,
        coverage=loaded.model.arm(samples["standardisation"].iloc[0]).sets.coverage,
        n_samples=len(samples),
        n_labelled=int(samples["resistant"].notna().sum()),
        n_resistant=int(samples["resistant"].sum()),
        warnings=evaluation.warnings,
        notes=scored.notes,
        groups=[GROUP_NAMES[group] for group in evaluation.groups],
        rows=figure_rows(evaluation),
        thresholds=_threshold_rows(evaluation),
        reliability=_reliability_rows(evaluation.reliability),
        recalibration=evaluation.recalibration,
        registered=registered,
        figures={name: png_text(figure) for name, figure in _figures(evaluation).items()},
        files=scored.cohort.files,
    )


def _threshold_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    rows = []
    for (group, rule), part in evaluation.thresholds.groupby(["group", "rule"], sort=False):
        texts = part.set_index("figure").apply(interval, axis=1)
        shares = [str(texts[name]) for name in _SHARES]
        name = _RULES[str(rule)]
        if rule == "base_rate":
            threshold = part["threshold"].iloc[0]
            own = group == RECALIBRATED
            name += " this cohort, cross-fitted (mean " if own else f" {evaluation.base_rate_of} ("
            name += f"{threshold:.3f})"
        rows.append({"rule": name, "group": GROUP_NAMES[str(group)], "shares": shares})
    return rows


def _reliability_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    observed = table.rename(columns={"observed": "value"}).apply(interval, axis=1)
    shown = table.assign(group=table["group"].map(GROUP_NAMES), observed=observed)
    return [{str(key): value for key, value in row.items()} for row in shown.to_dict("records")]


def _figures(evaluation: Evaluation) -> dict[str, Figure]:
    samples, recalibration = evaluation.samples, evaluation.recalibration
    probabilities = {"as the model is": samples}
    if recalibration is not None:
        moved = samples.loc[recalibration.cross_fitted.index]
        probabilities["recalibrated (cross-fitted)"] = moved.assign(
            probability=recalibration.cross_fitted["probability"]
        )
    curve = evaluation.decision_curve
    figures = {
        "Reliability": reliability_with_intervals(
            probabilities, title="Observed against predicted resistance"
        ),
        "Decision curve": decision_curve_figure(
            curve[curve["group"] == ALL], title="Net benefit of calling samples resistant"
        ),
    }
    for endpoint, curves in evaluation.kaplan_meier.items():
        name = endpoint.upper()
        figures[f"{name} by predicted resistance"] = kaplan_meier_pooled(
            curves, evaluation.survival[endpoint], endpoint=name, title=name
        )
    return figures
