import json
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.errors import CohortError, ModelError
from features.transformer import MarkerFeatures
from models.resistance_model import ResistanceModel


@pytest.fixture
def model_and_cohort(
    make_cohort, catalogue, train_small_model
) -> tuple[ResistanceModel, ad.AnnData]:
    cohort = make_cohort(60)
    facts = {"training_cohorts": ["x"]}
    return train_small_model(cohort, catalogue, setting="ici", facts=facts), cohort


def test_a_saved_model_is_the_same_and_holds_no_pickle(model_and_cohort, tmp_path):
    model, cohort = model_and_cohort
    model.save(tmp_path / "model")
    loaded = ResistanceModel.load(tmp_path / "model")
    features = model.transformer.transform(cohort)
    pd.testing.assert_frame_equal(loaded.transformer.transform(cohort), features)
    for arm in ("cohort", "reference"):
        np.testing.assert_array_equal(
            loaded.predict(features, standardisation=arm),
            model.predict(features, standardisation=arm),
        )
    assert loaded.catalogue.content_hash() == model.catalogue.content_hash()
    assert {file.suffix for file in (tmp_path / "model").iterdir()} == {".json", ".skops"}


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


def test_a_model_of_an_earlier_format_is_refused_with_the_mend(model_and_cohort, tmp_path):
    model, _ = model_and_cohort
    model.save(tmp_path)
    file = tmp_path / "model.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**description, "format_version": 1}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"model format 1 in .*reads format 2: train the model"):
        ResistanceModel.load(tmp_path)


def test_one_sample_alone_is_scored_as_in_its_batch(model_and_cohort):
    model, cohort = model_and_cohort
    batch = model.predict(model.transformer.transform(cohort), standardisation="reference")
    for position in (0, 7, 59):
        alone = model.transformer.transform(cohort[[position]].copy())
        probability = model.predict(alone, standardisation="reference")
        assert probability.iloc[0] == batch.iloc[position]


def test_attributions_explain_the_probability(model_and_cohort):
    model, cohort = model_and_cohort
    features = model.transformer.transform(cohort)
    found = model.explain(features, standardisation="cohort")
    probability = model.predict(features, standardisation="cohort")
    total = found.values.sum(axis=1) + found.base_value
    np.testing.assert_allclose(1 / (1 + np.exp(-total)), probability, atol=1e-9)


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
