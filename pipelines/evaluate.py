"""Evaluate a frozen model on a labelled cohort: every figure with its interval, as tables."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.errors import CohortError, ConfigError, ModelError
from models.calibration_metrics import reliability_table
from models.conformal import LABELS
from models.decision import decision_curve
from models.recalibration import (
    LEAST_SAMPLES,
    Recalibration,
    base_rate_of,
    recalibrate,
    recalibration_of,
)
from models.resistance_model import ResistanceModel
from models.survival import kaplan_meier_curves, survival_table
from models.survival_patients import Endpoint
from pipelines.files import write_table
from pipelines.ingest import IngestedCohort
from pipelines.score import ScoredCohort
from pipelines.scoring.evaluation_figures import (
    ALL,
    IN_SCOPE,
    RECALIBRATED,
    call_figures,
    group_figures,
    survival_figures,
)

__all__ = ["Evaluation", "evaluate_cohort", "require_labels"]

_ENDPOINTS: tuple[Endpoint, ...] = ("pfs", "os")
_THRESHOLDS = tuple(np.round(np.arange(0.05, 0.96, 0.05), 2))


@dataclass(frozen=True)
class Evaluation:
    """What a frozen model is worth on a cohort's own labels.

    Attributes
    ----------
    scored
        The scored cohort.
    samples
        One row a sample of the cohort: its prediction with ``log_odds`` (uncalibrated), label,
        survival and ``prior``, the model's base rate.
    base_rate_of
        Whose share of resistant samples the model's base rate is: ``training``, or the cohort that
        it was recalibrated to.
    figures
        ``what, group, value, low, high, n``: 95% intervals, patients resampled.
    reliability, decision_curve, thresholds
        Tables of :mod:`models.calibration_metrics` and :mod:`models.decision`, with ``group``;
        the last also with ``rule``. Of the group ``recalibrated`` the base rate is this cohort's,
        cross-fitted.
    survival, kaplan_meier
        Endpoint → table and curves of :mod:`models.survival`, where survival is known.
    recalibration
        The model recalibrated to the cohort's response rate, where that was asked for.
    warnings
        Why the figures say nothing, or less than they seem to, of new patients.
    """

    scored: ScoredCohort
    samples: pd.DataFrame
    base_rate_of: str
    figures: pd.DataFrame
    reliability: pd.DataFrame
    decision_curve: pd.DataFrame
    thresholds: pd.DataFrame
    survival: Mapping[Endpoint, pd.DataFrame]
    kaplan_meier: Mapping[Endpoint, pd.DataFrame]
    recalibration: Recalibration | None
    warnings: tuple[str, ...]

    @property
    def groups(self) -> list[str]:
        """The groups that have figures."""
        return [str(group) for group in self.figures["group"].unique()]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables of figures by name."""
        return {
            "evaluation": self.figures,
            "reliability": self.reliability,
            "decision_curve": self.decision_curve,
            "thresholds": self.thresholds,
        }

    def write(self, folder: Path) -> None:
        """Write the tables as CSV, and the predictions as ``score`` does."""
        self.scored.write(folder)
        for name, table in self.tables().items():
            write_table(table, folder / f"{name}.csv")


def require_labels(cohort: IngestedCohort) -> None:
    """Refuse a cohort without labels of both classes.

    Raises
    ------
    CohortError
        Names what there is and what is missing.
    """
    labels = cohort.adata.obs["resistant"].dropna()
    if labels.nunique() == 2:
        return
    if labels.empty:
        what = f"none of its {cohort.adata.n_obs} samples has a response label"
    else:
        alike = LABELS[int(labels.iloc[0])]
        what = f"all {len(labels)} labelled samples are {alike}"
    raise CohortError(
        f"cohort '{cohort.name}' cannot be evaluated: {what}; resistant and responsive samples are "
        "needed. Give a clinical table with the responses (--clinical, or a cohort YAML with "
        "labels), or use oncoresist score"
    )


def evaluate_cohort(
    model: ResistanceModel,
    scored: ScoredCohort,
    *,
    recalibrating: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Return the figures of a scored, labelled cohort.

    Parameters
    ----------
    model
        The model it was scored with.
    scored
        From :func:`pipelines.score.score_cohort`.
    recalibrating
        Also recalibrate the model to the cohort's response rate, on the samples in scope. The
        figures of the group ``recalibrated`` are cross-fitted: no sample's probability comes from
        a shift that its patient entered, and their base rate (of the Brier skill, and the
        threshold of calls) is the cohort's own share of resistant samples, learned alike.
    n_resamples, seed
        Of the bootstrap over patients.

    Raises
    ------
    CohortError
        The cohort lacks labels of both classes.
    ConfigError
        Recalibration was asked for on a cohort that the model was trained on.
    ModelError
        There are too few labelled samples in scope to recalibrate on.
    """
    require_labels(scored.cohort)
    samples = _samples(model, scored)
    recalibration = _recalibration(model, scored, samples) if recalibrating else None
    groups = _groups(samples, recalibration)
    noise = {"n_resamples": n_resamples, "seed": seed}
    survival = {
        endpoint: {name: survival_table(frame, endpoint=endpoint, **noise) for name, frame in known}
        for endpoint in _ENDPOINTS
        if (known := _followed(groups, endpoint))
    }
    figures = [group_figures(frame, group=name, noise=noise) for name, frame in groups.items()]
    figures += [
        survival_figures(table, endpoint=endpoint, group=name)
        for endpoint, tables in survival.items()
        for name, table in tables.items()
    ]
    order = {name: place for place, name in enumerate(groups)}
    reliability, curves, thresholds = {}, {}, {}
    for name, frame in groups.items():
        reliability[name] = reliability_table(frame)
        curves[name] = decision_curve(frame, thresholds=_THRESHOLDS, **noise)
        thresholds[name] = call_figures(frame, group=name, threshold=scored.threshold, noise=noise)
    return Evaluation(
        scored,
        samples,
        base_rate_of(model, standardisation=scored.standardisation),
        pd.concat(figures).sort_values("group", key=lambda g: g.map(order), kind="stable"),
        _by_group(reliability),
        _by_group(curves),
        _by_group(thresholds),
        {endpoint: tables[ALL] for endpoint, tables in survival.items()},
        {endpoint: kaplan_meier_curves(samples, endpoint=endpoint) for endpoint in survival},
        recalibration,
        tuple(_warnings(model, scored)),
    )


def _groups(samples: pd.DataFrame, recalibration: Recalibration | None) -> dict[str, pd.DataFrame]:
    """Return the samples that figures are told of: all, in scope, recalibrated; none unlabelled."""
    in_scope = samples[samples["call"] != "out_of_scope"]
    groups = {ALL: samples, IN_SCOPE: in_scope}
    if recalibration is not None:
        fitted = recalibration.cross_fitted
        groups[RECALIBRATED] = in_scope.loc[fitted.index].assign(**fitted)
    return {name: frame for name, frame in groups.items() if frame["resistant"].notna().any()}


def _samples(model: ResistanceModel, scored: ScoredCohort) -> pd.DataFrame:
    """Return predictions with log-odds, sets, labels and survival, indexed by sample id."""
    table = scored.predictions.set_index("sample_id", drop=False).rename_axis(None)
    found = model.predict(
        scored.features,
        standardisation=scored.standardisation,
        cohorts=scored.cohort.adata.obs["cohort"].astype(str),
    )
    obs = scored.cohort.adata.obs.reindex(
        columns=["resistant", *(f"{e}_{what}" for e in _ENDPOINTS for what in ("time", "event"))]
    )
    joined = table.join(found.drop(columns="probability")).join(obs)
    return joined.assign(score=joined["log_odds"], prior=scored.threshold)


def _recalibration(
    model: ResistanceModel, scored: ScoredCohort, samples: pd.DataFrame
) -> Recalibration:
    """Return the model recalibrated on the samples in scope; refuse where those are too few."""
    if scored.in_sample:
        raise ConfigError(
            f"--recalibrate on cohort '{scored.cohort.name}', which the model was trained on: its "
            "predictions there fit too well to learn a response rate from; name a cohort with "
            "other samples"
        )
    if recalibration_of(
        model,
        cohort=scored.cohort.name,
        expression=scored.cohort.expression_hash,
        standardisation=scored.standardisation,
    ):
        raise ConfigError(
            f"--recalibrate on cohort '{scored.cohort.name}', to which the model was "
            "recalibrated before: nothing is left to learn from it; use the version as it is, or "
            "start again from the one it came from"
        )
    labelled = samples.dropna(subset=["resistant"])
    usable = labelled[labelled["call"] != "out_of_scope"]
    if len(usable) < min(LEAST_SAMPLES, len(labelled)):
        raise ModelError(
            f"{len(usable)} of {len(labelled)} labelled samples are in scope of the model, cohort "
            f"'{scored.cohort.name}'; at least {LEAST_SAMPLES} are needed to recalibrate on: leave "
            "out --recalibrate, and call_reason in predictions.csv tells why the others are not; "
            "or add labelled samples that are in scope"
        )
    return recalibrate(
        model,
        usable,
        standardisation=scored.standardisation,
        source={
            "cohort": scored.cohort.name,
            "expression": scored.cohort.expression_hash,
            "model": _frozen_uri(scored),
        },
    )


def _frozen_uri(scored: ScoredCohort) -> str:
    """Return the URI of the very version scored with: an alias may move on."""
    uri, version = (scored.predictions[name].iloc[0] for name in ("model_uri", "model_version"))
    name = re.split("[@/]", uri.removeprefix("models:/"))[0]
    return str(uri) if pd.isna(version) else f"models:/{name}/{version}"


def _warnings(model: ResistanceModel, scored: ScoredCohort) -> Iterator[str]:
    if scored.data_warning is not None:
        yield scored.data_warning
    if scored.in_sample:
        yield (
            "IN-SAMPLE: the model was trained on this cohort or on samples of it; no figure here "
            "says anything of new patients"
        )
    if recalibration_of(
        model,
        cohort=scored.cohort.name,
        expression=scored.cohort.expression_hash,
        standardisation=scored.standardisation,
    ):
        yield (
            "the model was recalibrated on this cohort: calibration and Brier score here say "
            "nothing of new patients; discrimination was not touched"
        )


def _followed(
    groups: Mapping[str, pd.DataFrame], endpoint: Endpoint
) -> list[tuple[str, pd.DataFrame]]:
    """Return the groups with any survival time and event; survival goes by the ranking alone."""
    columns = [f"{endpoint}_time", f"{endpoint}_event"]
    return [
        (name, frame)
        for name, frame in groups.items()
        if name != RECALIBRATED and frame[columns].notna().all(axis=1).any()
    ]


def _by_group(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = [table.assign(group=name) for name, table in tables.items()]
    return pd.concat(parts, ignore_index=True)
