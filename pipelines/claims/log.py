"""Write the signs of a setting against its data into the active run: a table and a forest."""

from collections.abc import Sequence

from features.catalogue import Catalogue
from pipelines.claims.figures import setting_forest
from pipelines.claims.table import claims_table
from pipelines.config import ExperimentConfig
from pipelines.ingest import IngestedCohort
from pipelines.runs.artifacts import log_figure, log_table

__all__ = ["log_claims"]


def log_claims(
    config: ExperimentConfig, cohorts: Sequence[IngestedCohort], *, catalogue: Catalogue
) -> None:
    """Log ``tables/claims.parquet``, and ``figures/claims/<setting>.png`` where one is drawn."""
    table = claims_table(config, cohorts, catalogue=catalogue)
    log_table(table, "tables/claims.parquet")
    figure = setting_forest(table)
    if figure is not None:
        log_figure(figure, f"figures/claims/{config.setting}.png")
