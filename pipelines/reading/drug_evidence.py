"""Whether a drug table goes the way it says: what is known of drugs, and lines of two sets."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.cell_lines import unite_by_cosmic
from features.cohort import dense_expression
from features.therapy import DrugTable
from models.regression_metrics import correlation_with_interval
from pipelines.reading.drug_tables import DrugScreen

__all__ = [
    "doubts_of",
    "efflux_evidence",
    "experiment_evidence",
    "shared_line_evidence",
    "together",
]

COLUMNS = ["kind", "cohort", "other", "drug", "n", "rho", "low", "high", "verdict"]
_FEWEST_LINES = 8
_TRANSPORTER = "ABCB1"


def efflux_evidence(
    cohort: str, adata: ad.AnnData, screen: DrugScreen, *, catalogue: Catalogue
) -> pd.DataFrame:
    """Return how resistance to drugs that ABCB1 carries goes with ABCB1's expression.

    More of the transporter is to go with more resistance. A table with columns ``kind, cohort,
    other, drug, n, rho, low, high, verdict``; ``verdict`` is ``doubt`` where the 95% interval lies
    below zero, ``fits`` where it lies above, else ``cannot be told``. Empty where ABCB1 is not
    measured.
    """
    rows: list[dict[str, Any]] = []
    table = DrugTable(catalogue)
    if _TRANSPORTER in adata.var_names:
        values = dense_expression(adata[:, [_TRANSPORTER]]).ravel()
        expression = pd.Series(values, index=screen.samples["expression_id"].to_numpy())
        expression = expression[~expression.index.duplicated()]
        for drug, resistance in _by_drug(screen, "sample").items():
            if _TRANSPORTER in table.genes("payload_efflux", table.find(drug)).plus:
                found = correlation_with_interval(expression.reindex(resistance.index), resistance)
                facts = {"kind": "transporter", "cohort": cohort, "other": _TRANSPORTER}
                rows.append({**facts, "drug": drug, **found})
    return _judged(rows)


def experiment_evidence(cohort: str, screen: DrugScreen) -> pd.DataFrame:
    """Return how each experiment of a drug agrees with the other experiments of that drug.

    Columns as of :func:`efflux_evidence`, ``other`` the experiment; of drugs in the groups.
    """
    rows: list[dict[str, Any]] = []
    for drug, part in screen.measurements.groupby("drug"):
        wide = part.pivot_table(index="sample", columns="experiment", values="z")
        for experiment in wide if wide.shape[1] > 1 else ():
            rest = wide.drop(columns=experiment).mean(axis=1)
            found = correlation_with_interval(wide[experiment], rest)
            if found["n"] >= _FEWEST_LINES:
                facts = {"kind": "experiments", "cohort": cohort, "other": experiment}
                rows.append({**facts, "drug": drug, **found})
    return _judged(rows)


def shared_line_evidence(screens: Sequence[tuple[str, DrugScreen]]) -> pd.DataFrame:
    """Return how the responses of shared lines to the same drug agree between data sets.

    Columns as of :func:`efflux_evidence`, a row a pair of sets and drug with eight shared lines or
    more; drugs are the same by any of their names.
    """
    rows: list[dict[str, Any]] = []
    for (first, one), (second, two) in combinations(screens, 2):
        names = _united(one, two)
        left = {
            drug: s.groupby(s.index.map(names)).mean() for drug, s in _by_drug(one, "line").items()
        }
        right = {
            drug: s.groupby(s.index.map(names)).mean() for drug, s in _by_drug(two, "line").items()
        }
        for drug in [drug for drug in left if drug in right]:
            pairs = pd.DataFrame({"x": left[drug], "y": right[drug]}).dropna()
            if len(pairs) >= _FEWEST_LINES and not pairs["x"].equals(pairs["y"]):
                found = correlation_with_interval(pairs["x"], pairs["y"])
                facts = {"kind": "shared lines", "cohort": first, "other": second}
                rows.append({**facts, "drug": drug, **found})
    return _judged(rows)


def doubts_of(evidence: pd.DataFrame) -> list[str]:
    """Return a warning for each cohort, or pair of them, whose measure seems to go the other way.

    Of a pair it cannot be told which.
    """
    found = []
    for row in evidence[evidence["verdict"] == "doubt"].to_dict("records"):
        place, against = (
            (
                f"in '{row['cohort']}'",
                f"lines with more {row['other']}, which carries {row['drug']}, resist it less",
            )
            if row["kind"] == "transporter"
            else (
                f"in '{row['cohort']}'",
                f"the experiment '{row['other']}' goes against the others of {row['drug']}",
            )
            if row["kind"] == "experiments"
            else (
                f"in '{row['cohort']}' or in '{row['other']}'",
                f"the lines of both respond to {row['drug']} the other way round",
            )
        )
        found.append(
            f"the direction of the measure {place} is doubtful: {against} (Spearman "
            f"{row['rho']:.2f}, 95% {row['low']:.2f} to {row['high']:.2f}, {row['n']} lines); "
            "check response_type in the table, or state drug_response.directions"
        )
    return found


def together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of tables of evidence, one at least; those without a row have no say."""
    kept = [table for table in tables if len(table)]
    return pd.concat(kept, ignore_index=True) if kept else tables[-1]


def _judged(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    low, high = table["low"].astype(float), table["high"].astype(float)
    verdicts = np.select([high < 0, low > 0], ["doubt", "fits"], "cannot be told")
    return table.assign(verdict=verdicts)


def _by_drug(screen: DrugScreen, key: str) -> dict[str, "pd.Series[float]"]:
    """Return the resistance to each drug of the table by sample or line."""
    by = screen.everything.groupby("drug")
    return {str(name): part.groupby(key)["z"].mean() for name, part in by}


def _united(one: DrugScreen, two: DrugScreen) -> dict[str, str]:
    """Return one name a line of two sets, matched by name and COSMIC id."""
    lines = pd.concat(
        [
            screen.samples[["patient_id", "cosmic_id"]].rename(columns={"patient_id": "line"})
            for screen in (one, two)
        ]
    )
    return dict(zip(lines["line"], unite_by_cosmic(lines.reset_index(drop=True)), strict=True))
