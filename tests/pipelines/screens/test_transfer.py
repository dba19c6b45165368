"""What carries over from one group of drugs to another: shared lines never help."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.errors import ConfigError
from pipelines.screens import predict
from pipelines.screens import transfer as transfers
from pipelines.screens.options import ScreenOptions
from pipelines.screens.task import Task
from pipelines.screens.transfer import Transfer, transfer
from pipelines.settings.screens import ScreensConfig
from tests.screens import QUICK_TREES, Screen, line_names, make_screen, task_of


def run(source: Task, target: Task, catalogue: Catalogue, **changed: Any) -> Transfer:
    said: dict[str, Any] = {
        "setting": "adc",
        "min_coverage": 0.5,
        "trees": QUICK_TREES,
        "folds": ScreensConfig(n_splits=4, n_repeats=1),
        "n_resamples": 50,
        "seed": 0,
    }
    return transfer(source, target, ScreenOptions(catalogue=catalogue, **(said | changed)))


def without(screen: Screen, genes: list[str]) -> Screen:
    return Screen(screen.expression.drop(columns=genes), screen.responses)


def test_planted_signal_carries_over_between_sets(catalogue: Catalogue) -> None:
    source = task_of(make_screen(line_names(70), seed=1), cohort="one")
    target = task_of(make_screen(line_names(50, start=100), seed=2), cohort="two")
    found = run(source, target, catalogue)
    assert (found.train, found.test) == ("one/all", "two/all")
    assert (found.n_train, found.n_test, found.shared) == (70, 50, 0)
    assert found.estimates["spearman"].low > 0
    assert found.estimates["within_tissue_spearman"].value > 0.3


def test_nothing_carries_over_where_nothing_is_common(catalogue: Catalogue) -> None:
    source = task_of(make_screen(line_names(70), gene=None, tissue_effect=0, seed=1), cohort="one")
    target = task_of(make_screen(line_names(60, start=100), seed=2), cohort="two")
    found = run(source, target, catalogue).estimates["spearman"]
    assert found.low < 0.1
    assert abs(found.value) < 0.4


def test_lines_of_both_sets_are_left_out_of_training(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    regressor = predict.ResistanceRegressor

    class Spied(regressor):  # type: ignore[misc, valid-type]
        def fit(self, X: pd.DataFrame, y: Any, *, groups: Any) -> Any:
            seen.append(set(groups))
            return super().fit(X, y, groups=groups)

    monkeypatch.setattr(predict, "ResistanceRegressor", Spied)
    source = task_of(make_screen(line_names(50)), cohort="one")
    target = task_of(make_screen(line_names(30, start=40), seed=2), cohort="two")
    found = run(source, target, catalogue)
    assert (found.n_train, found.shared) == (40, 10)
    assert seen == [set(line_names(40))] * 2  # with signs and without


def test_features_absent_in_one_set_are_left_out(catalogue: Catalogue) -> None:
    whole = make_screen(line_names(40), seed=1)
    part = without(make_screen(line_names(30, start=100), seed=2), ["ABCB1", "TOP1", "BG0"])
    source, target = task_of(whole, cohort="one"), task_of(part, cohort="two")
    found, back = run(source, target, catalogue), run(target, source, catalogue)
    full = run(source, task_of(make_screen(line_names(30, start=100)), cohort="two"), catalogue)
    assert found.genes == back.genes == full.genes - 3
    assert found.features == back.features < full.features


def test_groups_of_one_cohort_are_held_out_in_folds(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = make_screen(line_names(40))
    source, target = task_of(screen, group="a"), task_of(screen.reversed(), group="b")
    found = run(source, target, catalogue)
    assert (found.n_train, found.shared) == (40, 40)
    assert found.estimates["spearman"].high < 0


def test_two_lines_of_a_donor_are_each_asked_about_their_own_response(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(make_screen(line_names(40)))
    samples = task.samples.assign(line=["SIM-000", *task.samples["line"][1:-1], "SIM-000"])
    twins = Task("made", "a", task.adata, samples, scaled=False)
    seen: list[pd.DataFrame] = []
    average = transfers.mean_estimates

    def spy(predictions: pd.DataFrame, **noise: int) -> Any:
        seen.append(predictions)
        return average(predictions, **noise)

    monkeypatch.setattr(transfers, "mean_estimates", spy)
    run(twins, Task("made", "b", task.adata, samples, scaled=False), catalogue)
    assert len(seen[0]) == 40
    pd.testing.assert_series_equal(seen[0]["resistance"], samples["resistance"].loc[seen[0].index])


def test_patients_are_held_against_their_class(catalogue: Catalogue) -> None:
    source = task_of(make_screen(line_names(70), seed=1), cohort="one")
    lines = task_of(make_screen(line_names(30, start=100), seed=2), cohort="two", group="")
    patients = lines.samples.assign(resistance=np.nan, tissue="breast")
    found = run(source, Task("two", "", lines.adata, patients, scaled=False), catalogue)
    assert found.test == "two"
    assert found.estimates["auroc"].value > 0.6


def test_values_scaled_per_gene_are_scored_by_their_mean(catalogue: Catalogue) -> None:
    source = task_of(make_screen(line_names(60), seed=1), cohort="one")
    other = task_of(make_screen(line_names(40, start=100), seed=2), cohort="two")
    values = np.asarray(other.adata.X)
    scaled = other.adata.copy()
    scaled.X = (values - values.mean(axis=0)) / values.std(axis=0)
    found = run(source, Task("two", "all", scaled, other.samples, scaled=True), catalogue)
    assert found.estimates["spearman"].value > 0.3


def test_what_cannot_be_done_is_refused_with_the_mend(catalogue: Catalogue) -> None:
    source = task_of(make_screen(line_names(30)), cohort="one")
    target = task_of(make_screen(line_names(30, start=11), seed=2), cohort="two")
    with pytest.raises(
        ConfigError, match=r"of one/all 11 samples .*\(19 lines stand in two/all too\).*at least 20"
    ):
        run(source, target, catalogue)
    patients = Task("two", "", target.adata, target.samples.assign(resistance=np.nan), scaled=False)
    with pytest.raises(ConfigError, match="of two 0 samples with a measured response"):
        run(patients, source, catalogue)
    few = task_of(make_screen(line_names(4, start=100)), cohort="two")
    with pytest.raises(ConfigError, match="two/all has 4 samples, too few to be standardised"):
        run(source, few, catalogue)
    apart = make_screen(line_names(20, start=100))
    names = [f"X{name}" for name in apart.expression]
    strange = task_of(Screen(apart.expression.set_axis(names, axis=1), apart.responses))
    with pytest.raises(ConfigError, match="one/all and made/all have no gene in common"):
        run(source, strange, catalogue)
    background = [name for name in apart.expression if name.startswith("BG")]
    poor = task_of(Screen(apart.expression[background], apart.responses))
    with pytest.raises(ConfigError, match=r"no feature of setting 'adc' in common \(30 genes\)"):
        run(source, poor, catalogue)
