"""Quality of each cell: counts, genes, mitochondrial and ribosomal share, doublets, ambient RNA."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cells.cell_types import CELL_TYPES, name_marker_genes
from features.cells.doublets import find_doublets
from features.cells.expression import has_linear_scale, linear_block, row_sums
from features.cells.scores import zeros_stay
from features.cells.source import CellSource, chunk_size
from features.errors import CohortError, examples
from features.gene_ids import strip_version
from features.units import UnitFinding

__all__ = ["CellQuality", "ambient_notes", "cell_quality"]

_MADS = {"total_counts": 5.0, "n_genes": 5.0, "mito_share": 3.0}
"""Median absolute deviations from the sample's median, by metric."""
_MITO_FLOOR = 0.08
"""Mitochondrial share up to which no cell is of low quality."""
_FEWEST_FOR_MAD = 20
_PANEL = 1000
"""Genes below which a file is a panel: shares and doublets mean little there."""
_FEWEST_MITO, _FEWEST_RIBO = 5, 10
_RIBO = re.compile(r"^RP[SL][0-9]+[A-Z]?[0-9]*L?$|^RPLP[0-2]$|^RPSA$", re.IGNORECASE)
_MITO_IDS = frozenset(
    f"ENSG00000{number}"
    for number in (
        *("198888", "198763", "198804", "198712", "228253", "198899", "198938"),
        *("198840", "212907", "198886", "198786", "198695", "198727"),
    )
)
_AMBIENT = {
    "immunoglobulin": (("IGHG1", "IGHG2", "IGHG3", "IGHA1", "IGHA2", "IGKC"), ("b", "plasma")),
    "haemoglobin": (("HBA1", "HBA2", "HBB"), ("other",)),
}


@dataclass(frozen=True)
class CellQuality:
    """The quality of all cells.

    Attributes
    ----------
    table
        A row per cell in file order: ``total_counts``, ``n_genes``, ``mito_share``,
        ``ribo_share`` (float32, NaN where it cannot be told), ``low_quality`` (outside a
        threshold of its sample), ``doublet_score`` (float32, NaN where not looked at),
        ``doublet``.
    thresholds
        By sample and metric: ``low``, ``high`` (NaN for none) and ``n_outside``.
    skipped
        What was left out and why, a sentence each.
    ambient
        What transcripts outside their lineage say about ambient RNA, a sentence each.
    """

    table: pd.DataFrame
    thresholds: pd.DataFrame
    skipped: tuple[str, ...]
    ambient: tuple[str, ...]


def cell_quality(
    source: CellSource,
    *,
    symbols: Sequence[str],
    finding: UnitFinding,
    samples: NDArray[np.integer[Any]],
    sample_names: Sequence[str],
    types: NDArray[np.int8] | None = None,
    memory_mb: int = 1024,
    doublets: bool = True,
    seed: int = 0,
) -> CellQuality:
    """Return the quality of each cell, read in chunks; nothing is removed.

    Parameters
    ----------
    source
        The cells.
    symbols
        Symbol of each column of the file.
    finding
        Unit of the values.
    samples
        Position in ``sample_names`` per cell (n_cells,), -1 for a cell that is left out.
    sample_names
        Names of the samples.
    types
        Codes of the cell types (n_cells,), for what is said of ambient RNA.
    memory_mb
        Megabytes that chunks, and one sample in the search for doublets, may take.
    doublets
        Whether to search for doublets, which takes about a millisecond a cell.
    seed
        Seed of the simulated doublets.

    Raises
    ------
    CohortError
        ``symbols``, ``samples`` or ``types`` do not fit the file.

    Notes
    -----
    Thresholds are those of single-cell best practices (10.1038/s41576-023-00586-w), per sample:
    five median absolute deviations about the median of log1p of counts and of genes; three above
    that of the mitochondrial share, yet never below 8%. Doublets: scrublet
    (10.1016/j.cels.2018.11.005) as in scanpy, a sample at a time, for raw counts alone.
    """
    _check(source, symbols=symbols, samples=samples, types=types, n_samples=len(sample_names))
    columns, skipped = _columns(symbols, finding)
    rows = chunk_size(source, memory_mb=memory_mb, dense=not zeros_stay(finding))
    table, ambient = _measure(source, columns, finding=finding, rows=rows, types=types)
    metrics, left_out = _metrics(table, finding, n_genes=len(symbols))
    thresholds, few = _thresholds(table, metrics, samples, sample_names)
    skipped += [*left_out, *few]
    if not doublets:
        skipped.append("doublets: not asked for")
    elif finding.unit != "counts":
        skipped.append(f"doublets: values are {finding.meaning}, not raw counts")
    elif len(symbols) < _PANEL:
        skipped.append(f"doublets: a panel of {len(symbols)} genes shows no mixtures")
    else:
        table["doublet_score"], table["doublet"], left = find_doublets(
            source,
            n_genes=table["n_genes"].to_numpy(),
            samples=samples,
            sample_names=sample_names,
            memory_mb=memory_mb,
            seed=seed,
        )
        skipped += left
    if types is None or finding.unit != "counts":
        skipped.append("ambient RNA: it is told from raw counts and the cells' types")
        ambient = ()
    return CellQuality(table, thresholds, tuple(skipped), ambient)


def ambient_notes(
    source: CellSource,
    *,
    symbols: Sequence[str],
    finding: UnitFinding,
    types: NDArray[np.int8],
    memory_mb: int = 1024,
) -> tuple[str, ...]:
    """Return what transcripts outside their lineage say about ambient RNA, a sentence each.

    Types are known only after quality was measured: this reads the file once more. Nothing can be
    said of other values than raw counts. Ambient RNA is not corrected for: that needs the empty
    droplets, which such a file no longer has.
    """
    if finding.unit != "counts":
        return ()
    columns, _ = _columns(symbols, finding)
    rows = chunk_size(source, memory_mb=memory_mb, dense=not zeros_stay(finding))
    _, said = _measure(source, columns, finding=finding, rows=rows, types=types)
    return tuple(f"ambient RNA is not corrected for: {sentence}" for sentence in said)


def _check(
    source: CellSource,
    *,
    symbols: Sequence[str],
    samples: NDArray[Any],
    types: NDArray[Any] | None,
    n_samples: int,
) -> None:
    wanted = {"symbols": (len(symbols), len(source.genes)), "samples": (len(samples), -1)}
    if types is not None:
        wanted["types"] = (len(types), -1)
    for name, (given, needed) in wanted.items():
        needed = source.n_cells if needed < 0 else needed
        if given != needed:
            raise CohortError(f"{source.name}: {given} {name} are given, {needed} are needed")
    if len(samples) and int(np.max(samples)) >= n_samples:
        raise CohortError(
            f"{source.name}: cells are of sample {int(np.max(samples))}, but only {n_samples} "
            "samples have a name"
        )


def _columns(
    symbols: Sequence[str], finding: UnitFinding
) -> tuple[dict[str, NDArray[np.intp]], list[str]]:
    """Return the columns of each group of genes, and what cannot be told by the genes or unit."""
    names, skipped = [str(symbol) for symbol in symbols], []
    markers = name_marker_genes(names)
    groups = {
        "mito_share": [_is_mitochondrial(name) for name in names],
        "ribo_share": [bool(_RIBO.match(name)) for name in names],
        **{key: [name in genes for name in markers] for key, (genes, _) in _AMBIENT.items()},
    }
    columns = {key: np.flatnonzero(found) for key, found in groups.items()}
    words = {"mito_share": "mitochondrial", "ribo_share": "ribosomal"}
    fewest = {"mito_share": _FEWEST_MITO, "ribo_share": _FEWEST_RIBO}
    for key, word in words.items():
        if not has_linear_scale(finding):
            skipped.append(f"{word} share: values are {finding.meaning}, not counts or TPM")
        elif columns[key].size < fewest[key]:
            skipped.append(
                f"{word} share: {columns[key].size} such genes are named in the file, "
                f"{fewest[key]} are needed"
            )
        else:
            continue
        columns[key] = np.array([], dtype=np.intp)
    return columns, skipped


def _is_mitochondrial(name: str) -> bool:
    return name.upper().startswith("MT-") or strip_version(name) in _MITO_IDS


def _measure(
    source: CellSource,
    columns: dict[str, NDArray[np.intp]],
    *,
    finding: UnitFinding,
    rows: int,
    types: NDArray[np.int8] | None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    n_cells = source.n_cells
    names = ("total_counts", "n_genes", "mito_share", "ribo_share")
    values = {name: np.full(n_cells, np.nan, dtype=np.float32) for name in names}
    carrying = {name: np.zeros(n_cells, dtype=np.bool_) for name in _AMBIENT}
    negative = False
    for start, block in source.chunks(rows):
        linear = linear_block(block, finding)
        within = slice(start, start + linear.shape[0])
        totals = row_sums(linear)
        if has_linear_scale(finding):
            values["total_counts"][within] = totals
        values["n_genes"][within] = row_sums(linear > 0)
        negative = negative or linear.min() < 0
        for name in ("mito_share", "ribo_share"):
            if columns[name].size:
                part = row_sums(linear[:, columns[name]])
                share = np.divide(part, totals, out=np.zeros_like(part), where=totals > 0)
                values[name][within] = share
        for name in _AMBIENT:
            carrying[name][within] = row_sums(linear[:, columns[name]]) > 0
    if negative and not has_linear_scale(finding):  # no zero that means not detected
        values["n_genes"][:] = np.nan
    table = pd.DataFrame(values)
    table["low_quality"] = False
    table["doublet_score"] = np.full(n_cells, np.nan, dtype=np.float32)
    table["doublet"] = False
    said = () if types is None else _ambient(carrying, columns, types)
    return table, said


def _ambient(
    carrying: dict[str, NDArray[np.bool_]],
    columns: dict[str, NDArray[np.intp]],
    types: NDArray[np.int8],
) -> tuple[str, ...]:
    said = []
    for name, (_, home) in _AMBIENT.items():
        at_home = [CELL_TYPES.index(kind) for kind in (*home, "unknown")]
        outside = ~np.isin(types, at_home)
        if not columns[name].size:
            said.append(f"no {name} gene is named in the file")
        elif outside.any():
            share = carrying[name][outside].mean()
            said.append(
                f"{share:.1%} of {int(outside.sum()):,} cells outside "
                f"{' and '.join(home)} carry {name} transcripts: the more, the more ambient RNA"
            )
    return tuple(said)


def _metrics(
    table: pd.DataFrame, finding: UnitFinding, *, n_genes: int
) -> tuple[list[str], list[str]]:
    """Return the metrics that have thresholds, and why the others have none."""
    metrics, skipped = [name for name in _MADS if table[name].notna().any()], []
    if finding.unit != "counts":
        metrics = [name for name in metrics if name != "total_counts"]
        skipped.append(f"threshold of counts: values are {finding.meaning}, not raw counts")
    if "n_genes" not in metrics:
        skipped.append("threshold of genes: the values have no zero that means not detected")
    if n_genes < _PANEL and "mito_share" in metrics:
        metrics.remove("mito_share")
        skipped.append(f"threshold of the mitochondrial share: a panel of {n_genes} genes")
    return metrics, skipped


def _thresholds(
    table: pd.DataFrame,
    metrics: Sequence[str],
    samples: NDArray[np.integer[Any]],
    sample_names: Sequence[str],
) -> tuple[pd.DataFrame, list[str]]:
    """Return the thresholds of each sample, and what was left out; mark the cells outside them."""
    rows, few, low_quality = [], [], np.zeros(len(table), dtype=np.bool_)
    for code, sample in enumerate(sample_names):
        cells = np.flatnonzero(samples == code)
        if cells.size < _FEWEST_FOR_MAD:
            few.append(str(sample))
            continue
        for metric in metrics:
            values = table[metric].to_numpy()[cells].astype(np.float64)
            low, high = _limits(values, metric)
            outside = (values < low) | (values > high)
            low_quality[cells[outside]] = True
            rows.append((str(sample), metric, low, high, int(outside.sum())))
    table["low_quality"] = low_quality
    names = ["sample", "metric", "low", "high", "n_outside"]
    thresholds = pd.DataFrame(rows, columns=names).set_index(["sample", "metric"])
    told = f"thresholds of samples with fewer than {_FEWEST_FOR_MAD} cells: {examples(few)}"
    return thresholds, [told] if few else []


def _limits(values: NDArray[np.float64], metric: str) -> tuple[float, float]:
    share = metric == "mito_share"
    scaled = values if share else np.log1p(values)
    middle = float(np.median(scaled))
    reach = _MADS[metric] * float(np.median(np.abs(scaled - middle)))
    if share:
        return float("nan"), max(middle + reach, _MITO_FLOOR)
    return max(float(np.expm1(middle - reach)), 0.0), float(np.expm1(middle + reach))
