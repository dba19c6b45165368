"""Figures of drug screens: every group, predictor and gene stands there with its figures."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipelines.figures.screens import (
    gene_drug_forest,
    observed_and_predicted,
    screen_forest,
    transfer_forest,
)


def labels(figure: Figure) -> list[str]:
    return [tick.get_text() for tick in figure.axes[0].get_yticklabels()]


def drawn(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=50)
    return buffer.getvalue()


@pytest.fixture
def screens() -> pd.DataFrame:
    rows = [
        (cohort, group, n, predictor, metric, value)
        for cohort, group, n in (("nci", "top1", 58), ("nci", "tubulin", 57), ("patients", "", 65))
        for predictor, value in (("model", 0.4), ("tissue_mean", 0.2), ("classifier", np.nan))
        for metric in ("spearman", "auroc")
    ]
    columns = ["cohort", "drug_group", "n", "predictor", "metric", "value"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(low=table["value"] - 0.1, high=table["value"] + 0.1)


def test_a_forest_shows_each_group_by_predictor_and_leaves_out_what_has_no_figure(screens):
    figure = screen_forest(screens, metric="spearman", title="Rank", note="Spearman")
    assert labels(figure) == [
        *("Nci top1: model (58)", "Nci top1: tissue mean (58)"),
        *("Nci tubulin: model (57)", "Nci tubulin: tissue mean (57)"),
        *("Patients: model (65)", "Patients: tissue mean (65)"),
    ]
    assert figure.axes[0].texts[0].get_text() == "0.40 (0.30 to 0.50)"
    assert figure.axes[0].get_xlabel() == "Spearman"
    assert drawn(figure)


@pytest.mark.parametrize(("metric", "reference"), [("spearman", 0.0), ("auroc", 0.5)])
def test_the_dashed_line_stands_at_chance(screens, metric, reference):
    axes = screen_forest(screens, metric=metric, title="t", note="n").axes[0]
    upright = [set(line.get_xdata()) for line in axes.lines]
    assert {reference} in upright


def test_transfers_are_named_by_what_was_learned_and_asked():
    rows = [
        ("nci/top1", "cgp/cpt", 200, "spearman", 0.3),
        ("nci/top1", "cgp/cpt", 200, "within_tissue_spearman", -0.1),
        ("nci/top1", "cgp/cpt", 200, "rmse", 1.0),
        ("nci/top1", "patients", 9, "within_tissue_spearman", np.nan),
    ]
    table = pd.DataFrame(rows, columns=["train", "test", "n_test", "metric", "value"])
    figure = transfer_forest(table.assign(low=-0.2, high=0.4), title="Transfer")
    assert labels(figure) == [
        "Cgp/cpt: by nci/top1 (200)",
        "Cgp/cpt: in tissues, by nci/top1 (200)",
    ]
    assert figure.axes[0].texts[1].get_text() == "−0.10 (−0.20 to 0.40)"
    assert drawn(transfer_forest(table.iloc[3:].assign(low=0, high=0), title="Nothing"))


def test_a_gene_is_held_against_every_drug_that_it_was_measured_with():
    table = pd.DataFrame(
        {
            "cohort": "nci",
            "drug_group": "tubulin",
            "drug": ["Paclitaxel", "Maytansine", "Paclitaxel", "Vinorelbine"],
            "gene": ["ABCB1", "ABCB1", "TOP1", "ABCB1"],
            "n": [58, 57, 58, 0],
            "rho": [0.3, -0.1, 0.0, np.nan],
            "low": [0.1, -0.3, -0.2, np.nan],
            "high": [0.5, 0.1, 0.2, np.nan],
        }
    )
    figure = gene_drug_forest(table, gene="ABCB1", title="ABCB1")
    assert labels(figure) == ["Nci tubulin: Paclitaxel (58)", "Nci tubulin: Maytansine (57)"]
    assert "Spearman of ABCB1" in figure.axes[0].get_xlabel()
    assert drawn(figure)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_each_group_has_a_panel_of_its_first_repeat(count):
    rng = np.random.default_rng(0)
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "cohort": "nci",
                    "drug_group": f"group_{i}",
                    "resistance": rng.normal(size=20),
                    "predicted": rng.normal(size=20),
                    "repeat": np.repeat([0, 1], 10),
                }
            )
            for i in range(count)
        ]
    )
    table.iloc[0, 3] = np.nan
    figure = observed_and_predicted(table, title="Observed and predicted")
    assert len(figure.axes) == count
    assert len(figure.axes[0].collections[0].get_offsets()) == 9
    assert figure.axes[0].get_title(loc="left").endswith("nci")
    assert drawn(figure)
