"""Fingerprints: copies are found in any unit, different samples are not."""

import json
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from features.catalogue import Catalogue
from features.errors import ConfigError
from features.fingerprint import (
    Fingerprints,
    choose_pairs,
    default_pairs,
    find_duplicates,
    fingerprint,
)
from features.profile import rank_profile
from tests.features.conftest import read_bulk

Maker = Callable[..., ad.AnnData]


def _changed(cohort: ad.AnnData, values: np.ndarray) -> ad.AnnData:
    other = cohort.copy()
    other.X = values
    return other


def test_default_pairs_are_distinct_and_of_catalogue_genes(catalogue: Catalogue) -> None:
    pairs = default_pairs()
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == 1024
    assert {gene for pair in pairs for gene in pair} <= set(catalogue.gene_symbols)


def test_bits_say_which_gene_is_higher() -> None:
    values = np.array([[3.0, 1.0, 1.0, np.nan], [0.0, 0.0, 5.0, 2.0]])
    cohort = ad.AnnData(values, var=pd.DataFrame(index=["A", "B", "C", "D"]))
    pairs = (("A", "B"), ("B", "C"), ("C", "A"), ("D", "A"), ("A", "absent"))
    bits = fingerprint(cohort, pairs=pairs).bits
    assert bits.tolist() == [[1, -1, 0, -1, -1], [-1, 0, 1, 1, -1]]


def test_distance_is_the_share_of_differing_bits_as_scipy_gives_it() -> None:
    rng = np.random.default_rng(0)
    pairs = tuple((f"A{i}", f"B{i}") for i in range(300))
    bits = rng.integers(0, 2, (6, 300)).astype(np.int8)
    prints = Fingerprints(pairs, tuple("abcdef"), bits)
    found = find_duplicates(prints, prints, threshold=1.0)
    table = found.pivot_table(index="sample", columns="other", values="distance")
    np.testing.assert_allclose(table.to_numpy(), cdist(bits, bits, "hamming"), atol=1e-12)


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the maker keeps nothing
)
@given(seed=st.integers(0, 2**16), scale=st.floats(0.01, 100.0))
def test_a_copy_in_another_unit_and_gene_order_has_the_same_bits(
    make_cohort: Maker, seed: int, scale: float
) -> None:
    cohort = make_cohort(5, seed=seed)
    linear = np.expm1(np.asarray(cohort.X))
    order = np.random.default_rng(seed).permutation(cohort.n_vars)
    copy = _changed(cohort, np.log2(scale * linear + 0.001))[:, order].copy()
    np.testing.assert_array_equal(fingerprint(copy).bits, fingerprint(cohort).bits)


def test_copies_with_noise_and_missing_genes_are_found_and_nothing_else(make_cohort: Maker) -> None:
    cohort = make_cohort(20)
    rng = np.random.default_rng(1)
    noisy = _changed(cohort, np.asarray(cohort.X) * np.exp(rng.normal(0, 0.01, cohort.shape)))
    kept = rng.random(cohort.n_vars) < 0.7
    names = [f"copy/{name}" for name in cohort.obs_names]
    copies = fingerprint(noisy[:, kept].copy(), names=names)
    own = fingerprint(cohort)
    found = find_duplicates(own, copies)
    assert set(zip(found["sample"], found["other"], strict=True)) == set(
        zip(cohort.obs_names, names, strict=True)
    )
    assert find_duplicates(own).empty
    both = find_duplicates(Fingerprints.concat([own, copies]))
    assert len(both) == 20
    assert list(both.columns) == ["sample", "other", "distance"]


def test_samples_with_few_known_bits_are_not_compared(make_cohort: Maker) -> None:
    cohort = make_cohort(4)
    few = cohort[:, :20].copy()
    assert find_duplicates(fingerprint(few), fingerprint(cohort)).empty


def test_values_scaled_per_gene_have_no_known_bit(make_cohort: Maker) -> None:
    cohort = make_cohort(3)
    cohort.uns["oncoresist"] = {"unit": "gene_scaled"}
    assert (fingerprint(cohort).bits == -1).all()


def test_json_gives_the_same_fingerprints_back(make_cohort: Maker) -> None:
    prints = fingerprint(make_cohort(7)[:, :300].copy(), pairs=default_pairs()[:77])
    back = Fingerprints.from_json(json.loads(json.dumps(prints.to_json())))
    assert (back.pairs, back.samples) == (prints.pairs, prints.samples)
    np.testing.assert_array_equal(back.bits, prints.bits)


def test_other_pairs_are_refused(make_cohort: Maker) -> None:
    cohort = make_cohort(3)
    short = fingerprint(cohort, pairs=default_pairs()[:10])
    with pytest.raises(ConfigError, match="over 1024 and 10 gene pairs"):
        find_duplicates(fingerprint(cohort), short)
    with pytest.raises(ConfigError, match="cannot be compared"):
        Fingerprints.concat([fingerprint(cohort), short])
    with pytest.raises(ConfigError, match="no fingerprints"):
        Fingerprints.concat([])


def test_chosen_pairs_are_balanced_of_alike_length_and_spread_over_genes() -> None:
    rng = np.random.default_rng(0)
    genes = [f"G{i:02d}" for i in range(60)]
    profiles = rng.random((40, 60)).astype(np.float32)
    profiles[:, :20] = np.linspace(0.9, 1.0, 20) + rng.normal(0, 1e-4, (40, 20))
    lengths = pd.Series(np.where(np.arange(60) < 40, 1000.0, 4000.0), index=genes)
    pairs = choose_pairs(
        profiles,
        genes=genes,
        cohorts=["a"] * 20 + ["b"] * 20,
        candidates=genes[:59],
        lengths=lengths,
        n_pairs=200,
    )
    position = {gene: number for number, gene in enumerate(genes)}
    first, second = ([position[pair[side]] for pair in pairs] for side in (0, 1))
    share = (profiles[:, first] > profiles[:, second]).mean(axis=0)
    assert len(pairs) == 200
    assert share.min() > 0.1
    assert share.max() < 0.9
    assert all(lengths[a] == lengths[b] for a, b in pairs)
    assert pd.Series([gene for pair in pairs for gene in pair]).value_counts().max() <= 16
    assert "G59" not in {gene for pair in pairs for gene in pair}


def test_candidates_that_never_change_places_give_no_pair(make_cohort: Maker) -> None:
    cohort = make_cohort(1)
    background = list(cohort.var_names)
    profiles = np.repeat(rank_profile(cohort, background=background), 5, axis=0)
    assert choose_pairs(profiles, genes=background, cohorts=["a"] * 5) == ()


@pytest.mark.real_data
def test_biopsies_of_riaz_are_told_apart_and_known_again_without_gene_lengths(
    shared: Path, catalogue: Catalogue, gene_lengths: "pd.Series[float]"
) -> None:
    """109 biopsies of 65 patients, before and on treatment; counts against counts per length."""
    counts = read_bulk(shared / "cohorts" / "bulk" / "riaz_2017_gse91061_counts109", catalogue)
    counts = counts[:, ~counts.var_names.duplicated()].copy()
    lengths = gene_lengths.reindex(counts.var_names).to_numpy()
    tpm = _changed(counts, np.asarray(counts.X) / lengths)[:, np.isfinite(lengths)].copy()
    own, other = fingerprint(counts), fingerprint(tpm)
    assert find_duplicates(own).empty
    assert find_duplicates(other).empty
    found = find_duplicates(own, other)
    assert len(found) == counts.n_obs
    assert (found["sample"] == found["other"]).all()
