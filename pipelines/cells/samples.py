"""Which sample each cell belongs to, and what the file says of the samples."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cell_source import CellSource
from features.errors import CohortError, examples
from pipelines.settings.cohort import CohortConfig

__all__ = ["CellSamples", "read_samples"]

_SAMPLE_COLUMNS = ("sample_id", "sample", "lesion_sample", "library_id")


@dataclass(frozen=True)
class CellSamples:
    """The samples of a file of cells.

    Attributes
    ----------
    codes
        (n_cells,) position in ``names``; -1 where a cell names no sample.
    names
        The samples, in alphabetical order.
    clinical
        Text that is the same in all cells of a sample, a row a sample, ``sample_id`` first.
    notes
        Which column was taken, cells without a sample.
    """

    codes: NDArray[np.int32]
    names: tuple[str, ...]
    clinical: pd.DataFrame
    notes: tuple[str, ...]


def read_samples(source: CellSource, *, config: CohortConfig) -> CellSamples:
    """Return the sample of each cell and what ``obs`` says of the samples.

    Raises
    ------
    CohortError
        A column named is missing, no cell has a sample, or a column that was asked for differs
        within a sample.
    """
    column = _sample_column(source, config)
    if column is None:
        codes = np.zeros(source.n_cells, dtype=np.int32)
        names: tuple[str, ...] = (config.name,)
        notes = ["no column names samples: all cells are one sample (cells.sample names another)"]
    else:
        named = source.obs([column])[column]
        known = named.notna() & (named.astype(str).str.strip() != "")
        texts = named.astype(str).where(known)
        values, found = np.unique(texts.dropna().to_numpy(dtype=str), return_inverse=True)
        if not len(values):
            raise CohortError(
                f"{source.name}: obs['{column}'] is empty; name another, cells.sample"
            )
        codes = np.full(source.n_cells, -1, dtype=np.int32)
        codes[known.to_numpy()] = found
        names = tuple(str(value) for value in values)
        notes = [f"samples: obs['{column}'], {len(names)} in {source.n_cells:,} cells"]
        if (codes < 0).any():
            notes.append(f"{int((codes < 0).sum()):,} cells without a sample left out")
    return CellSamples(codes, names, _clinical(source, codes, names, config), tuple(notes))


def _sample_column(source: CellSource, config: CohortConfig) -> str | None:
    asked = config.cells.sample
    if asked is not None:
        if asked not in source.obs_columns:
            raise CohortError(
                f"cohort '{config.name}' ({source.name}): obs has no column '{asked}' "
                f"(cells.sample); its columns: {examples(source.obs_columns, most=20)}"
            )
        return asked
    candidates = (*_SAMPLE_COLUMNS, config.columns.patient_id)
    return next((name for name in candidates if name in source.obs_columns), None)


def _clinical(
    source: CellSource, codes: NDArray[np.int32], names: tuple[str, ...], config: CohortConfig
) -> pd.DataFrame:
    """Return the columns of ``obs`` that do not differ within a sample, as text."""
    asked = {getattr(config.columns, name) for name in config.columns.model_fields_set}
    usual = {getattr(config.columns, name) for name in type(config.columns).model_fields}
    table = pd.DataFrame({"sample_id": list(names)})
    kept = codes >= 0
    for name in source.obs_columns:
        values = source.obs([name])[name]
        texts = values.astype(object).where(values.notna(), "").astype(str)[kept]
        pairs = pd.DataFrame({"code": codes[kept], "text": texts.to_numpy()}).drop_duplicates()
        repeated = pairs["code"].duplicated(keep=False)
        if repeated.any():
            if name in asked | (usual & {config.columns.response, config.columns.patient_id}):
                raise _differs(source, config, name, pairs[repeated], names)
            continue
        if name != "sample_id":
            table[name] = pairs.set_index("code")["text"].reindex(range(len(names))).fillna("")
    return table


def _differs(
    source: CellSource,
    config: CohortConfig,
    column: str,
    pairs: pd.DataFrame,
    names: tuple[str, ...],
) -> CohortError:
    code = int(pairs["code"].iloc[0])
    said = sorted(pairs.loc[pairs["code"] == code, "text"])
    return CohortError(
        f"cohort '{config.name}' ({source.name}): obs['{column}'] differs within sample "
        f"'{names[code]}' ({examples(said)}); name the column of the single lesions under "
        "cells.sample, or correct the file"
    )
