"""The cell-level model: what it finds, what it does not depend on, what it refuses."""

import numpy as np
import pandas as pd
import pytest
import skops.io
from lightgbm import LGBMClassifier
from scipy.special import logit

from features.errors import CohortError, ConfigError, ModelError
from models.cell_model import CellModel, aggregate_cells, fit_cell_model
from models.cell_table import CellTable
from models.weights import sample_weights
from tests.lightgbm_reference import reference_of

FAST = {"n_estimators": 60, "n_seeds": 1, "colsample_bytree": 1.0, "learning_rate": 0.1}


def simulated(
    *, n_patients: int = 24, cells: int = 40, shift: float = 2.0, seed: int = 0
) -> tuple[CellTable, pd.DataFrame]:
    """Return lesions whose T cells, and only these, carry the gene where they resist."""
    rng = np.random.default_rng(seed)
    lesions = pd.DataFrame(
        {
            "cohort": "c",
            "patient_id": [f"p{i}" for i in range(n_patients)],
            "resistant": [float(i % 2) for i in range(n_patients)],
        },
        index=[f"l{i:02d}" for i in range(n_patients)],
    )
    names = np.repeat(lesions.index.to_numpy(), cells)
    index = pd.Index([f"{name}_{i}" for i, name in enumerate(names)], name="cell")
    features = pd.DataFrame(rng.normal(size=(len(names), 4)), index=index)
    features.columns = pd.Index(["gene", "is_t", "noise", "patchy"])
    features["is_t"] = (np.arange(len(names)) % 2).astype(float)
    resists = np.repeat(lesions["resistant"].to_numpy(), cells)
    features["gene"] += shift * features["is_t"] * resists
    features.loc[rng.random(len(names)) < 0.3, "patchy"] = np.nan
    return CellTable(features.astype(np.float32), pd.Series(names, index=index)), lesions


@pytest.fixture(scope="module")
def fitted() -> tuple[CellTable, pd.DataFrame, CellModel]:
    table, lesions = simulated()
    return table, lesions, fit_cell_model(table, lesions, settings=FAST)


def test_a_gene_planted_in_one_compartment_is_found_in_its_cells_alone(fitted):
    table, lesions, model = fitted
    scores = model.predict(table.features)
    assert ((scores > 0) & (scores < 1)).all()
    resists = table.samples.map(lesions["resistant"]) == 1
    is_t = table.features["is_t"] == 1
    gain = [scores[resists & of].mean() - scores[~resists & of].mean() for of in (is_t, ~is_t)]
    assert gain[0] > 0.3 > 3 * abs(gain[1])
    found = model.explain(table.features)
    mean = found.values.abs().mean()
    assert mean.idxmax() == "gene"
    assert found.values.loc[is_t, "gene"].abs().mean() > mean["noise"] * 3
    np.testing.assert_allclose(found.log_odds, model.log_odds(table.features), atol=1e-9)


def test_a_lesions_score_is_the_mean_log_odds_of_its_cells(fitted):
    table, lesions, model = fitted
    scores = model.predict(table.features)
    found = model.aggregate(scores, table.samples)
    by_hand = logit(scores[table.samples == "l03"]).mean()
    assert found["l03"] == pytest.approx(by_hand, abs=1e-9)
    assert found[lesions["resistant"] == 1].min() > found[lesions["resistant"] == 0].max()


def test_a_lesion_without_cells_has_no_score(fitted):
    table, _, model = fitted
    names = pd.Index(["l01", "empty"])
    found = aggregate_cells(model.predict(table.features), table.samples, lesions=names)
    assert np.isfinite(found["l01"])
    assert np.isnan(found["empty"])


def test_a_certain_cell_leaves_the_lesions_score_finite():
    found = aggregate_cells(pd.Series([1.0, 0.0, np.nan]), pd.Series(["a", "a", "a"]))
    assert found["a"] == pytest.approx(0.0, abs=1e-3)


def test_the_order_of_the_cells_and_lesions_is_nothing(fitted):
    table, lesions, model = fitted
    order = np.random.default_rng(1).permutation(len(table.samples))
    mixed = CellTable(table.features.iloc[order], table.samples.iloc[order])
    other = fit_cell_model(mixed, lesions.iloc[::-1], settings=FAST)
    pd.testing.assert_series_equal(
        other.predict(mixed.features).sort_index(), model.predict(table.features).sort_index()
    )


def test_which_cells_are_drawn_hangs_on_the_lesion_alone(fitted):
    table, _, _ = fitted
    ids = table.features.index
    alone = ids[table.positions(["l05"], max_cells=7, seed=3)]
    among = ids[table.positions(["l04", "l05", "l06"], max_cells=7, seed=3)]
    part = table.samples.isin(["l05", "l09"])
    smaller = CellTable(table.features[part][::-1], table.samples[part][::-1])
    elsewhere = smaller.features.index[smaller.positions(["l05"], max_cells=7, seed=3)]
    assert len(alone) == 7
    assert list(alone) == [cell for cell in among if cell.startswith("l05")] == list(elsewhere)
    assert list(alone) != list(ids[table.positions(["l05"], max_cells=7, seed=4)])
    assert len(table.positions(["l05"], max_cells=4000)) == 40


def test_standardisation_is_learned_on_training_cells_and_weighs_lesions_the_same():
    table, lesions = simulated(n_patients=4, cells=30)
    few = table.samples.groupby(table.samples).cumcount() < 10
    kept = (table.samples != "l00") | few  # l00 has a third of the cells of the others
    part = CellTable(table.features[kept], table.samples[kept])
    model = fit_cell_model(part, lesions.iloc[:3], settings=FAST)
    training = part.samples.isin(["l00", "l01", "l02"])
    values = part.features.loc[training, "gene"].astype(float)
    by_hand = values.groupby(part.samples[training]).mean().mean()
    assert model.centre[0] == pytest.approx(by_hand, abs=1e-6)
    again = fit_cell_model(
        CellTable(part.features.where(training, part.features + 50), part.samples),
        lesions.iloc[:3],
        settings=FAST,
    )
    np.testing.assert_array_equal(again.centre, model.centre)
    np.testing.assert_array_equal(again.scale, model.scale)


def test_features_never_measured_or_constant_change_no_prediction(fitted):
    table, lesions, model = fitted
    wider = table.features.assign(never=np.float32(np.nan), constant=np.float32(0.1))
    other = fit_cell_model(CellTable(wider, table.samples), lesions, settings=FAST)
    np.testing.assert_array_equal(other.scale[-2:], [1.0, 1.0])
    np.testing.assert_allclose(other.predict(wider), model.predict(table.features), atol=1e-9)


def test_patients_weigh_the_same_and_so_do_their_lesions():
    table, lesions = simulated(n_patients=6, cells=20)
    paired = lesions.assign(patient_id=["p0", "p1", "p0", "p3", "p4", "p5"])
    model = fit_cell_model(table, paired, settings=FAST)
    cells = table.positions(list(lesions.index))
    names = table.samples.iloc[cells]
    weights = sample_weights(len(cells), groups=names, cohorts=names.map(paired["patient_id"]))
    total = pd.Series(weights).groupby(names.to_numpy()).sum()
    assert total["l00"] == pytest.approx(total["l02"]) == pytest.approx(total["l01"] / 2)
    expected = model.standardise(table.features.iloc[cells])
    labels = names.map(lesions["resistant"]).astype(int)
    trees = model.classifier.estimator_
    by_hand = reference_of(LGBMClassifier, trees, constraints=[0] * 4).fit(
        expected.to_numpy(float), labels, sample_weight=weights
    )
    np.testing.assert_array_equal(
        trees.decision_function(expected), by_hand.predict(expected.to_numpy(float), raw_score=True)
    )


def test_signs_are_held(fitted):
    table, lesions, _ = fitted
    model = fit_cell_model(table, lesions, settings=FAST, signs={"gene": -1, "not_here": 1})
    row = table.features.iloc[[1] * 30].assign(gene=np.linspace(-3, 3, 30, dtype=np.float32))
    row.index = pd.RangeIndex(30)
    assert (np.diff(model.log_odds(row)) <= 0).all()


def test_labels_of_cells_are_learned_with_a_lesion_for_each_cell():
    table, lesions = simulated(n_patients=10)
    each = pd.Series(table.features.index, index=table.features.index)
    rows = lesions.loc[table.samples].set_index(table.features.index)
    model = fit_cell_model(CellTable(table.features, each), rows, settings=FAST, max_cells=1)
    scores = model.aggregate(model.predict(table.features), each)
    resists = rows["resistant"] == 1
    assert scores[resists[resists].index].mean() > scores[resists[~resists].index].mean() + 0.3


def test_cells_without_a_known_lesion_and_lesions_without_a_label_take_no_part(fitted):
    table, lesions, model = fitted
    unlabelled = lesions.assign(resistant=lesions["resistant"].where(lesions.index != "l02"))
    names = table.samples.where(table.samples != "l03").replace("l04", "elsewhere")
    other = fit_cell_model(CellTable(table.features, names), unlabelled, settings=FAST)
    fewer = lesions.drop(index=["l02", "l03", "l04"])
    same = fit_cell_model(table, fewer, settings=FAST)
    pd.testing.assert_series_equal(other.predict(table.features), same.predict(table.features))
    assert not other.predict(table.features).equals(model.predict(table.features))


def test_the_parts_survive_saving_without_pickle(fitted, tmp_path):
    table, _, model = fitted
    skops.io.dump(model.to_parts(), tmp_path / "cells.skops")
    trusted = skops.io.get_untrusted_types(file=tmp_path / "cells.skops")
    loaded = CellModel.from_parts(skops.io.load(tmp_path / "cells.skops", trusted=trusted))
    pd.testing.assert_series_equal(loaded.predict(table.features), model.predict(table.features))
    assert loaded.max_cells == model.max_cells
    with pytest.raises(ModelError, match="lacks scale; train the model again"):
        CellModel.from_parts({k: v for k, v in model.to_parts().items() if k != "scale"})
    with pytest.raises(ModelError, match="4 features, 4 centres and 1 scales"):
        CellModel.from_parts({**model.to_parts(), "scale": [1.0]})


def test_what_is_wrong_with_cells_is_said():
    table, _ = simulated(n_patients=2, cells=3)
    twice = pd.Index(["a", "a", "b", "c", "d", "e"])
    with pytest.raises(CohortError, match=r"1 cell ids occur more than once \(a\)"):
        CellTable(table.features.set_index(twice), table.samples.set_axis(twice))
    with pytest.raises(CohortError, match="not have the same cell ids in the same order"):
        CellTable(table.features, table.samples[::-1])
    with pytest.raises(CohortError, match=r"2 cell features are not finite numbers \(gene, noise"):
        CellTable(table.features.assign(gene=np.inf, noise="high"), table.samples)


def test_what_is_wrong_with_lesions_and_settings_is_said(fitted):
    table, lesions, model = fitted
    with pytest.raises(CohortError, match="lacks cohort; it has patient_id, resistant"):
        fit_cell_model(table, lesions.drop(columns="cohort"), settings=FAST)
    with pytest.raises(CohortError, match="lesions l00 occur more than once"):
        fit_cell_model(table, pd.concat([lesions, lesions.iloc[:1]]), settings=FAST)
    with pytest.raises(CohortError, match=r"resistant holds 2\.0; allowed"):
        fit_cell_model(table, lesions.assign(resistant=2.0), settings=FAST)
    with pytest.raises(ConfigError, match="no settings depth, n_jobs; allowed: colsample"):
        fit_cell_model(table, lesions, settings={"depth": 3, "n_jobs": 2})
    with pytest.raises(ConfigError, match="max_cells of the cell-level model is 0; at least 1"):
        fit_cell_model(table, lesions, settings=FAST, max_cells=0)
    with pytest.raises(
        ModelError, match=r"0 of 24 lesions have both a label and cells, .* 0 class"
    ):
        fit_cell_model(table, lesions.add_prefix("x", axis=0), settings=FAST)
    with pytest.raises(ModelError, match=r"lacks 1 columns of the cell-level model \(gene\)"):
        model.predict(table.features.drop(columns="gene"))
