import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.weights import sample_weights, signs_by_position, two_classes


def test_samples_by_themselves_weigh_the_same():
    np.testing.assert_array_equal(sample_weights(4), np.ones(4))


def test_a_patients_samples_weigh_as_one():
    weights = sample_weights(4, groups=["p1", "p1", "p2", "p3"])
    np.testing.assert_allclose(weights, np.array([0.5, 0.5, 1.0, 1.0]) / 0.75)


def test_cohorts_weigh_the_same_whatever_their_size():
    weights = sample_weights(5, cohorts=["a", "a", "a", "a", "b"])
    np.testing.assert_allclose(weights, [0.625, 0.625, 0.625, 0.625, 2.5])


def test_within_a_cohort_patients_weigh_the_same():
    weights = sample_weights(4, groups=["p1", "p1", "p2", "p3"], cohorts=["a", "a", "a", "b"])
    np.testing.assert_allclose(weights, [0.5, 0.5, 1.0, 2.0])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=30))
def test_weights_are_positive_of_mean_one_and_follow_their_samples(rows):
    cohorts = [f"c{cohort}" for cohort, _ in rows]
    patients = [f"c{cohort}/p{patient}" for cohort, patient in rows]
    weights = sample_weights(len(rows), groups=patients, cohorts=cohorts)
    assert (weights > 0).all()
    assert weights.mean() == pytest.approx(1.0)
    turned = sample_weights(len(rows), groups=patients[::-1], cohorts=cohorts[::-1])
    np.testing.assert_allclose(turned[::-1], weights)


def test_signs_stand_where_their_features_do():
    names = np.array(["a", "b", "c"])
    found = signs_by_position({"c": -1, "a": 1}, names=names, count=3)
    np.testing.assert_array_equal(found, [1, 0, -1])
    np.testing.assert_array_equal(signs_by_position([0, 1, -1], names=None, count=3), [0, 1, -1])
    np.testing.assert_array_equal(signs_by_position(None, names=names, count=3), 0)


def test_signs_that_fit_no_feature_are_refused():
    with pytest.raises(ValueError, match=r"unknown features \['x', 'y'\]"):
        signs_by_position({"y": 1, "x": 1, "a": 1}, names=np.array(["a"]), count=1)
    with pytest.raises(ValueError, match="3 signs"):
        signs_by_position([1, 1, 1], names=None, count=2)


def test_two_classes_are_sorted_and_any_other_number_refused():
    classes, encoded = two_classes(np.array(["R", "NR", "R"]))
    assert classes.tolist() == ["NR", "R"]
    assert encoded.tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="one class"):
        two_classes(np.array([1, 1]))
    with pytest.raises(ValueError, match="multiclass with 3 classes"):
        two_classes(np.array([0, 1, 2]))
