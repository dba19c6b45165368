"""The gene report: what a cohort has of the catalogue, under which name, and what that allows."""

from collections.abc import Callable, Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.gene_report import FULL_COVERAGE, LEAST_COVERAGE, GeneReport, Grade
from features.genes import translate_genes
from features.transformer import MarkerFeatures

MakeCohort = Callable[..., ad.AnnData]
BY_DRUG = ["target_antigen", "payload_efflux", "payload_target"]


def report_of(cohort: ad.AnnData, *, setting: str | None = None, least: float = 0.5) -> GeneReport:
    return MarkerFeatures(setting=setting, min_coverage=least).fit(cohort).gene_report(cohort)


def without(cohort: ad.AnnData, genes: Sequence[str]) -> ad.AnnData:
    return cohort[:, ~cohort.var_names.isin(list(genes))].copy()


# --- what is found


def test_a_cohort_with_every_gene_is_full_and_lacks_nothing(make_cohort: MakeCohort) -> None:
    report = report_of(make_cohort(5), setting="ici")
    assert report.missing == ()
    assert report.unscored == ()
    assert report.coverage == 1.0
    assert report.grade == "full"
    assert report.sentence() == (
        f"full: {report.needed} of {report.needed} catalogue genes (100%), "
        f"{len(report.features)} of {len(report.features)} features can be scored"
    )


def test_a_row_of_the_report_is_a_feature(make_cohort: MakeCohort, catalogue: Catalogue) -> None:
    table = report_of(make_cohort(5)).features
    assert list(table.index) == list(catalogue.marker_ids)
    assert table.index.name == "feature"
    assert list(table.columns) == [
        *("name", "genes", "found", "coverage", "scored", "found_as", "missing", "note")
    ]
    fixed = table.drop(BY_DRUG)
    assert (fixed["found"] == fixed["genes"]).all()
    assert (fixed["coverage"] == 1).all()
    assert fixed["scored"].all()
    assert (fixed["missing"] == "").all()
    assert (fixed["note"] == "").all()


@pytest.mark.parametrize("setting", ["ici", "adc", "hcc", "sclc"])
def test_the_features_of_a_setting_are_reported(
    make_cohort: MakeCohort, catalogue: Catalogue, setting: str
) -> None:
    report = report_of(make_cohort(5), setting=setting)
    assert list(report.features.index) == [m.id for m in catalogue.markers_of(setting)]
    own = {g for m in catalogue.markers_of(setting) for g in (*m.genes, *m.minus_genes)}
    assert own <= set(report.found_as)


def test_a_missing_gene_is_named_where_it_is_missed(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    report = report_of(without(make_cohort(5), ["B2M"]))
    assert report.missing == ("B2M",)
    assert "B2M" not in report.found_as
    lacking = report.features.index[report.features["missing"] == "B2M"]
    reading = [m.id for m in catalogue.markers if "B2M" in (*m.genes, *m.minus_genes)]
    assert set(reading) <= set(lacking)
    assert report.features.loc["b2m", "found"] == 0
    assert report.features.loc["b2m", "coverage"] == 0
    assert report.needed == len(report.found_as) + 1


def test_genes_are_found_under_the_name_that_the_file_has(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    cohort = make_cohort(5)
    written = {"VSIR": "C10orf54", "B2M": "567", "CD274": "ENSG00000120217.14"}
    cohort.var["original_id"] = [written.get(gene, gene) for gene in cohort.var_names]
    report = report_of(cohort)
    assert {gene: report.found_as[gene] for gene in written} == written
    assert report.found_as["CD8A"] == "CD8A"
    assert report.features.loc["b2m", "found_as"] == "B2M(567)"
    vsir = next(m for m in catalogue.markers if "VSIR" in m.genes)
    assert "VSIR(C10orf54)" in report.features.loc[vsir.id, "found_as"].split()


def test_a_cohort_that_was_never_ingested_names_its_genes_as_they_are(
    make_cohort: MakeCohort,
) -> None:
    report = report_of(make_cohort(5))
    assert all(gene == written for gene, written in report.found_as.items())


def test_the_genes_of_a_feature_count_once(make_cohort: MakeCohort, catalogue: Catalogue) -> None:
    table = report_of(make_cohort(5)).features.drop(BY_DRUG)
    for found in table["found_as"]:
        assert len(found.split()) == len(set(found.split()))
    markers = {marker.id: marker for marker in catalogue.markers}
    over = next(marker for marker in catalogue.markers if marker.over)
    genes = {*over.genes, *markers[str(over.over)].genes}
    assert set(table.loc[over.id, "found_as"].split()) == genes


# --- what is scored


@pytest.mark.parametrize(("least", "scored"), [(0.4, True), (0.5, True), (0.51, False)])
def test_a_feature_below_the_least_coverage_is_not_scored_and_says_so(
    make_cohort: MakeCohort, catalogue: Catalogue, least: float, scored: bool
) -> None:
    marker = next(m for m in catalogue.markers if m.score == "mean" and len(m.genes) == 4)
    cohort = without(make_cohort(5), marker.genes[:2])
    report = report_of(cohort, least=least)
    row = report.features.loc[marker.id]
    assert (row["genes"], row["found"], row["coverage"]) == (4, 2, 0.5)
    assert row["scored"] == scored
    assert row["missing"].split() == list(marker.genes[:2])
    assert row["note"] == ("" if scored else "not scored: at least 51% of its genes are needed")
    assert (marker.id in report.unscored) != scored


def test_scored_means_that_some_sample_has_the_feature(make_cohort: MakeCohort) -> None:
    cohort = without(make_cohort(5), ["B2M", "CD274", "STK11"])
    cohort.X[:4, cohort.var_names.get_loc("VSIR")] = np.nan
    features = MarkerFeatures().fit(make_cohort(5))
    scores = features.transform(cohort)
    report = features.gene_report(cohort)
    assert report.features["scored"].to_dict() == scores.notna().any().to_dict()
    assert "b2m" in report.unscored


# --- grades


@pytest.mark.parametrize(
    ("found", "needed", "grade"),
    [
        (10, 10, "full"),
        (9, 10, "full"),
        (899, 1000, "partial"),
        (1, 2, "partial"),
        (1, 3, "partial"),
        (100, 300, "partial"),
        (333, 1000, "too little"),
        (0, 10, "too little"),
    ],
)
def test_the_grade_goes_by_the_share_of_genes(found: int, needed: int, grade: Grade) -> None:
    genes = [f"G{i}" for i in range(needed)]
    report = GeneReport(
        pd.DataFrame({"scored": [True, False]}),
        {gene: gene for gene in genes[:found]},
        tuple(genes[found:]),
    )
    assert report.coverage == found / needed
    assert report.grade == grade
    assert report.sentence().startswith(f"{grade}: {found} of {needed} catalogue genes (")
    assert report.sentence().endswith("1 of 2 features can be scored")


def test_the_thresholds_are_nine_tenths_and_a_third() -> None:
    assert (FULL_COVERAGE, LEAST_COVERAGE) == (0.9, 1 / 3)


@pytest.mark.parametrize(
    ("share", "grade"), [(1.0, "full"), (0.8, "partial"), (0.4, "partial"), (0.2, "too little")]
)
def test_the_grade_of_a_cohort_goes_by_its_genes(
    make_cohort: MakeCohort, share: float, grade: Grade
) -> None:
    cohort = make_cohort(5)
    needed = [*report_of(cohort, setting="ici").found_as]
    report = report_of(without(cohort, needed[round(share * len(needed)) :]), setting="ici")
    assert report.coverage == pytest.approx(share, abs=0.01)
    assert report.grade == grade


# --- drugs


def treated(cohort: ad.AnnData, drugs: object) -> ad.AnnData:
    cohort.obs["drug"] = drugs
    return cohort


def test_features_that_know_the_drug_report_the_genes_of_the_drugs(
    make_cohort: MakeCohort,
) -> None:
    table = report_of(treated(make_cohort(4), ["T-DM1", "SG"] * 2), setting="adc").features
    assert table.loc["target_antigen", "found_as"] == "ERBB2 TACSTD2"
    assert table.loc["payload_efflux", "found_as"] == "ABCB1 ABCC1 ABCG2"
    assert table.loc["payload_target", "genes"] == 6
    assert table.loc[BY_DRUG, "scored"].all()
    assert (table.loc[BY_DRUG, "note"] == "").all()


@pytest.mark.parametrize(("drug", "antigen"), [("T-DM1", "ERBB2"), ("SG", "TACSTD2")])
def test_the_antigen_of_another_drug_is_not_missed(
    make_cohort: MakeCohort, drug: str, antigen: str
) -> None:
    cohort = treated(without(make_cohort(4), ["ERBB2", "TACSTD2"]), drug)
    report = report_of(cohort, setting="adc")
    row = report.features.loc["target_antigen"]
    assert row["missing"] == antigen
    assert not row["scored"]
    assert row["note"] == "not scored: at least 50% of its genes are needed"


@pytest.mark.parametrize(
    ("drug", "note"),
    [
        ("aspirin", "drug 'aspirin' is not in the drug table"),
        (None, "no drug is stated"),
        ("nivolumab", "Nivolumab binds no antigen of the table"),
    ],
)
def test_an_untold_drug_is_noted(make_cohort: MakeCohort, drug: str | None, note: str) -> None:
    report = report_of(treated(make_cohort(4), drug), setting="adc")
    row = report.features.loc["target_antigen"]
    assert row["note"] == note
    assert (row["genes"], row["found"]) == (0, 0)
    assert np.isnan(row["coverage"])
    assert not row["scored"]
    assert set(BY_DRUG) <= set(report.unscored)
    assert report.grade == "full"


def test_drugs_that_are_told_are_scored_and_the_others_noted(make_cohort: MakeCohort) -> None:
    drugs = ["T-DM1", "aspirin", None, "aspirin"]
    row = report_of(treated(make_cohort(4), drugs)).features.loc["target_antigen"]
    assert row["scored"]
    assert row["found_as"] == "ERBB2"
    assert row["note"] == "drug 'aspirin' is not in the drug table; no drug is stated"


# --- the real cohorts


def read_real(shared: Path, catalogue: Catalogue, name: str) -> ad.AnnData:
    """Return at most 40 samples of a real cohort, genes translated."""
    path = shared / "cohorts" / name
    if path.suffix == ".h5ad":
        adata = ad.read_h5ad(path)[:40]
        table = pd.DataFrame(adata.to_df())
    else:
        table = pd.read_csv(path / "expression.csv.gz", index_col=0).T.iloc[:40]
    originals = [str(gene) for gene in table.columns]
    symbols = translate_genes(originals, catalogue=catalogue).symbols
    return ad.AnnData(
        table.to_numpy(dtype=float),
        obs=pd.DataFrame(index=table.index.astype(str)),
        var=pd.DataFrame({"original_id": originals}, index=list(symbols)),
    )


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "found", "scored", "grade"),
    [
        ("bulk/jung_2019_gse135222", 306, 67, "full"),
        ("bulk/gide_2019_antiPD1", 304, 66, "full"),
        ("bulk/prat_2017_gse93157", 140, 37, "partial"),
        ("drug_response/BRCA_Trastuzumab_5", 218, 53, "partial"),
        ("drug_response/HCC_GSE140901_ICI", 141, 37, "partial"),
        ("drug_response/GDSC_COSMIC656", 53, 10, "too little"),
        ("drug_response/CGP_Camptothecin", 43, 5, "too little"),
        ("drug_response/CCLE_SCLC_NAPY", 2, 0, "too little"),
        ("single_cell/sade_feldman_8000x450.h5ad", 54, 7, "too little"),
        ("single_cell/glioblastoma_panobinostat_5000x300.h5ad", 36, 5, "too little"),
        ("single_cell/scad_a375_brafi_108x2873.h5ad", 79, 12, "too little"),
    ],
)
def test_a_real_cohort_has_its_grade(
    shared: Path, catalogue: Catalogue, name: str, found: int, scored: int, grade: Grade
) -> None:
    cohort = read_real(shared, catalogue, name)
    gene_scaled = "GDSC" in name or "scad" in name
    features = MarkerFeatures(setting="ici", score_kind="mean_z" if gene_scaled else "rank")
    report = features.fit(cohort).gene_report(cohort)
    assert report.grade == grade, report.sentence()
    assert len(report.found_as) >= found
    assert report.features["scored"].sum() >= scored


@pytest.mark.real_data
def test_a_small_panel_is_short_of_genes_that_are_named(shared: Path, catalogue: Catalogue) -> None:
    cohort = read_real(shared, catalogue, "single_cell/sade_feldman_8000x450.h5ad")
    report = report_of(cohort, setting="ici")
    assert {"TCF7", "CD38", "HAVCR2", "PDCD1", "B2M"} <= set(report.missing)
    assert "b2m" in report.unscored


@pytest.mark.real_data
def test_a_real_cohort_with_entrez_ids_names_them(shared: Path, catalogue: Catalogue) -> None:
    cohort = read_real(shared, catalogue, "single_cell/scad_a375_brafi_108x2873.h5ad")
    features = MarkerFeatures(setting="ici", score_kind="mean_z").fit(cohort)
    found = features.gene_report(cohort).found_as
    by_symbol = {gene.symbol: str(gene.entrez_id) for gene in catalogue.genes}
    assert found == {gene: by_symbol[gene] for gene in found}
