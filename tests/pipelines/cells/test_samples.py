"""Which sample a cell is of, and what a file says of samples: by default, as asked, or refused."""

import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.cells.source import open_cells
from features.errors import CohortError
from pipelines.cells.samples import CellSamples, read_samples
from pipelines.settings.cohort import CohortConfig

N_CELLS = 12
BY_CELL = ["a"] * 4 + ["b"] * 5 + ["c"] * 3


def samples_of(obs: dict[str, object], **settings: object) -> CellSamples:
    """Return the samples of twelve cells with these columns."""
    index = pd.Index([f"cell{i}" for i in range(N_CELLS)])
    cells = ad.AnnData(
        np.ones((N_CELLS, 2)),
        obs=pd.DataFrame(obs, index=index),
        var=pd.DataFrame(index=["B2M", "CD8A"]),
    )
    config = CohortConfig.model_validate({"name": "made", "expression": "x.h5ad", **settings})
    return read_samples(open_cells(cells), config=config)


def other(prefix: str) -> list[str]:
    return [f"{prefix}{i % 2}" for i in range(N_CELLS)]


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        (("patient_id", "library_id", "lesion_sample", "sample", "sample_id"), "sample_id"),
        (("patient_id", "library_id", "lesion_sample", "sample"), "sample"),
        (("patient_id", "library_id", "lesion_sample"), "lesion_sample"),
        (("patient_id", "library_id"), "library_id"),
        (("barcode_run", "patient_id"), "patient_id"),
    ],
)
def test_samples_are_named_by_the_first_column_of_a_known_name(
    columns: tuple[str, ...], taken: str
) -> None:
    obs: dict[str, object] = {name: other(name) for name in columns}
    # A patient's several samples are no fault, a sample's several patients would be one.
    obs |= {"patient_id": BY_CELL, taken: BY_CELL}
    found = samples_of(obs)
    assert found.names == ("a", "b", "c")
    assert found.codes.tolist() == [0] * 4 + [1] * 5 + [2] * 3
    assert found.notes == (f"samples: obs['{taken}'], 3 in 12 cells",)


def test_the_column_asked_for_is_taken() -> None:
    found = samples_of({"sample_id": other("s"), "lesion": BY_CELL}, cells={"sample": "lesion"})
    assert found.names == ("a", "b", "c")


def test_a_column_asked_for_that_is_missing_is_named_with_those_there_are() -> None:
    message = r"'made' \(AnnData\): obs has no column 'lesion' \(cells.sample\); its columns: kind"
    with pytest.raises(CohortError, match=message):
        samples_of({"kind": BY_CELL}, cells={"sample": "lesion"})


def test_without_a_column_all_cells_are_one_sample_and_it_is_said() -> None:
    found = samples_of({"kind": other("k")})
    assert found.names == ("made",)
    assert not found.codes.any()
    assert "all cells are one sample (cells.sample names another)" in found.notes[0]


def test_an_empty_column_of_samples_is_refused() -> None:
    with pytest.raises(CohortError, match=r"obs\['sample_id'\] is empty; name another"):
        samples_of({"sample_id": pd.Categorical([None] * N_CELLS, categories=["a"])})
    with pytest.raises(CohortError, match=r"obs\['lesion'\] is empty"):
        samples_of({"lesion": [" "] * N_CELLS}, cells={"sample": "lesion"})


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_cells_without_a_sample_are_left_out_and_counted(blank: str | None) -> None:
    found = samples_of({"sample_id": [blank, blank, *BY_CELL[2:]]})
    assert found.codes[:3].tolist() == [-1, -1, 0]
    assert found.notes[1] == "2 cells without a sample left out"


def test_what_does_not_differ_within_a_sample_is_told_of_it() -> None:
    label = ["R"] * 4 + ["NR"] * 8
    found = samples_of(
        {
            "sample_id": BY_CELL,
            "response": label,
            "depth": np.arange(N_CELLS),
            "age": [50.0] * 4 + [np.nan] * 5 + [61.0] * 3,
        }
    )
    assert list(found.clinical.columns) == ["sample_id", "response", "age"]
    assert found.clinical["response"].tolist() == ["R", "NR", "NR"]
    assert found.clinical["age"].tolist() == ["50.0", "", "61.0"]


def test_samples_named_by_numbers_are_text() -> None:
    found = samples_of({"sample_id": [7] * 6 + [11] * 6})
    assert found.names == ("11", "7")
    assert found.clinical["sample_id"].tolist() == ["11", "7"]


@pytest.mark.parametrize("column", ["response", "patient_id"])
def test_a_label_or_patient_that_differs_within_a_sample_names_the_sample_and_the_mend(
    column: str,
) -> None:
    values = ["R"] * 4 + ["R", "NR", "NR", "R", "NR"] + ["R"] * 3
    message = re.escape(
        f"cohort 'made' (AnnData): obs['{column}'] differs within sample 'b' (NR, R); name the "
        "column of the single lesions under cells.sample, or correct the file"
    )
    with pytest.raises(CohortError, match=message):
        samples_of({"sample_id": BY_CELL, column: values})


def test_a_column_that_differs_is_refused_only_where_it_was_asked_for() -> None:
    obs = {"sample_id": BY_CELL, "timepoint": other("t"), "visit": other("v")}
    assert list(samples_of(obs).clinical) == ["sample_id"]
    with pytest.raises(CohortError, match=r"obs\['visit'\] differs within sample 'a'"):
        samples_of(obs, columns={"timepoint": "visit"})


def test_cells_left_out_do_not_make_a_label_differ() -> None:
    obs = {"sample_id": ["", *BY_CELL[1:]], "response": ["NR"] + ["R"] * 8 + ["NR"] * 3}
    assert samples_of(obs).clinical["response"].tolist() == ["R", "R", "NR"]
