"""The HTML report of a scored cohort: one file, figures inside."""

from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from features.cohort import cohort_facts
from models.metrics import Estimate
from models.recalibration import base_rate_of
from pipelines.figures import (
    beeswarm,
    interval_text,
    mechanism_bar,
    mechanism_heatmap,
    png_text,
    probability_ranking,
)
from pipelines.files import write_text
from pipelines.score import ScoredCohort
from pipelines.tracking import LoadedModel

__all__ = ["render_report", "write_report"]

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_RESAMPLES = 1000
_SEED = 0


def write_report(scored: ScoredCohort, loaded: LoadedModel, path: Path) -> None:
    """Write the report of a scored cohort to ``path``, whole or not at all."""
    write_text(render_report(scored, loaded), path)


def render_report(scored: ScoredCohort, loaded: LoadedModel) -> str:
    """Return the report of a scored cohort as one HTML page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    predictions = scored.predictions
    facts = cohort_facts(scored.cohort.adata)
    standardisation = scored.standardisation
    return environment.get_template("report.html.j2").render(
        cohort=scored.cohort.name,
        model={"uri": loaded.uri, "version": loaded.version, "facts": _plain_facts(loaded)},
        setting=loaded.model.setting,
        standardisation=standardisation,
        calibration=str(predictions["calibration_method"].iloc[0]),
        threshold=scored.threshold,
        calls=predictions["call"].value_counts().to_dict(),
        out_of_scope=_reasons_out_of_scope(scored),
        coverage=loaded.model.arm(standardisation).sets.coverage,
        base_rate_of=base_rate_of(loaded.model, standardisation=standardisation),
        drifted=_drifted(scored),
        n_samples=len(predictions),
        n_genes=scored.cohort.adata.n_vars,
        unit=facts["unit_meaning"],
        evidence=facts["unit_evidence"],
        notes=scored.cohort.report.notes,
        warnings=scored.notes,
        in_sample=scored.in_sample,
        held_out=loaded.model.facts["held_out"][standardisation],
        files=scored.cohort.files,
        metrics=_metric_rows(scored),
        quality=_quality(scored),
        genes=scored.genes,
        gene_rows=_gene_rows(scored),
        figures={name: png_text(figure) for name, figure in _figures(scored).items()},
        samples=_sample_rows(scored),
    )


def _reasons_out_of_scope(scored: ScoredCohort) -> list[str]:
    """Return why samples are out of scope, a line for each kind of reason."""
    predictions = scored.predictions
    declined = predictions[predictions["call"] == "out_of_scope"]
    kinds = declined["call_reason"].str.replace(r"-?[\d.]+%?", "…", regex=True)
    return [
        f"{len(part)} samples, such as {part['sample_id'].iloc[0]}: {part['call_reason'].iloc[0]}"
        for _, part in declined.groupby(kinds, sort=False)
    ]


def _drifted(scored: ScoredCohort) -> list[str]:
    """Return the features that moved, and more than between training cohorts, furthest first."""
    if scored.drift.empty:
        return []
    drift = scored.drift
    moved = drift[(drift["verdict"] == "drifted") & (drift["psi"] > drift["training_psi"])]
    ordered = moved.sort_values("psi", ascending=False)["feature"]
    return [str(name) for name in ordered]


def _plain_facts(loaded: LoadedModel) -> dict[str, str]:
    """Return the model's provenance as text."""
    facts = loaded.model.facts
    plain = {name: str(value) for name, value in facts.items() if isinstance(value, str)}
    return plain | {"training_cohorts": ", ".join(facts["training_cohorts"])}


def _metric_rows(scored: ScoredCohort) -> list[tuple[str, str]]:
    estimates = scored.evaluate(n_resamples=_RESAMPLES, seed=_SEED)
    names = {
        "auroc": "AUROC",
        "auprc": "AUPRC (resistant)",
        "brier": "Brier score",
        "ece": "Expected calibration error",
    }
    return [
        (text, interval_text(found))
        for name, text in names.items()
        if isinstance(found := estimates.get(name), Estimate)
    ]


def _figures(scored: ScoredCohort) -> dict[str, Figure]:
    labelled = scored.predictions.assign(resistant=scored.resistant.to_numpy())
    order = pd.Index(scored.predictions.sort_values("probability", ascending=False)["sample_id"])
    return {
        "Probability of resistance": probability_ranking(
            labelled, threshold=scored.threshold, title="Calibrated probability of resistance"
        ),
        "Which mechanisms drive the cohort": mechanism_bar(
            scored.mechanism_sums, title="Attribution by mechanism"
        ),
        "Mechanisms of each sample": mechanism_heatmap(
            scored.mechanism_sums, order=order, title="Attribution by mechanism and sample"
        ),
        "Which features drive it": beeswarm(
            scored.attributions, title="SHAP of the leading features"
        ),
    }


def _quality(scored: ScoredCohort) -> dict[str, str]:
    obs = scored.cohort.adata.obs
    coverage = scored.predictions["gene_coverage"]
    covered = {
        "Catalogue genes measured": f"{coverage.min():.0%} to {coverage.max():.0%}",
        "Background genes in the file": f"{scored.background_coverage:.0%}",
    }
    if "library_size" not in obs:  # values scaled per gene have neither
        return covered
    return {
        "Library size (median, range)": (
            f"{obs['library_size'].median():,.0f} "
            f"({obs['library_size'].min():,.0f} to {obs['library_size'].max():,.0f})"
        ),
        "Genes detected (median, range)": (
            f"{obs['genes_detected'].median():,.0f} "
            f"({obs['genes_detected'].min():,} to {obs['genes_detected'].max():,})"
        ),
        "Quality outliers (kept)": str(int(obs["qc_outlier"].sum())),
        **covered,
    }


def _gene_rows(scored: ScoredCohort) -> list[dict[str, Any]]:
    """Return the features that lack genes, or take genes of another name, the poorest first."""
    table = scored.genes.features.reset_index()
    renamed = table["found_as"].str.contains("(", regex=False)
    told = table[(table["missing"] != "") | (table["note"] != "") | renamed | ~table["scored"]]
    rows = told.sort_values("coverage", kind="stable", na_position="first").to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _sample_rows(scored: ScoredCohort) -> list[dict[str, Any]]:
    ordered = scored.predictions.sort_values("probability", ascending=False)
    leading = ordered[[f"mechanism_{rank}" for rank in (1, 2, 3)]]
    named = [
        ", ".join(str(name) for name in row if name) for row in leading.itertuples(index=False)
    ]
    columns = ["sample_id", "patient_id", "probability", "call", "call_reason"]
    table = ordered[columns].assign(mechanisms=[text.replace("_", " ") for text in named])
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
