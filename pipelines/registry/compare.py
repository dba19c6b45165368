"""Two registered versions side by side: figures, paired differences, what they were made of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from features.catalogue import Catalogue
from features.errors import examples
from features.reference import Standardisation
from models.comparison import compare_with_peers
from models.metrics import Estimate
from models.paired_brier import paired_brier_difference
from pipelines.registry.catalogue_difference import catalogue_differences
from pipelines.registry.pages import figure_rows
from pipelines.registry.version_record import VersionRecord
from pipelines.validation.validate import ARM_SUFFIX, ARMS

__all__ = ["VersionComparison", "compare_versions"]

_RESAMPLES = 1000
_SEED = 0
_NONE = "–"
_APART = 1e-9
_MOST_DEPTH = 2
"""Levels of settings told one by one; a candidate is told as a whole."""


@dataclass(frozen=True)
class VersionComparison:
    """Two versions side by side.

    Attributes
    ----------
    figures
        Rows: figure, standardisation, first, second.
    paired
        Rows: figure, standardisation, samples, first minus second with its 95% interval.
    notes
        What the paired differences rest on, and why there are none where there are none.
    configuration
        Rows: key, first, second, where they differ.
    catalogue
        What differs, a line each.
    chosen
        Rows: standardisation, first's candidate, second's.
    """

    figures: list[list[str]]
    paired: list[list[str]]
    notes: list[str]
    configuration: list[list[str]]
    catalogue: list[str]
    chosen: list[list[str]]


def compare_versions(first: VersionRecord, second: VersionRecord) -> VersionComparison:
    """Return two versions side by side, from what their runs logged.

    The paired differences are of out-of-cohort predictions of the same samples, by models that had
    not seen the sample's cohort; patients are resampled within cohorts.
    """
    paired: list[list[str]] = []
    notes = [
        f"{record.uri} was recalibrated; its figures are those of {record.origin.uri}"
        for record in (first, second)
        if record.recalibrated is not None
    ]
    for arm in ARMS:
        rows, note = _paired(first, second, arm)
        paired += rows
        notes.append(f"paired, {arm}-relative: {note}")
    chosen = [_chosen(record) for record in (first, second)]
    return VersionComparison(
        figures=_figures(first, second),
        paired=paired,
        notes=notes,
        configuration=list(_configuration(first, second)),
        catalogue=_catalogue(first, second),
        chosen=[[arm, *(str(one.get(arm, _NONE)) for one in chosen)] for arm in ARMS],
    )


def _figures(first: VersionRecord, second: VersionRecord) -> list[list[str]]:
    tables = [{row[0]: row[1:] for row in figure_rows(record.origin)} for record in (first, second)]
    rows = []
    for name in {**tables[0], **tables[1]}:
        for place, arm in enumerate(ARMS):
            found = [table[name][place] if name in table else _NONE for table in tables]
            if found != [_NONE, _NONE]:
                rows.append([name, arm, *found])
    return rows


def _paired(
    first: VersionRecord, second: VersionRecord, arm: Standardisation
) -> tuple[list[list[str]], str]:
    """Return the paired differences of one standardisation, and what they rest on."""
    path = f"predictions/loco{ARM_SUFFIX[arm]}.parquet"
    tables = [record.origin.table(path) for record in (first, second)]
    if tables[0] is None or tables[1] is None:
        lacking = first if tables[0] is None else second
        return [], f"the run of {lacking.uri} holds no out-of-cohort predictions"
    one, two = (table.set_index("sample") for table in tables if table is not None)
    shared = one.index.intersection(two.index)
    one, two = one.loc[shared], two.loc[shared]
    known = one["resistant"].notna() & two["resistant"].notna()
    other = known & (one["resistant"] != two["resistant"])
    kept = shared[(known & ~other).to_numpy()]
    told = f"{len(kept)} samples of {one.loc[kept, 'cohort'].nunique()} cohorts in both"
    if other.any():
        told += f"; left out, labelled otherwise: {examples(other.index[other])}"
    if len(kept) == 0:
        return [], f"{told}, so nothing can be paired"
    one, two = one.loc[kept], two.loc[kept]
    table = compare_with_peers(
        one, {"second": two}, n_resamples=_RESAMPLES, n_permutations=_RESAMPLES, seed=_SEED
    )
    rows = []
    for row in table[table["cohort"].isin(["mean", "within_cohort_pairs"])].to_dict("records"):
        what = "mean over cohorts" if row["cohort"] == "mean" else "over pairs within cohorts"
        found = Estimate(*(float(row[n]) for n in ("difference", "low", "high", "standard_error")))
        rows.append([f"AUROC, {what}", arm, str(len(kept)), _difference(found)])
    brier = paired_brier_difference(one, two, n_resamples=_RESAMPLES, seed=_SEED)
    rows.append(["Brier score", arm, str(len(kept)), _difference(brier)])
    return rows, told


def _difference(found: Estimate) -> str:
    if not abs(found.value) > _APART:
        return "none" if found.value == found.value else "not determined"
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _configuration(first: VersionRecord, second: VersionRecord) -> Iterator[list[str]]:
    """Give the settings that differ; training cohorts are told as sets are."""
    found = [
        dict(_flat(record.origin.document("config/resolved.yaml") or {}))
        for record in (first, second)
    ]
    for key in {**found[0], **found[1]}:
        values = [str(one.get(key, _NONE)) for one in found]
        if values[0] != values[1]:
            yield [key, *values]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value and prefix.count(".") < _MOST_DEPTH:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _catalogue(first: VersionRecord, second: VersionRecord) -> list[str]:
    hashes = [record.origin.run_tags.get("catalogue_hash") for record in (first, second)]
    if hashes[0] == hashes[1] and hashes[0] is not None:
        return []
    logged = [record.origin.document("data/catalogue.json") for record in (first, second)]
    if None in logged:
        return [f"hash {hashes[0]} → {hashes[1]}; what differs is not in the runs"]
    try:
        one, two = (Catalogue.model_validate(content) for content in logged)
    except ValueError:
        return [f"hash {hashes[0]} → {hashes[1]}; one is of an older form"]
    return [] if one == two else catalogue_differences(one, two)


def _chosen(record: VersionRecord) -> Mapping[str, Any]:
    """Return the candidate that each standardisation of the final model took."""
    facts = record.origin.document("data/facts.json") or {}
    return facts.get("chosen") or {}
