"""The figures of a cohort's report, as PNG inside the page."""

from typing import get_args

import pandas as pd
from matplotlib.figure import Figure

from models.explanation import NOT_MEASURED
from pipelines.config import Timepoint
from pipelines.figures.attribution import beeswarm, mechanism_bar, mechanism_means
from pipelines.figures.heatmap import mechanism_heatmap
from pipelines.figures.patients import probability_ranking
from pipelines.figures.style import png_text
from pipelines.reports.data import ReportData

__all__ = ["draw_report"]

_TRACKS = ("resistant", "drug", "timepoint")


def draw_report(data: ReportData) -> dict[str, str]:
    """Return heading → PNG in base64."""
    facts, sums = data.facts, data.mechanism_sums
    known = data.samples.set_index("sample_id")
    predictions = data.predictions.set_index("sample_id")
    labelled = predictions.assign(resistant=known["resistant"])
    samples = predictions[["probability"]].join(_told(known))
    mechanisms = sums.drop(columns=NOT_MEASURED)
    names = {feature.id: feature.name for feature in facts.features}
    figures: dict[str, Figure] = {
        "Probability of resistance": probability_ranking(
            labelled, threshold=facts.model.threshold, title="Calibrated probability of resistance"
        ),
        "Which mechanisms drive the cohort": mechanism_bar(
            mechanism_means(sums), title="Attribution by mechanism"
        ),
        "Mechanisms of each sample": mechanism_heatmap(
            mechanisms, samples=samples, title="Attribution by mechanism and sample"
        ),
        "Which features drive it": beeswarm(
            data.attributed, title="SHAP of the leading features", names=names
        ),
    }
    return {name: png_text(figure) for name, figure in figures.items()}


def _told(known: pd.DataFrame) -> pd.DataFrame:
    """Return the tracks that tell samples apart; a timepoint that there is not is none stated."""
    stated = known["timepoint"].where(known["timepoint"].isin(get_args(Timepoint)))
    tracks = known.assign(timepoint=stated)
    return tracks[[name for name in _TRACKS if tracks[name].nunique(dropna=False) > 1]]
