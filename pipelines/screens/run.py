"""All that is done with the drug screens of an experiment, and the tables that it leaves."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from features.catalogue import Catalogue
from models.metrics import Estimate
from pipelines.config import ExperimentConfig, SamplesConfig
from pipelines.ingest import IngestedCohort
from pipelines.reading.drug_evidence import (
    doubts_of,
    efflux_evidence,
    experiment_evidence,
    shared_line_evidence,
    together,
)
from pipelines.screens.analyse import MODEL, Analysis, analyse
from pipelines.screens.identity import identity_doubts, line_identities
from pipelines.screens.options import ScreenOptions
from pipelines.screens.predict import lines_to_hold_out
from pipelines.screens.single_genes import genes_by_drug
from pipelines.screens.task import Task, find_task, tasks_of
from pipelines.screens.transfer import Transfer, trained_rows, transfer
from pipelines.settings.screens import ScreensConfig

__all__ = [
    "ScreenPlan",
    "Screens",
    "plan_screens",
    "run_screens",
    "screen_metrics",
    "screen_tables",
]

_LOG = logging.getLogger(__name__)
_FEWEST_SAMPLES = 15
_SCREEN = "screen"
_INTERVAL = ("metric", "value", "low", "high")
_SCREEN_COLUMNS = ["cohort", "drug_group", "n", "labelled", "features", "predictor", *_INTERVAL]
_TRANSFER_COLUMNS = [
    *("train", "test", "n_train", "n_test", "shared", "genes", "features"),
    *_INTERVAL,
]
_PREDICTION_COLUMNS = [
    *("sample", "line", "tissue", "resistance", "resistant", "predicted", "score", "repeat"),
    *("cohort", "drug_group"),
]


@dataclass(frozen=True)
class Screens:
    """What the drug screens of an experiment say.

    Attributes
    ----------
    analyses
        Every group of fifteen samples or more, validated by itself.
    transfers
        What was learned on one group and asked about another.
    evidence
        Whether measures go the way the tables say (:mod:`pipelines.reading.drug_evidence`).
    identities
        What lines of two sets are most like (:mod:`pipelines.screens.identity`).
    genes
        Single genes against single drugs.
    absent
        Cohort → features of the setting that its genes do not give.
    notes
        Warnings of the evidence, and what was too small.
    """

    analyses: Sequence[Analysis]
    transfers: Sequence[Transfer]
    evidence: pd.DataFrame
    identities: pd.DataFrame
    genes: pd.DataFrame
    absent: Mapping[str, Sequence[str]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ScreenPlan:
    """Groups of drugs, and the pairs of them that something is to carry over between."""

    tasks: Sequence[Task]
    pairs: Sequence[tuple[Task, Task]]


def plan_screens(
    screens: ScreensConfig,
    *,
    cohorts: Sequence[IngestedCohort],
    samples: SamplesConfig | None = None,
) -> ScreenPlan:
    """Return what is to be done, refused before any work where it cannot be.

    Raises
    ------
    ConfigError
        A cohort stands there twice, has fewer lines than folds, or a transfer names no group or
        leaves nothing to train on.
    """
    tasks = tasks_of(cohorts, samples=samples)
    for task in tasks:
        if len(task.samples) >= _FEWEST_SAMPLES:
            lines_to_hold_out(task.samples, n_splits=screens.n_splits)
    pairs = [(find_task(one.train, tasks), find_task(one.test, tasks)) for one in screens.transfers]
    for source, target in pairs:
        trained_rows(source, target)
    return ScreenPlan(tasks, pairs)


def run_screens(
    config: ExperimentConfig,
    screens: ScreensConfig,
    *,
    cohorts: Sequence[IngestedCohort],
    catalogue: Catalogue,
    progress: Callable[[str], None],
) -> Screens:
    """Return what the drug screens of an experiment say, its own cohorts and those apart.

    Raises
    ------
    ConfigError
        As of :func:`plan_screens`, or a transfer has no feature.
    """
    plan = plan_screens(screens, cohorts=cohorts, samples=config.samples)
    options = ScreenOptions.of(config, screens, catalogue=catalogue)
    analyses, notes = [], []
    for task in plan.tasks:
        if len(task.samples) < _FEWEST_SAMPLES:
            notes.append(
                f"{task.name}: {len(task.samples)} samples, too few to hold any out; looked at by "
                "transfer alone"
            )
            continue
        progress(f"drug screens: {task.name}")
        analyses.append(analyse(task, options))
        if analyses[-1].features.empty:
            notes.append(f"{task.name}: its genes give no feature of setting '{config.setting}'")
    transfers = []
    for source, target in plan.pairs:
        progress(f"drug screens: {source.name} to {target.name}")
        transfers.append(transfer(source, target, options))
    evidence = _evidence(cohorts, catalogue)
    identities = line_identities(plan.tasks)
    doubts = [*doubts_of(evidence), *identity_doubts(identities)]
    for doubt in doubts:
        _LOG.warning("%s", doubt)
    absent = {one.task.cohort: _absent(one, catalogue) for one in analyses}
    genes = genes_by_drug(cohorts, genes=screens.genes)
    return Screens(analyses, transfers, evidence, identities, genes, absent, (*doubts, *notes))


def _absent(one: Analysis, catalogue: Catalogue) -> list[str]:
    """Return the features that its genes do not give, of those that its samples can have."""
    testable = one.task.testable(catalogue, catalogue.marker_ids)
    return [name for name in testable if name not in one.features]


def _evidence(cohorts: Sequence[IngestedCohort], catalogue: Catalogue) -> pd.DataFrame:
    named = [(cohort.name, cohort.screen) for cohort in cohorts if cohort.screen is not None]
    adatas = {cohort.name: cohort.adata for cohort in cohorts}
    parts = [
        efflux_evidence(name, adatas[name], screen, catalogue=catalogue) for name, screen in named
    ]
    parts += [experiment_evidence(name, screen) for name, screen in named]
    return together([*parts, shared_line_evidence(named)])


def screen_tables(screens: Screens, *, mechanisms: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Return the tables by name: ``screens``, ``screen_tissues``, ``screen_predictions`` ….

    ``screens``: ``cohort, drug_group, n, labelled, features, predictor, metric, value, low, high``;
    ``transfers``: ``train, test, n_train, n_test, shared, genes, features, metric, value, low,
    high``; ``screen_reasons``: ``cohort, drug_group, feature, mechanism, mean_abs_shap``;
    ``screen_mechanisms``: the mean absolute sums over each of ``mechanisms``.
    """
    keys = [{"cohort": one.task.cohort, "drug_group": one.task.group} for one in screens.analyses]
    named = list(zip(keys, screens.analyses, strict=True))
    figures = [row for key, one in named for row in _figures(key, one)]
    predictions = [
        one.predictions.rename_axis("sample").reset_index().assign(**key) for key, one in named
    ]
    moved = [row for one in screens.transfers for row in _of_transfer(one)]
    return {
        "screens": pd.DataFrame(figures, columns=_SCREEN_COLUMNS),
        "screen_tissues": _stacked([one.tissues.assign(**key) for key, one in named]),
        "screen_predictions": _stacked(predictions, columns=_PREDICTION_COLUMNS),
        "screen_reasons": _stacked([_reasons(key, one, mechanisms) for key, one in named]),
        "screen_mechanisms": _stacked([_by_mechanism(key, one, mechanisms) for key, one in named]),
        "screen_evidence": screens.evidence,
        "line_identities": screens.identities,
        "transfers": pd.DataFrame(moved, columns=_TRANSFER_COLUMNS),
        "genes_by_drug": screens.genes,
        "absent_features": pd.DataFrame(
            [
                {"cohort": cohort, "feature": name}
                for cohort, names in screens.absent.items()
                for name in names
            ],
            columns=["cohort", "feature"],
        ),
    }


def _stacked(parts: Sequence[pd.DataFrame], *, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return tables under one another; the columns alone where there are none."""
    kept = [part for part in parts if len(part)]
    return pd.concat(kept) if kept else pd.DataFrame(columns=list(columns))


def _figures(key: Mapping[str, str], one: Analysis) -> list[dict[str, object]]:
    size = {
        "n": len(one.task.samples),
        "labelled": int(one.task.samples["resistant"].notna().sum()),
        "features": one.features.shape[1],
    }
    return [
        {**key, **size, "predictor": predictor, "metric": metric} | _interval(found)
        for predictor, estimates in one.estimates.items()
        for metric, found in estimates.items()
    ]


def _interval(found: Estimate) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _of_transfer(one: Transfer) -> list[dict[str, object]]:
    facts = {name: value for name, value in asdict(one).items() if name != "estimates"}
    return [
        {**facts, "metric": metric} | _interval(found) for metric, found in one.estimates.items()
    ]


def _by_mechanism(
    key: Mapping[str, str], one: Analysis, mechanisms: Mapping[str, str]
) -> pd.DataFrame:
    columns = ["cohort", "drug_group", "mechanism", "mean_abs_shap"]
    if one.attributions is None:
        return pd.DataFrame(columns=columns)
    sizes = one.attributions.by_mechanism(mechanisms).abs().mean().rename("mean_abs_shap")
    table = sizes.rename_axis("mechanism").reset_index().assign(**key)
    return table.sort_values("mean_abs_shap", ascending=False)[columns]


def _reasons(key: Mapping[str, str], one: Analysis, mechanisms: Mapping[str, str]) -> pd.DataFrame:
    columns = ["cohort", "drug_group", "feature", "mechanism", "mean_abs_shap"]
    if one.attributions is None:
        return pd.DataFrame(columns=columns)
    sizes = one.attributions.values.abs().mean().rename("mean_abs_shap")
    table = sizes.rename_axis("feature").reset_index().assign(**key)
    table["mechanism"] = table["feature"].map(mechanisms)
    return table.sort_values("mean_abs_shap", ascending=False)[columns]


def screen_metrics(screens: Screens) -> dict[str, float]:
    """Return the figures by name, each with ``_low`` and ``_high``.

    ``screen.<cohort>.<group>.<metric>``, the same under ``baseline.<name>.``, and
    ``transfer.<from>.to.<to>.<metric>``.
    """
    found: dict[str, float] = {}
    for one in screens.analyses:
        place = ".".join(part for part in (_SCREEN, one.task.cohort, one.task.group) if part)
        for predictor, estimates in one.estimates.items():
            prefix = place if predictor == MODEL else f"baseline.{predictor}.{place}"
            found |= _metrics(prefix, estimates)
    for moved in screens.transfers:
        place = f"transfer.{moved.train}.to.{moved.test}".replace("/", ".")
        found |= _metrics(place, moved.estimates)
    return found


def _metrics(prefix: str, estimates: Mapping[str, Estimate]) -> dict[str, float]:
    return {
        f"{prefix}.{metric}{end}": value
        for metric, one in estimates.items()
        for end, value in (("", one.value), ("_low", one.low), ("_high", one.high))
    }
