"""What is learned on one group of drugs, asked about another: no line stands on both sides."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import ConfigError
from features.gene_scores import ScoreKind
from models.metrics import Estimate
from pipelines.screens.analyse import hold_out_lines, mean_estimates
from pipelines.screens.options import ScreenOptions
from pipelines.screens.predict import responses_of
from pipelines.screens.task import Task

__all__ = ["Transfer", "trained_rows", "transfer"]

UNSIGNED_PREFIX = "unsigned_"
_FEWEST_TRAINED = 20
_SMALL_COHORT = 5


@dataclass(frozen=True)
class Transfer:
    """A model of one group asked about another.

    Attributes
    ----------
    train, test
        ``cohort/group``.
    n_train, n_test
        Lines.
    shared
        Lines of both, left out of training (another set), or held out in folds (the same set).
    genes, features
        Genes that both measure, and features that both have.
    estimates
        Metric → estimate, as of :func:`models.regression_metrics.evaluate_responses`, and under
        ``unsigned_`` of models without signs; of patients ``auroc`` alone.
    """

    train: str
    test: str
    n_train: int
    n_test: int
    shared: int
    genes: int
    features: int
    estimates: Mapping[str, Estimate]


def transfer(source: Task, target: Task, options: ScreenOptions) -> Transfer:
    """Return how a model of ``source`` does on ``target``.

    Groups of one cohort share their lines: the line asked about is held out of the folds. Of two
    sets, shared lines are left out of training, and features are made of the genes that both
    measure, each set standardised within itself.

    Raises
    ------
    ConfigError
        As of :func:`trained_rows`, or no feature is in both.
    """
    kept = trained_rows(source, target)
    first, second, n_genes = _features_of_both(source, target, options)
    shared = set(source.samples["line"]) & set(target.samples["line"])
    estimates: dict[str, Estimate] = {}
    for prefix, signs in (("", options.signs), (UNSIGNED_PREFIX, {})):
        if source.cohort == target.cohort:
            predictions = _across_groups(first, source, target, options, signs=signs)
        else:
            predictions = responses_of(
                first[kept],
                source.samples[kept],
                second,
                target.samples,
                settings=options.trees,
                signs=signs,
            ).assign(repeat=0)
        found = _estimates(predictions, continuous=target.continuous, **options.noise)
        estimates |= {f"{prefix}{metric}": one for metric, one in found.items()}
    return Transfer(
        source.name,
        target.name,
        int(kept.sum()),
        len(target.samples),
        len(shared),
        n_genes,
        first.shape[1],
        estimates,
    )


def _estimates(
    predictions: pd.DataFrame, *, continuous: bool, n_resamples: int, seed: int
) -> dict[str, Estimate]:
    """Return the figures; of patients, who have a class alone, the AUROC."""
    known = predictions["resistance"].fillna(predictions["resistant"])
    found = mean_estimates(predictions.assign(resistance=known), n_resamples=n_resamples, seed=seed)
    return found if continuous else {"auroc": found["auroc"]}


def trained_rows(source: Task, target: Task) -> NDArray[np.bool_]:
    """Return which samples of ``source`` a model of it asked about ``target`` is trained on.

    Those with a number to learn, of another set without the lines that both hold.

    Raises
    ------
    ConfigError
        Fewer than twenty are left, ``target`` is too small to be standardised, or the sets have no
        gene in common.
    """
    kept = source.samples["resistance"].notna()
    shared: set[str] = set()
    if source.cohort != target.cohort:
        shared = set(source.samples["line"]) & set(target.samples["line"])
        kept &= ~source.samples["line"].isin(shared)
    if kept.sum() < _FEWEST_TRAINED:
        raise ConfigError(
            f"screens.transfers: of {source.name} {int(kept.sum())} samples with a measured "
            f"response are left to train on ({len(shared)} lines stand in {target.name} too); at "
            f"least {_FEWEST_TRAINED} are needed: take this transfer out"
        )
    if len(target.samples) < _SMALL_COHORT:
        raise ConfigError(
            f"screens.transfers: {target.name} has {len(target.samples)} samples, too few to be "
            f"standardised ({_SMALL_COHORT}); take this transfer out"
        )
    if not len(source.adata.var_names.intersection(target.adata.var_names)):
        raise ConfigError(
            f"screens.transfers: {source.name} and {target.name} have no gene in common; take this "
            "transfer out"
        )
    return kept.to_numpy()


def _features_of_both(
    source: Task, target: Task, options: ScreenOptions
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Return the features of both sets by the genes that both measure, and how many those are.

    Each set is standardised within itself; both by mean z where the values of one are scaled.
    """
    kind: ScoreKind = "mean_z" if source.scaled or target.scaled else "rank"
    genes = source.adata.var_names.intersection(target.adata.var_names)
    sides = [replace(task, adata=task.adata[:, genes].copy()) for task in (source, target)]
    both = ad.concat([task.adata for task in sides], join="inner", index_unique="-")
    first, second = (
        task.features(
            options.catalogue,
            **options.features,
            like=both,
            score_kind=kind,
            least=_SMALL_COHORT,
        )
        for task in sides
    )
    common = [str(name) for name in first if name in second]
    names = source.testable(options.catalogue, common)
    if not names:
        raise ConfigError(
            f"screens.transfers: {source.name} and {target.name} have no feature of setting "
            f"'{options.setting}' in common ({len(genes)} genes); take this transfer out"
        )
    return first[names], second[names], len(genes)


def _across_groups(
    X: pd.DataFrame,
    source: Task,
    target: Task,
    options: ScreenOptions,
    *,
    signs: Mapping[str, int],
) -> pd.DataFrame:
    """Return predictions of the source's models, each line held out, and the target's response."""
    held = hold_out_lines(X, source.samples, options, signs=signs).predictions
    # By sample, not by line: two lines of one donor are two samples that respond each their way.
    asked = target.samples[["resistance", "resistant"]]
    return held.drop(columns=["resistance", "resistant"]).join(asked, how="inner")
