"""Covariates of a clinical table, and which checkpoint a therapy binds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import Catalogue
from features.covariates import BIOPSY_SITES, COVARIATES, CovariateRule, read_covariates
from features.drug_class import DRUG_CLASSES, name_drug_classes
from features.errors import CohortError, ConfigError
from features.therapy import DrugTable

NAN = float("nan")


def read(name: str, stated: list[object], **rule: object) -> list[object]:
    table = pd.DataFrame({"column": stated}, index=[f"s{i}" for i in range(len(stated))])
    rules = {name: CovariateRule("column", **rule)}  # type: ignore[arg-type]
    return list(read_covariates(table, rules=rules, where="cohort 'x'")[name])


@pytest.mark.parametrize(
    ("name", "spelling", "value"),
    [
        ("tmb", "12.5", 12.5),
        ("tmb", "0", 0.0),
        ("pdl1_ihc", "IC2+", 2.0),
        ("pdl1_ihc", "tc0", 0.0),
        ("pdl1_ihc", "60", 60.0),
        ("pdl1_ihc", "positive", 1.0),
        ("ecog", "1", 1.0),
        ("ecog", "2.0", 2.0),
        ("stage", "III", 3.0),
        ("stage", "iiic", 3.0),
        ("stage", "IV", 4.0),
        ("stage", "M1a", 4.0),
        ("stage", "M1c", 4.5),
        ("stage", "4", 4.0),
        ("prior_lines", "7", 7.0),
        ("ldh_high", "1.0", 1.0),
        ("ldh_high", "TRUE", 1.0),
        ("ldh_high", "elevated", 1.0),
        ("ldh_high", " normal ", 0.0),
        ("liver_metastasis", "no", 0.0),
        ("age", "63.5", 63.5),
        ("purity", "0.88", 0.88),
        ("sex", "M", "male"),
        ("sex", "Female", "female"),
        ("biopsy_site", "lymph node", "lymph_node"),
        ("biopsy_site", "soft tissue", "skin_subcutaneous"),
        ("biopsy_site", "liver/visceral", "liver_visceral"),
    ],
)
def test_known_spellings_are_read_in_any_case(name: str, spelling: str, value: object) -> None:
    assert read(name, [spelling]) == [value]


@pytest.mark.parametrize("name", list(COVARIATES))
def test_what_is_not_known_stays_missing_and_is_never_guessed(name: str) -> None:
    found = read(name, ["", "NA", "n/a", "unknown", "-", None, NAN, "not stated"])
    missing = NAN if COVARIATES[name].is_number else None
    np.testing.assert_array_equal(found, [missing] * 8)


def test_numbers_are_floats_and_words_are_text_even_where_all_are_missing() -> None:
    table = pd.DataFrame({"a": ["", ""]}, index=["s1", "s2"])
    rules = {"age": CovariateRule("a"), "sex": CovariateRule("a")}
    found = read_covariates(table, rules=rules, where="x")
    assert found.dtypes.astype(str).to_dict() == {"age": "float64", "sex": "object"}
    assert list(found.index) == ["s1", "s2"]


def test_a_cohorts_own_spellings_win_over_the_known_ones() -> None:
    assert read("stage", ["M0", "m1c"], values={"M0": "III", "M1c": 4}) == [3.0, 4.0]
    assert read("biopsy_site", ["LN", "SQ"], values={"SQ": "skin"}) == [
        "lymph_node",
        "skin_subcutaneous",
    ]
    assert read("liver_metastasis", ["Liver", "LN only"], values={"liver": 1, "ln ONLY": 0}) == [
        1.0,
        0.0,
    ]
    np.testing.assert_array_equal(read("tmb", ["0.0", "3"], missing=("0.0",)), [NAN, 3.0])


@pytest.mark.parametrize(
    ("name", "stated", "message"),
    [
        ("ecog", "x", r"holds 1 values that are no ecog: 'x' \(samples s1\); allowed: a whole num"),
        ("ecog", "1.5", "a whole number from 0 to 4"),
        ("ecog", "70", "a whole number from 0 to 4"),
        ("tmb", "-1", "allowed: a number from 0. Map"),
        ("tmb", "inf", "'inf'"),
        ("age", "sixty", "a number from 0 to 120"),
        ("purity", "88", "a number from 0 to 1"),
        ("stage", "M0", "or I, IA, IB, IC, ID, II, IIA, IIB and 16 more"),
        ("ldh_high", "2", "TRUE, T, YES"),
        ("sex", "other", "one of female, male"),
        ("biopsy_site", "Mucosa", "one of skin_subcutaneous, lymph_node"),
    ],
)
def test_an_unknown_spelling_is_named_with_its_sample_and_the_mend(
    name: str, stated: str, message: str
) -> None:
    with pytest.raises(CohortError, match=message) as error:
        read(name, ["", stated])
    assert f"Map them under covariates.{name}.values in the cohort's YAML" in str(error.value)
    assert f"covariates.{name}.missing" in str(error.value)


def test_all_faults_of_all_covariates_stand_in_one_message() -> None:
    table = pd.DataFrame({"e": list("0abcdefg"), "s": ["?"] * 8}, index=range(8))
    rules = {
        "ecog": CovariateRule("e"),
        "sex": CovariateRule("s"),
        "age": CovariateRule("years"),
    }
    with pytest.raises(CohortError, match=r"^cohort 'x': column 'e' \(covariates\.ecog\)") as error:
        read_covariates(table, rules=rules, where="cohort 'x'")
    text = str(error.value)
    assert "holds 7 values that are no ecog: 'a', 'b', 'c', 'd', 'e' and 2 more" in text
    assert "samples 1, 2, 3, 4, 5 and 2 more" in text
    assert "column 's' (covariates.sex) holds 1 values" in text
    assert "no column 'years' (covariates.age); its columns: e, s" in text


def test_a_rule_that_makes_no_sense_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="there is no covariate 'height'; known: tmb"):
        read("height", ["1"])
    with pytest.raises(ConfigError, match=r"covariates\.sex\.values gives 'X' the value 'maybe'"):
        read("sex", ["F"], values={"X": "maybe"})
    with pytest.raises(ConfigError, match=r"covariates\.ecog\.values gives 'bad' the value '9'"):
        read("ecog", ["1"], values={"bad": 9})


@given(st.permutations(range(6)))
def test_sample_order_is_nothing(order: list[int]) -> None:
    table = pd.DataFrame({"a": ["1", "", "40", "IC3", "TC1+", "negative"]}, index=list("uvwxyz"))
    rules = {"pdl1_ihc": CovariateRule("a")}
    whole = read_covariates(table, rules=rules, where="x")
    shuffled = read_covariates(table.iloc[list(order)], rules=rules, where="x")
    pd.testing.assert_frame_equal(shuffled.loc[whole.index], whole)


def test_every_biopsy_site_is_its_own_spelling() -> None:
    assert read("biopsy_site", list(BIOPSY_SITES)) == list(BIOPSY_SITES)
    assert set(COVARIATES["biopsy_site"].spellings.values()) == set(BIOPSY_SITES)


@pytest.mark.parametrize(
    ("drug", "therapy", "expected"),
    [
        ("Nivolumab", None, "anti_pd1_pdl1"),
        ("MK-3475", None, "anti_pd1_pdl1"),
        ("Atezolizumab", "PD-1/PD-L1", "anti_pd1_pdl1"),
        ("Ipilimumab", "CTLA4", "anti_ctla4"),
        ("Nivolumab:Ipilimumab", "PD-1/PD-L1", "combination"),
        ("nivolumab + ipilimumab", None, "combination"),
        ("Regeneron/pembrolizumab", None, "anti_pd1_pdl1"),
        ("anti-PD-1/PD-L1 (TIGER: anti-PD-1)", None, "anti_pd1_pdl1"),
        ("anti-PD-1", None, "anti_pd1_pdl1"),
        ("anti-PD1 and anti-CTLA-4", None, "combination"),
        ("Pembrolizumab", "IO+combo", "anti_pd1_pdl1"),
        (None, "CTLA4", "anti_ctla4"),
        (NAN, "PD-1/PD-L1", "anti_pd1_pdl1"),
        ("", "IO+combo", None),
        ("sorafenib", None, None),
        ("trastuzumab deruxtecan", None, None),
        ("NOPD-12", None, None),
        (None, None, None),
    ],
)
def test_the_checkpoint_is_told_from_the_drug_and_else_from_the_therapy(
    catalogue: Catalogue, drug: object, therapy: object, expected: str | None
) -> None:
    found = name_drug_classes([drug], therapies=[therapy], table=DrugTable(catalogue))
    assert found == [expected]
    assert expected is None or expected in DRUG_CLASSES
