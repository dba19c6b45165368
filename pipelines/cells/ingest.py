"""From a file of single cells to a checked cohort, a row per sample."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from features.catalogue import Catalogue, default_catalogue
from features.cells.cell_types import COMPARTMENTS
from features.cells.cohort import build_cell_cohort
from features.cells.features import CellFeature, default_cell_features
from features.cells.source import CellSource, open_cells
from features.cells.transformer import compartment_layer
from features.cohort import check_cohort, dense_expression
from features.errors import CohortError, examples
from features.genes import GeneTranslation, translate_genes
from pipelines.cells.prepare import prepare_cells
from pipelines.cells.prepared import PreparedCells
from pipelines.cells.samples import read_samples
from pipelines.ingest import IngestedCohort, file_hash, ingest_cohort
from pipelines.reading.h5ad import gene_identifiers
from pipelines.reading.observations import build_observations
from pipelines.reading.tables import read_clinical, read_gene_table
from pipelines.settings.cohort import CellsConfig, CohortConfig

__all__ = ["ingest_cells"]

_LOG = logging.getLogger(__name__)
_SAID_OF_SAMPLES = ("matrix:", "clinical table", "patients have several", "without a label")
"""Of the notes of a given pseudobulk, those that the cells' own notes say too."""
_SHOWN = ("malignant", "t_cell", "b_cell", "nk_cell", "myeloid", "stroma")


def ingest_cells(
    config: CohortConfig,
    *,
    root: Path,
    labels_required: bool,
    catalogue: Catalogue | None = None,
    cell_features: Sequence[CellFeature] | None = None,
) -> IngestedCohort:
    """Return a cohort whose samples are made of the single cells of an h5ad or zarr.

    Parameters
    ----------
    config
        What the cohort's YAML says.
    root
        Folder that its relative paths start from.
    labels_required
        Whether both classes must be present.
    catalogue, cell_features
        What is read; the packaged ones by default.

    Raises
    ------
    CohortError
        Anything in the file breaks the contract; the message names the mend.
    """
    catalogue = catalogue or default_catalogue()
    chosen = default_cell_features() if cell_features is None else tuple(cell_features)
    path = root / config.expression
    with open_cells(path) as source:
        translation = _translate(source, config, root, catalogue)
        samples = read_samples(source, config=config)
        prepared = prepare_cells(
            source,
            samples,
            config=config,
            translation=translation,
            catalogue=catalogue,
            cell_features=chosen,
        )
    pseudobulk = _given_pseudobulk(config, root, catalogue, prepared)
    adata = build_cell_cohort(
        prepared.summary,
        samples=prepared.samples,
        types=prepared.types,
        cell_features=chosen,
        min_cells=config.cells.min_cells,
        absent=config.cells.absent,
        told=prepared.told,
        pseudobulk=None if pseudobulk is None else pseudobulk.adata,
    )
    notes = [*translation.notes, *prepared.notes, *_compartment_notes(adata, config)]
    adata = _without_empty(adata, notes)
    _describe(adata, config, root, clinical=samples.clinical, notes=notes)
    _state_facts(adata, prepared, translation, pseudobulk, catalogue, config, notes)
    report = check_cohort(adata, labels_required=labels_required, catalogue=catalogue)
    report.raise_if_faulty(f"cohort '{config.name}' ({path})")
    adata.uns["oncoresist"]["report"] = list(report.notes)
    for note in report.notes:
        _LOG.info("%s: %s", config.name, note)
    read = [path, *(root / name for name in (config.clinical, config.gene_table) if name)]
    files = {str(file): _hash(file) for file in read}
    if pseudobulk is not None:
        files |= pseudobulk.files
    return IngestedCohort(adata, report, files, prepared)


def _without_empty(adata: ad.AnnData, notes: list[str]) -> ad.AnnData:
    """Return the cohort without samples of which no cell is left, noted."""
    values = dense_expression(adata)
    empty = ~np.isfinite(values).any(axis=1)
    if not empty.any():
        return adata
    notes.append(
        f"{int(empty.sum())} samples without a cell left: {examples(adata.obs_names[empty])}"
    )
    return adata[~empty].copy()


def _hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and hashes of a zarr store's files."""
    if path.is_file():
        return file_hash(path)
    listed = "".join(
        f"{file.relative_to(path)}:{file_hash(file)}\n"
        for file in sorted(path.rglob("*"))
        if file.is_file()
    )
    return hashlib.sha256(listed.encode()).hexdigest()


def _translate(
    source: CellSource, config: CohortConfig, root: Path, catalogue: Catalogue
) -> GeneTranslation:
    genes, table = gene_identifiers(source.genes, source.var())
    if config.gene_table is not None:
        table = read_gene_table(root / config.gene_table)
    return translate_genes(genes, catalogue=catalogue, table=table)


def _given_pseudobulk(
    config: CohortConfig, root: Path, catalogue: Catalogue, prepared: PreparedCells
) -> IngestedCohort | None:
    """Return the pseudobulk that the configuration names, checked against the samples."""
    if config.cells.pseudobulk is None:
        return None
    stated = config.model_copy(
        update={
            "expression": config.cells.pseudobulk,
            "clinical": None,
            "unit": "auto",
            "pseudocount": None,
            "modality": "bulk",
            "cells": CellsConfig(),
        }
    )
    found = ingest_cohort(stated, root=root, labels_required=False, catalogue=catalogue)
    missing = [name for name in prepared.sample_names if name not in found.adata.obs_names]
    if missing:
        raise CohortError(
            f"cohort '{config.name}': the pseudobulk {root / config.cells.pseudobulk} lacks "
            f"{len(missing)} of {len(prepared.sample_names)} samples of the cells (such as "
            f"'{missing[0]}'; it has '{found.adata.obs_names[0]}'); give the same names in both"
        )
    return found


def _describe(
    adata: ad.AnnData,
    config: CohortConfig,
    root: Path,
    *,
    clinical: pd.DataFrame,
    notes: list[str],
) -> None:
    """Set ``obs`` after the cohort contract, from the cells' own columns or a clinical table."""
    if config.clinical is not None:
        clinical = read_clinical(root / config.clinical)
    counts = adata.obs["n_cells"].to_numpy()
    obs = build_observations(adata.obs_names, clinical, config=config, notes=notes)
    adata.obs = obs.assign(n_cells=counts)


def _state_facts(
    adata: ad.AnnData,
    prepared: PreparedCells,
    translation: GeneTranslation,
    pseudobulk: IngestedCohort | None,
    catalogue: Catalogue,
    config: CohortConfig,
    notes: list[str],
) -> None:
    """Set ``var`` and ``uns['oncoresist']``; the unit is that of the pseudobulk in ``X``."""
    finding = prepared.finding
    facts = {
        "unit": finding.unit,
        "unit_meaning": f"pseudobulk of single cells; {finding.meaning}",
        "unit_evidence": finding.evidence,
        "unit_stated": finding.stated,
        "pseudocount": finding.pseudocount,
        "gene_id_type": translation.id_type,
        "renamed_genes": dict(translation.rescued),
        "gene_lengths_known": True,
    }
    if pseudobulk is not None:
        facts |= pseudobulk.adata.uns["oncoresist"]
        notes += [
            f"pseudobulk as given: {note}"
            for note in pseudobulk.report.notes
            if not any(said in note for said in _SAID_OF_SAMPLES)
        ]
    else:
        names = dict(zip(prepared.symbols, prepared.originals, strict=True))
        ensembl = {gene.symbol: gene.ensembl_id for gene in catalogue.genes}
        adata.var["original_id"] = [names.get(str(g), str(g)) for g in adata.var_names]
        adata.var["ensembl_id"] = [ensembl.get(str(gene), "") for gene in adata.var_names]
        if finding.unit == "counts":
            notes.append("counts of single cells: no gene length is divided out")
    notes.append(f"cells: {finding.meaning} ({finding.evidence})")
    adata.uns["oncoresist"] = {
        **facts,
        "modality": "single_cell",
        "label_rule": f"RECIST, else response; {config.labels.model_dump_json()}",
        "notes": notes,
        "cells": {**prepared.facts(), "absent": list(config.cells.absent)},
    }


def _compartment_notes(adata: ad.AnnData, config: CohortConfig) -> list[str]:
    """Return which compartments have cells enough, and which give no features."""
    notes = []
    for name in _SHOWN:
        words = name.replace("_", " ")
        layer = compartment_layer(name)
        if name in config.cells.absent:
            notes.append(f"{words}: none by preparation (cells.absent), so no {words} features")
        elif layer not in adata.layers:
            notes.append(
                f"{words}: no sample has {config.cells.min_cells} such cells "
                f"({', '.join(COMPARTMENTS[name])}), so no {words} features"
            )
    return notes
