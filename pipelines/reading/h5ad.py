"""Read an h5ad file as users have it."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import pandas as pd

from features.catalogue import Catalogue
from features.cohort import cohort_facts, dense_expression
from features.errors import CohortError
from features.genes import GeneTable, count_genes
from pipelines.files import is_file
from pipelines.reading.tables import ExpressionTable, refuse_repeated_samples

__all__ = ["gene_identifiers", "read_h5ad"]

_SYMBOL_COLUMNS = ("feature_name", "gene_symbols", "gene_symbol", "gene_name", "symbol")
"""Columns of ``var`` in which public files keep symbols beside an index of ids."""


def read_h5ad(path: Path, *, catalogue: Catalogue) -> tuple[ExpressionTable, pd.DataFrame]:
    """Return an h5ad's ``X`` as an expression table, and its ``obs`` as a clinical table of text.

    ``var['length']`` gives gene lengths in bases; ``feature_name``, ``gene_symbols`` or the like
    give the symbols of an index of ids. A file that OncoResist wrote remembers, in
    ``uns['oncoresist']``, whether lengths had been divided out.

    Raises
    ------
    CohortError
        The file is missing or damaged, has no ``X``, repeats a sample or is transposed.
    """
    if not is_file(path):
        raise CohortError(f"there is no file {path}; check the path (and data.root)")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*names are not unique")
            adata = ad.read_h5ad(path)
    except Exception as error:  # a damaged file makes HDF5 raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CohortError(
            f"{path} is not a readable h5ad file: {reason}; write it anew with anndata"
        ) from error
    if adata.X is None:
        raise CohortError(f"{path} has no X; put the expression (counts, TPM or log) there")
    refuse_repeated_samples([str(name) for name in adata.obs_names], path)
    genes, gene_table = gene_identifiers(list(adata.var_names), adata.var)
    if not count_genes(genes, catalogue=catalogue, numbers=True) and count_genes(
        adata.obs_names, catalogue=catalogue
    ):
        raise CohortError(f"{path} has genes in obs and samples in var; write adata.T instead")
    values = pd.DataFrame(
        dense_expression(adata),
        index=adata.obs_names.astype(object),
        columns=pd.Index(genes, dtype=object),
    )
    lengths = None
    if "length" in adata.var:
        lengths = pd.to_numeric(adata.var["length"].astype(object), errors="coerce").astype(float)
    clinical = adata.obs.astype(object).where(adata.obs.notna(), "").astype(str)
    clinical = clinical.drop(columns=["sample_id"], errors="ignore")
    clinical.insert(0, "sample_id", adata.obs_names.astype(str))
    known = bool(cohort_facts(adata).get("gene_lengths_known", True))
    way = "samples_in_rows (h5ad)"
    return ExpressionTable(values, lengths, way, known, gene_table), clinical


def gene_identifiers(ids: Sequence[str], var: pd.DataFrame) -> tuple[list[str], GeneTable | None]:
    """Return the identifiers of the genes, and what symbols ``var`` gives for them, None if none.

    The identifiers are the index of ``var``, or its symbols where that is numbers.
    """
    column = next((name for name in _SYMBOL_COLUMNS if name in var), None)
    genes = [str(name) for name in ids]
    if column is None:
        return genes, None
    symbols = var[column].astype(object).fillna("").astype(str)
    table = GeneTable.of(symbols=symbols, ensembl=pd.Index(genes), entrez=pd.Index(genes))
    if all(name.isdigit() for name in genes):
        genes = list(symbols)
    return genes, table
