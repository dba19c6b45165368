"""Ingest: whatever the unit, the orientation and the format, the same cohort comes out."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from features.catalogue import default_catalogue
from features.cohort import cohort_facts
from features.errors import CohortError
from features.transformer import MarkerFeatures
from pipelines.config import configuration_folder, load_cohort
from pipelines.ingest import IngestedCohort, file_hash, ingest_cohort, keep_timepoints
from pipelines.settings.cohort import CohortConfig

N_SAMPLES = 24
Ingest = Callable[..., IngestedCohort]


@dataclass(frozen=True)
class Truth:
    """A cohort whose TPM are multiples of 1/8, so that every unit holds them without loss."""

    tpm: pd.DataFrame
    lengths: "pd.Series[float]"
    clinical: pd.DataFrame

    @property
    def log1p(self) -> np.ndarray:
        tpm = self.tpm.to_numpy()
        return np.log1p(tpm / tpm.sum(axis=1, keepdims=True) * 1e6)

    @property
    def counts(self) -> pd.DataFrame:
        return (self.tpm * 8 * self.lengths).astype(np.int64)


@cache
def truth() -> Truth:
    rng = np.random.default_rng(20260401)
    genes = [*default_catalogue().gene_symbols, *(f"BG{i}" for i in range(200))]
    tpm = np.round(rng.gamma(0.6, 3300.0, (N_SAMPLES, len(genes))) * 8) / 8
    tpm[rng.random(tpm.shape) < 0.15] = 0.0
    samples = [f"{i:03d}" for i in range(N_SAMPLES)]
    clinical = pd.DataFrame(
        {
            "sample_id": samples,
            "patient_id": [f"p{i}" for i in range(N_SAMPLES)],
            "recist": [("CR", "PR", "SD", "PD")[i % 4] for i in range(N_SAMPLES)],
        }
    )
    return Truth(
        pd.DataFrame(tpm, index=samples, columns=genes),
        pd.Series(rng.integers(300, 9000, len(genes)).astype(float), index=genes),
        clinical,
    )


@cache
def true_features() -> pd.DataFrame:
    """Return the features of the truth, not having gone through a file."""
    cohort = ad.AnnData(truth().log1p, var=pd.DataFrame(index=truth().tpm.columns))
    cohort.obs_names = list(truth().tpm.index)
    return MarkerFeatures().fit(cohort).transform(cohort)


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    """Return an ingester of a genes × samples frame (or a file already there) and clinical."""

    def run(
        expression: pd.DataFrame | str,
        clinical: pd.DataFrame | None = None,
        *,
        labels_required: bool = False,
        **config: Any,
    ) -> IngestedCohort:
        if isinstance(expression, pd.DataFrame):
            expression.to_csv(tmp_path / "expression.csv")
            expression = "expression.csv"
        if clinical is not None:
            clinical.to_csv(tmp_path / "clinical.csv", index=False)
            config["clinical"] = "clinical.csv"
        tree = {"name": "made", "expression": expression, **config}
        return ingest_cohort(
            CohortConfig.model_validate(tree), root=tmp_path, labels_required=labels_required
        )

    return run


def expect_truth(cohort: IngestedCohort) -> None:
    """Check that X is the truth's log1p TPM and the features are exactly the truth's."""
    adata = cohort.adata
    assert list(adata.obs_names) == list(truth().tpm.index)
    ordered = adata[:, list(truth().tpm.columns)]
    np.testing.assert_allclose(ordered.X, truth().log1p, rtol=0, atol=1e-9)
    features = MarkerFeatures().fit(adata).transform(adata)
    pd.testing.assert_frame_equal(features, true_features(), check_exact=True)


def notes(cohort: IngestedCohort) -> str:
    return "\n".join(cohort.report.notes)


# --- units


UNITS: Mapping[str, tuple[str, float, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "tpm": ("tpm", 0.0, lambda tpm: tpm),
    "scaled": ("tpm", 0.0, lambda tpm: tpm * 4),
    "log2(TPM+1)": ("log2_tpm", 1.0, lambda tpm: np.log2(tpm + 1)),
    "log2(TPM+0.001)": ("log2_tpm", 0.001, lambda tpm: np.log2(tpm + 0.001)),
    "ln(TPM+1)": ("ln_tpm", 1.0, lambda tpm: np.log(tpm + 1)),
}


@pytest.mark.parametrize("name", UNITS)
def test_every_unit_gives_the_same_cohort_and_exactly_the_same_features(
    ingest: Ingest, name: str
) -> None:
    unit, pseudocount, convert = UNITS[name]
    cohort = ingest(convert(truth().tpm).T)
    facts = cohort_facts(cohort.adata)
    assert facts["unit"] == unit
    assert facts["pseudocount"] == pytest.approx(pseudocount)
    assert cohort.reference_offered
    assert facts["unit_meaning"] in notes(cohort)
    expect_truth(cohort)


@pytest.mark.parametrize("name", ["log2(TPM+1)", "log2(TPM+0.001)", "ln(TPM+1)", "tpm"])
def test_a_stated_unit_is_taken_at_its_word(ingest: Ingest, name: str) -> None:
    unit, pseudocount, convert = UNITS[name]
    stated = {"pseudocount": pseudocount} if unit == "log2_tpm" else {}
    cohort = ingest(convert(truth().tpm).T, unit=unit, **stated)
    assert cohort_facts(cohort.adata)["unit_stated"]
    expect_truth(cohort)


@pytest.mark.parametrize(
    ("stated", "name", "message"),
    [
        ({"unit": "log2_tpm"}, "tpm", r"log2_tpm is stated, but the highest value is .*auto"),
        ({"unit": "ln_tpm"}, "tpm", r"ln_tpm is stated, but the highest value is"),
        ({"unit": "log2_intensity"}, "tpm", r"log2_intensity is stated, but the highest"),
        (
            {"unit": "log2_tpm"},
            "log2(TPM+0.001)",
            r"lowest value is -9\.966, below the 0 .*state the pseudocount",
        ),
        ({"unit": "tpm"}, "log2(TPM+0.001)", r"negative values \(lowest -9\.966\).*the unit"),
        ({"unit": "counts"}, "log2(TPM+0.001)", r"negative values \(lowest -9\.966\).*the unit"),
    ],
)
def test_a_stated_unit_that_the_values_cannot_have_is_refused(
    ingest: Ingest, stated: dict[str, Any], name: str, message: str
) -> None:
    with pytest.raises(CohortError, match=r"cohort 'made'.*" + message):
        ingest(UNITS[name][2](truth().tpm).T, **stated)


# --- counts and gene lengths


def test_counts_with_a_length_column_agree_with_tpm(ingest: Ingest) -> None:
    table = truth().counts.T.copy()
    table.insert(0, "Length", truth().lengths.astype(int))
    cohort = ingest(table)
    assert cohort_facts(cohort.adata)["unit"] == "counts"
    assert cohort.reference_offered
    np.testing.assert_array_equal(cohort.adata.layers["counts"], truth().counts.to_numpy())
    expect_truth(cohort)


def test_counts_with_a_table_of_lengths_agree_with_tpm(ingest: Ingest, tmp_path: Path) -> None:
    lengths = truth().lengths.rename("effective_length").rename_axis("symbol")
    lengths.to_csv(tmp_path / "lengths.tsv", sep="\t")
    cohort = ingest(truth().counts.T, gene_lengths="lengths.tsv")
    assert cohort.reference_offered
    assert str(tmp_path / "lengths.tsv") in cohort.files
    expect_truth(cohort)


def test_a_length_table_may_know_a_gene_by_its_earlier_name(ingest: Ingest, tmp_path: Path) -> None:
    lengths = truth().lengths.rename("length").rename_axis("symbol")
    lengths.rename({"VSIR": "C10orf54"}).to_csv(tmp_path / "lengths.csv")
    expect_truth(ingest(truth().counts.T, gene_lengths="lengths.csv"))


def test_genes_without_a_length_are_left_out_and_noted(ingest: Ingest, tmp_path: Path) -> None:
    lengths = truth().lengths.rename("length").rename_axis("symbol")
    lengths.drop(["BG7", "BG8"]).to_csv(tmp_path / "lengths.csv")
    cohort = ingest(truth().counts.T, gene_lengths="lengths.csv")
    assert cohort.adata.n_vars == truth().tpm.shape[1] - 2
    assert "2 genes without a length left out: BG7, BG8" in notes(cohort)


def test_counts_without_lengths_are_noted_and_offer_no_reference(ingest: Ingest) -> None:
    cohort = ingest(truth().counts.T)
    assert not cohort.reference_offered
    assert "gene lengths unknown" in notes(cohort)
    assert "name a table under gene_lengths" in notes(cohort)


def test_a_length_table_that_is_not_needed_is_not_read(ingest: Ingest, tmp_path: Path) -> None:
    # Fixed: a TPM cohort whose length table was absent ended in a raw FileNotFoundError.
    cohort = ingest(truth().tpm.T, gene_lengths="absent.csv")
    assert list(cohort.files) == [str(tmp_path / "expression.csv")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("symbol,length\nFOO,100\n", r"none of the \d+ genes has a length .*check gene_lengths"),
        ("symbol,length\nB2M,0\nCD274,-3\n", r"none of the \d+ genes has a length"),
        ("symbol,size\nB2M,100\n", r"no column length or effective_length"),
        (None, r"there is no file .*lengths\.csv"),
    ],
)
def test_a_length_table_of_no_use_is_named(
    ingest: Ingest, tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "lengths.csv").write_text(content)
    with pytest.raises(CohortError, match=message):
        ingest(truth().counts.T, gene_lengths="lengths.csv")


# --- formats


FORMATS: Mapping[str, Callable[[Path], str]] = {}


def _format(name: str) -> Callable[[Callable[[Path], None]], None]:
    def keep(write: Callable[[Path], None]) -> None:
        def run(folder: Path) -> str:
            write(folder / name)
            return name

        FORMATS[name] = run  # type: ignore[index]

    return keep


def _h5ad(X: Any, path: Path, **parts: Any) -> None:
    obs = parts.pop("obs", pd.DataFrame(index=truth().tpm.index))
    ad.AnnData(X, obs=obs, var=pd.DataFrame(index=truth().tpm.columns), **parts).write_h5ad(path)


_format("genes_in_rows.csv")(lambda path: truth().tpm.T.to_csv(path))
_format("samples_in_rows.csv")(lambda path: truth().tpm.to_csv(path))
_format("genes_in_rows.tsv.gz")(lambda path: truth().tpm.T.to_csv(path, sep="\t"))
_format("samples_in_rows.txt")(lambda path: truth().tpm.to_csv(path, sep=";"))
_format("dense.h5ad")(lambda path: _h5ad(truth().tpm.to_numpy(), path))
_format("float32.h5ad")(lambda path: _h5ad(truth().tpm.to_numpy(np.float32), path))
_format("csr.h5ad")(lambda path: _h5ad(sparse.csr_matrix(truth().tpm.to_numpy()), path))
_format("csc_float32.H5AD")(
    lambda path: _h5ad(sparse.csc_matrix(truth().tpm.to_numpy(np.float32)), path)
)
_format("log2.h5ad")(lambda path: _h5ad(np.log2(truth().tpm.to_numpy() + 1), path))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_orientation_gives_the_same_cohort(
    ingest: Ingest, tmp_path: Path, name: str
) -> None:
    cohort = ingest(FORMATS[name](tmp_path))
    expect_truth(cohort)
    assert cohort.adata.obs["resistant"].isna().all()
    assert "24 samples without a label" in notes(cohort)
    assert cohort.files == {str(tmp_path / name): file_hash(tmp_path / name)}


def test_genes_and_samples_in_any_order_give_the_same_features(ingest: Ingest) -> None:
    shuffled = truth().tpm.T.sample(frac=1, random_state=1).sample(frac=1, random_state=2, axis=1)
    adata = ingest(shuffled, truth().clinical).adata
    features = MarkerFeatures().fit(adata).transform(adata)
    pd.testing.assert_frame_equal(
        features.loc[true_features().index], true_features(), check_exact=True
    )
    by_sample = truth().clinical.set_index("sample_id")["patient_id"]
    assert adata.obs["patient_id"].to_dict() == by_sample.to_dict()


def test_the_obs_of_an_h5ad_is_its_clinical_table(ingest: Ingest, tmp_path: Path) -> None:
    obs = truth().clinical.set_index("sample_id")
    obs["recist"] = obs["recist"].astype("category").cat.remove_categories("SD")
    obs["age"] = 61.5
    _h5ad(truth().tpm.to_numpy(), tmp_path / "made.h5ad", obs=obs)
    found = ingest("made.h5ad").adata.obs
    assert found["resistant"].fillna(-1).value_counts().to_dict() == {0.0: 12, 1.0: 6, -1.0: 6}
    assert found["patient_id"].tolist() == truth().clinical["patient_id"].tolist()


def test_a_clinical_table_wins_over_the_obs_of_an_h5ad(ingest: Ingest, tmp_path: Path) -> None:
    obs = truth().clinical.set_index("sample_id").assign(recist="PD")
    _h5ad(truth().tpm.to_numpy(), tmp_path / "made.h5ad", obs=obs)
    found = ingest("made.h5ad", truth().clinical).adata.obs
    assert (found["resistant"] == 0).sum() == 12


def test_counts_of_an_h5ad_take_lengths_from_var(ingest: Ingest, tmp_path: Path) -> None:
    adata = ad.AnnData(
        sparse.csr_matrix(truth().counts.to_numpy()),
        obs=pd.DataFrame(index=truth().tpm.index),
        var=pd.DataFrame({"length": truth().lengths}),
    )
    adata.write_h5ad(tmp_path / "made.h5ad")
    cohort = ingest("made.h5ad")
    assert cohort.reference_offered
    expect_truth(cohort)


def test_an_ingested_cohort_written_as_h5ad_is_ingested_again(
    ingest: Ingest, tmp_path: Path
) -> None:
    # Fixed: our own timepoint names were unknown timepoints.
    first = ingest(truth().tpm.T, truth().clinical.assign(timepoint="pre"))
    first.adata.write_h5ad(tmp_path / "again.h5ad")
    again = ingest("again.h5ad")
    expect_truth(again)
    for column in ("resistant", "patient_id", "timepoint"):
        assert again.adata.obs[column].tolist() == first.adata.obs[column].tolist()


def _damaged(path: Path, *, keep: float) -> None:
    _h5ad(truth().tpm.to_numpy(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(lambda p: None, "there is no file", id="missing"),
        pytest.param(lambda p: p.write_text("hello"), "is not a readable h5ad file", id="text"),
        pytest.param(lambda p: p.write_bytes(b""), "is not a readable h5ad file", id="empty"),
        pytest.param(lambda p: _damaged(p, keep=0.5), "is not a readable h5ad file", id="cut off"),
        pytest.param(
            lambda p: pd.DataFrame({"a": [1]}).to_csv(p), "is not a readable h5ad", id="CSV"
        ),
        pytest.param(lambda p: _h5ad(None, p), "has no X; put the expression", id="no X"),
        pytest.param(
            lambda p: ad.AnnData(np.zeros((0, 3))).write_h5ad(p), "holds no number", id="no sample"
        ),
        pytest.param(
            lambda p: ad.AnnData(
                truth().tpm.to_numpy().T,
                obs=pd.DataFrame(index=truth().tpm.columns),
                var=pd.DataFrame(index=truth().tpm.index),
            ).write_h5ad(p),
            r"genes in obs and samples in var; write adata\.T",
            id="genes × samples",
        ),
        pytest.param(
            lambda p: ad.AnnData(
                truth().tpm.to_numpy(),
                obs=pd.DataFrame(index=["s"] * N_SAMPLES),
                var=pd.DataFrame(index=truth().tpm.columns),
            ).write_h5ad(p),
            r"1 sample ids stand more than once: s; give every",
            id="repeated samples",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_a_wrong_h5ad_is_named_with_the_fault(
    ingest: Ingest, tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    # Fixed: the exception to catch did not exist in anndata, so all of these were raw.
    write(tmp_path / "made.h5ad")
    with pytest.raises(CohortError, match=message) as caught:
        ingest("made.h5ad")
    assert "made.h5ad" in str(caught.value)


# --- genes


def test_a_renamed_gene_is_rescued_and_noted(ingest: Ingest) -> None:
    cohort = ingest(truth().tpm.T.rename({"VSIR": "C10orf54"}))
    expect_truth(cohort)
    assert cohort_facts(cohort.adata)["renamed_genes"] == {"C10orf54": "VSIR"}
    assert cohort.adata.var.loc["VSIR", "original_id"] == "C10orf54"
    assert cohort.adata.var.loc["VSIR", "ensembl_id"].startswith("ENSG")
    assert "1 renamed genes recognised: C10orf54 → VSIR" in notes(cohort)


def test_an_earlier_name_is_left_alone_when_the_approved_one_is_there(ingest: Ingest) -> None:
    table = truth().tpm.T.copy()
    table.loc["C10orf54"] = 100.0
    cohort = ingest(table)
    assert cohort_facts(cohort.adata)["renamed_genes"] == {}
    assert {"VSIR", "C10orf54"} <= set(cohort.adata.var_names)
    assert "left alone because the approved one is in the file: C10orf54" in notes(cohort)
    features = MarkerFeatures().fit(ingest(truth().tpm.T).adata).transform(cohort.adata)
    pd.testing.assert_frame_equal(features, true_features(), check_exact=True)


@pytest.mark.parametrize("name", UNITS)
def test_repeated_genes_are_added_up_on_the_linear_scale(ingest: Ingest, name: str) -> None:
    tpm = truth().tpm.T.copy()
    part = (tpm.loc[["B2M", "BG3"]] // 16) / 8
    split = pd.concat([tpm, part])
    split.iloc[tpm.index.get_indexer(["B2M", "BG3"])] -= part.to_numpy()
    cohort = ingest(UNITS[name][2](split))
    assert "2 genes stand in several rows, added up: B2M, BG3" in notes(cohort)
    ordered = cohort.adata[:, list(truth().tpm.columns)]
    np.testing.assert_allclose(ordered.X, truth().log1p, rtol=0, atol=1e-9)


def test_repeated_genes_of_counts_are_added_up(ingest: Ingest) -> None:
    counts = truth().counts.T.copy()
    cohort = ingest(pd.concat([counts, counts.loc[["B2M"]]]))
    column = cohort.adata[:, "B2M"].layers["counts"].ravel()
    np.testing.assert_array_equal(column, 2 * counts.loc["B2M"])


def test_repeated_probes_of_an_intensity_are_averaged(ingest: Ingest) -> None:
    rng = np.random.default_rng(0)
    values = truth().tpm.T * 0 + rng.normal(9.0, 2.0, truth().tpm.T.shape)
    repeated = pd.concat([values, values.loc[["B2M"]] + 1.0])
    cohort = ingest(repeated)
    assert cohort_facts(cohort.adata)["unit"] == "log2_intensity"
    assert "1 genes stand in several rows, averaged: B2M" in notes(cohort)
    averaged = values.copy()
    averaged.loc["B2M"] += 0.5
    single = ingest(averaged)
    np.testing.assert_allclose(
        cohort.adata[:, single.adata.var_names].X, single.adata.X, rtol=0, atol=1e-9
    )


def test_values_not_measured_stay_nan_and_are_noted(ingest: Ingest) -> None:
    table = truth().tpm.T.copy()
    table.iloc[0, :3] = np.nan
    cohort = ingest(table)
    assert np.isnan(cohort.adata.X).sum() == 3
    assert f"3 values not measured (NaN) in 1 genes ({table.index[0]})" in notes(cohort)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t * np.nan, "the expression matrix holds no number"),
        (lambda t: t * 0, "samples with no expressed gene: 000, 001"),
        (lambda t: t.assign(**{"003": np.nan}), "samples with no measured gene: 003"),
        (lambda t: t.mask(t == t.iloc[0, 0], -5), "negative values on a linear scale"),
        (lambda t: truth().counts.T.mask(t == t.iloc[0, 0], -5), r"negative counts \(-5\)"),
        (
            lambda t: t.iloc[-50:],
            r"no known gene in the rows \(first: BG150, .*human symbols such as CD274 or B2M",
        ),
        (lambda t: t.rename("x{}".format), r"no known gene in the rows \(first: x.*human symbols"),
        (
            lambda t: t.set_axis([f"ENSG{i:011d}" for i in range(len(t))]),
            r"only 0 of the catalogue's \d+ genes .*Ensembl or Entrez ids: translate others",
        ),
        (lambda t: t.sub(t.mean(axis=1), axis=0).iloc[:, :2], "negative values on a linear"),
    ],
    ids=[
        "nothing measured",
        "all zero",
        "empty sample",
        "negative TPM",
        "negative counts",
        "no catalogue gene",
        "unknown genes",
        "unknown Ensembl ids",
        "centred linear values of two samples",
    ],
)
def test_wrong_expression_is_refused_with_the_fault(
    ingest: Ingest, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    with pytest.raises(CohortError, match=message):
        ingest(change(truth().tpm.T))


# --- values centred or scaled per gene


def log2_values() -> pd.DataFrame:
    """Return log2(TPM + 1), genes × samples."""
    return np.log2(truth().tpm.T + 1)


def z_scores() -> pd.DataFrame:
    values = log2_values()
    return values.sub(values.mean(axis=1), axis=0).div(values.std(axis=1, ddof=0), axis=0)


SCALED: Mapping[str, Callable[[], pd.DataFrame]] = {
    "centred": lambda: log2_values().sub(log2_values().mean(axis=1), axis=0),
    "z-scores": z_scores,
    "clipped z-scores": lambda: z_scores().clip(-2, 2),
    "share of the highest": lambda: log2_values().div(log2_values().max(axis=1), axis=0),
}


@pytest.mark.parametrize("stated", [{}, {"unit": "gene_scaled"}], ids=["found", "stated"])
@pytest.mark.parametrize("name", SCALED)
def test_values_scaled_per_gene_stay_as_they_came_and_are_noted(
    ingest: Ingest, name: str, stated: dict[str, Any]
) -> None:
    values = SCALED[name]()
    cohort = ingest(values, truth().clinical, **stated)
    facts = cohort_facts(cohort.adata)
    assert facts["unit"] == "gene_scaled"
    assert facts["unit_stated"] == bool(stated)
    np.testing.assert_allclose(cohort.adata[:, values.index].X, values.T, rtol=0, atol=1e-12)
    assert "scored by mean z within the cohort, not by ranks" in notes(cohort)
    assert "centred or scaled per gene" in facts["unit_meaning"]
    assert not cohort.reference_offered
    assert not {"library_size", "genes_detected", "qc_outlier"} & set(cohort.adata.obs)
    assert cohort.adata.obs["resistant"].notna().all()


def test_values_that_do_not_look_scaled_are_taken_so_where_it_is_stated(ingest: Ingest) -> None:
    cohort = ingest(log2_values(), unit="gene_scaled")
    assert cohort_facts(cohort.adata)["unit"] == "gene_scaled"
    found = cohort.adata[:, log2_values().index].X
    np.testing.assert_allclose(found, log2_values().T, rtol=0, atol=1e-12)


def test_z_scores_give_the_mean_z_of_the_cohort_before_scaling(ingest: Ingest) -> None:
    """Tolerance 1e-9: z-scores of z-scores round differently."""
    adata = ingest(z_scores()).adata
    before = ad.AnnData(log2_values().T.to_numpy(), var=pd.DataFrame(index=log2_values().index))
    before.obs_names = list(truth().tpm.index)
    markers = MarkerFeatures(score_kind="mean_z").fit(adata)
    found, expected = markers.transform(adata), markers.transform(before)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_repeated_genes_scaled_per_gene_are_averaged(ingest: Ingest) -> None:
    values = z_scores()
    cohort = ingest(pd.concat([values, values.loc[["B2M"]] + 1.0]))
    assert "1 genes stand in several rows, averaged: B2M" in notes(cohort)
    found = cohort.adata[:, "B2M"].X.ravel()
    np.testing.assert_allclose(found, values.loc["B2M"] + 0.5, atol=1e-12)


def test_a_cohort_scaled_per_gene_written_as_h5ad_is_ingested_again_as_such(
    ingest: Ingest, tmp_path: Path
) -> None:
    first = ingest(z_scores(), truth().clinical)
    first.adata.write_h5ad(tmp_path / "again.h5ad")
    again = ingest("again.h5ad")
    assert cohort_facts(again.adata)["unit"] == "gene_scaled"
    np.testing.assert_array_equal(again.adata.X, first.adata.X)


# --- few genes, and names in another form


def test_a_file_of_one_catalogue_gene_is_a_cohort(ingest: Ingest) -> None:
    cohort = ingest(truth().tpm.T.loc[["B2M", *(f"BG{i}" for i in range(30))]])
    assert cohort.adata.n_vars == 31


def test_symbols_in_lower_case_are_read_in_capitals(ingest: Ingest) -> None:
    cohort = ingest(truth().tpm.T.rename(str.lower))
    assert "gene symbols in lower case were read in capitals" in notes(cohort)
    features = MarkerFeatures().fit(cohort.adata).transform(cohort.adata)
    pd.testing.assert_frame_equal(features, true_features(), check_exact=True)


# --- the clinical table


def test_samples_without_a_clinical_row_are_kept_unlabelled_and_noted(ingest: Ingest) -> None:
    clinical = pd.concat([truth().clinical.iloc[:20], truth().clinical.iloc[:1]])
    clinical.iloc[-1, 0] = "elsewhere"
    cohort = ingest(truth().tpm.T, clinical)
    expect_truth(cohort)
    labels = cohort.adata.obs["resistant"]
    assert labels.isna().tolist() == [False] * 20 + [True] * 4
    assert "4 samples not in the clinical table: 020, 021, 022, 023" in notes(cohort)
    assert "1 clinical rows without expression: elsewhere" in notes(cohort)
    assert "4 samples without a label: 020" in notes(cohort)


def test_no_overlap_of_ids_shows_both_sides_and_the_mend(ingest: Ingest) -> None:
    clinical = truth().clinical.assign(sample_id=[f"q{i}" for i in range(N_SAMPLES)])
    with pytest.raises(
        CohortError, match=r"no sample .*\(000, 001, .*\(column 'sample_id': q0, .*columns\.sample"
    ):
        ingest(truth().tpm.T, clinical)


def test_the_id_column_is_found_by_its_ids(ingest: Ingest) -> None:
    clinical = truth().clinical.rename(columns={"sample_id": "RNA run"})
    clinical.insert(0, "row", [str(i) for i in range(N_SAMPLES)])
    assert ingest(truth().tpm.T, clinical).adata.obs["resistant"].notna().all()


def test_several_samples_a_patient_are_noted(ingest: Ingest) -> None:
    clinical = truth().clinical.assign(patient_id=[f"p{i // 2}" for i in range(N_SAMPLES)])
    cohort = ingest(truth().tpm.T, clinical)
    assert cohort.adata.obs["patient_id"].nunique() == 12
    assert re.search(r"12 patients have several samples .*never split", notes(cohort))


@pytest.mark.parametrize("missing", ["", "NA", "nan"])
def test_samples_without_a_patient_are_patients_of_their_own(ingest: Ingest, missing: str) -> None:
    # Fixed: a patient id of NA was one patient called NA.
    clinical = truth().clinical
    clinical = clinical.assign(patient_id=[missing, missing, *clinical["patient_id"][2:]])
    cohort = ingest(truth().tpm.T, clinical)
    assert cohort.adata.obs["patient_id"].nunique() == N_SAMPLES
    assert "2 samples without a patient id count as patients of their own: 000, 001" in notes(
        cohort
    )


def test_recist_decides_and_response_fills_in(ingest: Ingest) -> None:
    clinical = truth().clinical.assign(response="Responder")
    clinical["recist"] = ["PD", "CR", "", "NE"] * 6
    found = ingest(truth().tpm.T, clinical).adata.obs["resistant"]
    assert found.tolist() == [1.0, 0.0, 0.0, 0.0] * 6


@pytest.mark.parametrize(
    ("rule", "labels"),
    [
        ("resistant", [0, 0, 1, 1]),
        ("responsive", [0, 0, 0, 1]),
        ("exclude", [0, 0, None, 1]),
    ],
)
def test_stable_disease_is_what_the_rule_says(
    ingest: Ingest, rule: str, labels: list[int | None]
) -> None:
    found = ingest(truth().tpm.T, truth().clinical, labels={"stable_disease": rule}).adata.obs
    assert [None if np.isnan(v) else int(v) for v in found["resistant"][:4]] == labels


def test_own_spellings_of_labels_are_mapped(ingest: Ingest) -> None:
    clinical = truth().clinical.drop(columns="recist").assign(label=["1", "0", "?"] * 8)
    found = ingest(
        truth().tpm.T,
        clinical,
        columns={"response": "label"},
        labels={"responsive": ["1"], "resistant": ["0"], "missing": ["?"]},
    ).adata.obs["resistant"]
    assert [None if np.isnan(v) else int(v) for v in found[:3]] == [0, 1, None]


@pytest.mark.parametrize(
    ("unit", "times"),
    [("day", 365.25), ("week", 365.25 / 7), ("month", 12.0), ("year", 1.0)],
)
def test_survival_comes_in_months_whatever_its_unit(
    ingest: Ingest, unit: str, times: float
) -> None:
    event = ["1", "Dead", "TRUE", "VRAI", "yes", "0", "alive", "FALSE", "FAUX", "no", "NA", ""]
    clinical = truth().clinical.assign(t=str(times), e=event * 2)
    clinical.loc[0, "t"] = "NA"
    found = ingest(
        truth().tpm.T, clinical, survival={"os": {"time": "t", "event": "e", "unit": unit}}
    ).adata.obs
    assert np.isnan(found["os_time"].iloc[0])
    np.testing.assert_allclose(found["os_time"].iloc[1:], 12.0)
    np.testing.assert_array_equal(found["os_event"][:12], [1.0] * 5 + [0.0] * 5 + [np.nan] * 2)
    assert "pfs_time" not in found


def test_timepoints_are_mapped_and_kept_by_name(ingest: Ingest) -> None:
    stated = ["PRE", "week 3", "EDT", "not stated in file"] * 6
    cohort = ingest(
        truth().tpm.T,
        truth().clinical.assign(timepoint=stated),
        timepoints={"on_treatment": ["Week 3", "edt"]},
    )
    found = cohort.adata.obs["timepoint"]
    assert found[:4].tolist() == ["pre_treatment", "on_treatment", "on_treatment", "unstated"]
    kept, left_out = keep_timepoints(cohort, timepoints=["pre_treatment", "unstated"])
    assert kept.n_obs == 12
    assert left_out == {"on_treatment": 12}
    with pytest.raises(CohortError, match=r"no sample of the timepoints \['post_treatment'\]"):
        keep_timepoints(cohort, timepoints=["post_treatment"])


@pytest.mark.parametrize(
    ("columns", "config", "message"),
    [
        ({"recist": "maybe"}, {}, r"unknown response labels \['MAYBE'\].*under labels"),
        ({"timepoint": "week 3"}, {}, r"unknown timepoints \['WEEK 3'\].*under timepoints"),
        (
            {},
            {"columns": {"response": "resp"}},
            r"no column 'resp' \(columns\.response\); its columns: sample_id, patient_id",
        ),
        ({}, {"columns": {"sample_id": "run"}}, r"no column 'run' \(columns\.sample_id\)"),
        (
            {},
            {"survival": {"pfs": {"time": "t", "event": "e"}}},
            r"no column 't' \(survival\.pfs\)",
        ),
        (
            {"t": "soon", "e": "1"},
            {"survival": {"pfs": {"time": "t", "event": "e"}}},
            r"survival time 'soon' of sample 000",
        ),
        (
            {"t": "3", "e": "perhaps"},
            {"survival": {"pfs": {"time": "t", "event": "e"}}},
            r"unknown survival events \['PERHAPS'\]",
        ),
        ({"sample_id": "000"}, {}, r"1 samples have several rows .*: 000; give one row"),
    ],
)
def test_a_wrong_clinical_table_names_column_value_and_mend(
    ingest: Ingest, columns: dict[str, str], config: dict[str, Any], message: str
) -> None:
    with pytest.raises(CohortError, match=r"cohort 'made': .*" + message):
        ingest(truth().tpm.T, truth().clinical.assign(**columns), **config)


@pytest.mark.parametrize(
    ("recist", "message"),
    [
        ("", "none of the 24 samples has a response label; give a clinical table"),
        ("PD", "all 24 labelled samples are resistant: both classes are needed"),
        ("CR", "all 24 labelled samples are responsive: both classes are needed"),
    ],
)
def test_labels_are_required_only_where_they_are_needed(
    ingest: Ingest, recist: str, message: str
) -> None:
    clinical = truth().clinical.assign(recist=recist)
    ingest(truth().tpm.T, clinical)
    with pytest.raises(CohortError, match=message):
        ingest(truth().tpm.T, clinical, labels_required=True)


def test_the_hash_of_every_file_is_kept(ingest: Ingest, tmp_path: Path) -> None:
    cohort = ingest(truth().tpm.T, truth().clinical)
    assert cohort.files == {
        str(tmp_path / name): file_hash(tmp_path / name)
        for name in ("expression.csv", "clinical.csv")
    }


# --- the real cohorts, against the table in ../shared/README.md


def _log2(samples: int, genes: int, responsive: int, resistant: int, unlabelled: int) -> Any:
    return ("log2_tpm", samples, genes, responsive, resistant, unlabelled)


REAL = {
    "gide_2019_antiPD1": _log2(41, 19_961, 19, 22, 0),
    "liu_2019": _log2(121, 16_737, 47, 74, 0),
    "hugo_2016": _log2(27, 19_961, 14, 13, 0),
    "riaz_2017_gse91061_counts109": ("counts", 109, 20_670, 20, 78, 11),
    "van_allen_2015": _log2(42, 20_242, 7, 34, 1),
    "jung_2019_gse135222": ("tpm", 27, 53_181, 8, 19, 0),
    "miao_2018_ccrcc": _log2(33, 20_242, 8, 25, 0),
    "imvigor210_nonbladder86_full": _log2(86, 17_993, 17, 57, 12),
    "zhao_2019_gbm": _log2(17, 20_183, 10, 7, 0),
    "prat_2017_gse93157": ("log2_intensity", 65, 717, 20, 45, 0),
}


@cache
def real(name: str, root: Path) -> IngestedCohort:
    config, _ = load_cohort(name, conf=configuration_folder())
    return ingest_cohort(config, root=root, labels_required=True)


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_a_real_cohort_is_what_the_readme_says(shared: Path, name: str) -> None:
    unit, samples, genes, responsive, resistant, unlabelled = REAL[name]
    cohort = real(name, shared / "cohorts")
    facts, labels = cohort_facts(cohort.adata), cohort.adata.obs["resistant"]
    without_length = re.search(r"(\d+) genes without a length left out", notes(cohort))
    left_out = int(without_length.group(1)) if without_length else 0
    assert (left_out > 0) == (unit == "counts")
    assert cohort.adata.shape == (samples, genes - left_out)
    assert facts["unit"] == unit
    if unit == "log2_tpm":
        assert facts["pseudocount"] == pytest.approx(0.001, rel=1e-4)
    assert (labels == 0).sum() == responsive
    assert (labels == 1).sum() == resistant
    assert labels.isna().sum() == unlabelled
    assert cohort.reference_offered
    assert len(cohort.files) == (3 if unit == "counts" else 2)
    if unit != "log2_intensity":
        np.testing.assert_allclose(np.expm1(cohort.adata.X).sum(axis=1), 1e6, rtol=1e-6)


@pytest.mark.real_data
def test_riaz_has_65_patients_before_and_on_treatment(shared: Path) -> None:
    cohort = real("riaz_2017_gse91061_counts109", shared / "cohorts")
    obs = cohort.adata.obs
    assert obs["patient_id"].nunique() == 65
    assert obs["timepoint"].value_counts().to_dict() == {"on_treatment": 58, "pre_treatment": 51}
    assert obs.loc["Pt1_Pre_AD101148-6", "os_time"] == pytest.approx(22.9 * 7 / (365.25 / 12))
    assert obs.loc["Pt1_Pre_AD101148-6", "os_event"] == 1
    kept, left_out = keep_timepoints(cohort, timepoints=["pre_treatment", "unstated"])
    assert (kept.n_obs, left_out) == (51, {"on_treatment": 58})


@pytest.mark.real_data
def test_prat_survival_is_read_from_days(shared: Path) -> None:
    obs = real("prat_2017_gse93157", shared / "cohorts").adata.obs
    assert obs.loc["GSM2445716", "os_time"] == pytest.approx(55 / (365.25 / 12), rel=1e-6)
    assert obs.loc["GSM2445716", "os_event"] == 1


@pytest.mark.real_data
def test_vsir_is_rescued_where_a_cohort_uses_its_earlier_name(shared: Path) -> None:
    rescued = {
        name: cohort_facts(real(name, shared / "cohorts").adata)["renamed_genes"] for name in REAL
    }
    assert rescued["jung_2019_gse135222"]["C10orf54"] == "VSIR"
    assert rescued["riaz_2017_gse91061_counts109"]["C10orf54"] == "VSIR"
    for name in REAL:  # IMvigor210's file and Prat's panel have the gene under none of its names
        if not name.startswith(("imvigor210", "prat")):
            assert "VSIR" in real(name, shared / "cohorts").adata.var_names


def _drug_response(name: str, **config: Any) -> CohortConfig:
    folder = f"drug_response/{name}"
    files = {"expression": f"{folder}/expression.csv.gz", "clinical": f"{folder}/clinical.csv"}
    return CohortConfig.model_validate({"name": name, **files, **config})


@pytest.mark.real_data
def test_trastuzumab_patients_are_read_as_counts_with_their_labels(shared: Path) -> None:
    config = _drug_response(
        "BRCA_Trastuzumab_5",
        columns={"response": "label"},
        labels={"responsive": ["1"], "resistant": ["0"]},
    )
    cohort = ingest_cohort(config, root=shared / "cohorts", labels_required=True)
    assert cohort.adata.shape == (65, 11_714)
    assert cohort_facts(cohort.adata)["unit"] == "counts"
    assert not cohort.reference_offered
    labels = cohort.adata.obs["resistant"]
    assert ((labels == 0).sum(), (labels == 1).sum()) == (19, 46)


@pytest.mark.real_data
def test_a_panel_of_hepatocellular_carcinoma_is_read(shared: Path) -> None:
    config = _drug_response("HCC_GSE140901_ICI", columns={"response": "response_published"})
    cohort = ingest_cohort(config, root=shared / "cohorts", labels_required=True)
    assert cohort.adata.shape == (9, 784)
    assert cohort_facts(cohort.adata)["unit"] == "log2_intensity"
    labels = cohort.adata.obs["resistant"]
    assert ((labels == 0).sum(), (labels == 1).sum()) == (5, 4)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NCI60_HGU133A", "59 samples have several rows in the clinical table"),
        ("CGP_Camptothecin", "unknown response labels"),
    ],
)
def test_drug_screens_fail_with_a_clear_message(shared: Path, name: str, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        ingest_cohort(_drug_response(name), root=shared / "cohorts", labels_required=False)


@pytest.mark.real_data
def test_lesion_pseudobulk_is_read_from_h5ad(shared: Path) -> None:
    config = CohortConfig(name="lesions", expression="gse120575_lesion_pseudobulk_48.h5ad")
    cohort = ingest_cohort(config, root=shared / "cohorts" / "single_cell", labels_required=True)
    assert cohort.adata.shape == (48, 21_957)
    facts = cohort_facts(cohort.adata)
    assert (facts["unit"], facts["pseudocount"]) == ("log2_tpm", 1.0)
    labels = cohort.adata.obs["resistant"]
    assert ((labels == 0).sum(), (labels == 1).sum()) == (17, 31)
    assert cohort.adata.obs["patient_id"].nunique() == 32


@pytest.mark.real_data
def test_real_cells_of_versioned_ensembl_ids_are_read(shared: Path) -> None:
    config = CohortConfig(name="gbm", expression="glioblastoma_panobinostat_5000x300.h5ad")
    cohort = ingest_cohort(config, root=shared / "cohorts" / "single_cell", labels_required=False)
    assert cohort.adata.shape == (5000, 300)
    facts = cohort_facts(cohort.adata)
    assert (facts["unit"], facts["gene_id_type"]) == ("counts", "Ensembl")
    assert cohort.adata.var.loc["VIM", "original_id"].startswith("ENSG00000026025.")


SCALED_FILES: Mapping[str, tuple[dict[str, Any], tuple[int, int], str]] = {
    "drug_response/GDSC_COSMIC656/expression.csv.gz": ({}, (800, 656), "centred per gene"),
    "single_cell/sade_feldman_8000x450.h5ad": ({}, (8000, 450), "scaled per gene"),
    "single_cell/scad_a375_brafi_108x2873.h5ad": (
        {"labels": {"responsive": ["sensitive"]}},
        (108, 2873),
        "centred per gene",
    ),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", SCALED_FILES)
def test_a_real_file_scaled_per_gene_is_read_as_such(shared: Path, name: str) -> None:
    config, shape, evidence = SCALED_FILES[name]
    tree = {"name": "scaled", "expression": name, **config}
    cohort = ingest_cohort(
        CohortConfig.model_validate(tree), root=shared / "cohorts", labels_required=False
    )
    facts = cohort_facts(cohort.adata)
    assert cohort.adata.shape == shape
    assert facts["unit"] == "gene_scaled"
    assert evidence in facts["unit_evidence"]
    assert "scored by mean z within the cohort" in notes(cohort)
    assert not cohort.reference_offered


def test_counts_without_lengths_stay_so_when_written_and_read_again(tmp_path, catalogue) -> None:
    rng = np.random.default_rng(0)
    genes = list(catalogue.gene_symbols)
    counts = pd.DataFrame(
        rng.poisson(40, (len(genes), 4)), index=genes, columns=[f"s{i}" for i in range(4)]
    )
    counts.rename_axis("gene").to_csv(tmp_path / "counts.csv")
    config = CohortConfig(name="counts", expression="counts.csv")
    first = ingest_cohort(config, root=tmp_path, labels_required=False)
    first.adata.write_h5ad(tmp_path / "again.h5ad")
    config = CohortConfig(name="again", expression="again.h5ad")
    again = ingest_cohort(config, root=tmp_path, labels_required=False)
    assert not first.reference_offered
    assert not again.reference_offered


def test_a_column_named_sample_id_is_the_key_whatever_else_matches(tmp_path, catalogue) -> None:
    genes = list(catalogue.gene_symbols)
    rng = np.random.default_rng(0)
    values = pd.DataFrame(
        rng.gamma(1, 50, (len(genes), 4)), index=genes, columns=["1", "2", "3", "4"]
    )
    values.rename_axis("gene").to_csv(tmp_path / "e.csv")
    clinical = pd.DataFrame(
        {"sample_id": ["S1", "S2", "S3", "S4"], "rank": [2, 1, 4, 3], "recist": ["PD"] * 4}
    )
    clinical.to_csv(tmp_path / "c.csv", index=False)
    config = CohortConfig(name="x", expression="e.csv", clinical="c.csv")
    with pytest.raises(CohortError, match=r"no sample .* \(column 'sample_id': S1"):
        ingest_cohort(config, root=tmp_path, labels_required=False)
    clinical.rename(columns={"sample_id": "name"}).assign(patient=["1", "2", "3", "4"]).to_csv(
        tmp_path / "c.csv", index=False
    )
    named = config.model_copy(
        update={"columns": config.columns.model_copy(update={"sample_id": "patient"})}
    )
    found = ingest_cohort(named, root=tmp_path, labels_required=False)
    assert "clinical table joined on column 'patient': 4 of 4 samples" in found.report.notes
