"""The reviews' signs against the data: a row for each claim and what speaks for or against it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import Catalogue, Marker
from models.concordance import concordance_with
from models.meta_analysis import meta_analysis
from models.metrics import cohort_generator
from pipelines.claims.evidence import Evidence, evidence_of, outcome_of, resistant_units
from pipelines.claims.verdicts import NO_SIGN, NOT_TESTABLE, q_values, verdict_of
from pipelines.config import ExperimentConfig
from pipelines.ingest import IngestedCohort
from pipelines.screens.task import IN_CELL_LINES, Task

__all__ = ["RESAMPLES", "claims_table"]

RESAMPLES = 2000
_PLACES = {
    "t_cell": "T cells",
    "b_cell": "B cells",
    "nk_cell": "NK cells",
    "myeloid": "myeloid cells",
    "stroma": "stroma",
}
_SIGNS = {1: "+", -1: "-", 0: "·"}
_COLUMNS = (
    *("setting", "feature", "name", "mechanism", "grade", "sign", "evidence", "drug", "by_drug"),
    *("unit", "size", "size_resistant", "cohorts", "n", "resistant", "coverage", "effect", "low"),
    *("high", "i2", "p_value"),
    *("within_effect", "within_low", "within_high", "q_value", "verdict", "sources", "note"),
)


def claims_table(
    config: ExperimentConfig,
    cohorts: Sequence[IngestedCohort],
    *,
    catalogue: Catalogue,
    n_resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Return the signs of a setting against the data of an experiment.

    Parameters
    ----------
    config
        Its setting, seed, timepoints, least coverage of genes and open signs are used.
    cohorts
        Those to hold the signs against.
    catalogue
        Whose signs.
    n_resamples
        Bootstrap resamples of patients or cell lines.

    Returns
    -------
    table
        A row for each feature of the setting that has a sign there or elsewhere, and each
        evidence: ``setting, feature, name, mechanism, grade`` (whose claim it is: of a review, of
        its class of mechanisms, or of the field), ``sign`` (under the evidence's drug), ``evidence,
        drug`` (id, empty where several or none), ``by_drug`` (the drug chooses the genes), ``unit,
        size, size_resistant`` (patients or lines of known response, and those labelled resistant),
        ``cohorts, n, resistant`` (in which the feature is measured: cohorts, units, resistant),
        ``coverage`` (share of its genes, mean over cohorts), ``effect`` (Somers' D, above 0 where
        more of it goes with resistance), ``low, high`` (95%), ``i2, p_value``, ``within_effect,
        within_low, within_high`` (the same over pairs of lines of one tissue; NaN of patients),
        ``q_value`` (over the setting's measured signs), ``verdict, sources`` (DOIs), ``note``.
    """
    markers = [marker for marker in catalogue.markers_of(config.setting) if _claimed(marker)]
    rows = [
        row
        for evidence in evidence_of(config, cohorts, catalogue=catalogue)
        for row in _rows(evidence, markers, config, catalogue, n_resamples)
    ]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    signed = table["p_value"].astype(float).where(table["verdict"] != NO_SIGN)
    return table.assign(q_value=q_values(signed))


def _claimed(marker: Marker) -> bool:
    """Return whether a marker has a sign in any setting or under any therapy."""
    fixed = any(marker.signed(setting) for setting in marker.settings)
    return fixed or any(sign != "·" for sign in marker.sign_by_therapy.values())


def _rows(
    evidence: Evidence,
    markers: Sequence[Marker],
    config: ExperimentConfig,
    catalogue: Catalogue,
    n_resamples: int,
) -> list[dict[str, Any]]:
    testable = [
        marker.id
        for marker in markers
        if not evidence.cell_lines or marker.compartment in IN_CELL_LINES
    ]
    measured = [
        _measure(task, testable, config=config, catalogue=catalogue, n_resamples=n_resamples)
        for task in evidence.tasks
    ]
    size, resistant = evidence.size, evidence.resistant
    dois = {source.key: source.doi for source in catalogue.sources}
    rows = []
    for marker in markers:
        sign = catalogue.sign_under(marker, setting=config.setting, drug=evidence.drug)
        sign = 0 if marker.id in config.features.open_signs else sign
        row: dict[str, Any] = {
            "setting": config.setting,
            "feature": marker.id,
            "name": marker.name,
            "mechanism": marker.mechanism,
            "grade": marker.evidence,
            "sign": _SIGNS[sign],
            "evidence": evidence.name,
            "drug": evidence.drug.id if evidence.drug else "",
            "by_drug": marker.by_drug is not None,
            "unit": evidence.unit,
            "size": size,
            "size_resistant": resistant,
            "sources": " ".join(dict.fromkeys(dois[one.source] for one in marker.sources)),
        }
        if marker.id in testable:
            row |= _pooled([figures[marker.id] for figures in measured])
            row |= _within(measured[0][marker.id]) if evidence.cell_lines else {}
            row["verdict"] = verdict_of(sign, row["low"], row["high"])
            rows.append(row)
        elif sign:
            note = f"placed in {_PLACES[marker.compartment]}"
            rows.append(row | dict(_NOTHING) | {"verdict": NOT_TESTABLE, "note": note})
    return rows


_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("cohorts", "n", "resistant"), 0),
    **dict.fromkeys(("coverage", "effect", "low", "high", "i2", "p_value"), np.nan),
}


def _measure(
    task: Task,
    names: Iterable[str],
    *,
    config: ExperimentConfig,
    catalogue: Catalogue,
    n_resamples: int,
) -> dict[str, dict[str, Any]]:
    """Return effect, standard error (within tissues too), numbers, coverage by feature."""
    setting, least = config.setting, config.features.min_coverage
    features = task.features(catalogue, setting=setting, min_coverage=least)
    made = task.transformer(catalogue, setting=setting, min_coverage=least)
    genes = made.gene_report(task.adata).features[["coverage", "note"]]
    chosen = features[[name for name in names if name in features]]
    samples = task.samples
    whole, within = (
        concordance_with(
            chosen,
            outcome_of(task),
            units=samples["line"],
            strata=strata,
            n_resamples=n_resamples,
            rng=cohort_generator(config.seed, task.name),
        )
        for strata in (None, samples["tissue"])
    )
    table = whole.join(within[["value", "standard_error"]], rsuffix="_within")
    table = table.reindex(list(names)).assign(resistant=resistant_units(task)).join(genes)
    return {str(name): dict(row) for name, row in table.iterrows()}


def _pooled(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one feature's figures over the tasks of an evidence: random effects where several."""
    used = [part for part in parts if part["standard_error"] > 0]
    pooled = meta_analysis(
        [part["value"] for part in used], [part["standard_error"] for part in used]
    )
    coverage = [part["coverage"] for part in parts if np.isfinite(part["coverage"])]
    return {
        "cohorts": len(used),
        "n": int(sum(part["n"] for part in used)),
        "resistant": int(sum(part["resistant"] for part in used)),
        "coverage": float(np.mean(coverage)) if coverage else np.nan,
        "effect": pooled.estimate,
        "low": pooled.low,
        "high": pooled.high,
        "i2": pooled.i2,
        "p_value": pooled.p_value,
        "note": _note(parts, used),
    }


def _within(part: Mapping[str, Any]) -> dict[str, float]:
    """Return one feature's effect over the pairs of lines of one tissue."""
    found = meta_analysis([part["value_within"]], [part["standard_error_within"]])
    return {
        "within_effect": found.estimate,
        "within_low": found.low,
        "within_high": found.high,
    }


def _note(parts: Sequence[Mapping[str, Any]], used: Sequence[Mapping[str, Any]]) -> str:
    """Return why a feature is not measured, or in how many cohorts it is not."""
    if used:
        left = len(parts) - len(used)
        return f"not measured in {left} of {len(parts)} cohorts" if left else ""
    notes = dict.fromkeys(part["note"] for part in parts if part["note"])
    return "; ".join(notes) or "it does not vary, or all samples have one label"
