"""Simulated drug screens with known truth, as files and as cohorts."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from features.catalogue import default_catalogue
from pipelines.ingest import IngestedCohort, ingest_cohort
from pipelines.screens.task import Task
from pipelines.settings.cohort import CohortConfig

TISSUES = ("lung", "skin")
QUICK_TREES = {
    "n_estimators": 60,
    "learning_rate": 0.1,
    "num_leaves": 3,
    "min_child_samples": 5,
    "n_seeds": 1,
    "colsample_bytree": 1.0,
    "reg_lambda": 1.0,
    "random_state": 0,
}


@dataclass(frozen=True)
class Screen:
    """Expression (lines × genes, log2 intensities) and responses (a row a line and drug)."""

    expression: pd.DataFrame
    responses: pd.DataFrame

    def with_responses(self, responses: pd.DataFrame) -> "Screen":
        """Return the same lines with other responses."""
        return replace(self, responses=responses)

    def reversed(self) -> "Screen":
        """Return the screen with its numbers turned and its measure's name as it was."""
        return self.with_responses(self.responses.assign(response=-self.responses["response"]))


def line_names(count: int, *, start: int = 0) -> list[str]:
    """Return names of lines of no donor that is known."""
    return [f"SIM-{number:03d}" for number in range(start, start + count)]


def make_screen(
    lines: list[str],
    *,
    drugs: tuple[str, ...] = ("Paclitaxel",),
    gene: str | None = "ABCB1",
    effect: float = 1.0,
    tissue_effect: float = 1.0,
    noise: float = 0.3,
    seed: int = 0,
    n_genes: int = 90,
) -> Screen:
    """Return a screen in which a gene, and the tissue, make resistant.

    A line's profile, tissue and gene depend on its name alone: it is the same in every screen but
    for the set's own noise (``seed``).
    """
    rng = np.random.default_rng(seed)
    wanted = ("ABCB1", "ABCG2", "ABCC1", "TOP1", "TUBB3", "SLFN11")
    others = [name for name in default_catalogue().gene_symbols if name not in wanted]
    genes = [*wanted, *others[: n_genes - len(wanted)], *(f"BG{i}" for i in range(30))]
    profiles = np.array([_of_line(name).normal(7, 1.5, len(genes)) for name in lines])
    expression = pd.DataFrame(profiles + rng.normal(0, 0.3, profiles.shape), lines, genes)
    tissue = np.array([TISSUES[zlib.crc32(name.encode()) % 2] for name in lines])
    truth = tissue_effect * (tissue == TISSUES[1])
    if gene is not None:
        truth = truth + effect * (profiles[:, genes.index(gene)] - 7) / 1.5
    rows = [
        pd.DataFrame(
            {
                "sample_id": lines,
                "drug": drug,
                "response": truth + rng.normal(0, noise, len(lines)),
                "response_type": "ln IC50",
                "cancer_type": tissue,
            }
        )
        for drug in drugs
    ]
    return Screen(expression.clip(lower=0.1), pd.concat(rows, ignore_index=True))


def _of_line(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def write_screen(folder: Path, screen: Screen, name: str, **said: Any) -> CohortConfig:
    """Write a screen's files and return the cohort's configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    screen.expression.T.to_csv(folder / f"{name}.csv")
    screen.responses.to_csv(folder / f"{name}_drugs.csv", index=False)
    drugs = list(dict.fromkeys(screen.responses["drug"]))
    response = {"table": f"{name}_drugs.csv", "groups": {"all": {"drugs": drugs}}}
    settings = {"unit": "log2_intensity", **said}
    settings["drug_response"] = {**response, **said.get("drug_response", {})}
    return CohortConfig.model_validate({"name": name, "expression": f"{name}.csv", **settings})


def ingest_screen(folder: Path, screen: Screen, name: str, **said: Any) -> IngestedCohort:
    """Return a screen written and read."""
    return ingest_cohort(
        write_screen(folder, screen, name, **said), root=folder, labels_required=False
    )


def task_of(screen: Screen, *, cohort: str = "made", group: str = "all") -> Task:
    """Return a screen's first drug as a task, without files."""
    lines = list(screen.expression.index)
    table = screen.responses.drop_duplicates("sample_id").set_index("sample_id").loc[lines]
    response = table["response"]
    resistance = (response - response.mean()) / response.std()
    samples = pd.DataFrame(
        {
            "line": lines,
            "tissue": table["cancer_type"],
            "resistance": resistance,
            "resistant": (resistance > 0).astype(float),
        },
        index=lines,
    )
    obs = pd.DataFrame({"drug": "paclitaxel", "cohort": cohort}, index=lines)
    values = screen.expression.to_numpy() * np.log(2)
    adata = ad.AnnData(values, obs=obs, var=pd.DataFrame(index=screen.expression.columns))
    return Task(cohort, group, adata, samples, scaled=False)
