"""Model and peers side by side: one table, one sentence."""

from types import SimpleNamespace
from typing import Any

import pytest

from models.metrics import Estimate
from pipelines.validation.headline import compare, headline_rows, verdict


def estimates(auroc: float, brier: float) -> dict[str, Estimate]:
    return {
        "auroc": Estimate(auroc, auroc - 0.1, auroc + 0.1, 0.05),
        "brier": Estimate(brier, brier - 0.02, brier + 0.02, 0.01),
        "ece": Estimate(0.05, 0.01, 0.09, 0.02),
        "first.auroc": Estimate(0.8, 0.7, 0.9, 0.05),
    }


def validations(arms: dict[str, str]) -> Any:
    return {
        arm: SimpleNamespace(
            estimates={
                f"loco{suffix}": estimates(0.61, 0.20),
                f"nested{suffix}": estimates(0.66, 0.19),
                f"tumour_type{suffix}": estimates(0.58, 0.21),
                f"baseline.gep_18.loco{suffix}": estimates(0.59, 0.22),
                f"baseline.impres.loco{suffix}": estimates(0.63, 0.23),
                f"baseline.prior.loco{suffix}": estimates(0.5, 0.21),
            }
        )
        for arm, suffix in arms.items()
    }


@pytest.fixture
def both() -> Any:
    return compare(validations({"cohort": "", "reference": "_reference"}))


def test_every_estimate_is_a_row_with_its_predictor_scheme_and_cohort(both: Any) -> None:
    assert len(both) == 2 * 6 * 4
    assert set(both["scheme"]) == {"loco", "nested", "tumour_type"}
    model = both[(both["predictor"] == "model") & (both["scheme"] == "nested")]
    assert set(zip(model["metric"], model["cohort"], strict=True)) == {
        ("auroc", "mean"),
        ("brier", "pooled"),
        ("ece", "pooled"),
        ("auroc", "first"),
    }
    peer = both[(both["predictor"] == "gep_18") & (both["standardisation"] == "reference")]
    assert set(peer["scheme"]) == {"loco"}
    assert peer.set_index(["metric", "cohort"])["value"]["auroc", "mean"] == 0.59


def test_the_verdict_names_the_best_peer_and_the_prior(both: Any) -> None:
    assert verdict(both) == (
        "Cohorts held out, cohort-relative: the model's AUROC is 0.610, that of the best peer "
        "0.630 (IMPRES); its Brier score is 0.200, that of the class prior 0.210."
    )


def test_rows_hold_both_standardisations_and_a_dash_where_one_is_not_validated(both: Any) -> None:
    rows = headline_rows(both)
    assert [row[0] for row in rows] == ["model", "gep_18", "impres", "prior"]
    assert rows[0][1:] == ["0.610 (0.510 to 0.710)", "0.200", "0.050"] * 2
    alone = headline_rows(compare(validations({"cohort": ""})))
    assert alone[0][1:] == ["0.610 (0.510 to 0.710)", "0.200", "0.050", "–", "–", "–"]
