"""Write what drug screens say into the run: tables, forests, reasons."""

from features.catalogue import Catalogue
from pipelines.figures.attribution import beeswarm
from pipelines.figures.screens import (
    gene_drug_forest,
    observed_and_predicted,
    screen_forest,
    transfer_forest,
)
from pipelines.runs.artifacts import log_figure, log_table
from pipelines.screens.run import Screens, screen_tables

__all__ = ["log_screens"]

_METRICS = {
    "spearman": "Spearman over all lines",
    "within_tissue_spearman": "Spearman within tissues",
    "auroc": "AUROC for the resistant label",
}


def log_screens(screens: Screens, *, catalogue: Catalogue) -> None:
    """Log the tables of drug screens under ``tables/``, figures under ``figures/drugs/``."""
    tables = screen_tables(screens, mechanisms=catalogue.mechanisms)
    for name, table in tables.items():
        log_table(table.reset_index(drop=True), f"tables/{name}.parquet")
    for metric, words in _METRICS.items():
        found = tables["screens"]
        if found.loc[found["metric"] == metric, "value"].notna().any():
            figure = screen_forest(
                found,
                metric=metric,
                title=f"{words}, lines held out",
                note=f"{words} (95% bootstrap over lines, means over repeats)",
            )
            log_figure(figure, f"figures/drugs/{metric}.png")
    if tables["screen_predictions"]["predicted"].notna().any():
        figure = observed_and_predicted(
            tables["screen_predictions"], title="Resistance, observed and predicted"
        )
        log_figure(figure, "figures/drugs/observed_and_predicted.png")
    if len(tables["transfers"]):
        figure = transfer_forest(tables["transfers"], title="What carries over")
        log_figure(figure, "figures/drugs/transfers.png")
    measured = tables["genes_by_drug"].dropna(subset="rho")
    for gene in dict.fromkeys(measured["gene"]):
        title = f"{gene} and resistance, drug by drug"
        log_figure(gene_drug_forest(measured, gene=gene, title=title), f"figures/genes/{gene}.png")
    _log_reasons(screens, catalogue)


def _log_reasons(screens: Screens, catalogue: Catalogue) -> None:
    names = {marker.id: marker.name for marker in catalogue.markers}
    for one in screens.analyses:
        if one.attributions is not None:
            figure = beeswarm(
                one.attributions,
                title=f"What drives the regression: {one.task.name}",
                names=names,
                note=f"{len(one.attributions.values)} lines, standard deviations of resistance; "
                "each by a model that had not seen it.",
            )
            place = one.task.name.replace("/", "_")
            log_figure(figure, f"shap/screen_{place}.png")
