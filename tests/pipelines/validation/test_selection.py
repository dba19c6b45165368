"""What competes inside the folds, and when remembered trials are of the same run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue, default_catalogue
from models.tuning import SearchRange
from pipelines.config import ExperimentConfig
from pipelines.validation import selection
from pipelines.validation.selection import candidates_of, make_builder, make_tuner

BASE = {
    "setting": "ici",
    "seed": 5,
    "cohorts": {"train": ["a", "b"]},
    "classifier": {"n_estimators": 70, "num_leaves": 4, "monotone": False},
    "model": {"registered_name": "test"},
}
CANDIDATES = {
    "trees": {"settings": {"num_leaves": 3}},
    "mean": {"family": "average", "members": ["trees", "line"]},
    "line": {"family": "linear", "features": "mechanisms", "settings": {"alpha": 0.2}},
}


def tuning_key(
    config: ExperimentConfig,
    *,
    samples: pd.DataFrame,
    features: pd.DataFrame,
    catalogue: Catalogue | None = None,
) -> str:
    used = catalogue or default_catalogue()
    return selection.tuning_key(config, samples=samples, features=features, catalogue=used)


def configured(**sections: object) -> ExperimentConfig:
    return ExperimentConfig.model_validate(BASE | sections)


def test_without_candidates_the_classifier_section_is_the_only_one() -> None:
    (only,) = candidates_of(configured())
    assert (only.name, only.family, only.signs) == ("classifier", "boosted", False)
    assert only.settings["n_estimators"] == 70
    assert "monotone" not in only.settings
    assert not make_tuner(configured(), storage=None, key="").chooses


def test_boosted_candidates_start_from_the_classifier_section_and_keep_their_order() -> None:
    trees, mean, line = candidates_of(configured(tuning={"candidates": CANDIDATES}))
    assert (trees.settings["num_leaves"], trees.settings["n_estimators"]) == (3, 70)
    assert trees.signs
    assert dict(line.settings) == {"alpha": 0.2}
    assert mean.members == (trees, line)


def test_lists_and_ranges_are_searched_and_numbers_are_fixed() -> None:
    settings = {
        "num_leaves": [2, 5],
        "learning_rate": {"low": 0.01, "high": 0.1, "log": True},
        "n_seeds": 1,
    }
    config = configured(tuning={"candidates": {"x": {"settings": settings}}, "trials": 5})
    tuner = make_tuner(config, storage=None, key="k")
    assert tuner.ranges == {
        "x": {
            "num_leaves": SearchRange(choices=(2, 5)),
            "learning_rate": SearchRange(low=0.01, high=0.1, log=True),
        }
    }
    assert tuner.candidates[0].settings["n_seeds"] == 1
    assert (tuner.trials, tuner.seed, tuner.chooses) == (5, 5, True)


def test_the_folder_of_trials_is_made_where_trials_are_stored(tmp_path: Path) -> None:
    config = configured(tuning={"candidates": CANDIDATES})
    tuner = make_tuner(config, storage=tmp_path / "some" / "tuning.db", key="k")
    assert (tmp_path / "some").is_dir()
    assert tuner.storage == f"sqlite:///{tmp_path / 'some' / 'tuning.db'}"
    assert make_tuner(config, storage=None, key="k").storage is None


def test_mechanisms_are_the_markers_of_several_genes(catalogue: Catalogue) -> None:
    build = make_builder(configured(), catalogue)
    assert set(build.mechanisms) < set(build.features)
    genes = {marker.id: marker.genes for marker in catalogue.markers_of("ici")}
    assert all(len(genes[name]) != 1 for name in build.mechanisms)
    assert "b2m" not in build.mechanisms
    assert "mhc_class_i" in build.mechanisms


# --- the key of remembered trials


@pytest.fixture
def samples() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cohort": ["a"] * 4 + ["b"] * 4,
            "patient_id": [f"p{i}" for i in range(8)],
            "resistant": [1.0, 0.0, 1.0, np.nan] * 2,
            "cancer_type": ["melanoma"] * 4 + [None] * 4,
        },
        index=[f"s{i}" for i in range(8)],
    )


@pytest.fixture
def features(samples: pd.DataFrame) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(8, 2))
    return pd.DataFrame(values, index=samples.index, columns=["x", "y"])


def test_the_same_run_has_the_same_key(samples: pd.DataFrame, features: pd.DataFrame) -> None:
    config = configured(tuning={"candidates": CANDIDATES})
    again = configured(tuning={"candidates": CANDIDATES}, tracking={"experiment": "other"})
    key = tuning_key(config, samples=samples, features=features)
    assert key == tuning_key(again, samples=samples.copy(), features=features.copy())


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 6},
        {"tuning": {"candidates": {**CANDIDATES, "trees": {"settings": {"num_leaves": 2}}}}},
        {"tuning": {"candidates": CANDIDATES, "trials": 2}},
        {"classifier": {"n_estimators": 71, "num_leaves": 4, "monotone": False}},
        {"features": {"min_cohort_size": 4}},
        # Fixed: folds of one name had other samples where their number was changed.
        {"validation": {"n_splits": 4}},
    ],
    ids=["seed", "candidate", "trials", "classifier", "cohort size", "folds"],
)
def test_what_decides_a_trial_changes_the_key(
    samples: pd.DataFrame, features: pd.DataFrame, changed: dict[str, object]
) -> None:
    tuning = {"candidates": CANDIDATES}
    base = tuning_key(configured(tuning=tuning), samples=samples, features=features)
    other = configured(**({"tuning": tuning} | changed))
    assert tuning_key(other, samples=samples, features=features) != base


@pytest.mark.parametrize(
    "change",
    [
        lambda s, f: (s.assign(resistant=s["resistant"].replace({1.0: 0.0, 0.0: 1.0})), f),
        lambda s, f: (s.assign(patient_id=["p0", *s["patient_id"][:-1]]), f),
        lambda s, f: (s.assign(cancer_type="melanoma"), f),
        lambda s, f: (s.iloc[:-1], f.iloc[:-1]),
        lambda s, f: (s, f + 1e-9),
        lambda s, f: (s, f.rename(columns={"x": "z"})),
    ],
    ids=["labels", "patients", "tumour types", "fewer samples", "values", "names"],
)
def test_other_data_change_the_key(
    samples: pd.DataFrame,
    features: pd.DataFrame,
    change: Callable[..., tuple[pd.DataFrame, pd.DataFrame]],
) -> None:
    config = configured(tuning={"candidates": CANDIDATES})
    changed, values = change(samples, features)
    base = tuning_key(config, samples=samples, features=features)
    assert tuning_key(config, samples=changed, features=values) != base


def test_a_turned_sign_changes_the_key(samples: pd.DataFrame, features: pd.DataFrame) -> None:
    catalogue = default_catalogue()
    markers = [
        marker.model_copy(update={"sign": "0"}) if marker.id == "tgf_beta_stroma" else marker
        for marker in catalogue.markers
    ]
    turned = catalogue.model_copy(update={"markers": tuple(markers)})
    keys = {
        tuning_key(configured(), samples=samples, features=features, catalogue=one)
        for one in (catalogue, turned)
    }
    assert len(keys) == 2
