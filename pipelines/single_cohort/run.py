"""Write a training on a single cohort into MLflow: inputs, figures, metrics, cells, model."""

from collections.abc import Mapping

import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from features.reference import Standardisation
from models.explanation import Attributions
from pipelines.cells.figures import CellPicture, cell_figures
from pipelines.figures.attribution import beeswarm
from pipelines.figures.calibration import reliability_with_intervals
from pipelines.figures.dependence import dependence_plots
from pipelines.figures.forests import subgroup_forest
from pipelines.figures.names import predictor_name
from pipelines.figures.ranking import feature_signs as feature_signs_figure
from pipelines.figures.shift import gene_coverage_figure
from pipelines.figures.style import png_bytes
from pipelines.registry.gate_scores import expected_scores
from pipelines.report import render_report
from pipelines.reports.build import build_report
from pipelines.reports.validation import RunRecord
from pipelines.runs.artifacts import gathered_artifacts, log_figure, log_table, log_text
from pipelines.runs.attributions import Reasons, log_reasons
from pipelines.runs.description import registered_model_description
from pipelines.runs.figures import figures_of_arm, log_drawings
from pipelines.runs.inputs import flat_params, log_datasets, log_inputs, training_datasets
from pipelines.runs.log import LoggedRun, model_params
from pipelines.runs.logged_model import (
    describe_registered_model,
    log_model,
    register_version,
    shortened,
)
from pipelines.runs.metrics import log_linked_metrics, shift_metrics, validation_metrics
from pipelines.runs.open_run import OpenRun
from pipelines.runs.reports import held_out_cohort
from pipelines.runs.tables import log_validation_tables
from pipelines.runs.tags import sufficiency_tags, verdict_tags, version_tags
from pipelines.screens.log import log_screens
from pipelines.screens.run import screen_metrics
from pipelines.single_cohort.cells import CELL_MODEL_PARAMS
from pipelines.single_cohort.pages import run_note, short_card, single_card
from pipelines.single_cohort.train import TrainedSingle
from pipelines.tracking import LoadedModel
from pipelines.validation.headline import compare
from pipelines.validation.validate import ARM_SUFFIX, Validation

__all__ = ["log_single"]

_LONGEST_NOTE = 8000


def log_single(trained: TrainedSingle, opened: OpenRun) -> LoggedRun:
    """Write the run and register the model, unless it is a demonstration; no alias moves."""
    config, comparison = trained.config, compare(trained.validations)
    name, metrics = config.model.registered_name, single_metrics(trained)
    tags = {**opened.tags, "cohorts": trained.cohort.name, **verdict_tags(metrics)}
    if config.demonstration is not None:
        tags["demonstration"] = config.demonstration
    facts = {} if trained.model is None else trained.model.facts
    tags |= sufficiency_tags(facts)
    with gathered_artifacts() as folder:
        log_inputs(
            config,
            trained.dataset,
            ingested=[trained.cohort],
            validations=trained.validations,
            facts=facts,
        )
        _log_tables(trained, comparison)
        _log_figures(trained, comparison)
        _log_report(trained, _log_cells(trained))
        if trained.screens is not None:
            log_screens(trained.screens, catalogue=trained.dataset.catalogue)
        record = RunRecord(folder, tags, metrics)
        card = single_card(record, trained)
        log_text(card, "model_card.md")
        short = short_card(record, trained)
        note = run_note(record, trained, experiment=opened.experiment_id, run=opened.run_id)
    datasets = training_datasets(trained.dataset, [trained.cohort])
    mlflow.set_tags({**tags, "mlflow.note.content": shortened(note, most=_LONGEST_NOTE)})
    mlflow.log_params(flat_params(config.model_dump(mode="json")))
    if trained.cells is not None:
        mlflow.log_params(dict(CELL_MODEL_PARAMS))
    log_datasets(datasets, context="training")
    version, model_id = "", ""
    if trained.model is not None:
        shared = version_tags(tags)
        model_id = log_model(
            trained.model,
            name=name,
            card=card,
            tags={**shared, "mlflow.note.content": short},
            params=model_params(trained.model, trained.dataset, seed=config.seed),
        )
        if config.demonstration is None:
            version = register_version(model_id, name=name, description=short, tags=shared)
            describe_registered_model(
                name,
                description=registered_model_description(name, setting=config.setting),
                tags={"setting": config.setting},
            )
    if model_id:
        log_linked_metrics(metrics, run_id=opened.run_id, model_id=model_id, datasets=datasets)
    else:
        mlflow.log_metrics(dict(metrics))
    opened.watch.lap("writing")
    mlflow.log_metrics(opened.watch.metrics)
    return LoggedRun(
        opened.run_id, opened.store.uri, version, note, metrics, comparison, record.sufficiency
    )


def single_metrics(trained: TrainedSingle) -> dict[str, float]:
    """Return every metric of the run: ``nested.auroc``, ``nested.pre_treatment.auroc`` …."""
    dataset = trained.dataset
    metrics = {
        "samples.labelled": float(dataset.samples["resistant"].notna().sum()),
        "samples.left_out_by_timepoint": float(
            sum(sum(counts.values()) for counts in dataset.left_out.values())
        ),
    }
    verdicts = trained.signs["verdict"].value_counts()
    for outcome in ("agrees", "opposes", "unclear"):
        metrics[f"signs.{outcome}"] = float(verdicts.get(outcome, 0))
    for validation in trained.validations.values():
        metrics |= validation_metrics(validation)
        for row in validation.tables["timepoints"].to_dict("records"):
            name = f"{row['prefix']}.{row['timepoint']}.auroc"
            ends = zip(("", "_low", "_high"), ("value", "low", "high"), strict=True)
            metrics |= {f"{name}{end}": float(row[column]) for end, column in ends}
    if len(trained.shift):
        metrics |= shift_metrics(trained.shift)
    if trained.screens is not None:
        metrics |= screen_metrics(trained.screens)
    if trained.cohort.cells is not None:
        metrics["cells.kept"] = float((trained.cohort.cells.samples >= 0).sum())
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _log_tables(trained: TrainedSingle, comparison: pd.DataFrame) -> None:
    for arm, validation in trained.validations.items():
        log_validation_tables(validation, suffix=ARM_SUFFIX[arm])
    log_table(comparison, "tables/comparison.parquet")
    log_table(trained.signs, "tables/feature_signs.parquet")
    log_table(trained.shift, "tables/shift.parquet")
    log_table(trained.features.rename_axis("sample"), "tables/features.parquet")
    for arm, unsigned in trained.unsigned.items():
        table = biology_table(trained.signs, unsigned.attributions)
        log_table(table, f"tables/biology{ARM_SUFFIX[arm]}.parquet")
    if trained.model is not None:
        log_table(expected_scores(trained.model), "gate/expected.parquet")
    cells = trained.cohort.cells
    if cells is None:
        return
    composition = cells.composition().rename_axis("sample")
    log_table(composition, "cells/composition.parquet")
    log_table(cells.quality.thresholds.reset_index(), "cells/thresholds.parquet")
    if trained.cells is not None:
        found = trained.cells.out_of_fold
        log_table(found.cells.rename_axis("cell_id"), "cells/out_of_fold.parquet")
        log_table(found.importance.reset_index(), "cells/importance.parquet")


def biology_table(signs: pd.DataFrame, attributions: Attributions | None) -> pd.DataFrame:
    """Return each feature's own direction, and the one that a model without signs gave it.

    Columns ``feature, sign, auroc, low, high, verdict, mean_abs_shap, direction``: ``direction``
    is Spearman's correlation of value and SHAP over the samples held out, above 0 where the model
    took more of it for resistance.
    """
    table = signs.reset_index()
    if attributions is None:
        return table
    values, seen = attributions.values, attributions.features
    directions, sizes = {}, {}
    for name in map(str, values):
        pairs = pd.DataFrame({"seen": seen[name], "shap": values[name]}).dropna()
        varies = len(pairs) > 1 and bool((pairs.std() > 0).all())
        found = stats.spearmanr(pairs["seen"], pairs["shap"]) if varies else None
        directions[name] = np.nan if found is None else float(found.statistic)
        sizes[name] = float(values[name].abs().mean())
    return table.assign(
        mean_abs_shap=table["feature"].map(sizes), direction=table["feature"].map(directions)
    )


def _log_figures(trained: TrainedSingle, comparison: pd.DataFrame) -> None:
    config, catalogue = trained.config, trained.dataset.catalogue
    noise = {"n_resamples": config.validation.n_resamples, "seed": config.seed}
    names = {marker.id: marker.name for marker in catalogue.markers}
    for number, (arm, validation) in enumerate(trained.validations.items()):
        log_drawings(figures_of_arm(validation, comparison, arm=arm, seed=config.seed))
        log_drawings(_by_timepoint(validation, arm=arm))
        reasons = Reasons.of(validation, catalogue=catalogue, setting=config.setting, arm=arm)
        if reasons is not None:
            log_reasons(reasons, **noise, interactive=number == 0)
        free = trained.unsigned[arm].attributions
        if free is not None:
            _log_unsigned(trained, free, names=names, suffix=ARM_SUFFIX[arm])
    log_drawings(
        {
            "discrimination/feature_signs": feature_signs_figure(
                trained.signs,
                title="Do features go the catalogue's way?",
                names=names,
                note="Bold: against the catalogue's sign beyond the 95% interval.",
            ),
            "calibration/reliability": reliability_with_intervals(
                {f"{arm}-relative": v.main.predictions for arm, v in trained.validations.items()},
                title="Calibration, patients held out",
                note="Bins of equal count; beneath, how often each probability is given.",
            ),
            "shift/gene_coverage": gene_coverage_figure(
                trained.dataset.gene_coverage(), title="Genes measured, by feature", names=names
            ),
        }
    )


def _by_timepoint(validation: Validation, *, arm: Standardisation) -> dict[str, Figure]:
    """Return the AUROC of model and peers over all samples and within each timepoint."""
    rows = [
        {"prefix": prefix, "group": "all samples", "n": validation.sizes[prefix], **vars(found)}
        for prefix, estimates in validation.estimates.items()
        if (found := estimates.get("auroc")) is not None
    ]
    apart = validation.tables["timepoints"].rename(columns={"timepoint": "group"})
    table = pd.concat([pd.DataFrame(rows), apart], ignore_index=True)
    table = table[~table["prefix"].str.startswith("baseline.prior.")]
    parts = table["prefix"].str.split(".")
    names = parts.map(lambda part: part[1] if part[0] == "baseline" else "model")
    table = table.assign(level=names.map(predictor_name), auroc=table["value"])
    figures = {}
    for group, part in table.groupby("group", sort=False):
        figure = subgroup_forest(
            part,
            title=f"AUROC, {str(group).replace('_', ' ')}, {arm}-relative",
            xlabel="AUROC for resistance, patients held out (95% bootstrap over patients)",
        )
        name = str(group).replace(" ", "_")
        figures[f"discrimination/{validation.prefix}_{name}"] = figure
    return figures


def _log_unsigned(
    trained: TrainedSingle, found: Attributions, *, names: Mapping[str, str], suffix: str
) -> None:
    """Log what drives the same candidates where no sign is held."""
    note = f"{len(found.values)} samples, signs not held; the model had not seen the patient."
    log_figure(
        beeswarm(found, title="Without signs: what drives it", names=names, note=note),
        f"shap/unsigned_beeswarm{suffix}.png",
    )
    figure = dependence_plots(
        found,
        signs=trained.dataset.catalogue.signs(trained.config.setting),
        resistant=trained.dataset.samples.loc[found.values.index, "resistant"],
        title="Without signs: how the leading features act",
        names=names,
        note="▲ ▼ the catalogue's sign, which this model did not know.",
    )
    log_figure(figure, f"shap/unsigned_dependence{suffix}.png")


def _log_cells(trained: TrainedSingle) -> dict[str, bytes]:
    """Log the pictures of the cells, and return them for the report; none of bulk."""
    if trained.cohort.cells is None:
        return {}
    labels = trained.cohort.adata.obs["resistant"].astype(float)
    resistance, words, attributions = None, "", None
    if trained.cells is not None:
        resistance = trained.cells.scores()
        words = "Resistance: by cell-level models that had not seen the patient."
        attributions = trained.cells.out_of_fold.attributions
    explained = "Cell-level models, uncalibrated; each cell by one that had not seen its patient."
    picture = CellPicture(trained.cohort.cells, labels, resistance, words, attributions, explained)
    figures = cell_figures(
        picture, catalogue=trained.dataset.catalogue, setting=trained.config.setting
    )
    for name, figure in figures.items():
        log_figure(figure, f"cells/{name}.png")
    return {name: png_bytes(figure) for name, figure in figures.items()}


def _log_report(trained: TrainedSingle, pictures: Mapping[str, bytes]) -> None:
    """Log the cohort's report: each lesion by the model that had not seen its patient."""
    validation = trained.validations["cohort"]
    attributions = validation.main.attributions
    if attributions is None or trained.model is None:
        return
    name = trained.config.model.registered_name
    scored = held_out_cohort(
        validation,
        trained.dataset,
        trained.cohort,
        shift=trained.shift,
        model=trained.model,
        attributions=attributions,
        model_uri=f"{name}, trained without the patient",
        ranks=trained.dataset.gene_ranks(),
    )
    loaded = LoadedModel(trained.model, str(scored.predictions["model_uri"].iloc[0]), None)
    page = render_report(build_report(scored, loaded, kind="held_out", pictures=pictures))
    log_text(page, f"reports/{trained.cohort.name}.html")
