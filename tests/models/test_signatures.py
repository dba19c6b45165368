import anndata as ad
import numpy as np
import pandas as pd
import pytest

from models.signatures import SIGNATURES, SignatureClassifier, signature_scores


def cohort(values: dict[str, list[float]]) -> ad.AnnData:
    frame = pd.DataFrame(values, dtype=float)
    return ad.AnnData(
        frame.to_numpy(),
        obs=pd.DataFrame(index=[f"s{i}" for i in range(len(frame))]),
        var=pd.DataFrame(index=list(frame.columns)),
    )


def test_impres_counts_true_pairs_and_leaves_missing_genes_out():
    genes = {gene for pair in SIGNATURES["impres"].pairs for gene in pair}
    values = {gene: [1.0] for gene in genes} | {"CD274": [5.0]}
    expected = sum(pair[0] == "CD274" for pair in SIGNATURES["impres"].pairs)
    assert len(SIGNATURES["impres"].pairs) == 15
    full = signature_scores(cohort(values))["impres"].iloc[0]
    assert full == pytest.approx(-expected / 15)
    without = signature_scores(cohort({g: v for g, v in values.items() if g != "VSIR"}))
    assert without["impres"].iloc[0] == pytest.approx(-(expected - 1) / 14)


def test_mean_signatures_take_the_genes_present_and_say_resistance():
    scores = signature_scores(cohort({"GZMA": [1.0, 3.0], "PRF1": [3.0, 5.0], "TGFB1": [2.0, 0.0]}))
    np.testing.assert_allclose(scores["cytolytic"], [-2.0, -4.0])
    np.testing.assert_allclose(scores["tgf_beta"], [2.0, 0.0])
    assert scores["pdl1"].isna().all()


def test_raw_counts_are_scored_on_log_cpm():
    adata = cohort({"GZMA": [0.0], "PRF1": [0.0], "ACTB": [0.0]})
    adata.layers["counts"] = np.array([[10.0, 30.0, 60.0]])
    expected = -np.log1p([1e5, 3e5]).mean()
    assert signature_scores(adata)["cytolytic"].iloc[0] == pytest.approx(expected)


def test_a_signature_becomes_a_probability_with_its_direction_held():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"gep_18": rng.normal(size=200)})
    y = (X["gep_18"] + rng.normal(size=200) > 0).astype(int)
    probability = SignatureClassifier(signature="gep_18").fit(X, y).predict_proba(X)[:, 1]
    assert np.corrcoef(probability, X["gep_18"])[0, 1] > 0.9
    against = SignatureClassifier(signature="gep_18").fit(X, 1 - y).predict_proba(X)[:, 1]
    assert np.ptp(against) < 0.01


def test_each_signature_names_genes_or_pairs_and_where_it_comes_from():
    for signature in SIGNATURES.values():
        assert bool(signature.genes) != bool(signature.pairs)
        assert signature.source
        assert signature.sign in (1, -1)
    assert len(SIGNATURES["gep_18"].genes) == len(set(SIGNATURES["gep_18"].genes)) == 18


def test_the_order_of_genes_and_samples_changes_no_score(make_cohort):
    adata = make_cohort(8)
    rng = np.random.default_rng(0)
    mixed = adata[rng.permutation(8), rng.permutation(adata.n_vars)].copy()
    found = signature_scores(mixed).loc[adata.obs_names]
    pd.testing.assert_frame_equal(found, signature_scores(adata))


def test_samples_without_the_score_are_left_out_of_the_curve():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"cd8": rng.normal(size=100), "other": np.nan})
    y = (X["cd8"] + rng.normal(size=100) > 0).astype(int)
    holed = X.assign(cd8=X["cd8"].where(X.index >= 20))
    found = SignatureClassifier(signature="cd8").fit(holed, y)
    alone = SignatureClassifier(signature="cd8").fit(X[20:], y[20:])
    np.testing.assert_array_equal(found.decision_function(X), alone.decision_function(X))
    np.testing.assert_allclose(found.predict_proba(X).sum(axis=1), 1.0)
    assert np.isnan(found.decision_function(holed)[:20]).all()


def test_a_score_that_no_training_sample_has_gives_nan_not_an_error():
    scores = pd.DataFrame({"pdl1": [np.nan, np.nan, 1.0]})
    classifier = SignatureClassifier(signature="pdl1").fit(scores[:2], [0, 1])
    assert np.isnan(classifier.decision_function(scores)).all()
    assert np.isnan(classifier.predict_proba(scores)).all()
    assert classifier.calibrator_ is None
