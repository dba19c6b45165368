"""Figures of drug screens: forests of rank correlations, and predicted against observed."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipelines.figures.forests import subgroup_forest
from pipelines.figures.palette import RESISTANT
from pipelines.figures.style import drawing_of, finished, readable, reference_line, styled

__all__ = ["gene_drug_forest", "observed_and_predicted", "screen_forest", "transfer_forest"]

_PREDICTORS = {
    "model": "model",
    "unsigned": "without signs",
    "null": "shuffled",
    "tissue_mean": "tissue mean",
    "leave_one_tissue_out": "tissue left out",
    "classifier": "classifier",
}
_COLUMNS = 3


@styled
def screen_forest(table: pd.DataFrame, *, metric: str, title: str, note: str) -> Figure:
    """Return a metric of every group by predictor, groups apart.

    ``table``: ``cohort, drug_group, n, predictor, metric, value, low, high``.
    """
    part = table[(table["metric"] == metric) & table["value"].notna()]
    groups = part["cohort"] + " " + part["drug_group"]
    return subgroup_forest(
        part.assign(group=groups.str.strip(), level=part["predictor"].map(_PREDICTORS)),
        title=title,
        value="value",
        reference=0.5 if metric == "auroc" else 0.0,
        xlabel=note,
    )


@styled
def transfer_forest(table: pd.DataFrame, *, title: str) -> Figure:
    """Return what carries over: correlation, and AUROC of patients, of every transfer.

    ``table``: ``train, test, n_test, metric, value, low, high``.
    """
    part = table[table["metric"].isin(["spearman", "within_tissue_spearman"])]
    part = part[part["value"].notna()]
    levels = part["metric"].map({"spearman": "", "within_tissue_spearman": "in tissues, "})
    return subgroup_forest(
        part.assign(group=part["test"], level=levels + "by " + part["train"], n=part["n_test"]),
        title=title,
        value="value",
        reference=0.0,
        xlabel="Spearman, predicted and observed (95% bootstrap over lines)",
    )


@styled
def gene_drug_forest(table: pd.DataFrame, *, gene: str, title: str) -> Figure:
    """Return a gene's correlation with resistance to each drug.

    ``table``: of :func:`pipelines.screens.single_genes.genes_by_drug`.
    """
    part = table[(table["gene"] == gene) & table["rho"].notna()]
    return subgroup_forest(
        part.assign(group=part["cohort"] + " " + part["drug_group"], level=part["drug"]),
        title=title,
        value="rho",
        reference=0.0,
        xlabel=f"Spearman of {gene} and resistance (95% interval)",
    )


@styled
def observed_and_predicted(predictions: pd.DataFrame, *, title: str) -> Figure:
    """Return observed against predicted resistance of each group, a point a line.

    ``predictions``: ``cohort, drug_group, resistance, predicted, repeat``; the first repeat is
    drawn.
    """
    part = predictions[(predictions["repeat"] == 0) & predictions["predicted"].notna()]
    groups = list(part.groupby(["cohort", "drug_group"], sort=False))
    rows = int(np.ceil(len(groups) / _COLUMNS))
    figure, _ = drawing_of(2.6 * rows + 0.8)
    figure.clear()
    for place, ((cohort, group), found) in enumerate(groups, start=1):
        axes = figure.add_subplot(rows, _COLUMNS, place)
        axes.scatter(found["predicted"], found["resistance"], s=12, color=RESISTANT, alpha=0.6)
        reference_line(axes, y=0.0)
        axes.set_title(f"{readable(str(group))}\n{cohort}", fontsize=8.5)
        axes.set_xlabel("predicted")
        axes.set_ylabel("observed")
    note = "Standard deviations of resistance; each line by a model that had not seen it."
    return finished(figure, title=title, note=note)
