"""Real cohorts as they lie in the shared folder, read once for the tests of this folder."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.genes import translate_genes


def read_bulk(folder: Path, catalogue: Catalogue) -> ad.AnnData:
    """Return a cohort's expression (n_samples, n_genes), unit as published, approved symbols."""
    table = pd.read_csv(folder / "expression.csv.gz", index_col=0)
    translation = translate_genes([str(gene) for gene in table.index], catalogue=catalogue)
    return ad.AnnData(
        X=np.ascontiguousarray(table.to_numpy(dtype=float).T),
        obs=pd.DataFrame(index=table.columns.astype(str)),
        var=pd.DataFrame(index=list(translation.symbols)),
    )


@pytest.fixture(scope="session")
def jung_tpm(shared: Path, catalogue: Catalogue) -> ad.AnnData:
    """Jung 2019: linear TPM, 27 samples × 53,181 genes."""
    return read_bulk(shared / "cohorts" / "bulk" / "jung_2019_gse135222", catalogue)


@pytest.fixture(scope="session")
def gide_log2(shared: Path, catalogue: Catalogue) -> ad.AnnData:
    """Gide 2019: log2(TPM + 0.001), 41 samples × 19,961 genes."""
    return read_bulk(shared / "cohorts" / "bulk" / "gide_2019_antiPD1", catalogue)


@pytest.fixture(scope="session")
def gene_lengths(shared: Path, catalogue: Catalogue) -> "pd.Series[float]":
    """Lengths in bases by symbol; the catalogue's genes are found by their Ensembl id."""
    table = pd.read_csv(shared / "reference" / "gene_ids.tsv.gz", sep="\t")
    by_symbol = table.groupby("symbol")["effective_length"].max()
    by_id = table.groupby("ensembl_id")["effective_length"].max()
    own = pd.Series(
        {gene.symbol: by_id.get(gene.ensembl_id) for gene in catalogue.genes}, dtype=float
    )
    return own.combine_first(by_symbol.drop(own.index, errors="ignore")).dropna()
