"""From files to a checked cohort: read, join, translate genes, tell the unit, normalise."""

import hashlib
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd

from features.catalogue import Catalogue, default_catalogue
from features.cohort import (
    CohortReport,
    check_cohort,
    cohort_facts,
    dense_expression,
    is_gene_scaled_cohort,
)
from features.errors import CohortError, examples
from features.genes import GeneTranslation, translate_genes
from features.preprocess import merge_duplicate_genes, normalise
from features.units import UnitFinding
from pipelines.reading.drug_evidence import (
    doubts_of,
    efflux_evidence,
    experiment_evidence,
    together,
)
from pipelines.reading.drug_tables import DrugScreen
from pipelines.reading.h5ad import read_h5ad
from pipelines.reading.samples import label_rule, read_samples
from pipelines.reading.tables import (
    ExpressionTable,
    read_clinical,
    read_expression,
    read_gene_lengths,
    read_gene_table,
)
from pipelines.reading.units import unit_of
from pipelines.settings.cohort import CohortConfig

if TYPE_CHECKING:
    from pipelines.cells.prepared import PreparedCells

Translate = Callable[[Sequence[str]], GeneTranslation]

__all__ = [
    "IngestedCohort",
    "file_hash",
    "files_hash",
    "ingest_cohort",
    "keep_timepoints",
]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class IngestedCohort:
    """A checked cohort and where it came from.

    Attributes
    ----------
    adata
        The cohort, see :mod:`features.cohort`.
    report
        What the check found; it holds no fault.
    files
        Path → SHA-256 of every file read.
    cells
        The single cells that the samples were made from; None of bulk.
    screen
        The drug screen that gave the labels; None of any other cohort.
    """

    adata: ad.AnnData
    report: CohortReport
    files: Mapping[str, str]
    cells: "PreparedCells | None" = None
    screen: DrugScreen | None = None

    @property
    def name(self) -> str:
        """Name of the cohort."""
        return str(self.adata.obs["cohort"].iloc[0])

    @property
    def expression_hash(self) -> str:
        """SHA-256 of the expression file."""
        return next(iter(self.files.values()))

    @property
    def reference_offered(self) -> bool:
        """Whether reference-relative standardisation means anything for it.

        Counts whose gene lengths are not known, and values scaled per gene, can only be compared
        within their own cohort.
        """
        known = bool(cohort_facts(self.adata)["gene_lengths_known"])
        return known and not is_gene_scaled_cohort(self.adata)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def files_hash(cohorts: Sequence["IngestedCohort"]) -> str:
    """Return one SHA-256 over the hashes of every file that went into some cohorts."""
    hashes = sorted(value for cohort in cohorts for value in cohort.files.values())
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def ingest_cohort(
    config: CohortConfig,
    *,
    root: Path,
    labels_required: bool,
    catalogue: Catalogue | None = None,
) -> IngestedCohort:
    """Return a cohort read, joined, translated, normalised and checked.

    Parameters
    ----------
    config
        What the cohort's YAML says.
    root
        Folder that its relative paths start from.
    labels_required
        Whether both classes must be present.

    Raises
    ------
    CohortError
        Anything in the files breaks the contract; the message names the mend.
    """
    catalogue = catalogue or default_catalogue()
    path = root / config.expression
    table, clinical = _read(config, path, root, catalogue)
    found = read_samples(table, clinical, config=config, path=path, root=root, catalogue=catalogue)
    table, screen = found.table, found.screen
    notes = [f"matrix: {table.orientation}", *found.notes]
    finding = unit_of(table.values.to_numpy(), config)
    lengths, lengths_file = _lengths(config, table, root, finding)
    genes = table.genes
    if config.gene_table is not None:
        genes = read_gene_table(root / config.gene_table)
    try:
        adata = _assemble(
            table,
            found.obs,
            finding=finding,
            lengths=lengths,
            translate=lambda ids: translate_genes(ids, catalogue=catalogue, table=genes),
            catalogue=catalogue,
            notes=notes,
        )
    except CohortError as error:
        raise CohortError(f"cohort '{config.name}' ({path}): {error}") from error
    if screen is not None:
        evidence = efflux_evidence(config.name, adata, screen, catalogue=catalogue)
        evidence = together([evidence, experiment_evidence(config.name, screen)])
        notes += [f"warning: {doubt}" for doubt in doubts_of(evidence)]
    adata.uns["oncoresist"] |= {
        "label_rule": label_rule(config),
        "gene_lengths_known": table.lengths_known
        and (finding.unit != "counts" or lengths is not None),
        "notes": [*notes, *_quality_notes(adata, table, finding, lengths)],
    }
    report = check_cohort(adata, labels_required=labels_required, catalogue=catalogue)
    report.raise_if_faulty(f"cohort '{config.name}' ({path})")
    adata.uns["oncoresist"]["report"] = list(report.notes)
    for note in report.notes:
        _LOG.info("%s: %s", config.name, note)
    read = [path]
    responses = None if config.drug_response is None else config.drug_response.table
    named = dict.fromkeys((config.clinical, responses, lengths_file, config.gene_table))
    read += [root / name for name in named if name]
    files = {str(file): file_hash(file) for file in read}
    return IngestedCohort(adata, report, files, screen=screen)


def _read(
    config: CohortConfig, path: Path, root: Path, catalogue: Catalogue
) -> tuple[ExpressionTable, pd.DataFrame | None]:
    if path.suffix.lower() == ".h5ad":
        table, clinical = read_h5ad(path, catalogue=catalogue)
    else:
        table = read_expression(path, orientation=config.orientation, catalogue=catalogue)
        clinical = None
    if config.clinical is not None:
        clinical = read_clinical(root / config.clinical)
    if not np.isfinite(table.values.to_numpy()).any():
        raise CohortError(f"{path}: the expression matrix holds no number")
    return table, clinical


def _lengths(
    config: CohortConfig, table: ExpressionTable, root: Path, finding: UnitFinding
) -> tuple["pd.Series[float] | None", str | None]:
    """Return gene lengths for counts, and the file they were read from, if any."""
    if finding.unit != "counts":
        return None, None
    if config.gene_lengths is not None:
        return read_gene_lengths(root / config.gene_lengths), config.gene_lengths
    return table.lengths, None


def _assemble(
    table: ExpressionTable,
    obs: pd.DataFrame,
    *,
    finding: UnitFinding,
    lengths: "pd.Series[float] | None",
    translate: Translate,
    catalogue: Catalogue,
    notes: list[str],
) -> ad.AnnData:
    originals = [str(gene) for gene in table.values.columns]
    translation = translate(originals)
    notes += translation.notes
    symbols = list(translation.symbols)
    if lengths is not None:
        lengths = _lengths_by_symbol(lengths, originals, symbols, translate)
    var = pd.DataFrame({"original_id": originals}, index=pd.Index(symbols, dtype=object))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique")
        raw = ad.AnnData(X=table.values.to_numpy(), obs=obs, var=var)
    merged = _merge(raw, finding, notes)
    adata = normalise(merged, finding=finding, lengths=lengths)
    without = merged.var_names.difference(adata.var_names)
    if len(without):
        notes.append(f"{len(without)} genes without a length left out: {examples(without)}")
    adata.obs_names = adata.obs["sample_id"].to_numpy()
    ensembl = {gene.symbol: gene.ensembl_id for gene in catalogue.genes}
    adata.var["ensembl_id"] = [ensembl.get(str(gene), "") for gene in adata.var_names]
    adata.uns["oncoresist"] = {
        "unit": finding.unit,
        "unit_meaning": finding.meaning,
        "unit_evidence": finding.evidence,
        "unit_stated": finding.stated,
        "pseudocount": finding.pseudocount,
        "gene_id_type": translation.id_type,
        "modality": "bulk",
        "renamed_genes": dict(translation.rescued),
    }
    return adata


def _lengths_by_symbol(
    lengths: "pd.Series[float]",
    originals: Sequence[str],
    symbols: Sequence[str],
    translate: Translate,
) -> "pd.Series[float]":
    """Give each approved symbol its length, whichever of its names the length table uses."""
    renamed = translate([str(gene) for gene in lengths.index])
    by_symbol = pd.Series(lengths.to_numpy(), index=list(renamed.symbols)).groupby(level=0).max()
    own = pd.Series(lengths.reindex(list(originals)).to_numpy(), index=list(symbols))
    own = own[~own.index.duplicated()]
    return own.combine_first(by_symbol)


def _merge(raw: ad.AnnData, finding: UnitFinding, notes: list[str]) -> ad.AnnData:
    """Make symbols unique: repeats are added up on the linear scale, intensities averaged."""
    if not raw.var_names.has_duplicates:
        return raw
    values = dense_expression(raw)
    additive = finding.unit in ("counts", "tpm")
    if finding.unit in ("log2_tpm", "ln_tpm"):
        base = 2.0 if finding.unit == "log2_tpm" else np.e
        linear = base**values - finding.pseudocount
        merged, symbols, repeated = merge_duplicate_genes(
            linear, list(raw.var_names), additive=True
        )
        merged = np.log(merged + finding.pseudocount) / np.log(base)
    else:
        merged, symbols, repeated = merge_duplicate_genes(
            values, list(raw.var_names), additive=additive
        )
    how = "averaged" if finding.unit in ("log2_intensity", "gene_scaled") else "added up"
    notes.append(f"{len(repeated)} genes stand in several rows, {how}: {examples(repeated)}")
    first = raw.var[~raw.var_names.duplicated()].loc[symbols]
    return ad.AnnData(X=merged, obs=raw.obs, var=first)


def _quality_notes(
    adata: ad.AnnData,
    table: ExpressionTable,
    finding: UnitFinding,
    lengths: "pd.Series[float] | None",
) -> list[str]:
    notes = [f"unit: {finding.meaning} ({finding.evidence})"]
    if table.lengths is not None and finding.unit == "tpm":
        notes.append(
            "the file has gene lengths, but its values are not whole numbers: taken as TPM or the "
            "like, lengths not used; if these are estimated counts, state unit: counts"
        )
    if finding.unit == "counts" and lengths is None:
        notes.append(
            "gene lengths unknown: counts are taken as they are and only cohort-relative "
            "standardisation is offered; name a table under gene_lengths"
        )
    unmeasured = np.isnan(dense_expression(adata))
    if unmeasured.any():
        genes = adata.var_names[unmeasured.any(axis=0)]
        notes.append(
            f"{int(unmeasured.sum())} values not measured (NaN) in {len(genes)} genes "
            f"({examples(genes)}); they stay missing, never zero"
        )
    if finding.unit == "gene_scaled":
        notes.append(
            "the values are centred or scaled per gene: scored by mean z within the cohort, not by "
            "ranks; quality figures of samples cannot be told"
        )
        return notes
    outliers = adata.obs_names[adata.obs["qc_outlier"]]
    if len(outliers):
        notes.append(f"{len(outliers)} quality outliers, kept: {examples(outliers)}")
    return notes


def keep_timepoints(
    cohort: IngestedCohort, *, timepoints: Sequence[str]
) -> tuple[ad.AnnData, dict[str, Any]]:
    """Return the samples of the timepoints asked for, and how many of each were left out.

    Raises
    ------
    CohortError
        No sample is left.
    """
    stated = cohort.adata.obs["timepoint"]
    kept = stated.isin(list(timepoints))
    left_out = {str(name): int(count) for name, count in stated[~kept].value_counts().items()}
    if not kept.any():
        raise CohortError(
            f"cohort '{cohort.name}' has no sample of the timepoints {list(timepoints)}; it has "
            f"{sorted(set(stated))}: change samples.timepoints"
        )
    if left_out:
        _LOG.info("%s: left out by timepoint: %s", cohort.name, left_out)
    return cohort.adata[kept.to_numpy()].copy(), left_out
