"""Files whose rows, samples or genes are numbered: numbers are not taken for Entrez ids."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.errors import CohortError
from pipelines.reading.h5ad import read_h5ad
from pipelines.reading.tables import read_expression

N_GENES = 60


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).gamma(1.0, 50.0, (12, N_GENES)).round(3)


def write_csv(frame: pd.DataFrame, folder: Path, *, index: bool) -> Path:
    path = folder / "expression.csv"
    frame.to_csv(path, index=index)
    return path


def test_a_first_column_of_row_numbers_gives_way_to_the_genes(
    values: np.ndarray, catalogue: Catalogue, tmp_path: Path
) -> None:
    genes = list(catalogue.gene_symbols[:N_GENES])
    frame = pd.DataFrame(values.T, columns=[f"s{i}" for i in range(12)])
    frame.insert(0, "gene", genes)
    path = write_csv(frame, tmp_path, index=True)
    table = read_expression(path, orientation="auto", catalogue=catalogue)
    assert list(table.values.columns) == genes
    assert table.values.shape == (12, N_GENES)


def test_row_numbers_for_genes_are_refused(
    values: np.ndarray, catalogue: Catalogue, tmp_path: Path
) -> None:
    frame = pd.DataFrame(values.T, columns=[f"s{i}" for i in range(12)])
    path = write_csv(frame, tmp_path, index=True)
    with pytest.raises(CohortError, match="no known gene in the rows"):
        read_expression(path, orientation="auto", catalogue=catalogue)


def test_numbered_samples_of_a_panel_do_not_turn_it_round(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    genes = list(catalogue.gene_symbols[:N_GENES])
    values = np.random.default_rng(1).gamma(1.0, 50.0, (600, N_GENES)).round(3)
    frame = pd.DataFrame(values, index=range(1, 601), columns=genes)
    path = write_csv(frame, tmp_path, index=True)
    table = read_expression(path, orientation="auto", catalogue=catalogue)
    assert table.values.shape == (600, N_GENES)


def test_an_h5ad_with_numbered_genes_is_read_by_its_symbols(
    values: np.ndarray, catalogue: Catalogue, tmp_path: Path
) -> None:
    genes = list(catalogue.gene_symbols[:N_GENES])
    var = pd.DataFrame({"feature_name": genes}, index=[str(i * 7) for i in range(N_GENES)])
    obs = pd.DataFrame(index=[f"s{i}" for i in range(12)])
    path = tmp_path / "cohort.h5ad"
    ad.AnnData(values, obs=obs, var=var).write_h5ad(path)
    table, _ = read_h5ad(path, catalogue=catalogue)
    assert list(table.values.columns) == genes
