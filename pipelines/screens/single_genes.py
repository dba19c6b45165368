"""Single genes against single drugs: whether a transporter speaks for what it carries."""

from collections.abc import Sequence

import pandas as pd

from features.cohort import dense_expression
from models.regression_metrics import correlation_with_interval
from pipelines.ingest import IngestedCohort
from pipelines.reading.drug_tables import DrugScreen

__all__ = ["genes_by_drug"]


def genes_by_drug(cohorts: Sequence[IngestedCohort], *, genes: Sequence[str]) -> pd.DataFrame:
    """Return how resistance to each drug goes with each gene's expression.

    Columns ``cohort, drug_group, drug, gene, n, rho, low, high``: Spearman over lines, above 0
    where more of the gene goes with resistance. Experiments of a drug are averaged. A gene that is
    not measured has ``n`` 0 and no figure.
    """
    rows = []
    for cohort in cohorts:
        if cohort.screen is None:
            continue
        expression = _expression(cohort, cohort.screen, genes)
        measured = cohort.screen.measurements
        for (group, drug), part in measured.groupby(["group", "drug"], sort=False):
            resistance = part.groupby("sample")["z"].mean()
            names = {"cohort": cohort.name, "drug_group": group, "drug": drug}
            rows += [
                {
                    **names,
                    "gene": gene,
                    **correlation_with_interval(
                        expression[gene].reindex(resistance.index), resistance
                    ),
                }
                for gene in genes
            ]
    columns = ["cohort", "drug_group", "drug", "gene", "n", "rho", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _expression(cohort: IngestedCohort, screen: DrugScreen, genes: Sequence[str]) -> pd.DataFrame:
    """Return genes by sample (n_samples, n_genes), NaN where not measured."""
    found = [gene for gene in genes if gene in cohort.adata.var_names]
    names = screen.samples["expression_id"].to_numpy()
    table = pd.DataFrame(dense_expression(cohort.adata[:, found]), index=names, columns=found)
    return table[~table.index.duplicated()].reindex(columns=list(genes))
