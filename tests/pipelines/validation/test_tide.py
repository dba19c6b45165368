"""TIDE through its authors' package: scores as published, whatever the order of the genes."""

import importlib
import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from features.errors import CohortError, ConfigError
from pipelines.validation.tide import tide_available, tide_cancer, tide_scores, tide_table
from tests.fixtures import require


@pytest.fixture(scope="module")
def package():
    """The published package, with its gene table and profiles."""
    require(tide_available(), "tidepy is not installed: uv sync --group benchmark")
    return importlib.import_module("tidepy.pred")


@pytest.fixture
def planted(package) -> ad.AnnData:
    """A melanoma cohort of 20 over 1,500 of the package's genes, among them all that it names."""
    profile, named = package.MODEL_DB["tide"]["Dysfunction"], [925, 926, 3001, 3002, 5551]
    named += [gene for genes in package.MODEL_DB["biomarkers"].values() for gene in genes.index]
    table = package.utils.read_data_object("Gene_Ref.pkl")["Symbol"]
    symbols = pd.Series(table.index, index=table.to_numpy())
    symbols = symbols[~symbols.index.duplicated()]
    genes = [*named, *profile.dropna().index, *package.MODEL_DB["msi"].index]
    chosen = symbols.reindex(pd.unique(pd.Series(genes))).dropna()[:1500]
    rng = np.random.default_rng(0)
    tpm = rng.gamma(0.8, 40.0, (20, len(chosen)))
    cytotoxic = chosen.index.isin(named)
    tpm[:, cytotoxic] *= rng.choice([0.2, 5.0], 20)[:, None]
    obs = pd.DataFrame({"cancer_type": "melanoma"}, index=[f"s{i}" for i in range(20)])
    return ad.AnnData(np.log1p(tpm), obs=obs, var=pd.DataFrame(index=chosen.to_numpy()))


def log2_centred(adata: ad.AnnData) -> pd.DataFrame:
    log2 = np.log2(np.expm1(adata.X) + 1.0)
    return pd.DataFrame((log2 - log2.mean(axis=0)).T, adata.var_names, adata.obs_names)


def test_scores_are_those_of_the_package_called_as_its_readme_says(package, planted):
    found = tide_table({"c": planted}).set_axis(planted.obs_names)
    reference = package.TIDE(log2_centred(planted), cancer="Melanoma", pretreat=False)
    reference = reference.loc[planted.obs_names]
    for column, name in (("tide", "TIDE"), ("dysfunction", "Dysfunction")):
        np.testing.assert_allclose(found[column], reference[name], rtol=1e-9)
    np.testing.assert_array_equal(found["cytotoxic"], reference["CTL.flag"].astype(float))


def test_exclusion_is_a_correlation_in_units_of_its_spread(package, planted):
    found = tide_table({"c": planted})
    table = package.utils.read_data_object("Gene_Ref.pkl")["Symbol"]
    profile = package.MODEL_DB["tide"]["Dysfunction"]["Exclusion"]
    expression = log2_centred(planted)
    weights = profile.reindex(table[expression.index].to_numpy()).to_numpy()
    known = np.isfinite(weights)
    expected = pearsonr(expression["s3"][known], weights[known]).statistic
    expected /= package.MODEL_DB["tide"]["SD"].loc["SKCM.RNASeq", "Exclusion"]
    assert found.loc["c/s3", "exclusion"] == pytest.approx(expected, rel=1e-9)


def test_a_sample_with_cytotoxic_cells_is_scored_by_dysfunction_else_by_exclusion(planted):
    found = tide_table({"c": planted})
    high = found["cytotoxic"] == 1
    assert 2 < high.sum() < 18
    np.testing.assert_array_equal(found["tide"][high], found["dysfunction"][high])
    np.testing.assert_array_equal(found["tide"][~high], found["exclusion"][~high])


def test_an_earlier_immunotherapy_makes_it_exclusion(planted):
    plain = tide_table({"c": planted})
    high = plain.index[plain["cytotoxic"] == 1]
    found = tide_table({"c": planted}, pretreated=high[:2])
    np.testing.assert_array_equal(found["tide"][high[:2]], plain["exclusion"][high[:2]])
    others = plain.index.difference(high[:2])
    np.testing.assert_array_equal(found["tide"][others], plain["tide"][others])
    with pytest.raises(CohortError, match="1 unknown samples: s0; write them as cohort/sample"):
        tide_scores({"c": planted}, pretreated=["s0"])


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_genes_is_nothing(planted, seed):
    order = np.random.default_rng(seed).permutation(planted.n_vars)
    found = tide_scores({"c": planted[:, order].copy()})
    pd.testing.assert_series_equal(found, tide_scores({"c": planted}), check_exact=True)


def test_the_order_of_the_samples_is_nothing_and_each_cohort_is_its_own_reference(planted):
    other = planted[::-1].copy()
    found = tide_scores({"c": planted, "d": other})
    assert list(found.index[:2]) == ["c/s0", "c/s1"]
    assert list(found.index[20:22]) == ["d/s19", "d/s18"]
    np.testing.assert_allclose(found.iloc[:20], found.iloc[20:][::-1], rtol=1e-9)
    shifted = planted.copy()
    shifted.X = shifted.X + 3.0
    np.testing.assert_allclose(tide_scores({"c": shifted}), found.iloc[:20], rtol=1e-7)


def test_lung_has_a_spread_of_its_own_sample_by_sample(package, planted):
    melanoma = tide_table({"c": planted})
    planted.obs.loc["s4", "cancer_type"] = "Lung adenocarcinoma"
    found = tide_table({"c": planted})
    spread = package.MODEL_DB["tide"]["SD"]["Exclusion"]
    lung = spread.loc[["LUSC.RNASeq.norm_subtract", "LUAD.RNASeq.norm_subtract"]].mean()
    ratio = found.loc["c/s4", "exclusion"] / melanoma.loc["c/s4", "exclusion"]
    assert ratio == pytest.approx(spread.loc["SKCM.RNASeq"] / lung, rel=1e-9)
    others = melanoma.index.drop("c/s4")
    pd.testing.assert_frame_equal(found.loc[others], melanoma.loc[others])


def test_a_renamed_gene_is_found_by_the_name_of_the_file(package, planted):
    names = planted.var_names.to_list()
    expected = tide_scores({"c": planted})
    planted.var["original_id"] = names
    planted.var_names = ["renamed", *names[1:]]
    pd.testing.assert_series_equal(tide_scores({"c": planted}), expected, rtol=1e-12)


def test_a_cohort_whose_genes_it_does_not_know_is_refused(planted):
    planted.var_names = [f"G_{i}" for i in range(planted.n_vars)]
    with pytest.raises(
        CohortError, match=r"cohort 'c': TIDE knows 0 of 1500 genes, unknown are G_0.*half of them"
    ):
        tide_scores({"c": planted})


def test_the_package_prints_nothing_and_its_words_are_logged(planted, capsys, caplog):
    with caplog.at_level(logging.DEBUG, logger="pipelines.validation.tide"):
        tide_scores({"c": planted[:, :1000].copy()})
    assert capsys.readouterr().out == ""
    assert "tidepy: [WARN]" in caplog.text


def test_without_the_package_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("pipelines.validation.tide.tide_available", lambda: False)
    with pytest.raises(ConfigError, match="not installed; run `uv sync --group benchmark`"):
        tide_scores({})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("melanoma", "Melanoma"),
        ("SKCM", "Melanoma"),
        ("NSCLC", "NSCLC"),
        ("non-small cell lung cancer", "NSCLC"),
        ("LUSC", "NSCLC"),
        ("SCLC", "Other"),
        ("small cell lung cancer", "Other"),
        ("glioblastoma", "Other"),
        (np.nan, "Other"),
    ],
)
def test_tumour_types_are_those_of_the_package(text, expected):
    assert tide_cancer(text) == expected


@pytest.mark.real_data
def test_the_authors_example_comes_out_as_they_print_it(package, everyone):
    """The README's nine patients of GSE78220, from another quantification of the same reads."""
    printed = pd.Series(
        {
            "Pt10": 2.903,
            "Pt32": 2.375,
            "Pt38": 2.327,
            "Pt12": 1.587,
            "Pt14": 1.462,
            "Pt20": 1.204,
            "Pt1": 1.041,
            "Pt9": 0.801,
            "Pt7": 0.672,
        }
    )
    found = tide_table({"hugo_2016": everyone.cohorts["hugo_2016"]})
    found.index = found.index.str.removeprefix("hugo_2016/")
    found = found.loc[printed.index]
    assert pearsonr(found["tide"], printed).statistic > 0.9
    assert set(found.index[found["cytotoxic"] == 1]) >= {"Pt38", "Pt20"}


@pytest.mark.real_data
def test_the_mean_auroc_of_tide_is_the_peers_figure(package, everyone):
    scores = tide_scores(everyone.cohorts)
    assert list(scores.index) == list(everyone.samples.index)
    labelled = everyone.samples["resistant"].notna()
    assert labelled.sum() == 479
    samples = everyone.samples[labelled].assign(score=scores[labelled])
    aurocs = [
        roc_auc_score(rows["resistant"], rows["score"]) for _, rows in samples.groupby("cohort")
    ]
    assert np.mean(aurocs) == pytest.approx(0.562, abs=0.02)
