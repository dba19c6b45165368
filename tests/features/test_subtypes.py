"""Subtypes of small-cell lung cancer: planted ones are found, and what is not known is said."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.errors import CohortError
from features.reference import ReferenceStandardiser
from features.subtype_programmes import FACTORS, INFLAMED, PROGRAMMES, UNKNOWN, programme_genes
from features.subtypes import SUBTYPE_COLUMNS, call_subtypes, probability_to_win, subtype_genes
from features.transformer import MarkerFeatures

TRUTH = np.repeat(list(PROGRAMMES), [60, 30, 15, 15])
GENES = programme_genes()


def transcriptomes(truth: NDArray[np.str_], *, seed: int, effect: float = 3.0) -> ad.AnnData:
    """Return log2(TPM + 1) of 3,000 genes: a subtype's factor is on, its programme mostly.

    DLL3 is on in SCLC-N too, every third sample is inflamed, and a fifth of the programme's genes
    stay off by chance.
    """
    rng = np.random.default_rng(seed)
    own = list(dict.fromkeys(gene for genes in GENES.values() for gene in genes))
    genes = [*own, *(f"BG{i}" for i in range(3000 - len(own)))]
    level = np.r_[np.full(len(own), 1.0), rng.normal(3.0, 2.0, len(genes) - len(own))]
    log2 = level + rng.normal(0.0, 1.0, (len(truth), len(genes)))
    column = {gene: position for position, gene in enumerate(genes)}
    for row, subtype in enumerate(truth):
        name = PROGRAMMES[str(subtype)]
        for gene in GENES[name]:
            if gene == FACTORS[name] or rng.random() < 0.8:
                log2[row, column[gene]] += effect
        if name == "sclc_n":
            log2[row, column["DLL3"]] += effect
        if row % 3 == 0:
            log2[row, [column[gene] for gene in GENES[INFLAMED]]] += effect
    tpm = 2.0**log2
    tpm *= 1e6 / tpm.sum(axis=1, keepdims=True)
    names = [f"s{i}" for i in range(len(truth))]
    obs = pd.DataFrame({"cohort": "made"}, index=names)
    return ad.AnnData(np.log2(tpm + 1), obs=obs, var=pd.DataFrame(index=genes))


def gene_table(adata: ad.AnnData, *, background: ad.AnnData | None = None) -> pd.DataFrame:
    features = MarkerFeatures(setting="sclc").fit(adata if background is None else background)
    return subtype_genes(adata, features=features)


def call(adata: ad.AnnData) -> pd.DataFrame:
    return call_subtypes(gene_table(adata), cohorts=adata.obs["cohort"])


@pytest.fixture(scope="module")
def cohort() -> ad.AnnData:
    return transcriptomes(TRUTH, seed=0)


# --- what was planted


def test_planted_subtypes_are_found_in_full_transcriptomes(cohort: ad.AnnData) -> None:
    calls = call(cohort)
    assert tuple(calls.columns) == SUBTYPE_COLUMNS
    assert (calls["subtype"] == TRUTH).mean() >= 0.95
    for subtype in PROGRAMMES:
        assert (calls["subtype"][subtype == TRUTH] == subtype).mean() >= 0.85
    told = calls["subtype"] != UNKNOWN
    assert calls.loc[told, "confidence"].between(0, 1).all()
    assert calls.loc[~told, "confidence"].isna().all()
    assert (calls["reason"] != "").equals(~told)
    assert calls["caveat"].eq("").all()
    assert calls["standardisation"].eq("cohort").all()


def test_the_inflamed_state_cuts_across_the_four(cohort: ad.AnnData) -> None:
    calls = call(cohort)
    planted = np.arange(len(TRUTH)) % 3 == 0
    found = calls["inflamed"].to_numpy(dtype=bool)
    assert not found[~planted].any()
    assert found[planted].mean() >= 0.75
    assert set(calls.loc[found, "subtype"]) >= set(PROGRAMMES)


def test_the_sure_calls_are_more_often_right() -> None:
    faint = transcriptomes(np.tile(TRUTH, 4), seed=1, effect=1.2)
    calls = call(faint)
    told = calls["subtype"] != UNKNOWN
    right = (calls["subtype"] == np.tile(TRUTH, 4))[told]
    sure = calls.loc[told, "confidence"] >= 0.9
    assert 0.5 < right.mean() < 0.9, "the cohort is not faint enough to tell"
    assert right[sure].mean() > right.mean() + 0.08
    assert right[calls.loc[told, "confidence"] < 0.5].mean() < right.mean()


def test_z_scores_of_scaled_values_find_them_too(cohort: ad.AnnData) -> None:
    features = MarkerFeatures(setting="sclc", score_kind="mean_z").fit(cohort)
    genes = subtype_genes(cohort, features=features)
    calls = call_subtypes(genes, cohorts=cohort.obs["cohort"])
    assert (calls["subtype"] == TRUTH).mean() >= 0.95


def test_without_any_programme_on_subtypes_are_mostly_not_sure() -> None:
    nothing = transcriptomes(TRUTH, seed=2, effect=0.0)
    assert (call(nothing)["confidence"] >= 0.9).mean() < 0.15


# --- the rule


def test_the_factor_weighs_as_much_as_the_others_together() -> None:
    rng = np.random.default_rng(0)
    genes = pd.DataFrame(rng.normal(size=(40, 4)), columns=list(GENES["sclc_a"]))
    z = ((genes - genes.mean()) / genes.std(ddof=0)).clip(-3, 3)
    calls = call_subtypes(genes, cohorts=pd.Series("x", index=genes.index))
    expected = 0.5 * z["ASCL1"] + 0.5 * z[["DLL3", "GRP", "SOX1"]].mean(axis=1)
    assert_allclose(calls["sclc_a"], expected)
    rest = call_subtypes(genes.drop(columns="ASCL1"), cohorts=pd.Series("x", index=genes.index))
    assert_allclose(rest["sclc_a"], z[["DLL3", "GRP", "SOX1"]].mean(axis=1))


def test_the_probability_to_win_is_that_of_draws() -> None:
    rng = np.random.default_rng(0)
    scores, errors = rng.normal(size=(5, 4)), rng.uniform(0.2, 1.2, (5, 4))
    found = probability_to_win(scores, errors=errors)
    draws = rng.normal(scores, errors, (200_000, 5, 4)).argmax(axis=2)
    for sample in range(5):
        share = np.bincount(draws[:, sample], minlength=4) / len(draws)
        assert_allclose(found[sample], share, atol=0.005)
    assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)


def test_one_that_is_not_measured_takes_no_part() -> None:
    scores, errors = np.array([[1.0, np.nan, 0.0]]), np.array([[0.5, 0.0, 0.5]])
    found = probability_to_win(scores, errors=errors)
    assert np.isnan(found[0, 1])
    assert_allclose(found[0, [0, 2]].sum(), 1.0)


def test_genes_that_agree_and_more_genes_make_a_call_surer() -> None:
    reference = ReferenceStandardiser()
    names = [gene for name in PROGRAMMES.values() for gene in GENES[name]]
    reference.mean_, reference.spread_ = np.zeros(len(names)), np.ones(len(names))
    reference.n_features_in_ = len(names)
    reference.feature_names_in_ = np.asarray(names, dtype=object)
    genes = pd.DataFrame(0.0, index=["agree", "few", "contradict"], columns=names)
    genes[list(GENES["sclc_p"])] = [1.0] * 6
    genes.loc["few", ["ASCL2", "AVIL", "TRPM5", "SOX9", "GFI1B"]] = np.nan
    genes.loc["contradict", ["POU2F3", "ASCL2", "AVIL"]] = [1.0, 3.0, -1.0]
    genes.loc["contradict", ["TRPM5", "SOX9", "GFI1B"]] = [3.0, -1.0, 1.0]
    calls = call_subtypes(genes, cohorts=pd.Series("x", genes.index), reference=reference)
    assert calls["subtype"].eq("SCLC-P").all()
    assert_allclose(calls["sclc_p"], 1.0)
    assert calls.loc["agree", "confidence"] > calls.loc["few", "confidence"] + 0.05
    assert calls.loc["agree", "confidence"] > calls.loc["contradict", "confidence"] + 0.05


def test_order_of_samples_and_genes_is_nothing(cohort: ad.AnnData) -> None:
    genes = gene_table(cohort)
    calls = call_subtypes(genes, cohorts=cohort.obs["cohort"])
    mixed = genes.sample(frac=1, random_state=0).sample(frac=1, axis=1, random_state=0)
    again = call_subtypes(mixed, cohorts=cohort.obs["cohort"].loc[mixed.index])
    pd.testing.assert_frame_equal(again.loc[calls.index], calls)


# --- what is not known


def test_a_small_cohort_without_reference_gets_no_guess(cohort: ad.AnnData) -> None:
    calls = call(cohort[:14].copy())
    assert calls["subtype"].eq(UNKNOWN).all()
    assert calls[["confidence", *PROGRAMMES.values(), INFLAMED]].isna().all(axis=None)
    assert calls["inflamed"].isna().all()
    assert (
        calls["reason"]
        .eq(
            "the cohort has 14 samples, to be its own reference it needs 15, and no other was given"
        )
        .all()
    )
    assert calls["n_genes_sclc_a"].eq(4).all()


def test_a_single_sample_is_called_against_a_reference(cohort: ad.AnnData) -> None:
    reference = ReferenceStandardiser().fit(gene_table(cohort))
    new = transcriptomes(TRUTH, seed=5)
    genes = gene_table(new, background=cohort)
    calls = call_subtypes(genes, cohorts=new.obs["cohort"], reference=reference)
    assert (calls["subtype"] == TRUTH).mean() >= 0.95
    assert calls["standardisation"].eq("reference").all()
    alone = call_subtypes(genes[:1], cohorts=new.obs["cohort"][:1], reference=reference)
    pd.testing.assert_frame_equal(alone, calls[:1])


def test_cohorts_of_one_table_are_each_their_own_reference(cohort: ad.AnnData) -> None:
    cohorts = pd.Series(["large"] * 115 + ["small"] * 5, index=cohort.obs_names)
    calls = call_subtypes(gene_table(cohort), cohorts=cohorts)
    assert calls["subtype"][:115].ne(UNKNOWN).any()
    assert calls["reason"][115:].str.startswith("the cohort has 5 samples").all()


def test_a_programme_that_is_not_measured_is_named_and_neither_wins_nor_loses(
    cohort: ad.AnnData,
) -> None:
    gone = [*GENES["sclc_n"], "ASCL1", *GENES[INFLAMED][:5]]
    calls = call(cohort[:, ~cohort.var_names.isin(gone)].copy())
    assert (
        calls["caveat"]
        .eq(
            "SCLC-A without ASCL1, by 3 of 4 genes; "
            "SCLC-N can neither win nor lose: no gene of sclc_n is measured; "
            "inflamed not told: fewer than half of its genes are measured"
        )
        .all()
    )
    assert calls["subtype"].ne("SCLC-N").all()
    assert calls["sclc_n"].isna().all()
    assert calls["n_genes_sclc_n"].eq(0).all()
    assert calls["inflamed"].isna().all()
    others = TRUTH != "SCLC-N"
    assert (calls["subtype"][others] == TRUTH[others]).mean() >= 0.85


def test_one_programme_alone_has_nothing_to_be_compared_with(cohort: ad.AnnData) -> None:
    gone = [gene for name in ("sclc_n", "sclc_p", "sclc_y") for gene in GENES[name]]
    calls = call(cohort[:, ~cohort.var_names.isin(gone)].copy())
    assert calls["subtype"].eq(UNKNOWN).all()
    reason = "genes of only 1 of the 4 programmes are measured: none to compare"
    assert calls["reason"].eq(reason).all()
    assert calls["sclc_a"].notna().all()


def test_a_sample_below_the_mean_in_all_four_is_unknown() -> None:
    genes = pd.DataFrame(
        np.random.default_rng(0).normal(size=(30, 20)),
        columns=[gene for name in PROGRAMMES.values() for gene in GENES[name]],
    )
    genes.iloc[0] = -5.0
    calls = call_subtypes(genes, cohorts=pd.Series("x", index=genes.index))
    assert calls.loc[0, "subtype"] == UNKNOWN
    assert np.isnan(calls.loc[0, "confidence"])
    assert calls.loc[0, "reason"] == "no programme lies above the mean of the cohort"


def test_cohorts_of_other_samples_are_refused(cohort: ad.AnnData) -> None:
    genes = gene_table(cohort)
    with pytest.raises(CohortError, match="120 samples have gene scores and 119 a cohort"):
        call_subtypes(genes, cohorts=cohort.obs["cohort"][1:])


def test_every_programme_holds_its_factor(catalogue: Catalogue) -> None:
    genes = programme_genes(catalogue)
    assert all(factor in genes[name] for name, factor in FACTORS.items())
