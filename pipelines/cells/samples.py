"""Which sample each cell belongs to, and what the file says of the samples."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cells.source import CellSource
from features.errors import CohortError, examples
from pipelines.settings.cohort import CohortConfig

__all__ = ["CellSamples", "read_samples"]

_FEWEST_TO_TELL, _MOST_APART = 100, 0.5
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
        codes, names = _codes(source.obs_column(column))
        if not names:
            raise CohortError(
                f"{source.name}: obs['{column}'] is empty; name another under cells.sample"
            )
        _refuse_single_cells(source, column, names)
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


def _codes(values: "pd.Series[Any]") -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return the place of each value among the distinct texts, -1 of blanks, and these, sorted."""
    found, distinct = pd.factorize(values)
    texts = [str(value) if pd.notna(value) else "" for value in distinct]
    names = sorted({text for text in texts if text.strip()})
    place = {name: code for code, name in enumerate(names)}
    lookup = np.array([place.get(text, -1) for text in texts] + [-1], dtype=np.int32)
    return lookup[found], tuple(names)


def _refuse_single_cells(source: CellSource, column: str, names: tuple[str, ...]) -> None:
    """Refuse a column that names nearly every cell apart: ids of cells, not of samples."""
    if source.n_cells >= _FEWEST_TO_TELL and len(names) > source.n_cells * _MOST_APART:
        raise CohortError(
            f"{source.name}: obs['{column}'] names {len(names):,} samples in {source.n_cells:,} "
            "cells, nearly each a sample of its own; name the column of the samples under "
            "cells.sample, or predict cells by themselves: cells.rows: cell"
        )


def _clinical(
    source: CellSource, codes: NDArray[np.int32], names: tuple[str, ...], config: CohortConfig
) -> pd.DataFrame:
    """Return the columns of ``obs`` that do not differ within a sample, as text."""
    asked = {getattr(config.columns, name) for name in config.columns.model_fields_set}
    asked |= {config.columns.response, config.columns.patient_id}
    table = pd.DataFrame({"sample_id": list(names)})
    kept = codes >= 0
    for name in source.obs_columns:
        if name == "sample_id":
            continue
        values, texts = _codes(source.obs_column(name))
        pairs = np.unique(np.stack([codes[kept], values[kept]]), axis=1)
        samples, counts = np.unique(pairs[0], return_counts=True)
        if (counts > 1).any():
            if name in asked:
                sample = int(samples[counts > 1][0])
                said = [texts[code] if code >= 0 else "" for code in pairs[1][pairs[0] == sample]]
                raise _differs(source, config, name, names[sample], said)
            continue
        said_of = dict(zip(pairs[0].tolist(), pairs[1].tolist(), strict=True))
        codes_of = [said_of.get(code, -1) for code in range(len(names))]
        table[name] = [texts[code] if code >= 0 else "" for code in codes_of]
    return table


def _differs(
    source: CellSource, config: CohortConfig, column: str, sample: str, said: list[str]
) -> CohortError:
    return CohortError(
        f"cohort '{config.name}' ({source.name}): obs['{column}'] differs within sample "
        f"'{sample}' ({examples(sorted(said))}); name the column of the single lesions under "
        "cells.sample, or correct the file"
    )
