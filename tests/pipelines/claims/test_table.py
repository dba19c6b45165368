"""Signs against simulated cohorts whose truth is known: patients pooled, cell lines by drug."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.cohort import CohortReport
from pipelines.claims.evidence import evidence_of, too_small
from pipelines.claims.table import claims_table
from pipelines.config import ExperimentConfig
from pipelines.ingest import IngestedCohort

Maker = Callable[..., ad.AnnData]
RISING, FALLING = ("HAVCR2",), ("CXCL9", "CXCL10")
"""Planted: TIM-3 (+) rises with resistance, the Th1 chemokines (−) fall; B7-H3 has no part."""


def experiment(setting: str, **more: object) -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {
            "setting": setting,
            "cohorts": {"train": ["made"]},
            "model": {"registered_name": f"oncoresist-{setting}"},
            **more,
        }
    )


def planted(adata: ad.AnnData, outcome: np.ndarray, *, turn: float = 1.0) -> ad.AnnData:
    """Return the cohort with two markers tied to an outcome."""
    rng = np.random.default_rng(3)
    values = adata.to_df()
    for genes, way in ((RISING, turn), (FALLING, -turn)):
        for gene in genes:
            values[gene] = 4 + way * outcome + rng.normal(scale=0.5, size=len(outcome))
    adata.X = values.to_numpy()
    adata.obs["timepoint"] = "unstated"
    return adata


def of_patients(make: Maker, name: str, *, seed: int, n: int = 40, turn: float = 1.0):
    adata = make(n, seed=seed, name=name)
    adata = planted(adata, adata.obs["resistant"].to_numpy(), turn=turn)
    return IngestedCohort(adata, CohortReport((), ()), {})


def of_lines(make: Maker, *, groups: tuple[str, ...] = ("one", "two")) -> IngestedCohort:
    parts = []
    for group in groups:
        adata = make(40, seed=1, name="screen")
        number = np.random.default_rng(2).normal(size=40)
        adata = planted(adata, number)
        adata.obs = adata.obs.assign(
            sample_id=adata.obs["sample_id"] + f"|{group}",
            drug_group=group,
            resistance=number,
            resistant=(number > 0).astype(float),
            cell_line=True,
            cosmic_id="",
            drug="paclitaxel",
            cancer_type=np.where(np.arange(40) % 2, "lung", "skin"),
        )
        adata.obs_names = adata.obs["sample_id"].to_numpy()
        parts.append(adata)
    joined = ad.concat(parts)
    return IngestedCohort(joined, CohortReport((), ()), {})


def weighed(
    config: ExperimentConfig, cohorts: list[IngestedCohort], catalogue: Catalogue
) -> pd.DataFrame:
    return claims_table(config, cohorts, catalogue=catalogue, n_resamples=200)


def test_what_was_planted_is_found_by_its_sign(make_cohort: Maker, catalogue: Catalogue) -> None:
    cohorts = [of_patients(make_cohort, f"c{seed}", seed=seed) for seed in range(3)]
    table = weighed(experiment("ici"), cohorts, catalogue).set_index("feature")
    assert set(table["evidence"]) == {"3 cohorts pooled"}
    assert set(table["unit"]) == {"patients"}
    assert table.loc["tim3", ["sign", "verdict"]].tolist() == ["+", "holds"]
    assert table.loc["th1_chemokines", ["sign", "verdict"]].tolist() == ["-", "holds"]
    assert table.loc["tim3", "effect"] > 0.4 > 0 > table.loc["th1_chemokines", "effect"]
    assert table.loc["b7_h3", "verdict"] == "cannot be told"
    # Three of each cohort's patients have two samples: 37 patients a cohort.
    assert table.loc["tim3", ["cohorts", "n", "size"]].tolist() == [3, 111, 111]
    assert table.loc["abcb1", "verdict"] == "no sign"
    assert np.isnan(table.loc["abcb1", "q_value"])


def test_planted_the_other_way_the_signs_are_opposed(
    make_cohort: Maker, catalogue: Catalogue
) -> None:
    cohorts = [of_patients(make_cohort, f"c{seed}", seed=seed, turn=-1.0) for seed in range(2)]
    table = weighed(experiment("ici"), cohorts, catalogue).set_index("feature")
    assert table.loc[["tim3", "th1_chemokines"], "verdict"].tolist() == ["opposes", "opposes"]


def test_without_a_tie_few_more_signs_are_told_than_by_chance(
    make_cohort: Maker, catalogue: Catalogue
) -> None:
    told, tested = 0, 0
    for seed in range(12):
        adata = make_cohort(60, seed=seed, name="null")
        adata.obs["timepoint"] = "unstated"
        cohort = IngestedCohort(adata, CohortReport((), ()), {})
        table = weighed(experiment("ici"), [cohort], catalogue)
        signed = table[table["verdict"] != "no sign"]
        told += int(signed["verdict"].isin(["holds", "opposes"]).sum())
        tested += int(signed["effect"].notna().sum())
    assert tested > 400
    assert 0.02 < told / tested < 0.09


def test_every_signed_feature_has_a_row_with_its_sources(
    make_cohort: Maker, catalogue: Catalogue
) -> None:
    table = weighed(experiment("sclc"), [of_lines(make_cohort)], catalogue)
    signed = {name for name, sign in catalogue.signs("sclc").items() if sign}
    for _, part in table.groupby("evidence"):
        assert signed <= set(part["feature"])
    assert table["sources"].str.startswith("10.").all()


def test_drug_groups_stand_alone_and_know_their_drug(
    make_cohort: Maker, catalogue: Catalogue
) -> None:
    table = weighed(experiment("adc"), [of_lines(make_cohort)], catalogue)
    assert table["evidence"].unique().tolist() == ["screen/one", "screen/two"]
    assert set(table["drug"]) == {"paclitaxel"}
    one = table[table["evidence"] == "screen/one"].set_index("feature")
    assert one.loc["payload_efflux", "by_drug"]
    assert one.loc["abcb1", "sign"] == "+"  # it carries paclitaxel
    assert one.loc["abcg2", "sign"] == "·"
    assert one.loc["target_antigen", "verdict"] == "not measured"
    assert "binds no antigen" in one.loc["target_antigen", "note"]


def test_cell_lines_are_not_asked_about_cells_that_they_have_not(
    make_cohort: Maker, catalogue: Catalogue
) -> None:
    table = weighed(experiment("hcc"), [of_lines(make_cohort)], catalogue)
    one = table[table["evidence"] == "screen/one"].set_index("feature")
    compartments = {marker.id: marker.compartment for marker in catalogue.markers}
    apart = one["verdict"] == "not testable in cell lines"
    for feature, untested in apart.items():
        assert untested == (compartments[str(feature)] not in ("malignant", "any"))
    assert one.loc["tim3", ["verdict", "note"]].tolist() == [
        "not testable in cell lines",
        "placed in T cells",
    ]
    assert one.loc["th1_chemokines", "verdict"] == "holds"
    assert one.loc["th1_chemokines", "within_high"] < 0
    assert one.loc[apart, ["effect", "q_value"]].isna().all(axis=None)


def test_missing_genes_are_said_with_their_coverage(
    make_cohort: Maker, catalogue: Catalogue
) -> None:
    cohorts = [of_patients(make_cohort, f"c{seed}", seed=seed) for seed in range(2)]
    cut = [
        IngestedCohort(
            one.adata[:, ~one.adata.var_names.isin(["CXCL9", "CXCL10"])].copy(), one.report, {}
        )
        for one in cohorts
    ]
    everywhere = weighed(experiment("ici"), cut, catalogue).set_index("feature")
    assert everywhere.loc["th1_chemokines", "verdict"] == "not measured"
    assert everywhere.loc["th1_chemokines", ["coverage", "n", "cohorts"]].tolist() == [0, 0, 0]
    assert "at least 50% of its genes" in everywhere.loc["th1_chemokines", "note"]
    half = weighed(experiment("ici"), [cohorts[0], cut[1]], catalogue).set_index("feature")
    assert half.loc["th1_chemokines", "note"] == "not measured in 1 of 2 cohorts"
    assert half.loc["th1_chemokines", ["coverage", "cohorts", "verdict"]].tolist() == [
        0.5,
        1,
        "holds",
    ]


def test_small_groups_other_timepoints_and_samples_left_out_take_no_part(
    make_cohort: Maker, catalogue: Catalogue
) -> None:
    whole = of_patients(make_cohort, "whole", seed=0)
    whole.adata.obs.loc[whole.adata.obs_names[:10], "timepoint"] = "on_treatment"
    small = of_patients(make_cohort, "small", seed=1, n=14)
    config = experiment("ici", samples={"exclude": ["whole/whole_s39"]})
    assert too_small(config, [whole, small]) == {"small": 14}
    (evidence,) = evidence_of(config, [whole, small], catalogue=catalogue)
    assert (evidence.name, evidence.size) == ("whole", 29)


def test_a_sign_that_was_learned_on_the_cohort_is_no_claim(
    make_cohort: Maker, catalogue: Catalogue
) -> None:
    config = experiment("ici", features={"open_signs": ["tim3"]})
    table = weighed(config, [of_patients(make_cohort, "c", seed=0)], catalogue)
    assert table.set_index("feature").loc["tim3", "verdict"] == "no sign"


@pytest.mark.parametrize("seed", [0, 5])
def test_the_same_cohorts_give_the_same_table_in_any_order_of_samples(
    make_cohort: Maker, catalogue: Catalogue, seed: int
) -> None:
    cohort = of_patients(make_cohort, "c", seed=seed)
    order = np.random.default_rng(0).permutation(cohort.adata.n_obs)
    turned = IngestedCohort(cohort.adata[order].copy(), cohort.report, {})
    first, second = (weighed(experiment("ici"), [one], catalogue) for one in (cohort, turned))
    pd.testing.assert_series_equal(first["effect"], second["effect"])
    again = weighed(experiment("ici"), [cohort], catalogue)
    pd.testing.assert_frame_equal(first, again)
