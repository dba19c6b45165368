"""What the classifiers share: labels of two classes, weights of samples, signs of features."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets

__all__ = ["sample_weights", "signs_by_position", "two_classes"]


def two_classes(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the two classes, sorted, and each label as 0 or 1.

    Raises
    ------
    ValueError
        There are not exactly two classes.
    """
    check_classification_targets(labels)
    classes, encoded = np.unique(labels, return_inverse=True)
    if classes.size > 2:
        raise ValueError(
            "Only binary classification is supported. The type of the target is "
            f"multiclass with {classes.size} classes."
        )
    if classes.size < 2:
        raise ValueError("a classifier needs two classes; the labels hold one class")
    return classes, encoded


def sample_weights(
    count: int, *, groups: ArrayLike | None = None, cohorts: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return sample weights (n_samples,) whose mean is 1.

    Parameters
    ----------
    count
        Samples.
    groups
        Patient of each sample: a patient's samples together weigh as one. None: each by itself.
    cohorts
        Cohort of each sample: cohorts weigh the same, whatever their size. None: as large as
        they are.
    """
    patients = pd.Series(np.arange(count) if groups is None else np.asarray(groups))
    weights = 1.0 / patients.map(patients.value_counts()).to_numpy(dtype=float)
    if cohorts is not None:
        names = pd.Series(np.asarray(cohorts))
        weights = weights / pd.Series(weights).groupby(names.to_numpy()).transform("sum").to_numpy()
    return np.asarray(weights / weights.mean())


def signs_by_position(
    given: Mapping[str, int] | ArrayLike | None, *, names: ArrayLike | None, count: int
) -> NDArray[np.int64]:
    """Return +1, -1 or 0 for each feature (n_features,); 0 where nothing is given.

    Raises
    ------
    ValueError
        There are more or fewer signs than features, or one names an unknown feature.
    """
    if given is None:
        return np.zeros(count, dtype=np.int64)
    if not isinstance(given, Mapping):
        signs = np.asarray(given, dtype=np.int64)
        if signs.size != count:
            raise ValueError(f"{signs.size} signs (monotone constraints) for {count} features")
        return signs
    known = [] if names is None else [str(name) for name in np.asarray(names)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"the monotone constraints name unknown features {unknown[:5]}")
    return np.array([int(given.get(name, 0)) for name in known], dtype=np.int64)
