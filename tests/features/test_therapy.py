"""A drug, told by any of its names, chooses the genes of the features that know it."""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from features.catalogue import Catalogue, Drug, default_catalogue
from features.catalogue_entries import DrugRule
from features.therapy import DrugGenes, DrugTable, Therapy
from features.transformer import MarkerFeatures

MakeCohort = Callable[..., ad.AnnData]
BY_DRUG: tuple[DrugRule, ...] = ("target_antigen", "payload_efflux", "payload_target")
BETA_TUBULINS = ("TUBB3", "TUBB2B", "TUBB6")


@pytest.fixture(scope="module")
def table() -> DrugTable:
    return DrugTable(default_catalogue())


def drug_of(therapy: Therapy) -> Drug:
    assert therapy.drug is not None, therapy.note
    return therapy.drug


# --- names


@pytest.mark.parametrize(
    ("text", "drug"),
    [
        ("T-DM1", "trastuzumab_emtansine"),
        ("t dm1", "trastuzumab_emtansine"),
        ("TDM1", "trastuzumab_emtansine"),
        ("  Kadcyla ", "trastuzumab_emtansine"),
        ("ADO-TRASTUZUMAB  EMTANSINE", "trastuzumab_emtansine"),
        ("trastuzumab_emtansine", "trastuzumab_emtansine"),
        ("T‑DM1", "trastuzumab_emtansine"),
        ("T-DXd", "trastuzumab_deruxtecan"),
        ("DS8201a", "trastuzumab_deruxtecan"),
        ("fam-trastuzumab deruxtecan-nxki", "trastuzumab_deruxtecan"),
        ("Trodelvy®", "sacituzumab_govitecan"),
        ("IMMU 132", "sacituzumab_govitecan"),
        ("trastuzumab", "trastuzumab"),
        ("trastuzumab-based (neoadjuvant)", "trastuzumab"),
    ],
)
def test_a_drug_is_found_in_any_spelling(table: DrugTable, text: str, drug: str) -> None:
    therapy = table.find(text)
    assert drug_of(therapy).id == drug
    assert therapy.note == ""


@pytest.mark.parametrize("drug", default_catalogue().drugs, ids=lambda drug: drug.id)
def test_every_name_of_a_drug_finds_it(table: DrugTable, drug: Drug) -> None:
    for name in (drug.id, drug.name, *drug.synonyms):
        for written in (name, name.upper(), name.lower(), f" {name} ", name.replace("-", " ")):
            assert table.find(written) == Therapy(written.strip(), drug)


@pytest.mark.parametrize(
    "text",
    [None, np.nan, pd.NA, pd.NaT, "", "  ", "nan", "NA", "n/a", "None", "unknown", "Unknown"],
)
def test_a_missing_text_means_that_no_drug_is_stated(table: DrugTable, text: object) -> None:
    assert table.find(text) == Therapy("", None, "no drug is stated")


@pytest.mark.parametrize(
    "text",
    [
        "aspirin",
        "trastuzumb",
        "anti-PD-1",
        "Camptothecin,20-ester (S)",
        "7-Ethyl-10-something, camptothecin",
        "aspirin + ibuprofen",
        "+",
        "17",
    ],
)
def test_nothing_is_guessed_of_an_unknown_drug(table: DrugTable, text: str) -> None:
    assert table.find(text) == Therapy(text, None, f"drug '{text}' is not in the drug table")


@given(st.text(max_size=30))
def test_any_text_is_a_drug_or_has_a_note(text: str) -> None:
    therapy = DrugTable(default_catalogue()).find(text)
    assert therapy.drug is not None or therapy.note


# --- combinations


@pytest.mark.parametrize(
    "text",
    [
        "T-DM1 + pembrolizumab",
        "pembrolizumab+T-DM1",
        "pembrolizumab; T-DM1",
        "Kadcyla/Keytruda",
        "T-DM1 plus pembrolizumab",
        "T-DM1 and pembrolizumab",
        "Pembrolizumab WITH T-DM1",
        "T-DM1 +/- pembrolizumab",
        "T-DM1, pembrolizumab",
        "T-DM1:pembrolizumab",
    ],
)
def test_the_conjugate_of_a_combination_counts(table: DrugTable, text: str) -> None:
    therapy = table.find(text)
    assert drug_of(therapy).id == "trastuzumab_emtansine"
    assert therapy.note == f"'{text}' is taken as Trastuzumab emtansine"


def test_what_is_not_known_of_a_combination_is_said(table: DrugTable) -> None:
    therapy = table.find("T-DM1 + aspirin")
    assert drug_of(therapy).id == "trastuzumab_emtansine"
    assert therapy.note == (
        "'T-DM1 + aspirin' is taken as Trastuzumab emtansine; not in the drug table: aspirin"
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("T-DM1 + T-DXd", "Trastuzumab emtansine and Trastuzumab deruxtecan"),
        ("trastuzumab and paclitaxel", "Trastuzumab and Paclitaxel"),
        ("carboplatin, etoposide", "Carboplatin and Etoposide"),
    ],
)
def test_of_two_drugs_that_count_neither_is_chosen(table: DrugTable, text: str, named: str) -> None:
    note = f"'{text}' names {named}: which decides is not told"
    assert table.find(text) == Therapy(text, None, note)


def test_one_drug_under_two_names_is_one_drug(table: DrugTable) -> None:
    assert drug_of(table.find("T-DM1 / Kadcyla")).id == "trastuzumab_emtansine"


def test_a_comma_parts_drugs_only_where_all_are_known(table: DrugTable) -> None:
    assert table.find("T-DM1, aspirin").drug is None
    assert drug_of(table.find("camptothecin")).id == "camptothecin"
    assert table.find("Camptothecin,20-ester (S)").drug is None


def test_each_distinct_text_is_looked_up_once(table: DrugTable) -> None:
    found = table.find_all(["T-DM1", None, "T-DM1", "aspirin"])
    assert list(found) == ["T-DM1", None, "aspirin"]
    assert drug_of(found["T-DM1"]).id == "trastuzumab_emtansine"


# --- genes by rule


@pytest.mark.parametrize(
    ("text", "antigens", "transporters", "resistance", "sensitivity"),
    [
        ("T-DM1", ("ERBB2",), ("ABCB1", "ABCC1"), BETA_TUBULINS, ()),
        ("T-DXd", ("ERBB2",), ("ABCG2", "ABCB1"), ("TDP1",), ("TOP1", "SLFN11")),
        ("SG", ("TACSTD2",), ("ABCG2",), ("TDP1",), ("TOP1", "SLFN11")),
    ],
)
def test_a_drug_chooses_the_genes_of_each_rule(
    table: DrugTable,
    text: str,
    antigens: tuple[str, ...],
    transporters: tuple[str, ...],
    resistance: tuple[str, ...],
    sensitivity: tuple[str, ...],
) -> None:
    therapy = table.find(text)
    assert table.genes("target_antigen", therapy) == DrugGenes(antigens)
    assert table.genes("payload_efflux", therapy) == DrugGenes(transporters)
    acts_on = DrugGenes(resistance, sensitivity, balanced=True)
    assert table.genes("payload_target", therapy) == acts_on


@pytest.mark.parametrize(
    ("text", "rule", "note"),
    [
        ("nivolumab", "target_antigen", "Nivolumab binds no antigen of the table"),
        ("paclitaxel", "target_antigen", "Paclitaxel binds no antigen of the table"),
        ("nivolumab", "payload_efflux", "Nivolumab carries no payload"),
        ("trastuzumab", "payload_target", "Trastuzumab carries no payload"),
        ("belantamab mafodotin", "payload_efflux", "no transporter is listed for Monomethyl aur"),
        ("aspirin", "payload_target", "drug 'aspirin' is not in the drug table"),
        (None, "target_antigen", "no drug is stated"),
        ("T-DM1 + T-DXd", "target_antigen", "which decides is not told"),
    ],
)
def test_where_no_gene_is_chosen_the_reason_is_said(
    table: DrugTable, text: str | None, rule: DrugRule, note: str
) -> None:
    genes = table.genes(rule, table.find(text))
    assert genes.plus == genes.minus == ()
    assert note in genes.note


@pytest.mark.parametrize("rule", BY_DRUG)
def test_every_drug_gives_genes_of_the_catalogue_or_a_note(
    table: DrugTable, catalogue: Catalogue, rule: DrugRule
) -> None:
    for drug in catalogue.drugs:
        genes = table.genes(rule, table.find(drug.name))
        assert set(genes.plus + genes.minus) <= set(catalogue.gene_symbols)
        assert bool(genes.plus + genes.minus) != bool(genes.note)


# --- features


def with_drugs(cohort: ad.AnnData, drugs: object) -> ad.AnnData:
    """Return the cohort with ``obs['drug']``."""
    treated = cohort.copy()
    treated.obs["drug"] = drugs
    return treated


def features_of(cohort: ad.AnnData) -> pd.DataFrame:
    """Return the features that know the drug, of the adc setting."""
    return MarkerFeatures(setting="adc").fit(cohort).transform(cohort)[list(BY_DRUG)]


def rank_of(cohort: ad.AnnData, gene: str) -> "pd.Series[float]":
    """Return a gene's mid-rank among all genes of its sample, as a fraction, by scipy."""
    values = np.asarray(cohort.X, dtype=float)
    ranks = (rankdata(values, axis=1) - 0.5) / values.shape[1]
    return pd.Series(ranks[:, cohort.var_names.get_loc(gene)], index=cohort.obs_names)


def mean_rank(cohort: ad.AnnData, *genes: str) -> "pd.Series[float]":
    return pd.concat([rank_of(cohort, gene) for gene in genes], axis=1).mean(axis=1)


def expect_equal(found: "pd.Series[float]", expected: "pd.Series[float]") -> None:
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), rtol=0, atol=1e-12)


def test_features_that_know_the_drug_are_the_ranks_of_its_genes(make_cohort: MakeCohort) -> None:
    cohort = with_drugs(make_cohort(8), ["T-DM1", "T-DXd", "SG", "nivolumab"] * 2)
    features = features_of(cohort)
    emtansine, deruxtecan, govitecan, nivolumab = (
        (cohort[place::4], features.iloc[place::4]) for place in range(4)
    )
    for part, found in (emtansine, deruxtecan):
        expect_equal(found["target_antigen"], rank_of(part, "ERBB2"))
    part, found = emtansine
    expect_equal(found["payload_efflux"], mean_rank(part, "ABCB1", "ABCC1"))
    expect_equal(found["payload_target"], mean_rank(part, *BETA_TUBULINS) - 0.5)
    part, found = deruxtecan
    expect_equal(found["payload_efflux"], mean_rank(part, "ABCG2", "ABCB1"))
    part, found = govitecan
    expect_equal(found["target_antigen"], rank_of(part, "TACSTD2"))
    expect_equal(found["payload_efflux"], rank_of(part, "ABCG2"))
    for part, found in (deruxtecan, govitecan):
        top1 = rank_of(part, "TDP1") - mean_rank(part, "TOP1", "SLFN11")
        expect_equal(found["payload_target"], top1)
    assert nivolumab[1].isna().all(axis=None)


@pytest.mark.parametrize("as_category", [False, True])
def test_each_sample_is_scored_by_its_own_drug_as_if_alone(
    make_cohort: MakeCohort, as_category: bool
) -> None:
    drugs = pd.Series(["T-DM1", "T-DXd", None, "SG", "aspirin", "Kadcyla", "SG", np.nan])
    column = drugs.astype("category") if as_category else drugs
    cohort = with_drugs(make_cohort(8), column.to_numpy() if not as_category else column.array)
    features = MarkerFeatures(setting="adc").fit(cohort)
    together = features.transform(cohort)
    alone = pd.concat([features.transform(cohort[[row]]) for row in range(8)])
    pd.testing.assert_frame_equal(together, alone, check_exact=True)
    known = together[list(BY_DRUG)].notna().all(axis=1).tolist()
    assert known == [True, True, False, True, False, True, True, False]


def test_the_drug_changes_no_other_feature(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(6)
    features = MarkerFeatures().fit(cohort)
    without = features.transform(cohort).drop(columns=list(BY_DRUG))
    treated = features.transform(with_drugs(cohort, "T-DM1")).drop(columns=list(BY_DRUG))
    pd.testing.assert_frame_equal(without, treated, check_exact=True)


@pytest.mark.parametrize("drug", ["aspirin", None, "T-DM1 + T-DXd"])
def test_an_untold_drug_gives_no_score_and_a_note(
    make_cohort: MakeCohort, table: DrugTable, drug: str | None
) -> None:
    cohort = with_drugs(make_cohort(5), drug)
    assert features_of(cohort).isna().all(axis=None)
    features = MarkerFeatures(setting="adc").fit(cohort)
    assert [therapy.note for therapy in features.therapies(cohort).values()] == [
        table.find(drug).note
    ]
    notes = features.gene_report(cohort).features.loc[list(BY_DRUG), "note"]
    assert set(notes) == {table.find(drug).note}


def test_a_cohort_without_a_drug_column_states_no_drug(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(5)
    assert features_of(cohort).isna().all(axis=None)
    therapies = MarkerFeatures(setting="adc").fit(cohort).therapies(cohort)
    assert therapies == {None: Therapy("", None, "no drug is stated")}


def test_z_scores_follow_the_drug_too(make_cohort: MakeCohort) -> None:
    cohort = with_drugs(make_cohort(12), ["T-DM1", "SG", "aspirin"] * 4)
    features = MarkerFeatures(setting="adc", score_kind="mean_z").fit(cohort).transform(cohort)
    z = pd.DataFrame(cohort.X, index=cohort.obs_names, columns=cohort.var_names)
    z = (z - z.mean()) / z.std(ddof=0)
    expect_equal(features["target_antigen"].iloc[0::3], z["ERBB2"].iloc[0::3])
    expect_equal(features["target_antigen"].iloc[1::3], z["TACSTD2"].iloc[1::3])
    expect_equal(features["payload_target"].iloc[0::3], z[list(BETA_TUBULINS)].mean(axis=1)[0::3])
    assert features["target_antigen"].iloc[2::3].isna().all()


# --- three conjugates on the same real samples


def read_set(shared: Path, name: str) -> ad.AnnData:
    """Return a drug-response set (n_samples, n_genes) as it stands in its file."""
    table = pd.read_csv(shared / "cohorts" / "drug_response" / name / "expression.csv.gz")
    genes = table.set_index(table.columns[0])
    return ad.AnnData(
        np.ascontiguousarray(genes.to_numpy(dtype=float).T),
        obs=pd.DataFrame(index=genes.columns.astype(str)),
        var=pd.DataFrame(index=genes.index.astype(str)),
    )


@pytest.fixture(scope="module")
def breast(shared: Path) -> ad.AnnData:
    """65 patients × 11,714 genes, read counts; TACSTD2, TUBB3 and TUBB2B are not among them."""
    return read_set(shared, "BRCA_Trastuzumab_5")


@pytest.fixture(scope="module")
def lines(shared: Path) -> ad.AnnData:
    """59 cell lines × 12,980 genes, log2 microarray; SLFN11 is not among them."""
    return read_set(shared, "NCI60_HGU133A")


@pytest.fixture(scope="module")
def under(breast: ad.AnnData) -> dict[str, pd.DataFrame]:
    """Features of the same patients under each of three conjugates."""
    conjugates = ("T-DM1", "T-DXd", "sacituzumab govitecan")
    return {drug: features_of(with_drugs(breast, drug)) for drug in conjugates}


@pytest.mark.real_data
def test_the_conjugates_of_her2_share_their_antigen(
    breast: ad.AnnData, under: dict[str, pd.DataFrame]
) -> None:
    her2 = rank_of(breast, "ERBB2")
    for drug in ("T-DM1", "T-DXd"):
        expect_equal(under[drug]["target_antigen"], her2)
    assert her2.median() > 0.95


@pytest.mark.real_data
def test_the_antigen_of_govitecan_is_not_in_the_file_and_not_scored(
    breast: ad.AnnData, under: dict[str, pd.DataFrame]
) -> None:
    assert "TACSTD2" not in breast.var_names
    assert under["sacituzumab govitecan"]["target_antigen"].isna().all()
    cohort = with_drugs(breast, "sacituzumab govitecan")
    report = MarkerFeatures(setting="adc").fit(cohort).gene_report(cohort)
    assert report.features.loc["target_antigen", "missing"] == "TACSTD2"
    assert "TACSTD2" in report.missing


@pytest.mark.real_data
def test_each_conjugate_has_the_efflux_of_its_own_payload(
    breast: ad.AnnData, under: dict[str, pd.DataFrame]
) -> None:
    efflux = {drug: features["payload_efflux"] for drug, features in under.items()}
    expect_equal(efflux["T-DM1"], mean_rank(breast, "ABCB1", "ABCC1"))
    expect_equal(efflux["T-DXd"], mean_rank(breast, "ABCG2", "ABCB1"))
    expect_equal(efflux["sacituzumab govitecan"], rank_of(breast, "ABCG2"))
    assert (efflux["T-DM1"] != efflux["T-DXd"]).all()
    assert (efflux["T-DXd"] != efflux["sacituzumab govitecan"]).mean() > 0.9


@pytest.mark.real_data
def test_the_target_of_both_topoisomerase_payloads_is_the_same(
    breast: ad.AnnData, under: dict[str, pd.DataFrame]
) -> None:
    top1 = rank_of(breast, "TDP1") - mean_rank(breast, "TOP1", "SLFN11")
    for drug in ("T-DXd", "sacituzumab govitecan"):
        expect_equal(under[drug]["payload_target"], top1)


@pytest.mark.real_data
def test_one_tubulin_of_three_is_too_few_for_the_target_of_emtansine(
    breast: ad.AnnData, under: dict[str, pd.DataFrame]
) -> None:
    assert [gene in breast.var_names for gene in BETA_TUBULINS] == [False, False, True]
    assert under["T-DM1"]["payload_target"].isna().all()
    lenient = MarkerFeatures(setting="adc", min_coverage=1 / 3).fit(breast)
    scored = lenient.transform(with_drugs(breast, "T-DM1"))["payload_target"]
    expect_equal(scored, rank_of(breast, "TUBB6") - 0.5)


@pytest.mark.real_data
def test_patients_on_different_conjugates_are_scored_as_if_each_drug_stood_alone(
    breast: ad.AnnData, under: dict[str, pd.DataFrame]
) -> None:
    conjugates = list(under)
    drugs = [conjugates[row % 3] for row in range(breast.n_obs)]
    mixed = features_of(with_drugs(breast, drugs))
    expected = pd.concat([under[drug].iloc[[row]] for row, drug in enumerate(drugs)])
    pd.testing.assert_frame_equal(mixed, expected, check_exact=True)


@pytest.mark.real_data
def test_the_antigen_of_govitecan_is_scored_where_it_is_measured(lines: ad.AnnData) -> None:
    govitecan = features_of(with_drugs(lines, "SG"))
    deruxtecan = features_of(with_drugs(lines, "T-DXd"))
    expect_equal(govitecan["target_antigen"], rank_of(lines, "TACSTD2"))
    expect_equal(deruxtecan["target_antigen"], rank_of(lines, "ERBB2"))
    assert (govitecan["target_antigen"] != deruxtecan["target_antigen"]).all()


@pytest.mark.real_data
def test_the_target_of_each_payload_is_scored_where_it_is_measured(lines: ad.AnnData) -> None:
    assert "SLFN11" not in lines.var_names  # one of two is enough
    top1 = rank_of(lines, "TDP1") - rank_of(lines, "TOP1")
    for drug in ("SG", "T-DXd", "topotecan"):
        expect_equal(features_of(with_drugs(lines, drug))["payload_target"], top1)
    tubulin = mean_rank(lines, *BETA_TUBULINS) - 0.5
    for drug in ("T-DM1", "paclitaxel"):
        expect_equal(features_of(with_drugs(lines, drug))["payload_target"], tubulin)


@pytest.mark.parametrize(
    ("text", "drug"),
    [
        ("trastuzumab emtansine (T-DM1)", "trastuzumab_emtansine"),
        ("T-DXd & pertuzumab", "trastuzumab_deruxtecan"),
        ("Nivolumab (240 mg)", None),
        ("EV-9 + docetaxel", None),
        ("EV-9 + pembrolizumab", None),
        ("nivolumab/ipilimumab", None),
    ],
)
def test_an_unknown_partner_never_hides_a_conjugate(
    catalogue: Catalogue, text: str, drug: str | None
) -> None:
    therapy = DrugTable(catalogue).find(text)
    assert (therapy.drug and therapy.drug.id) == drug
    assert therapy.note or drug
