import json
import zipfile
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from features.errors import CohortError, ModelError
from features.fingerprint import find_duplicates, fingerprint
from features.profile import rank_profile
from features.transformer import MarkerFeatures
from models.calibration import (
    BetaCalibrator,
    IsotonicCalibrator,
    PlattCalibrator,
    ShiftedCalibrator,
)
from models.candidates import AveragedModels, FeatureModel, resistance_score
from models.classifier import ResistanceClassifier
from models.conformal import ConformalSets
from models.linear import SignedLogisticRegression
from models.resistance_model import ModelArm, ResistanceModel

ARMS = ("cohort", "reference")
SIGNS = {"b2m": -1}
TREES = ResistanceClassifier(
    n_estimators=10, n_seeds=2, min_child_samples=5, subsample=0.8, monotone_constraints=SIGNS
)
LINE = SignedLogisticRegression(alpha=0.05, signs=SIGNS)


@pytest.fixture(scope="module")
def model_and_cohort(
    make_cohort, catalogue, train_small_model
) -> tuple[ResistanceModel, ad.AnnData]:
    """A small model and the cohort it was trained on; nobody changes them."""
    cohort = make_cohort(60)
    facts = {"training_cohorts": ["x"]}
    return train_small_model(cohort, catalogue, setting="ici", facts=facts), cohort


def family_of(family: str, names: list[str]):
    whole = FeatureModel(TREES, names)
    line = FeatureModel(LINE, tuple(names), weigh_cohorts=True)
    return {
        "boosted": whole,
        "linear": line,
        "bare boosted": TREES,
        "bare linear": LINE,
        "average": AveragedModels([line, whole]),
    }[family]


def calibrator_of(calibration: str, scores, y):
    if calibration == "shifted":
        return ShiftedCalibrator(IsotonicCalibrator().fit(scores, y), delta=np.float64(0.7))
    kinds = {"platt": PlattCalibrator, "beta": BetaCalibrator, "isotonic": IsotonicCalibrator}
    return kinds[calibration]().fit(scores, y)


def with_parts(
    model: ResistanceModel, cohort: ad.AnnData, *, family: str, calibration: str
) -> ResistanceModel:
    """Return the model with a classifier and a calibrator of some kind in both arms."""
    features = model.transformer.transform(cohort)
    y = cohort.obs["resistant"].astype(int)
    arms = {}
    for name in ARMS:
        X = model.standardise(features, standardisation=name)
        classifier = family_of(family, model.feature_names).fit(X, y)
        scores = resistance_score(classifier, X)
        calibrator = calibrator_of(calibration, scores, y)
        sets = ConformalSets(coverage=0.8).fit(scores, y)
        arms[name] = ModelArm(classifier, calibrator, sets, model.arm(name).standardiser, 0.4)
    return replace(model, arms=arms)


def assert_no_pickle(folder: Path) -> None:
    """Every file is text, or a zip of text and plain arrays."""
    for file in folder.iterdir():
        if file.suffix == ".json":
            json.loads(file.read_text(encoding="utf-8"))
            continue
        assert file.suffix == ".skops"
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                assert Path(name).suffix in {".json", ".npy"}, name
                if name.endswith(".npy"):
                    with archive.open(name) as array:
                        np.lib.format.read_array(array, allow_pickle=False)


@pytest.mark.parametrize(
    ("family", "calibration"),
    [
        ("boosted", "platt"),
        ("linear", "beta"),
        ("average", "isotonic"),
        ("average", "shifted"),
        ("bare boosted", "shifted"),
        ("bare linear", "platt"),
    ],
)
def test_a_saved_model_is_the_same_and_holds_no_pickle(
    model_and_cohort, tmp_path, family, calibration
):
    model, cohort = model_and_cohort
    model = with_parts(model, cohort, family=family, calibration=calibration)
    model.save(tmp_path / "model")
    assert_no_pickle(tmp_path / "model")
    loaded = ResistanceModel.load(tmp_path / "model")
    features = model.transformer.transform(cohort)
    pd.testing.assert_frame_equal(loaded.transformer.transform(cohort), features)
    for arm in ARMS:
        pd.testing.assert_frame_equal(
            loaded.predict(features, standardisation=arm),
            model.predict(features, standardisation=arm),
            check_exact=True,
        )
        first, second = (one.explain(features, standardisation=arm) for one in (model, loaded))
        pd.testing.assert_frame_equal(first.values, second.values, check_exact=True)
        pd.testing.assert_series_equal(first.base_value, second.base_value, check_exact=True)
        assert loaded.arm(arm).calibrator.method == model.arm(arm).calibrator.method
        assert loaded.arm(arm).sets.n_calibration_ == model.arm(arm).sets.n_calibration_
        assert loaded.arm(arm).threshold == 0.4
    assert loaded.catalogue.content_hash() == model.catalogue.content_hash()
    assert loaded.facts == model.facts


def test_a_saved_model_remembers_what_its_training_samples_looked_like(
    model_and_cohort, make_cohort, tmp_path
):
    model, cohort = model_and_cohort
    model.save(tmp_path / "model")
    loaded = ResistanceModel.load(tmp_path / "model").training
    new = make_cohort(20, seed=9, name="new")
    features = model.transformer.transform(new)
    profiles = rank_profile(new, background=model.transformer.background_)
    pd.testing.assert_frame_equal(
        loaded.shift.measure(profiles, features),
        model.training.shift.measure(profiles, features),
        check_exact=True,
    )
    pd.testing.assert_frame_equal(
        loaded.drift.table(features), model.training.drift.table(features), check_exact=True
    )
    again = cohort[[4, 11]].copy()
    again.X = again.X * 2.0
    again.obs_names = ["one", "two"]
    known = find_duplicates(fingerprint(again), loaded.fingerprints)
    assert dict(zip(known["sample"], known["other"], strict=True)) == {
        "one": "synthetic_s4",
        "two": "synthetic_s11",
    }
    np.testing.assert_array_equal(loaded.fingerprints.bits, model.training.fingerprints.bits)
    assert loaded.genes == model.training.genes
    assert find_duplicates(fingerprint(new), loaded.fingerprints).empty


def test_a_prediction_is_the_calibrated_score_with_its_set(model_and_cohort):
    model, cohort = model_and_cohort
    model = with_parts(model, cohort, family="average", calibration="beta")
    features = model.transformer.transform(cohort)
    for name in ARMS:
        found = model.predict(features, standardisation=name)
        assert list(found.columns) == ["log_odds", "probability", "in_responsive", "in_resistant"]
        assert found.index.equals(features.index)
        arm = model.arm(name)
        X = model.standardise(features, standardisation=name)
        np.testing.assert_array_equal(found["log_odds"], resistance_score(arm.classifier, X))
        np.testing.assert_array_equal(
            found["probability"], arm.calibrator.predict(found["log_odds"])
        )
        np.testing.assert_array_equal(
            found[["in_responsive", "in_resistant"]], arm.sets.predict_set(found["log_odds"])
        )


def test_each_cohort_of_a_batch_is_its_own_reference(model_and_cohort, make_cohort):
    model, cohort = model_and_cohort
    other = make_cohort(20, seed=3, name="other")
    tables = [model.transformer.transform(one) for one in (cohort, other)]
    cohorts = pd.concat([one.obs["cohort"] for one in (cohort, other)])
    batch = model.predict(pd.concat(tables), standardisation="cohort", cohorts=cohorts)
    for table in tables:
        alone = model.predict(table, standardisation="cohort")
        pd.testing.assert_frame_equal(batch.loc[table.index], alone)


@pytest.mark.parametrize("kind", ["rank", "mean_z"])
def test_a_saved_model_remembers_setting_coverage_and_kind_of_score(
    model_and_cohort, make_cohort, tmp_path, kind
):
    model, _ = model_and_cohort
    cohort = make_cohort(20)
    cohort.obs["drug"] = ["T-DM1", "unheard of"] * 10
    transformer = MarkerFeatures(model.catalogue, 0.7, "adc", kind).fit(cohort)
    other = replace(model, setting="adc", transformer=transformer)
    other.save(tmp_path / "model")
    loaded = ResistanceModel.load(tmp_path / "model")
    assert loaded.setting == "adc"
    assert loaded.feature_names == [m.id for m in model.catalogue.markers_of("adc")]
    found = {**loaded.transformer.get_params(), "catalogue": None}
    assert found == {**transformer.get_params(), "catalogue": None}
    assert loaded.transformer.background_ == transformer.background_
    pd.testing.assert_frame_equal(
        loaded.transformer.transform(cohort), transformer.transform(cohort), check_exact=True
    )


@pytest.mark.parametrize("earlier", [1, 4])
def test_a_model_of_an_earlier_format_is_refused_with_the_mend(model_and_cohort, tmp_path, earlier):
    model, _ = model_and_cohort
    model.save(tmp_path)
    file = tmp_path / "model.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**description, "format_version": earlier}), encoding="utf-8")
    message = rf"model format {earlier} in .*reads format 5: train the model again"
    with pytest.raises(ModelError, match=message):
        ResistanceModel.load(tmp_path)


def test_one_sample_alone_is_scored_as_in_its_batch(model_and_cohort):
    model, cohort = model_and_cohort
    batch = model.predict(model.transformer.transform(cohort), standardisation="reference")
    for position in (0, 7, 59):
        alone = model.transformer.transform(cohort[[position]].copy())
        found = model.predict(alone, standardisation="reference")
        pd.testing.assert_frame_equal(found, batch.iloc[[position]], check_exact=True)


def test_attributions_explain_the_probability(model_and_cohort):
    model, cohort = model_and_cohort
    features = model.transformer.transform(cohort)
    for arm in ARMS:
        found = model.explain(features, standardisation=arm)
        predicted = model.predict(features, standardisation=arm)
        probability, known = predicted["probability"], predicted["log_odds"]
        again = model.explain(features, standardisation=arm, log_odds=known)
        pd.testing.assert_frame_equal(again.values, found.values)
        total = found.values.sum(axis=1) + found.base_value
        np.testing.assert_allclose(expit(total), probability, atol=1e-9)


def test_interactions_sum_to_the_attributions_before_calibration(model_and_cohort):
    model, cohort = model_and_cohort
    features = model.transformer.transform(cohort)[:20]
    found = model.interactions(features, standardisation="cohort")
    values = model.explain(features, standardisation="cohort").values
    slope = model.arms["cohort"].calibrator.slope_
    np.testing.assert_allclose(slope * found.sum(axis=2), values, atol=1e-9)


def test_small_cohorts_missing_columns_and_unknown_words_are_refused(model_and_cohort, tmp_path):
    model, cohort = model_and_cohort
    features = model.transformer.transform(cohort)
    with pytest.raises(CohortError, match=r"has 5 samples.*needs 15: use the reference-relative"):
        model.predict(features.iloc[:5], standardisation="cohort")
    with pytest.raises(ModelError, match=r"lacks 1 columns \(b2m\)"):
        model.predict(features.drop(columns="b2m"), standardisation="reference")
    with pytest.raises(ModelError, match="allowed: cohort, reference"):
        model.arm("batch")
    with pytest.raises(ModelError, match="no OncoResist model in"):
        ResistanceModel.load(tmp_path)
