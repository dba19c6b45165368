"""The samples of an expression file under their right names, with what is known of each."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from features.catalogue import Catalogue
from features.errors import CohortError, examples
from features.therapy import DrugTable
from pipelines.reading.drug_tables import SCREEN_COLUMNS, DrugScreen, read_drug_screen
from pipelines.reading.observations import build_observations
from pipelines.reading.tables import ExpressionTable
from pipelines.settings.cohort import CohortConfig

__all__ = ["ReadSamples", "label_rule", "read_samples"]


@dataclass(frozen=True)
class ReadSamples:
    """Samples with their expression and what is known of them.

    Attributes
    ----------
    table
        The expression; of a drug screen a row a sample and group.
    obs
        ``obs`` of the cohort contract, on the same index.
    screen
        The drug screen that gave the labels; None of any other cohort.
    notes
        What a user should know.
    """

    table: ExpressionTable
    obs: pd.DataFrame
    screen: DrugScreen | None
    notes: tuple[str, ...]


def read_samples(
    table: ExpressionTable,
    clinical: pd.DataFrame | None,
    *,
    config: CohortConfig,
    path: Path,
    root: Path,
    catalogue: Catalogue,
) -> ReadSamples:
    """Return the samples of an expression file, renamed, joined and labelled.

    Parameters
    ----------
    table, clinical
        The expression as it stands in ``path``, and the clinical table, if any.
    config
        What the cohort's YAML says.
    path, root
        The expression file, and the folder that relative paths start from.
    catalogue
        Knows drugs by all their names.

    Raises
    ------
    CohortError
        Names, responses or the clinical table are wrong; the message names the mend.
    """
    notes: list[str] = []
    if config.renamed:
        table = replace(table, values=_renamed(table.values, config, path))
        notes.append(f"{len(config.renamed)} samples renamed as the configuration says (renamed)")
    screen = None
    if config.drug_response is not None:
        screen = read_drug_screen(
            root / config.drug_response.table,
            config.drug_response,
            expression=table.values.index,
            drugs=DrugTable(catalogue),
            where=f"cohort '{config.name}'",
        )
        rows = table.values.loc[screen.samples["expression_id"]].set_axis(screen.samples.index)
        table, clinical = replace(table, values=rows), _clinical_of(screen)
        notes += screen.notes
    obs = build_observations(table.values.index, clinical, config=config, notes=notes)
    if screen is not None:
        obs = obs.join(screen.samples[list(SCREEN_COLUMNS)])
    return ReadSamples(table, obs, screen, tuple(notes))


def label_rule(config: CohortConfig) -> str:
    """Return how the cohort's labels come about, in words."""
    if config.drug_response is not None:
        return f"drug response; {config.drug_response.label.model_dump_json()}"
    return f"RECIST, else response; {config.labels.model_dump_json()}"


def _renamed(values: pd.DataFrame, config: CohortConfig, path: Path) -> pd.DataFrame:
    """Return the expression under the names that the configuration gives its samples."""
    where = f"cohort '{config.name}' ({path})"
    unknown = [name for name in config.renamed if name not in values.index]
    if unknown:
        raise CohortError(
            f"{where}: renamed names {examples(unknown)}, no samples of the expression file; its "
            f"samples: {examples(values.index)}"
        )
    index = pd.Index([config.renamed.get(str(name), str(name)) for name in values.index])
    repeated = index[index.duplicated()].unique()
    if len(repeated):
        raise CohortError(
            f"{where}: renamed gives {len(repeated)} names to two samples: {examples(repeated)}; "
            "rename the other one too"
        )
    return values.set_axis(index.astype(object))


def _clinical_of(screen: DrugScreen) -> pd.DataFrame:
    """Return a screen's samples as a clinical table: a row a sample, every cell text."""
    table = screen.samples[["patient_id", "cancer_type", "drug"]].astype(str)
    words = screen.samples["resistant"].map({1.0: "resistant", 0.0: "responsive"})
    table = table.assign(response=words.astype(object).fillna(""))
    return table.rename_axis("sample_id").reset_index()
