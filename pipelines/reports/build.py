"""From a scored cohort to its report: facts of cohort, model and catalogue, and the tables."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from features.catalogue import Catalogue, Marker
from features.cohort import cohort_facts
from features.mechanism_groups import group_of
from features.therapy import DrugTable
from models.gene_reference import GeneReference
from models.metrics import Estimate
from models.recalibration import base_rate_of
from models.shift import COMPONENTS
from pipelines.figures.estimates import interval_text
from pipelines.reports.data import SAMPLE_COLUMNS, ReportData
from pipelines.reports.facts import (
    CalibrationFigure,
    CallFigure,
    CitationFacts,
    FeatureFacts,
    GeneRow,
    ModelFacts,
    ReportFacts,
    StrategyFacts,
    SufficiencyFacts,
)
from pipelines.reports.subtypes import subtype_rows
from pipelines.scoring.scored_cohort import ScoredCohort
from pipelines.tracking import LoadedModel

__all__ = ["build_report"]

_RESAMPLES = 1000
_SEED = 0
_DECIMALS = 5
_WORDS = ("cancer_type", "drug", "timepoint")
_METRICS = {
    "auroc": "AUROC",
    "auprc": "AUPRC (resistant)",
    "brier": "Brier score",
    "ece": "Expected calibration error",
}


def build_report(
    scored: ScoredCohort,
    loaded: LoadedModel,
    *,
    kind: Literal["scored", "held_out"] = "scored",
    reference: GeneReference | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> ReportData:
    """Return everything that the report of a scored cohort is made of.

    Parameters
    ----------
    scored
        The cohort with its predictions and attributions.
    loaded
        The model that gave them.
    kind
        ``held_out``: a training predicted the cohort by models that had not seen it.
    reference
        What the genes are held against; by default the model's training samples.
    pictures
        Name → PNG of the single cells that the samples were made from.
    """
    facts = _facts(scored, loaded, kind=kind, reference=reference or loaded.model.training.genes)
    return ReportData(
        facts,
        scored.predictions,
        scored.attribution_table(),
        scored.standardised_table(),
        _sample_table(scored),
        scored.gene_table().round(_DECIMALS),
        pictures or {},
    )


def _facts(
    scored: ScoredCohort,
    loaded: LoadedModel,
    *,
    kind: Literal["scored", "held_out"],
    reference: GeneReference,
) -> ReportFacts:
    adata, catalogue = scored.cohort.adata, loaded.model.catalogue
    facts = cohort_facts(adata)
    first = scored.predictions.iloc[0]
    ranked = first["score_kind"] == "rank"
    features = _features(scored, catalogue, loaded.model.setting)
    mechanisms = list(dict.fromkeys(feature.mechanism for feature in features))
    return ReportFacts(
        kind=kind,
        cohort=scored.cohort.name,
        standardisation=scored.standardisation,
        score_kind=first["score_kind"],
        calibration_method=str(first["calibration_method"]),
        model=_model_facts(scored, loaded, kind=kind),
        warnings=(*loaded.notes, *scored.notes),
        called_anyway=scored.called_anyway,
        in_sample=scored.in_sample,
        n_genes=adata.n_vars,
        unit=str(facts["unit_meaning"]),
        unit_evidence=str(facts["unit_evidence"]),
        notes=scored.cohort.report.notes,
        files=dict(scored.cohort.files),
        metrics=_metrics(scored),
        quality=_quality(scored),
        drifted=_drifted(scored),
        gene_coverage=scored.genes.sentence(),
        unscored=scored.genes.unscored,
        gene_rows=_gene_rows(scored),
        groups={mechanism: group_of(mechanism) for mechanism in mechanisms},
        features=features,
        strategies=_strategies(catalogue, mechanisms, setting=loaded.model.setting),
        gene_quantiles=_quantiles(scored, reference) if ranked else {},
        reference_samples=reference.n_samples,
        reference_cohorts=reference.n_cohorts,
        subtypes=subtype_rows(scored.subtypes),
    )


def _model_facts(
    scored: ScoredCohort, loaded: LoadedModel, *, kind: Literal["scored", "held_out"]
) -> ModelFacts:
    """Return what is said of the model.

    Of a cohort held out: its fold's own limits of the shift are not stored, and it is none of the
    cohorts that the fold's model was trained on.
    """
    model, standardisation = loaded.model, scored.standardisation
    facts = model.facts
    plain = {name: str(value) for name, value in facts.items() if isinstance(value, str)}
    calibration = facts.get("calibration", {}).get(standardisation, {})
    rate_of = base_rate_of(model, standardisation=standardisation)
    right = facts.get("held_out_calls", {}).get(standardisation, {})
    if rate_of != "training":  # a recalibration makes prediction sets of its own
        right = {}
    own = scored.cohort.name if kind == "held_out" and facts.get("scheme") != "nested" else None
    cohorts = [name for name in facts["training_cohorts"] if name != own]
    return ModelFacts(
        uri=loaded.uri,
        version=loaded.version,
        setting=model.setting,
        threshold=scored.threshold,
        base_rate_of=rate_of,
        coverage=model.arm(standardisation).sets.coverage,
        shift_limits=dict(model.training.shift.limits_) if kind == "scored" else {},
        held_out_of="patients" if facts.get("scheme") == "nested" else "cohorts",
        held_out=facts["held_out"][standardisation],
        calibration={name: _figure(values) for name, values in calibration.items()},
        calls={call: CallFigure(**found) for call, found in right.items()},
        sufficiency=SufficiencyFacts.of(scored.sufficiency),
        provenance=plain | {"training_cohorts": ", ".join(cohorts)},
    )


def _figure(values: list[float]) -> CalibrationFigure:
    value, low, high = (float(v) if v is not None and np.isfinite(v) else None for v in values)
    return CalibrationFigure(value=value, low=low, high=high)


def _features(scored: ScoredCohort, catalogue: Catalogue, setting: str) -> tuple[FeatureFacts, ...]:
    """Return the model's features with the genes that they read in this cohort."""
    markers = {marker.id: marker for marker in catalogue.markers}
    drugs = DrugTable(catalogue)
    texts = list(dict.fromkeys(_words(scored.cohort.adata.obs, "drug").dropna()))
    return tuple(
        FeatureFacts(
            id=marker.id,
            name=marker.name,
            mechanism=marker.mechanism,
            sign=marker.sign_in(setting),
            genes=marker.genes,
            against=_against(marker, markers),
            by_drug=_by_drug(marker, drugs, texts),
        )
        for marker in (markers[str(name)] for name in scored.features)
    )


def _against(marker: Marker, markers: Mapping[str, Marker]) -> tuple[str, ...]:
    """Return the genes that are subtracted: a marker's own, or those of the one it is over."""
    over = markers[marker.over].genes if marker.over else ()
    return tuple(gene for gene in (*marker.minus_genes, *over) if gene not in marker.genes)


def _by_drug(
    marker: Marker, drugs: DrugTable, texts: list[str]
) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    if marker.by_drug is None:
        return {}
    chosen = {text: drugs.genes(marker.by_drug, drugs.find(text)) for text in texts}
    return {text: (genes.plus, genes.minus) for text, genes in chosen.items()}


def _strategies(
    catalogue: Catalogue, mechanisms: list[str], *, setting: str
) -> tuple[StrategyFacts, ...]:
    sources = {source.key: source for source in catalogue.sources}
    wanted = set(mechanisms)
    return tuple(
        StrategyFacts(
            id=strategy.id,
            name=strategy.name,
            mechanisms=strategy.mechanisms,
            evidence=strategy.evidence,
            advantages=strategy.advantages,
            limits=strategy.limits,
            sources=tuple(
                CitationFacts(key=source.key, citation=source.citation, doi=source.doi)
                for source in (sources[cited.source] for cited in strategy.sources)
            ),
        )
        for strategy in catalogue.strategies
        if setting in strategy.settings and wanted & set(strategy.mechanisms)
    )


def _quantiles(scored: ScoredCohort, reference: GeneReference) -> dict[str, Any]:
    return {
        str(gene): reference.quantiles[str(gene)]
        for gene in scored.gene_values
        if gene in reference.quantiles
    }


def _sample_table(scored: ScoredCohort) -> pd.DataFrame:
    """Return what is known of each sample beside its prediction, and its shift."""
    obs = scored.cohort.adata.obs
    table = pd.DataFrame({"sample_id": scored.predictions["sample_id"]})
    for name in _WORDS:
        table[name] = _words(obs, name).to_numpy()
    table["resistant"] = obs["resistant"].to_numpy(dtype=float)
    shift = scored.shift.reindex(columns=["reason", *COMPONENTS]).reset_index(drop=True)
    return pd.concat([table[list(SAMPLE_COLUMNS)], shift], axis=1)


def _words(obs: pd.DataFrame, name: str) -> "pd.Series[str]":
    """Return a column of words, None where a cohort does not say."""
    stated = obs[name] if name in obs else pd.Series(None, index=obs.index, dtype=object)
    words = stated.astype(object).where(stated.notna(), None)
    return words.map(lambda word: None if word is None else str(word))


def _metrics(scored: ScoredCohort) -> tuple[tuple[str, str], ...]:
    estimates = scored.evaluate(n_resamples=_RESAMPLES, seed=_SEED)
    return tuple(
        (text, interval_text(found))
        for name, text in _METRICS.items()
        if isinstance(found := estimates.get(name), Estimate)
    )


def _drifted(scored: ScoredCohort) -> tuple[str, ...]:
    """Return the features that moved, and more than between training cohorts, furthest first."""
    drift = scored.drift
    if drift.empty:
        return ()
    moved = drift[(drift["verdict"] == "drifted") & (drift["psi"] > drift["training_psi"])]
    ordered = moved.sort_values("psi", ascending=False)["feature"]
    return tuple(str(name) for name in ordered)


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


def _gene_rows(scored: ScoredCohort) -> tuple[GeneRow, ...]:
    """Return the features that lack genes, or take genes of another name, the poorest first."""
    table = scored.genes.features.reset_index()
    renamed = table["found_as"].str.contains("(", regex=False)
    told = table[(table["missing"] != "") | (table["note"] != "") | renamed | ~table["scored"]]
    rows = told.sort_values("coverage", kind="stable", na_position="first")
    wanted = rows[list(GeneRow.model_fields)].to_dict("records")
    return tuple(GeneRow.model_validate(row) for row in wanted)
