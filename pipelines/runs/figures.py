"""The figures of a training run, drawn from its tables and logged by folder."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from features.catalogue import Catalogue
from features.reference import Standardisation
from models.rank_curves import rank_curves
from pipelines.figures.calibration import (
    decision_curve_figure,
    reliability_with_intervals,
    risk_coverage_figure,
)
from pipelines.figures.forests import difference_forest, peers_forest, subgroup_forest
from pipelines.figures.names import predictor_name, timepoint_kind, timepoint_name
from pipelines.figures.power import learning_curve_figure, permutation_null
from pipelines.figures.ranking import auroc_forest, feature_signs, roc_and_precision_recall
from pipelines.figures.shift import gene_coverage_figure, shift_scores, stability_bars
from pipelines.figures.survival import kaplan_meier_cohorts, kaplan_meier_pooled
from pipelines.runs.artifacts import log_figure, log_table
from pipelines.runs.attributions import Reasons, log_attributions, log_reasons
from pipelines.validation.validate import ARM_SUFFIX, Validation

__all__ = ["figures_of_arm", "log_attributions", "log_drawings", "log_figures"]

_FOREST_PEERS = ("gep_18", "ifng_6", "impres")
_CURVE_PEERS = ("gep_18", "impres")
_CURVE_RESAMPLES = 500
_ENDPOINT_NAMES = {"pfs": "progression-free survival", "os": "overall survival"}

_Figures = dict[str, Figure]


def log_figures(
    validations: Mapping[Standardisation, Validation],
    comparison: pd.DataFrame,
    *,
    catalogue: Catalogue,
    setting: str,
    signs: pd.DataFrame,
    shift: pd.DataFrame,
    drift: pd.DataFrame,
    gene_coverage: pd.DataFrame,
    n_resamples: int,
    seed: int,
) -> None:
    """Log every figure of a validation, under ``figures/<what it is about>/`` and ``shap/``.

    Parameters
    ----------
    validations
        By standardisation; the interactive pages are of the first.
    comparison
        Of :func:`pipelines.validation.headline.compare`.
    catalogue, setting
        Whose names, mechanisms and signs the features have.
    signs
        Of :func:`models.signs.sign_agreement`.
    shift, drift
        Of :mod:`pipelines.validation.shift`.
    gene_coverage
        Share of genes measured (n_features, n_cohorts); logged as a table, too.
    n_resamples, seed
        Of the bootstraps.
    """
    for number, (arm, validation) in enumerate(validations.items()):
        log_drawings(figures_of_arm(validation, comparison, arm=arm, seed=seed))
        reasons = Reasons.of(validation, catalogue=catalogue, setting=setting, arm=arm)
        if reasons is not None:
            log_reasons(reasons, n_resamples=n_resamples, seed=seed, interactive=number == 0)
    names = {marker.id: marker.name for marker in catalogue.markers}
    log_drawings(_figures_of_data(signs, shift, drift, gene_coverage, names=names))
    held_out = {f"{arm}-relative": v.main.predictions for arm, v in validations.items()}
    reliability = reliability_with_intervals(
        held_out,
        title="Calibration of out-of-cohort probabilities",
        note="Ten bins of equal count; beneath, how often each probability is given.",
    )
    log_drawings({"calibration/reliability": reliability})
    log_table(gene_coverage.reset_index(), "tables/gene_coverage.parquet")


def log_drawings(figures: Mapping[str, Figure]) -> None:
    """Log figures by their path under ``figures/``, without ending."""
    for name, figure in figures.items():
        log_figure(figure, f"figures/{name}.png")


def _figures_of_data(
    signs: pd.DataFrame,
    shift: pd.DataFrame,
    drift: pd.DataFrame,
    gene_coverage: pd.DataFrame,
    *,
    names: Mapping[str, str],
) -> _Figures:
    mean = drift.groupby("feature", sort=False)[["psi", "expected_psi"]].mean().reset_index()
    return {
        "discrimination/feature_signs": feature_signs(
            signs,
            title="Do features go the catalogue's way?",
            names=names,
            note="Bold: against the catalogue's sign beyond the 95% interval. Mean over cohorts.",
        ),
        "shift/shift": shift_scores(
            shift,
            title="Distance of each set from the training cohorts",
            note="Held-out tumours are measured by a detector that never saw their cohort.",
        ),
        "shift/drift": stability_bars(
            mean,
            title="Drift of held-out cohorts",
            names=names,
            note="Mean population stability index of each feature over the held-out cohorts.",
        ),
        "shift/gene_coverage": gene_coverage_figure(
            gene_coverage, title="Genes measured, by feature and cohort", names=names
        ),
    }


def figures_of_arm(
    validation: Validation, comparison: pd.DataFrame, *, arm: Standardisation, seed: int
) -> _Figures:
    """Return the figures of one standardisation by the path that they are logged under."""
    figures = {
        **_discrimination(validation, comparison, arm=arm, seed=seed),
        **_decisions(validation, arm=arm),
        **_power(validation, arm=arm),
        **_survival(validation, arm=arm),
        **_types_and_timepoints(validation, arm=arm),
    }
    return {name.replace("loco", validation.prefix): one for name, one in figures.items()}


def _discrimination(
    validation: Validation, comparison: pd.DataFrame, *, arm: Standardisation, seed: int
) -> _Figures:
    how, differences = f"{arm}-relative", validation.tables["differences"]
    chosen = comparison[
        (comparison["standardisation"] == arm)
        & (comparison["metric"] == "auroc")
        & (comparison["scheme"] == "loco")
        & comparison["predictor"].isin(["model", *_FOREST_PEERS])
    ]
    figures = {
        "discrimination/loco_peers": peers_forest(
            differences, scheme="mean", title=f"The model against its peers, {how}"
        ),
        "discrimination/loco_roc_pr": _pooled_curves(validation, how=how, seed=seed),
    }
    if validation.scheme == "loco":
        figures["discrimination/loco_auroc"] = auroc_forest(
            chosen, title=f"AUROC of each held-out cohort, {how}"
        )
    for peer in _FOREST_PEERS:
        if (differences["peer"] == peer).any():
            title = f"The model minus {predictor_name(peer)}, {how}"
            figures[f"discrimination/loco_difference_{peer}"] = difference_forest(
                differences, peer=peer, title=title
            )
    return figures


def _types_and_timepoints(validation: Validation, *, arm: Standardisation) -> _Figures:
    tables, figures = validation.tables, {}
    if "tumour_types" in tables:
        table = tables["tumour_types"]
        figures[f"discrimination/tumour_types{ARM_SUFFIX[arm]}"] = subgroup_forest(
            table.assign(group=table["tumour_type"], level=table["training"]),
            title=f"Tumour types by what was trained on, {arm}-relative",
            xlabel="AUROC, mean over the type's cohorts (95% bootstrap over patients)",
        )
    if "on_treatment" in tables:
        table = tables["on_treatment"]
        figures["discrimination/on_treatment"] = subgroup_forest(
            table.assign(
                group=table["predictor"].map(timepoint_kind),
                level=table["predictor"].map(timepoint_name),
            ),
            title="Before and on treatment, the same patients",
            xlabel="AUROC, mean over repeats of the folds (95% bootstrap over patients)",
        )
    return figures


def _pooled_curves(validation: Validation, *, how: str, seed: int) -> Figure:
    frames = {"model": validation.main.predictions}
    frames |= {name: validation.peers[name] for name in _CURVE_PEERS if name in validation.peers}
    curves = {
        name: rank_curves(frame, n_resamples=_CURVE_RESAMPLES, seed=seed)
        for name, frame in frames.items()
    }
    return roc_and_precision_recall(
        {name: found for name, found in curves.items() if found is not None},
        title=f"Ranking beside its peers, {how}",
        note=(
            "Samples are pooled by their rank within their own cohort: areas are of these ranks, "
            "not means over cohorts. Band and brackets: 95% bootstrap over patients."
        ),
    )


def _decisions(validation: Validation, *, arm: Standardisation) -> _Figures:
    tables, how = validation.tables, f"{arm}-relative"
    return {
        "abstention/loco_risk_coverage": risk_coverage_figure(
            tables["risk_coverage"],
            title=f"What abstaining gains, {how}",
            note="Bands: 95% bootstrap over patients. Certain: far from the base rate.",
        ),
        "calibration/loco_decision_curve": decision_curve_figure(
            tables["decision_curve"], title=f"Decision curve, {how}"
        ),
        "subgroups/loco_subgroups": subgroup_forest(tables["subgroups"], title=f"Subgroups, {how}"),
    }


def _power(validation: Validation, *, arm: Standardisation) -> _Figures:
    tables, how, figures = validation.tables, f"{arm}-relative", {}
    if "learning_curve" in tables:
        figures["null_and_power/loco_learning_curve"] = learning_curve_figure(
            tables["learning_curve"], title=f"Learning curve over cohorts, {how}"
        )
    if "null" in tables:
        figures["null_and_power/loco_null"] = permutation_null(
            tables["null"]["auroc"],
            observed=validation.estimates[validation.prefix]["auroc"].value,
            title=f"The whole pipeline on shuffled labels, {how}",
        )
    return figures


def _survival(validation: Validation, *, arm: Standardisation) -> _Figures:
    tables, figures = validation.tables, {}
    for endpoint, name in _ENDPOINT_NAMES.items():
        if f"kaplan_meier_{endpoint}" in tables:
            curves, table = tables[f"kaplan_meier_{endpoint}"], tables[f"survival_{endpoint}"]
            title = f"{name.capitalize()} by predicted risk, {arm}-relative"
            pooled = kaplan_meier_pooled(curves, table, endpoint=name, title=title)
            figures[f"survival/loco_survival_{endpoint}"] = pooled
            cohorts = kaplan_meier_cohorts(curves, table, endpoint=name, title=title)
            figures[f"survival/loco_survival_{endpoint}_cohorts"] = cohorts
    return figures
