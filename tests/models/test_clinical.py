"""Clinical covariates as features, and how they go through standardisation and the classifier."""

import warnings

import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.covariates import COVARIATES
from features.reference import ReferenceStandardiser, standardise_in_cohort
from models.classifier import ResistanceClassifier
from models.clinical import CLINICAL_FEATURES, CLINICAL_SIGNS, clinical_features

NAN = float("nan")


@pytest.fixture
def samples() -> pd.DataFrame:
    """Two cohorts of 40 patients: each states what the other does not, both state sex and age."""
    rng = np.random.default_rng(0)
    size = 40
    first = pd.DataFrame({"tmb": rng.gamma(1.0, 10.0, size), "ecog": NAN})
    second = pd.DataFrame({"tmb": NAN, "ecog": rng.integers(0, 3, size).astype(float)})
    table = pd.concat([first, second], ignore_index=True)
    table["cohort"] = np.repeat(["a", "b"], size)
    table["age"] = rng.normal(60, 10, 2 * size).round()
    table["sex"] = rng.choice(np.array(["female", "male", None], dtype=object), 2 * size)
    table.index = pd.Index([f"{cohort}/{i}" for i, cohort in enumerate(table["cohort"])])
    return table


def test_every_feature_comes_from_a_covariate_and_has_a_name_of_its_own(
    catalogue: Catalogue,
) -> None:
    assert {feature.covariate for feature in CLINICAL_FEATURES.values()} <= set(COVARIATES)
    assert not set(CLINICAL_FEATURES) & set(catalogue.marker_ids)


def test_signs_are_those_that_are_known_and_each_has_a_source() -> None:
    assert {name: sign for name, sign in CLINICAL_SIGNS.items() if sign} == {
        "clinical_tmb": -1,
        "clinical_pdl1_ihc": -1,
        "clinical_ecog": 1,
        "clinical_ldh_high": 1,
        "clinical_liver_metastasis": 1,
    }
    for feature in CLINICAL_FEATURES.values():
        assert bool(feature.source) == bool(feature.sign)
        assert not feature.source or feature.source.startswith("10.")


def test_features_are_numbers_on_the_samples_index_and_the_samples_stay_as_they_are(
    samples: pd.DataFrame,
) -> None:
    before = samples.copy()
    features = clinical_features(samples)
    pd.testing.assert_frame_equal(samples, before)
    assert features.index.equals(samples.index)
    assert list(features.columns) == list(CLINICAL_FEATURES)
    assert set(features.dtypes.astype(str)) == {"float64"}
    np.testing.assert_allclose(features["clinical_tmb"], np.log1p(samples["tmb"]))
    np.testing.assert_array_equal(features["clinical_age"], samples["age"])
    female = samples["sex"].map({"female": 1.0, "male": 0.0, None: NAN}).astype(float)
    np.testing.assert_array_equal(features["clinical_female"], female)


def test_what_is_missing_stays_missing(samples: pd.DataFrame) -> None:
    features = clinical_features(samples)
    assert features["clinical_stage"].isna().all()
    assert features.loc[samples["cohort"] == "b", "clinical_tmb"].isna().all()
    assert (features["clinical_female"].isna() == samples["sex"].isna()).all()
    none = clinical_features(samples[["cohort"]])
    assert none.isna().all(axis=None)
    words = clinical_features(samples.assign(sex=pd.Series(None, samples.index, dtype=object)))
    assert words["clinical_female"].isna().all()


def test_a_covariate_that_a_cohort_lacks_stays_missing_in_both_standardisations(
    samples: pd.DataFrame,
) -> None:
    features = clinical_features(samples)
    first = (samples["cohort"] == "a").to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relative = standardise_in_cohort(features, cohorts=samples["cohort"])
        reference = ReferenceStandardiser().fit(features, cohorts=samples["cohort"])
        against = reference.transform(features)
    tmb = features.loc[first, "clinical_tmb"]
    expected = (tmb - tmb.mean()) / tmb.std(ddof=0)
    for table in (relative, against):
        assert (table.isna() == features.isna()).all(axis=None)
        np.testing.assert_allclose(table.loc[first, "clinical_tmb"], expected)
    mean_age = samples.groupby("cohort")["age"].mean().mean()
    age = list(features.columns).index("clinical_age")
    assert reference.mean_[age] == pytest.approx(mean_age)


def test_a_covariate_that_no_training_cohort_has_stays_missing_in_new_samples(
    samples: pd.DataFrame,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reference = ReferenceStandardiser().fit(
            clinical_features(samples), cohorts=samples["cohort"]
        )
    new = clinical_features(samples.assign(stage=4.0, ldh_high=1.0))
    scored = reference.transform(new)
    assert scored[["clinical_stage", "clinical_ldh_high"]].isna().all(axis=None)
    assert scored["clinical_age"].notna().all()


def test_the_classifier_takes_clinical_features_and_holds_their_signs(
    samples: pd.DataFrame,
) -> None:
    table = standardise_in_cohort(clinical_features(samples), cohorts=samples["cohort"])
    burden = table["clinical_tmb"].fillna(table["clinical_ecog"] * -1)
    y = (burden < 0).astype(int)
    model = ResistanceClassifier(
        n_estimators=40, min_child_samples=5, monotone_constraints=CLINICAL_SIGNS
    ).fit(table, y)
    grid = pd.DataFrame(NAN, index=range(30), columns=table.columns)
    falling = model.decision_function(grid.assign(clinical_tmb=np.linspace(-2, 2, 30)))
    rising = model.decision_function(grid.assign(clinical_ecog=np.linspace(-2, 2, 30)))
    assert (np.diff(falling) <= 0).all()
    assert (np.diff(rising) >= 0).all()
    assert falling[0] > falling[-1]
    assert rising[0] < rising[-1]
