"""Predictions of drug response: no line is ever on both sides, the planted is found, no more."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.cell_lines import line_identity
from features.errors import ConfigError
from models.metrics import Estimate
from models.regression_metrics import NO_TISSUE, evaluate_responses
from pipelines.screens import predict
from pipelines.screens.analyse import Analysis, analyse
from pipelines.screens.options import ScreenOptions
from pipelines.screens.predict import predict_by_folds, predict_by_tissue
from pipelines.screens.task import Task
from pipelines.settings.screens import ScreensConfig
from tests.screens import QUICK_TREES, line_names, make_screen, task_of

FOLDS: dict[str, Any] = {"n_splits": 4, "n_repeats": 2, "seed": 5}


def donors(n: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return features, and samples of which some share a donor, within a tissue and across."""
    names = [*line_names(n - 4), "NCI/ADR-RES", "OVCAR-8", "M14", "MDA-MB-435"]
    rng = np.random.default_rng(0)
    tissue = np.array(["lung", "skin"] * (n // 2))
    samples = pd.DataFrame(
        {
            "line": [line_identity(name) for name in names],
            "tissue": tissue,
            "resistance": rng.normal(size=n),
            "resistant": np.arange(n) // 2 % 2.0,
        },
        index=names,
    )
    return pd.DataFrame(rng.normal(size=(n, 3)), index=names, columns=list("abc")), samples


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[str], set[str]]]:
    """Return what each learner is fitted on and asked about, as lines."""
    seen: list[tuple[set[str], set[str]]] = []

    def spy(name: str) -> None:
        learner = getattr(predict, name)

        class Spied(learner):  # type: ignore[misc, valid-type]
            def fit(self, X: pd.DataFrame, y: Any, *, groups: Any) -> Self:
                self.lines_ = {line_identity(str(place)) for place in X.index}
                assert self.lines_ == set(groups)
                return super().fit(X, y, groups=groups)  # type: ignore[no-any-return]

            def _raw_scores(self, X: pd.DataFrame) -> Any:
                seen.append((self.lines_, {line_identity(str(place)) for place in X.index}))
                return super()._raw_scores(X)

        monkeypatch.setattr(predict, name, Spied)

    spy("ResistanceRegressor")
    spy("ResistanceClassifier")
    return seen


# --- splits


def test_no_line_is_on_both_sides_of_a_fold(fitted: list[tuple[set[str], set[str]]]) -> None:
    X, samples = donors()
    held = predict_by_folds(X, samples, settings=QUICK_TREES, signs={"a": 1}, **FOLDS)
    assert len(fitted) >= 2 * 4 * 2
    assert all(not train & test for train, test in fitted)
    assert all(train | test == set(samples["line"]) for train, test in fitted)
    assert (held.predictions.groupby("repeat").size() == len(samples)).all()
    assert set(held.predictions.index) == set(samples.index)
    assert held.attributions is not None
    assert sorted(held.attributions.values.index) == sorted(samples.index)


def test_no_line_of_a_tissue_held_out_stands_in_another(
    fitted: list[tuple[set[str], set[str]]],
) -> None:
    X, samples = donors()
    found = predict_by_tissue(X, samples, settings=QUICK_TREES, signs={}, least=5)
    assert len(fitted) == 2
    assert all(not train & test for train, test in fitted)
    assert set(found.index) == set(samples.index)


def test_small_and_unknown_tissues_are_not_held_out() -> None:
    X, samples = donors()
    samples["tissue"] = ["lung"] * 12 + ["skin"] * 12 + ["bone"] * 4 + [NO_TISSUE] * 12
    found = predict_by_tissue(X, samples, settings=QUICK_TREES, signs={}, least=5)
    assert set(found["tissue"]) == {"lung", "skin"}
    alone = samples.assign(tissue="lung")
    assert predict_by_tissue(X, alone, settings=QUICK_TREES, signs={}, least=5).empty


def test_the_order_of_samples_is_nothing() -> None:
    X, samples = donors()
    moved = samples.sample(frac=1, random_state=1)
    found, expected = (
        predict_by_folds(X.loc[part.index], part, settings=QUICK_TREES, signs={}, **FOLDS)
        .predictions.set_index("repeat", append=True)["predicted"]
        .sort_index()
        for part in (moved, samples)
    )
    pd.testing.assert_series_equal(found, expected, atol=0.05, rtol=0)


def test_patients_have_a_class_alone() -> None:
    X, samples = donors()
    held = predict_by_folds(
        X, samples.assign(resistance=np.nan), settings=QUICK_TREES, signs={}, **FOLDS
    )
    assert held.predictions["predicted"].isna().all()
    assert held.predictions["score"].notna().all()
    assert held.attributions is None


def test_fewer_lines_than_folds_are_refused() -> None:
    X, samples = donors(6)
    with pytest.raises(ConfigError, match=r"screens.n_splits is 5, but there are 4 lines .*lower"):
        predict_by_folds(
            X, samples, settings=QUICK_TREES, signs={}, n_splits=5, n_repeats=1, seed=0
        )


# --- planted truth


@pytest.fixture(scope="module")
def analysed(catalogue: Catalogue) -> Callable[..., Analysis]:
    """Return an analysis of a task with few folds."""

    def run(task: Task, **settings: Any) -> Analysis:
        options = ScreenOptions(
            catalogue=catalogue,
            setting="adc",
            min_coverage=0.5,
            trees=QUICK_TREES,
            folds=ScreensConfig(n_splits=4, n_repeats=1),
            n_resamples=50,
            seed=0,
        )
        return analyse(task, options)

    return run


def figure(analysis: Analysis, predictor: str, metric: str) -> Estimate:
    return analysis.estimates[predictor][metric]


def test_a_genes_effect_is_found_within_tissues_where_the_tissues_mean_is_blind(
    analysed: Callable[..., Analysis],
) -> None:
    found = analysed(task_of(make_screen(line_names(80), effect=1.0, tissue_effect=2.0)))
    within = figure(found, "model", "within_tissue_spearman")
    assert within.value > 0.4
    assert within.low > 0
    assert "within_tissue_spearman" not in found.estimates["tissue_mean"]
    assert figure(found, "classifier", "auroc").value > 0.6
    assert figure(found, "leave_one_tissue_out", "within_tissue_spearman").value > 0.3
    assert set(found.tissues["tissue"]) == {"lung", "skin"}
    assert found.attributions is not None
    assert found.attributions.values.abs().mean().idxmax() in ("abcb1", "payload_efflux")


def test_the_model_beats_the_tissues_mean_where_a_gene_decides(
    analysed: Callable[..., Analysis],
) -> None:
    found = analysed(task_of(make_screen(line_names(80), effect=1.0, tissue_effect=0.3)))
    model, naive = (figure(found, name, "spearman").value for name in ("model", "tissue_mean"))
    assert model > naive + 0.3
    assert figure(found, "model", "rmse").value < figure(found, "tissue_mean", "rmse").value


def test_where_the_tissue_alone_decides_nothing_is_found_within(
    analysed: Callable[..., Analysis],
) -> None:
    found = analysed(task_of(make_screen(line_names(80), gene=None, tissue_effect=2.0)))
    within = figure(found, "model", "within_tissue_spearman")
    assert within.low < 0 < within.high or abs(within.value) < 0.25
    assert figure(found, "tissue_mean", "spearman").value > 0.4


def test_shuffled_responses_are_not_predicted() -> None:
    task = task_of(make_screen(line_names(60)))
    X = pd.DataFrame(
        np.log(task.adata.to_df()).iloc[:, :10].to_numpy(), index=task.samples.index
    ).add_prefix("f")
    rng = np.random.default_rng(0)
    rho, auroc = [], []
    for repeat in range(4):
        place = rng.permutation(len(X))
        columns = ["resistance", "resistant"]
        shuffled = task.samples.assign(
            **{name: task.samples[name].to_numpy()[place] for name in columns}
        )
        held = predict_by_folds(
            X, shuffled, settings=QUICK_TREES, signs={}, n_splits=4, n_repeats=1, seed=repeat
        )
        found = evaluate_responses(held.predictions, n_resamples=2, seed=0)
        rho.append(found["spearman"].value)
        by_class = held.predictions.assign(predicted=held.predictions["score"])
        auroc.append(evaluate_responses(by_class, n_resamples=2, seed=0)["auroc"].value)
    # Pooled folds lean below zero: a fold's mean is low where the training part's is high.
    assert -0.25 < np.mean(rho) < 0.1
    assert -0.15 < np.mean(auroc) - 0.5 < 0.05


def test_genes_that_give_no_feature_give_no_figures(analysed: Callable[..., Analysis]) -> None:
    task = task_of(make_screen(line_names(20)))
    genes = [name for name in task.adata.var_names if name.startswith("BG")]
    found = analysed(Task("made", "all", task.adata[:, genes].copy(), task.samples, scaled=False))
    assert found.features.empty
    assert found.estimates == {}
    assert found.predictions.empty
