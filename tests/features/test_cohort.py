"""The cohort contract and the check that lists every fault at once."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from features import cohort as cohort_module
from features.catalogue import Catalogue
from features.cohort import (
    TARGET_SUM,
    CohortReport,
    check_cohort,
    cohort_facts,
    dense_expression,
    is_gene_scaled_cohort,
)
from features.errors import CohortError, examples

MakeCohort = Callable[..., ad.AnnData]


def faults_of(adata: ad.AnnData, **settings: bool) -> str:
    return " | ".join(check_cohort(adata, **settings).faults)


def with_values(adata: ad.AnnData, position: tuple[int | slice, int | slice], value: float) -> str:
    """Return the faults of a cohort with some values replaced."""
    adata.X[position] = value
    return faults_of(adata)


def test_a_sound_cohort_has_no_fault(make_cohort: MakeCohort) -> None:
    report = check_cohort(make_cohort(), labels_required=True)
    assert report.faults == ()
    report.raise_if_faulty("cohort 'synthetic'")


def test_a_sparse_cohort_is_checked_like_a_dense_one(make_cohort: MakeCohort) -> None:
    dense = make_cohort()
    stored = ad.AnnData(sparse.csr_matrix(dense.X), obs=dense.obs, var=dense.var)
    np.testing.assert_array_equal(dense_expression(stored), dense.X)
    assert check_cohort(stored) == check_cohort(dense)


SPOILT: dict[str, tuple[tuple[int | slice, int | slice], float]] = {
    "sound": ((0, 0), 1.0),
    "negative": ((0, 0), -0.25),
    "infinite": ((0, 0), np.inf),
    "minus infinity": ((0, 0), -np.inf),
    "linear": ((0, 0), 14.0),
    "no expression": ((2, slice(None)), 0.0),
    "one value": ((2, slice(None)), 3.2),
    "not measured": ((2, 3), np.nan),
    "a sample not measured": ((2, slice(None)), np.nan),
}


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
def test_a_sparse_cohort_has_the_faults_of_a_dense_one_and_stays_sparse(
    make_cohort: MakeCohort, monkeypatch: pytest.MonkeyPatch, spoilt: str, kind: str
) -> None:
    dense = make_cohort(6)
    place, value = SPOILT[spoilt]
    dense.X[place] = value
    stored = ad.AnnData(getattr(sparse, kind)(dense.X), obs=dense.obs, var=dense.var)
    expected = check_cohort(dense)
    assert bool(expected.faults) == (spoilt not in ("sound", "not measured"))
    if value >= 0:
        monkeypatch.setattr(cohort_module, "dense_expression", None)
    assert check_cohort(stored) == expected


def test_zeros_that_a_sparse_cohort_stores_are_zeros(make_cohort: MakeCohort) -> None:
    dense = make_cohort(6)
    stored = ad.AnnData(sparse.csr_matrix(dense.X), obs=dense.obs, var=dense.var)
    for row in (1, 4):
        stored.X.data[stored.X.indptr[row] : stored.X.indptr[row + 1]] = 0.0
    expected = ("samples with no expressed gene: synthetic_s1, synthetic_s4",)
    assert check_cohort(stored).faults == expected


def test_the_check_changes_nothing(make_cohort: MakeCohort) -> None:
    adata = make_cohort()
    adata.X[0, 0] = np.nan
    before = adata.copy()
    check_cohort(adata, labels_required=True)
    np.testing.assert_array_equal(adata.X, before.X)
    pd.testing.assert_frame_equal(adata.obs, before.obs)


def test_all_faults_are_listed_at_once(make_cohort: MakeCohort) -> None:
    adata = make_cohort(8)
    adata.obs["patient_id"] = adata.obs["patient_id"].where(adata.obs_names != "synthetic_s3")
    adata.obs["resistant"] = [0, 1, 2, 1, 0, 1, 0, 7]
    del adata.obs["cohort"]
    adata.X[0, 0] = -1.5
    adata.X[1, 1] = np.inf
    adata.X[2] = np.nan
    adata.X[4] = 0.0
    adata.var_names = [adata.var_names[1], *adata.var_names[1:]]
    adata.obs_names = [*adata.obs_names[:-1], adata.obs_names[0]]
    with pytest.raises(CohortError, match=r"^cohort 'x' \(file\.csv\): ") as caught:
        check_cohort(adata).raise_if_faulty("cohort 'x' (file.csv)")
    for fault in (
        "obs lacks the columns ['cohort']",
        "obs['patient_id'] is empty for samples synthetic_s3",
        "obs['resistant'] holds [2, 7]; allowed: 1, 0, NaN",
        "1 sample ids stand more than once: synthetic_s0",
        f"1 gene symbols stand more than once: {adata.var_names[0]}",
        "expression holds infinite values",
        "expression holds negative values (lowest -1.5)",
        "X is not log1p of CPM or TPM",
        "samples with no measured gene: synthetic_s2",
        "samples with no expressed gene: synthetic_s4",
    ):
        assert fault in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_an_empty_matrix_is_the_only_fault_named(shape: tuple[int, int]) -> None:
    report = check_cohort(ad.AnnData(np.empty(shape)))
    assert len(report.faults) == 1
    assert f"empty ({shape[0]} samples × {shape[1]} genes)" in report.faults[0]


@pytest.mark.parametrize("column", ["sample_id", "patient_id", "cohort"])
def test_required_columns_must_be_there_and_filled(make_cohort: MakeCohort, column: str) -> None:
    adata = make_cohort()
    adata.obs[column] = adata.obs[column].astype(object).where(adata.obs_names != "synthetic_s1")
    assert f"obs['{column}'] is empty for samples synthetic_s1" in faults_of(adata)
    del adata.obs[column]
    assert f"obs lacks the columns ['{column}']" in faults_of(adata)


def test_labels_are_one_zero_or_missing(make_cohort: MakeCohort) -> None:
    adata = make_cohort()
    adata.obs["resistant"] = adata.obs["resistant"].where(adata.obs_names != "synthetic_s1")
    assert check_cohort(adata).faults == ()
    adata.obs["resistant"] = ["R", 2.0, *adata.obs["resistant"][2:]]
    assert "obs['resistant'] holds [2.0, 'R']; allowed: 1, 0, NaN" in faults_of(adata)


def test_negative_infinite_and_linear_values_are_faults(make_cohort: MakeCohort) -> None:
    assert "negative values (lowest -0.25)" in with_values(make_cohort(), (0, 0), -0.25)
    assert "infinite values" in with_values(make_cohort(), (0, 0), np.inf)
    assert "its highest value is 14" in with_values(make_cohort(), (0, 0), 14.0)
    assert with_values(make_cohort(), (0, 0), float(np.log1p(TARGET_SUM))) == ""


def test_samples_without_measured_or_expressed_genes_are_named(make_cohort: MakeCohort) -> None:
    unmeasured = with_values(make_cohort(), (2, slice(None)), np.nan)
    assert unmeasured == "samples with no measured gene: synthetic_s2"
    flat = with_values(make_cohort(), (2, slice(None)), 0.0)
    assert flat == "samples with no expressed gene: synthetic_s2"


def test_a_gene_not_measured_in_a_sample_is_no_fault(make_cohort: MakeCohort) -> None:
    assert with_values(make_cohort(), (2, 3), np.nan) == ""


def test_unknown_gene_ids_are_a_fault_that_names_them(make_cohort: MakeCohort) -> None:
    adata = make_cohort()
    adata.var_names = [str(number) for number in range(adata.n_vars)]
    faults = faults_of(adata)
    assert "only 0 of the catalogue's" in faults
    assert "(its first gene ids: 0, 1, 2, 3, 4 and " in faults


def test_one_catalogue_gene_is_enough_to_know_the_identifiers(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    adata = make_cohort()
    strangers = [f"X{number}" for number in range(adata.n_vars)]
    adata.var_names = [catalogue.gene_symbols[-1], *strangers[1:]]
    assert faults_of(adata) == ""
    adata.var_names = strangers
    assert (
        f"only 0 of the catalogue's {len(catalogue.gene_symbols)} genes are in the file (its first "
        "gene ids: X0, X1, X2, X3, X4 and "
    ) in faults_of(adata)
    assert "genes are human symbols of any age, Ensembl or Entrez ids" in faults_of(adata)


def test_the_genes_of_a_catalogue_of_ones_own_are_looked_for(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    adata = make_cohort()[:, ["B2M", "BG0001", "BG0002"]].copy()
    fields = catalogue.model_dump()
    fields["markers"] = [entry for entry in fields["markers"] if entry["id"] == "tmem92"]
    fields |= {"drugs": (), "payloads": (), "payload_classes": (), "strategies": ()}
    own = Catalogue.model_validate(fields)
    assert "only 0 of the catalogue's 1 genes" in "".join(check_cohort(adata, catalogue=own).faults)
    assert check_cohort(adata, catalogue=catalogue).faults == ()


def scaled_cohort(make_cohort: MakeCohort) -> ad.AnnData:
    adata = make_cohort()
    adata.X = 20 * (adata.X - adata.X.mean(axis=0))
    adata.uns["oncoresist"] = {"unit": "gene_scaled"}
    return adata


def test_values_scaled_per_gene_may_be_negative_and_high_where_their_unit_says_so(
    make_cohort: MakeCohort,
) -> None:
    adata = scaled_cohort(make_cohort)
    assert is_gene_scaled_cohort(adata)
    assert faults_of(adata) == ""
    adata.uns["oncoresist"] = {"unit": "tpm"}
    assert not is_gene_scaled_cohort(adata)
    assert "negative values" in faults_of(adata)
    assert "its highest value is" in faults_of(adata)


def test_values_scaled_per_gene_have_the_other_faults(make_cohort: MakeCohort) -> None:
    for value, fault in (
        (np.inf, "infinite values"),
        (np.nan, "no measured gene: synthetic_s2"),
        (-1.5, "the same value in every gene: synthetic_s2"),
    ):
        assert fault in with_values(scaled_cohort(make_cohort), (2, slice(None)), value)
    below = scaled_cohort(make_cohort)
    below.X[2] -= below.X[2].max() + 1.0
    assert faults_of(below) == ""


def test_labels_are_asked_for_only_where_they_are_needed(make_cohort: MakeCohort) -> None:
    adata = make_cohort()
    adata.obs["resistant"] = np.nan
    assert faults_of(adata) == ""
    assert "none of the 30 samples has a response label" in faults_of(adata, labels_required=True)
    del adata.obs["resistant"]
    assert "none of the 30 samples has a response label" in faults_of(adata, labels_required=True)


@pytest.mark.parametrize(("label", "word"), [(1.0, "resistant"), (0.0, "responsive")])
def test_one_class_alone_is_a_fault(make_cohort: MakeCohort, label: float, word: str) -> None:
    adata = make_cohort()
    adata.obs["resistant"] = [np.nan, *([label] * 29)]
    faults = faults_of(adata, labels_required=True)
    assert f"all 29 labelled samples are {word}: both classes are needed" in faults


def test_notes_tell_of_unlabelled_samples_repeated_patients_and_ingestion(
    make_cohort: MakeCohort,
) -> None:
    adata = make_cohort()
    adata.obs.loc["synthetic_s1", "resistant"] = np.nan
    adata.uns["oncoresist"] = {"notes": ["unit: raw counts"]}
    notes = check_cohort(adata).notes
    assert notes[0] == "unit: raw counts"
    assert "1 samples without a label: synthetic_s1" in notes
    assert any(note.startswith("3 patients have several samples (p0, p1, p2)") for note in notes)
    assert cohort_facts(adata)["notes"] == ["unit: raw counts"]


def test_a_cohort_without_facts_has_none(make_cohort: MakeCohort) -> None:
    assert cohort_facts(make_cohort()) == {}


def test_a_report_without_faults_raises_nothing_and_one_with_them_lists_all() -> None:
    CohortReport((), ("a note",)).raise_if_faulty("x")
    with pytest.raises(CohortError, match=r"^x: first; second$"):
        CohortReport(("first", "second"), ()).raise_if_faulty("x")


def test_messages_show_five_examples_and_how_many_more() -> None:
    assert examples(range(5)) == "0, 1, 2, 3, 4"
    assert examples(range(17)) == "0, 1, 2, 3, 4 and 12 more"
    assert examples([]) == ""


def test_a_sample_with_one_value_in_every_gene_is_a_fault(make_cohort):
    cohort = make_cohort(4)
    cohort.X[2] = 3.2
    faults = check_cohort(cohort).faults
    assert len(faults) == 1
    assert "the same value in every gene: synthetic_s2" in faults[0]
