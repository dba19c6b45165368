"""Cells and lesions out of fold: no patient on both sides, no signal where there is none."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from features.errors import CohortError
from models.cell_model import fit_cell_model
from models.cell_table import CellTable
from models.cell_validation import predict_cells_out_of_fold
from models.learner import shuffle_labels
from models.splits import Split, grouped_splits

FAST = {"n_estimators": 30, "n_seeds": 1, "colsample_bytree": 1.0, "learning_rate": 0.1}


def simulated(
    n_patients: int = 20, *, cells: int = 25, alike: float = 0.0
) -> tuple[CellTable, pd.DataFrame]:
    """Return two lesions a patient; half the cells of a resistant patient carry the gene.

    ``alike`` is how much a patient's cells share: what a split by cell would learn by heart.
    """
    rng = np.random.default_rng(0)
    patients = np.repeat([f"p{i}" for i in range(n_patients)], 2)
    labels = np.repeat([float(i % 2) for i in range(n_patients)], 2)
    lesions = pd.DataFrame(
        {"cohort": "c", "patient_id": patients, "resistant": labels},
        index=[f"l{i:02d}" for i in range(2 * n_patients)],
    )
    names = np.repeat(lesions.index.to_numpy(), cells)
    index = pd.Index([f"cell{i}" for i in range(len(names))])
    features = pd.DataFrame(
        rng.normal(size=(len(names), 3)), index=index, columns=["gene", "noise", "patient"]
    )
    features["patient"] += alike * np.repeat(rng.normal(size=n_patients), 2 * cells)
    features["gene"] += 1.5 * np.repeat(labels, cells) * (np.arange(len(names)) % 2)
    return CellTable(features.astype(np.float32), pd.Series(names, index=index)), lesions


@pytest.fixture(scope="module")
def found():
    table, lesions = simulated()
    lesions.loc["empty"] = ["c", "p_empty", 1.0]
    lesions.loc["l00", "resistant"] = np.nan
    splits = [
        # l00 has no label: it is only tested, beside its patient's other lesion.
        Split(split.name, split.train, np.append(split.test, 0)) if 1 in split.test else split
        for split in grouped_splits(lesions, n_splits=3, n_repeats=2, seed=0)
    ]
    return (
        table,
        lesions,
        splits,
        predict_cells_out_of_fold(
            table, lesions, splits=splits, settings=FAST, explained_cells=10, max_cells=20
        ),
    )


def test_every_lesion_and_cell_is_scored_once_a_repeat(found):
    table, lesions, splits, out = found
    assert list(out.lesions.columns) == [
        *("cohort", "patient_id", "resistant", "split", "score", "probability", "prior"),
        "n_cells",
    ]
    assert (out.lesions.index.value_counts() == 2).all()
    assert set(out.lesions.index) == set(lesions.index)
    assert (out.cells.index.value_counts() == 2).all()
    assert len(out.cells) == 2 * len(table.samples)
    assert list(out.importance.index) == [split.name for split in splits]
    np.testing.assert_allclose(out.cells["score"], expit(out.cells["log_odds"]))


def test_the_planted_gene_ranks_lesions_and_leads_the_importance(found):
    _, _, _, out = found
    known = out.lesions.dropna(subset=["resistant", "score"])
    assert roc_auc_score(known["resistant"], known["score"]) > 0.9
    assert out.importance.mean().idxmax() == "gene"
    assert len(out.attributions.values) == 2 * 40 * 10


def test_a_lesion_without_cells_has_neither_score_nor_probability(found):
    _, _, _, out = found
    rows = out.lesions.loc[["empty"]]
    assert rows[["score", "probability"]].isna().all().all()
    assert (rows["n_cells"] == 0).all()
    assert out.lesions["score"].notna().sum() == 2 * 40


def test_a_lesions_score_is_that_of_a_model_fitted_on_the_training_part_alone(found):
    table, lesions, splits, out = found
    split = splits[1]
    model = fit_cell_model(table, lesions.iloc[split.train], settings=FAST, max_cells=20)
    rows = out.lesions[out.lesions["split"] == split.name]
    name = rows.index[rows["n_cells"] > 0][0]
    scores = model.predict(table.features[table.samples == name])
    assert rows.loc[name, "score"] == pytest.approx(logit(scores).mean(), abs=1e-9)
    assert rows.loc[name, "prior"] == lesions["resistant"].iloc[split.train].mean()


def test_a_cells_score_over_the_repeats_is_that_of_its_mean_log_odds(found):
    table, _, _, out = found
    scores = out.cell_scores()
    assert len(scores) == len(table.samples)
    twice = out.cells.loc[["cell30"], "log_odds"]
    assert len(twice) == 2
    assert scores["cell30"] == pytest.approx(expit(twice.mean()))


def test_uncalibrated_probabilities_give_the_base_rate_back():
    table, lesions = simulated(8)
    splits = grouped_splits(lesions, n_splits=2, n_repeats=1, seed=0)
    out = predict_cells_out_of_fold(table, lesions, splits=splits, settings=FAST, calibrate=False)
    expected = expit(out.lesions["score"] + logit(out.lesions["prior"]))
    np.testing.assert_allclose(out.lesions["probability"], expected, atol=1e-9)
    assert out.attributions is None
    assert out.importance.shape == (2, 0)


@pytest.mark.slow
def test_permuted_labels_rank_lesions_no_better_than_chance():
    table, lesions = simulated(24, cells=10, alike=5.0)
    patients = lesions.drop_duplicates("patient_id").set_index("patient_id")
    rng = np.random.default_rng(5)
    found = []
    for _ in range(12):
        labels = shuffle_labels(patients.assign(patient_id=patients.index), rng=rng)["resistant"]
        null = lesions.assign(resistant=lesions["patient_id"].map(labels))
        splits = grouped_splits(null, n_splits=3, n_repeats=1, seed=0)
        out = predict_cells_out_of_fold(
            table, null, splits=splits, settings=FAST, calibrate=False
        ).lesions
        found.append(roc_auc_score(out["resistant"], out["score"]))
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_a_patient_on_both_sides_is_refused():
    table, lesions = simulated(4)
    split = Split("by lesion", np.arange(0, 8, 2), np.arange(1, 8, 2))
    with pytest.raises(CohortError, match="'by lesion' has 4 patients on both sides: c/p0"):
        predict_cells_out_of_fold(table, lesions, splits=[split], settings=FAST)


def test_labels_of_held_out_lesions_change_no_score():
    table, lesions = simulated(8)
    splits = grouped_splits(lesions, n_splits=2, n_repeats=1, seed=0)[:1]
    other = lesions.copy()
    other.iloc[splits[0].test, 2] = 1.0 - other.iloc[splits[0].test, 2]
    first, second = (
        predict_cells_out_of_fold(table, rows, splits=splits, settings=FAST).lesions
        for rows in (lesions, other)
    )
    pd.testing.assert_series_equal(first["score"], second["score"])
    pd.testing.assert_series_equal(first["probability"], second["probability"])
