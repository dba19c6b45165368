"""Scores of real cohorts against independent references: scipy and decoupler."""

from collections.abc import Iterable, Mapping

import anndata as ad
import decoupler as dc
import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, zscore

from features.catalogue import Catalogue
from features.catalogue_export import network
from features.gene_scores import ScoreKind
from features.transformer import MarkerFeatures

pytestmark = pytest.mark.real_data

KINDS: tuple[ScoreKind, ...] = ("rank", "mean_z")
OWN_WEIGHTS = {"CD8A": 5, "GZMB": 2, "PRF1": 1, "CXCL9": 7}


@pytest.fixture(scope="module")
def with_weights(catalogue: Catalogue) -> Catalogue:
    """The packaged catalogue and a marker of a user's own, with weights."""
    fields = catalogue.model_dump()
    like = next(entry for entry in fields["markers"] if entry["id"] == "th1_chemokines")
    own = {"id": "own_weights", "genes": tuple(OWN_WEIGHTS), "weights": OWN_WEIGHTS}
    fields["markers"] = [*fields["markers"], {**like, **own, "score": "weighted"}]
    return Catalogue.model_validate(fields)


@pytest.fixture(scope="module")
def gide(gide_log2: ad.AnnData, catalogue: Catalogue) -> ad.AnnData:
    """Gide 2019, a drug of the catalogue for every sample."""
    cohort = gide_log2.copy()
    cohort.obs["drug"] = [drug.name for drug in catalogue.drugs][: cohort.n_obs]
    cohort.uns["oncoresist"] = {"unit": "log2_tpm"}
    return cohort


def gene_table(cohort: ad.AnnData, kind: ScoreKind) -> pd.DataFrame:
    """Return scipy's fraction of the rank, or z-score, of every gene (n_samples, n_genes)."""
    if kind == "rank":
        values = (rankdata(cohort.X, method="average", axis=1) - 0.5) / cohort.n_vars
    else:
        varying = np.ptp(cohort.X, axis=0) > 0
        values = np.zeros_like(cohort.X)
        values[:, varying] = zscore(cohort.X[:, varying], axis=0)
    return pd.DataFrame(values, index=cohort.obs_names, columns=cohort.var_names)


def features_of(cohort: ad.AnnData, kind: ScoreKind, catalogue: Catalogue) -> pd.DataFrame:
    return MarkerFeatures(catalogue, score_kind=kind).fit(cohort).transform(cohort)


def measured(genes: Iterable[str], table: pd.DataFrame) -> list[str]:
    return [gene for gene in genes if gene in table]


# --- scipy


@pytest.mark.parametrize("kind", KINDS)
def test_scores_agree_with_means_of_scipys_ranks_and_z_scores(
    gide: ad.AnnData, with_weights: Catalogue, kind: ScoreKind
) -> None:
    """Tolerance 1e-12 of the rank fraction, or of a standard deviation."""
    genes = gene_table(gide, kind)
    found = features_of(gide, kind, with_weights)
    by_id = {marker.id: marker for marker in with_weights.markers}

    def mean(symbols: Iterable[str], weights: Mapping[str, int]) -> "pd.Series[float]":
        own = genes[measured(symbols, genes)]
        return pd.Series(
            np.average(own, axis=1, weights=[weights.get(str(gene), 1) for gene in own]),
            index=genes.index,
        )

    compared = set()
    for marker in with_weights.markers:
        if marker.by_drug or found[marker.id].isna().all():
            continue
        plus = mean(marker.genes, marker.weights)
        if marker.score == "lower_of_two":
            expected = genes[list(marker.genes)].min(axis=1)
        elif marker.score == "ratio" and kind == "rank":
            half = 0.5 / gide.n_vars
            minus = mean(marker.minus_genes, {})
            expected = np.log2((plus + half) / (minus + half))
        else:
            others = by_id[marker.over].genes if marker.over else marker.minus_genes
            expected = plus - mean(others, marker.weights) if others else plus
        np.testing.assert_allclose(found[marker.id], expected, rtol=0, atol=1e-12)
        compared.add(marker.id)
    assert len(compared) >= 85
    assert {by_id[name].score for name in compared} == {
        *("mean", "single", "weighted", "lower_of_two", "excess", "ratio")
    }


def test_ranks_of_a_sample_agree_with_scipys_where_the_background_is_a_part(
    gide: ad.AnnData, catalogue: Catalogue
) -> None:
    """Tolerance 1e-12 of the rank fraction."""
    rng = np.random.default_rng(0)
    background = [*rng.choice(gide.var_names, 5000, replace=False), "B2M", "CD274"]
    background = list(dict.fromkeys(background))
    markers = MarkerFeatures(catalogue).freeze(background)
    found = markers.transform(gide)
    part = gide[:, background]
    ranks = (rankdata(part.X, method="average", axis=1) - 0.5) / len(background)
    own = ranks[:, [background.index("B2M")]].ravel()
    np.testing.assert_allclose(found["b2m"], own, rtol=0, atol=1e-12)


# --- decoupler


def decoupler_means(genes: pd.DataFrame, net: pd.DataFrame) -> pd.DataFrame:
    """Return decoupler's weighted means (n_samples, n_sources), the weights' signs left out."""
    net = net.assign(weight=net["weight"].abs())
    found, _ = dc.mt.waggr(genes, net, fun="wmean", times=0, tmin=1, empty=False)
    return found.loc[genes.index]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_agree_with_decouplers_weighted_means(
    gide: ad.AnnData, with_weights: Catalogue, kind: ScoreKind
) -> None:
    """Tolerance 1e-12.

    The definitions coincide where nothing is subtracted. Where something is, each side is one of
    decoupler's means. Left out: the lower of two, and the ratio of ranks.
    """
    genes = gene_table(gide, kind)
    found = features_of(gide, kind, with_weights)
    net = network(with_weights)
    plus = decoupler_means(genes, net[net["weight"] > 0])
    minus = decoupler_means(genes, net[net["weight"] < 0])
    rules = {marker.id: marker.score for marker in with_weights.markers if not marker.by_drug}
    apart = {"lower_of_two", "ratio"} if kind == "rank" else {"lower_of_two"}
    compared = [
        name
        for name, rule in rules.items()
        if rule not in apart and found[name].notna().all() and name in plus
    ]
    for name in compared:
        expected = plus[name] - minus[name] if name in minus else plus[name]
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12)
    assert "own_weights" in compared
    assert len(compared) >= 85


@pytest.mark.parametrize("kind", KINDS)
def test_scores_chosen_by_the_drug_agree_with_decouplers_set_of_that_drug(
    gide: ad.AnnData, catalogue: Catalogue, kind: ScoreKind
) -> None:
    """Tolerance 1e-12. Of a payload's target each side stands against the middle."""
    genes = gene_table(gide, kind)
    found = features_of(gide, kind, catalogue)
    net = network(catalogue)
    plus = decoupler_means(genes, net[net["weight"] > 0])
    minus = decoupler_means(genes, net[net["weight"] < 0])
    middle = 0.5 if kind == "rank" else 0.0
    compared = dict.fromkeys(("target_antigen", "payload_efflux", "payload_target"), 0)
    for sample, drug in zip(gide.obs_names, catalogue.drugs, strict=False):
        for feature in compared:
            name = f"{feature}.{drug.id}"
            high = plus.loc[sample, name] if name in plus else middle
            low = minus.loc[sample, name] if name in minus else middle
            score = found.loc[sample, feature]
            if name not in plus and name not in minus:
                assert np.isnan(score)
                continue
            expected = high - low if feature == "payload_target" else high
            assert score == pytest.approx(expected, abs=1e-12)
            compared[feature] += 1
    assert min(compared.values()) >= 10, compared


# --- what changes nothing, exactly


@pytest.mark.parametrize("cohort_name", ["gide_log2", "jung_tpm"])
def test_a_monotone_transformation_of_real_samples_changes_no_rule(
    cohort_name: str, catalogue: Catalogue, request: pytest.FixtureRequest
) -> None:
    cohort: ad.AnnData = request.getfixturevalue(cohort_name).copy()
    cohort.obs["drug"] = [drug.name for drug in catalogue.drugs][-cohort.n_obs :]
    cohort.uns["oncoresist"] = {"unit": "tpm"}
    markers = MarkerFeatures(catalogue).fit(cohort)
    expected = markers.transform(cohort)
    assert expected.notna().any().sum() >= 88
    rng = np.random.default_rng(0)
    changed = cohort.copy()
    for row, sample in enumerate(cohort.X):
        levels, places = np.unique(sample, return_inverse=True)
        changed.X[row] = np.unique(rng.normal(0, 10.0 ** (row % 7 - 3), levels.size))[places]
    pd.testing.assert_frame_equal(markers.transform(changed), expected, check_exact=True)


def test_genes_outside_the_background_of_a_real_cohort_change_nothing(
    gide: ad.AnnData, catalogue: Catalogue
) -> None:
    rng = np.random.default_rng(0)
    own = gide.var_names.isin(catalogue.gene_symbols)
    kept = own | (rng.random(gide.n_vars) < 0.3)
    part = gide[:, kept].copy()
    markers = MarkerFeatures(catalogue).fit(part)
    expected = markers.transform(part)
    pd.testing.assert_frame_equal(markers.transform(gide), expected, check_exact=True)
    z = markers.with_score_kind("mean_z")
    pd.testing.assert_frame_equal(z.transform(gide), z.transform(part), check_exact=True)


def test_a_real_sample_alone_has_the_ranks_of_its_cohort_under_every_rule(
    gide: ad.AnnData, catalogue: Catalogue
) -> None:
    markers = MarkerFeatures(catalogue).fit(gide)
    together = markers.transform(gide)
    for row in range(0, gide.n_obs, 8):
        alone = markers.transform(gide[[row]].copy())
        pd.testing.assert_frame_equal(alone, together.iloc[[row]], check_exact=True)


def test_mean_z_forgets_the_scale_of_every_real_gene(
    gide: ad.AnnData, catalogue: Catalogue
) -> None:
    """Tolerance 1e-9 of a standard deviation: z-scores are rounded anew."""
    expected = features_of(gide, "mean_z", catalogue)
    rng = np.random.default_rng(0)
    changed = gide.copy()
    changed.X = gide.X * rng.uniform(0.1, 10, gide.n_vars) + rng.normal(0, 10, gide.n_vars)
    found = features_of(changed, "mean_z", catalogue)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
