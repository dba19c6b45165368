"""The figures of a training run, drawn from its tables and logged."""

from collections.abc import Mapping

import pandas as pd

from features.reference import Standardisation
from models.explanation import Attributions
from pipelines.figures import auroc_forest, beeswarm, feature_signs, mechanism_bar, waterfall
from pipelines.figures_forests import difference_forest, peers_forest, subgroup_forest
from pipelines.figures_survival import kaplan_meier_cohorts, kaplan_meier_pooled
from pipelines.figures_validation import (
    decision_curve_figure,
    learning_curve_figure,
    permutation_null,
    reliability_with_intervals,
    risk_coverage_figure,
    shift_scores,
    stability_bars,
)
from pipelines.tracking import log_figure, log_table
from pipelines.validate import ARM_SUFFIX, Validation

__all__ = ["log_attributions", "log_figures"]

_FOREST_PEERS = ("gep_18", "ifng_6", "impres")
_ENDPOINT_NAMES = {"pfs": "progression-free survival", "os": "overall survival"}


def log_figures(
    validations: Mapping[Standardisation, Validation],
    comparison: pd.DataFrame,
    *,
    signs: pd.DataFrame,
    shift: pd.DataFrame,
    drift: pd.DataFrame,
    mechanisms: Mapping[str, str],
) -> None:
    """Log every figure of a validation under ``figures/`` and ``shap/``."""
    for arm, validation in validations.items():
        _log_arm(validation, comparison, arm=arm)
        if validation.loco.attributions is not None:
            log_attributions(
                validation.loco.attributions,
                mechanisms=mechanisms,
                arm=arm,
                what="all held-out cohorts",
            )
    held_out = {f"{arm}-relative": v.loco.predictions for arm, v in validations.items()}
    title = "Calibration of out-of-cohort probabilities"
    log_figure(reliability_with_intervals(held_out, title=title), "figures/reliability.png")
    title = "Do features go the catalogue's way?"
    log_figure(feature_signs(signs, title=title), "figures/feature_signs.png")
    title = "Distribution shift: each set's distance from the training cohorts"
    log_figure(shift_scores(shift, title=title), "figures/shift.png")
    mean = drift.groupby("feature", sort=False)[["psi", "expected_psi"]].mean().reset_index()
    title = "Drift of held-out cohorts: mean population stability index of each feature"
    log_figure(stability_bars(mean, title=title), "figures/drift.png")


def _log_arm(validation: Validation, comparison: pd.DataFrame, *, arm: Standardisation) -> None:
    tables, suffix, how = validation.tables, ARM_SUFFIX[arm], f"{arm}-relative"
    chosen = comparison[
        (comparison["standardisation"] == arm)
        & (comparison["metric"] == "auroc")
        & (comparison["scheme"] == "loco")
        & comparison["predictor"].isin(["model", *_FOREST_PEERS])
    ]
    figures = {
        "auroc": auroc_forest(chosen, title=f"Leave-one-cohort-out AUROC, {how}"),
        "peers": peers_forest(
            tables["differences"], scheme="mean", title=f"The model against its peers, {how}"
        ),
        "risk_coverage": risk_coverage_figure(
            tables["risk_coverage"], title=f"What abstaining gains, {how}"
        ),
        "decision_curve": decision_curve_figure(
            tables["decision_curve"], title=f"Decision curve, {how}"
        ),
        "subgroups": subgroup_forest(tables["subgroups"], title=f"Subgroups, {how}"),
    }
    for peer in _FOREST_PEERS:
        if (tables["differences"]["peer"] == peer).any():
            title = f"The model minus {peer}, {how}"
            figures[f"difference_{peer}"] = difference_forest(
                tables["differences"], peer=peer, title=title
            )
    if "learning_curve" in tables:
        figures["learning_curve"] = learning_curve_figure(
            tables["learning_curve"], title=f"Learning curve over cohorts, {how}"
        )
    if "null" in tables:
        figures["null"] = permutation_null(
            tables["null"]["auroc"],
            observed=validation.estimates[f"loco{suffix}"]["auroc"].value,
            title=f"The whole pipeline on shuffled labels, {how}",
        )
    for endpoint, name in _ENDPOINT_NAMES.items():
        if f"kaplan_meier_{endpoint}" in tables:
            curves, table = tables[f"kaplan_meier_{endpoint}"], tables[f"survival_{endpoint}"]
            title = f"{name.capitalize()} by predicted risk, {how}"
            figures[f"survival_{endpoint}"] = kaplan_meier_pooled(
                curves, table, endpoint=name, title=title
            )
            figures[f"survival_{endpoint}_cohorts"] = kaplan_meier_cohorts(
                curves, table, endpoint=name, title=title
            )
    for file, figure in figures.items():
        log_figure(figure, f"figures/loco{suffix}_{file}.png")


def log_attributions(
    attributions: Attributions,
    *,
    mechanisms: Mapping[str, str],
    arm: Standardisation,
    what: str,
) -> None:
    """Log SHAP tables and figures, each sample explained by the model that had not seen it."""
    suffix, title = ARM_SUFFIX[arm], f"{what}, {arm}-relative"
    sums = attributions.by_mechanism(mechanisms)
    table = attributions.values.assign(base_value=attributions.base_value)
    log_table(table.rename_axis("sample"), f"shap/attributions{suffix}.parquet")
    log_table(sums.rename_axis("sample"), f"shap/mechanisms{suffix}.parquet")
    log_figure(beeswarm(attributions, title=title), f"shap/beeswarm{suffix}.png")
    log_figure(mechanism_bar(sums, title=title), f"shap/mechanisms{suffix}.png")
    log_odds = attributions.values.sum(axis=1) + attributions.base_value
    for which, sample in (("most", log_odds.idxmax()), ("least", log_odds.idxmin())):
        figure = waterfall(
            attributions,
            sample=str(sample),
            title=f"{which} resistant: {sample}, {arm}-relative",
        )
        log_figure(figure, f"shap/waterfall_{which}_resistant{suffix}.png")
