"""What a run shows of its reasons, under ``shap/``: tables, figures, interactive pages."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from features.catalogue import Catalogue
from features.mechanism_groups import group_of, mechanism_groups
from features.reference import Standardisation
from models.explanation import NOT_MEASURED, Attributions
from models.stability import driver_stability, fold_agreement
from pipelines.figures.attribution import beeswarm, mechanism_bar, mechanism_means
from pipelines.figures.dependence import dependence_plots
from pipelines.figures.heatmap import mechanism_heatmap
from pipelines.figures.interactive import explorer_page, heatmap_page
from pipelines.figures.style import one_line
from pipelines.figures.waterfall import waterfall
from pipelines.runs.artifacts import log_document, log_figure, log_table, log_text
from pipelines.validation.validate import ARM_SUFFIX, Validation

__all__ = ["Reasons", "log_attributions", "log_reasons"]

_SAMPLE_COLUMNS = ("resistant", "cohort", "drug", "timepoint")
_HARDLY = 0.01
"""Log-odds that all features together move a sample by where the calibration is flat."""
Level = Literal["mechanism", "feature", "group"]


@dataclass(frozen=True)
class Reasons:
    """Attributions of out-of-cohort predictions with all that their figures tell of them.

    Attributes
    ----------
    attributions
        Of each sample by the model that had not seen its cohort.
    samples
        Same index; ``resistant, cohort, drug, timepoint``, ``probability`` and ``uncertain``
        (the prediction set holds both labels).
    catalogue, setting
        Whose names, mechanisms and signs the features have.
    arm
        Standardisation.
    unseen
        What the explaining model had not seen: the sample's cohort, or its patient.
    """

    attributions: Attributions
    samples: pd.DataFrame
    catalogue: Catalogue
    setting: str
    arm: Standardisation
    unseen: str = "cohort"

    @classmethod
    def of(
        cls,
        validation: Validation,
        *,
        catalogue: Catalogue,
        setting: str,
        arm: Standardisation,
        cohort: str | None = None,
    ) -> "Reasons | None":
        """Return the reasons of a validation, of one cohort if named; None if not explained."""
        attributions = validation.main.attributions
        if attributions is None:
            return None
        columns = [name for name in _SAMPLE_COLUMNS if name in validation.samples]
        samples = validation.samples.loc[attributions.values.index, columns]
        predictions = validation.main.predictions
        both = predictions["in_responsive"] & predictions["in_resistant"]
        samples = samples.assign(probability=predictions["probability"], uncertain=both)
        if cohort is not None:
            samples = samples[samples["cohort"] == cohort]
        unseen = "cohort" if validation.scheme == "loco" else "patient"
        return cls(attributions.of(samples.index), samples, catalogue, setting, arm, unseen)

    @property
    def suffix(self) -> str:
        """What the arm adds to file names."""
        return ARM_SUFFIX[self.arm]

    @property
    def names(self) -> Mapping[str, str]:
        """Feature → name for people."""
        return {marker.id: marker.name for marker in self.catalogue.markers}

    def sums(self, level: Level) -> pd.DataFrame:
        """Return the attributions summed to a level (n_samples, n_names)."""
        if level == "feature":
            return self.attributions.values
        if level == "group":
            return self.attributions.by_group(mechanism_groups(self.catalogue))
        return self.attributions.by_mechanism(self.catalogue.mechanisms)


def log_attributions(
    validation: Validation,
    *,
    cohort: str,
    arm: Standardisation,
    catalogue: Catalogue,
    setting: str,
) -> None:
    """Log tables and the three leading figures of one held-out cohort's reasons."""
    reasons = Reasons.of(validation, catalogue=catalogue, setting=setting, arm=arm, cohort=cohort)
    if reasons is None:
        return
    _log_tables(reasons)
    sums, title = reasons.sums("mechanism"), f"{one_line(cohort)}, {arm}-relative"
    note = f"{len(sums)} samples, explained by the model that had not seen this cohort."
    figures = {
        "beeswarm": beeswarm(reasons.attributions, title=title, names=reasons.names, note=note),
        "mechanisms": mechanism_bar(mechanism_means(sums), title=title, note=note),
        "heatmap": mechanism_heatmap(sums, samples=reasons.samples, title=title, note=note),
    }
    for name, figure in figures.items():
        log_figure(figure, f"shap/{name}{reasons.suffix}.png")


def log_reasons(reasons: Reasons, *, n_resamples: int, seed: int, interactive: bool) -> None:
    """Log all tables and figures of the reasons over all held-out cohorts.

    Parameters
    ----------
    n_resamples, seed
        Of the bootstrap behind the intervals of mean |SHAP|.
    interactive
        Whether to log the pages, which weigh five megabytes each.
    """
    _log_tables(reasons)
    tables = _log_stability(reasons, n_resamples=n_resamples, seed=seed)
    for name, figure in _figures(reasons, tables).items():
        log_figure(figure, f"shap/{name}{reasons.suffix}.png")
    _log_waterfalls(reasons)
    if interactive:
        _log_pages(reasons)


def _figures(reasons: Reasons, tables: Mapping[Level, pd.DataFrame]) -> dict[str, Figure]:
    """Return the figures over all held-out cohorts."""
    how = f"{reasons.arm}-relative"
    whole = (
        f"{len(reasons.samples)} samples of {reasons.samples['cohort'].nunique()} cohorts, each "
        f"explained by the model that had not seen its {reasons.unseen}."
    )
    sums = reasons.sums("mechanism")
    return {
        "beeswarm": beeswarm(
            reasons.attributions,
            title=f"What drives the predictions, {how}",
            names=reasons.names,
            note=whole,
        ),
        "mechanisms": mechanism_bar(
            tables["mechanism"],
            groups=tables["group"],
            group_of={str(name): _group(str(name)) for name in tables["mechanism"].index},
            title=f"Which mechanisms drive the predictions, {how}",
            note=f"{whole} Lines: 95% bootstrap over samples within cohorts, the models kept.",
        ),
        "dependence": dependence_plots(
            reasons.attributions,
            signs=reasons.catalogue.signs(reasons.setting),
            resistant=reasons.samples["resistant"],
            title=f"How the leading features act, {how}",
            names=reasons.names,
            note="▲ ▼ the catalogue's sign; a constrained model cannot oppose it.",
        ),
        "heatmap": mechanism_heatmap(
            sums,
            samples=reasons.samples,
            title=f"Mechanisms by patient, {how}",
            note=f"{whole} {_blank(sums)}".strip(),
        ),
    }


def _blank(sums: pd.DataFrame) -> str:
    """Say how many samples a flat calibration leaves where they were, if any."""
    blank = int((sums.abs().sum(axis=1) < _HARDLY).sum())
    return f"Blank: {blank} samples whose fold's calibration is flat." if blank else ""


def _group(mechanism: str) -> str:
    return mechanism if mechanism == NOT_MEASURED else group_of(mechanism)


def _log_tables(reasons: Reasons) -> None:
    attributions = reasons.attributions
    table = attributions.values.assign(base_value=attributions.base_value)
    log_table(table.rename_axis("sample"), f"shap/attributions{reasons.suffix}.parquet")
    sums = reasons.sums("mechanism")
    log_table(sums.rename_axis("sample"), f"shap/mechanisms{reasons.suffix}.parquet")


def _log_stability(reasons: Reasons, *, n_resamples: int, seed: int) -> dict[Level, pd.DataFrame]:
    """Log how firm each driver stands, and how far the folds agree; return the tables.

    What missing features make of a prediction is no driver, and has no place among them.
    """
    folds = reasons.samples["cohort"].astype(str)
    mechanisms = {str(name): _group(str(name)) for name in reasons.sums("mechanism")}
    tables: dict[Level, pd.DataFrame] = {}
    agreement: dict[str, dict[str, Any]] = {}
    levels: tuple[Level, ...] = ("mechanism", "feature", "group")
    for level in levels:
        values = reasons.sums(level).drop(columns=NOT_MEASURED, errors="ignore")
        table = driver_stability(values, folds=folds, n_resamples=n_resamples, seed=seed)
        agreement[level] = asdict(fold_agreement(values, folds=folds))
        tables[level] = table
        named = table.rename_axis(level).reset_index()
        if level == "mechanism":
            named.insert(1, "group", named[level].map(mechanisms))
        if level == "feature":
            named.insert(1, "name", named[level].map(lambda f: reasons.names.get(f, f)))
            named.insert(2, "mechanism", named[level].map(reasons.catalogue.mechanisms))
        log_table(named, f"shap/{level}_table{reasons.suffix}.parquet")
        log_text(named.to_csv(index=False), f"shap/{level}_table{reasons.suffix}.csv")
    log_document(_plain(agreement), f"shap/agreement{reasons.suffix}.json")
    return tables


def _plain(agreement: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return figures as JSON knows them: null for what is not a number."""
    return {
        level: {name: value if value == value else None for name, value in found.items()}
        for level, found in agreement.items()
    }


def _log_waterfalls(reasons: Reasons) -> None:
    """Log the most and the least resistant sample, and a typical one of those uncertain."""
    probability = reasons.samples["probability"]
    chosen = {
        "most_resistant": ("Most resistant", str(probability.idxmax())),
        "least_resistant": ("Least resistant", str(probability.idxmin())),
    }
    if reasons.samples["uncertain"].any():
        chosen["uncertain"] = ("Typical of the uncertain", _typical_uncertain(reasons))
    for name, (words, sample) in chosen.items():
        row = reasons.samples.loc[sample]
        label = {"1.0": "resistant", "0.0": "responsive"}.get(str(row["resistant"]), "not known")
        drug = f", {one_line(row['drug'])}" if isinstance(row.get("drug"), str) else ""
        figure = waterfall(
            reasons.attributions,
            sample=sample,
            title=f"{words}: {one_line(sample, most=60)}",
            names=reasons.names,
            note=(
                f"Published response: {label}{drug}. {reasons.arm.capitalize()}-relative. After "
                "each name stands the standardised feature."
            ),
        )
        log_figure(figure, f"shap/waterfall_{name}{reasons.suffix}.png")


def _typical_uncertain(reasons: Reasons) -> str:
    """Return the sample that is pushed about as the median of those whose set holds both labels."""
    names = reasons.samples.index[reasons.samples["uncertain"]]
    pushed = reasons.attributions.values.loc[names].abs().sum(axis=1).sort_values(kind="stable")
    return str(pushed.index[len(pushed) // 2])


def _log_pages(reasons: Reasons) -> None:
    sums = reasons.sums("mechanism")
    how = f"{reasons.arm}-relative"
    page = heatmap_page(sums, samples=reasons.samples, title=f"Mechanisms by patient, {how}")
    log_text(page, f"shap/heatmap{reasons.suffix}.html")
    page = explorer_page(
        reasons.attributions,
        samples=reasons.samples,
        signs=reasons.catalogue.signs(reasons.setting),
        title=f"How features act, {how}",
        names=reasons.names,
    )
    log_text(page, f"shap/explorer{reasons.suffix}.html")
