"""``docs/validation.md``: every figure of a training run's validation, rendered from the run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import yaml
from mlflow.exceptions import MlflowException

from features.errors import ConfigError
from models.sufficiency import Sufficiency, read_sufficiency
from pipelines.figures.names import predictor_name, timepoint_name
from pipelines.files import replaced_when_done, write_text
from pipelines.reports.templates import page_environment
from pipelines.validation.criteria import judge
from pipelines.validation.headline import main_scheme

__all__ = ["RunRecord", "read_run", "validation_page", "write_validation_page"]

_ARMS = {"cohort": "", "reference": "_reference"}


@dataclass(frozen=True)
class RunRecord:
    """What a finished training run holds, on disk.

    Attributes
    ----------
    folder
        Its artifacts.
    tags
        Its tags.
    metrics
        Its metrics.
    """

    folder: Path
    tags: Mapping[str, str]
    metrics: Mapping[str, float]

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The resolved configuration."""
        text = (self.folder / "config" / "resolved.yaml").read_text(encoding="utf-8")
        return dict(yaml.safe_load(text))

    @cached_property
    def sufficiency(self) -> tuple[Sufficiency, ...]:
        """What the model's data can bear, a verdict a standardisation, the model's own first.

        Empty of a demonstration, and of a run that stored none.
        """
        file = self.folder / "data" / "facts.json"
        facts = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return tuple(read_sufficiency(facts).values())

    @cached_property
    def figures(self) -> Mapping[str, Path]:
        """Name → PNG of the validation and of what drives it (SHAP over all held-out cohorts)."""
        files = [*self.folder.glob("figures/*/*.png")]
        for pattern in ("beeswarm*", "mechanisms*", "dependence*", "heatmap*"):
            files += self.folder.glob(f"shap/{pattern}.png")
        return {file.stem: file for file in sorted(files)}

    @cached_property
    def all_figures(self) -> Mapping[str, Path]:
        """The same, with those of single cells and of models without signs.

        Of drug screens those of the drugs, and how the model's probabilities hold.
        """
        if self.config.get("screens"):
            chosen = [*self.folder.glob("figures/drugs/*.png"), *self.folder.glob("shap/screen_*")]
            chosen += self.folder.glob("figures/calibration/reliability.png")
            return {file.stem: file for file in chosen}
        files = [*self.folder.glob("cells/*.png"), *self.folder.glob("shap/unsigned_*.png")]
        return {**self.figures, **{file.stem: file for file in sorted(files)}}

    @cached_property
    def agreement(self) -> Mapping[str, Mapping[str, Any]]:
        """How far folds agree on mechanisms, features and groups (cohort-relative), if told."""
        file = self.folder / "shap" / "agreement.json"
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}

    def table(self, name: str) -> pd.DataFrame:
        """Return a table of the run, empty where it has none."""
        file = self.folder / "tables" / f"{name}.parquet"
        return pd.read_parquet(file) if file.is_file() else pd.DataFrame()


def read_run(run: str) -> RunRecord:
    """Return a training run of the store in use, by its id or by a model it registered.

    Raises
    ------
    ConfigError
        There is no such run, or it is no training.
    """
    try:
        run_id = _run_of_model(run) if run.startswith("models:/") else run
        found = mlflow.get_run(run_id)
        folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id))
    except (MlflowException, OSError) as error:
        raise ConfigError(
            f"'{run}' is no training run of the store {mlflow.get_tracking_uri()} ({error}); "
            "give the run id that `oncoresist train` prints, or models:/NAME@champion"
        ) from error
    if not (folder / "tables" / "calibration.parquet").is_file():
        raise ConfigError(f"run '{run}' holds no validation; give the run id of a training")
    if not any(folder.glob("figures/*/*.png")):
        raise ConfigError(
            f"run '{run}' holds its figures as an earlier OncoResist laid them out (no folders "
            "under figures/); its own validation.md stands among its artifacts; to write the page "
            "anew, train again"
        )
    return RunRecord(folder, dict(found.data.tags), dict(found.data.metrics))


def _run_of_model(uri: str) -> str:
    name, _, version = uri.removeprefix("models:/").partition("/")
    client = mlflow.MlflowClient()
    if version == "latest":
        found = client.search_model_versions(f"name = '{name}'")
        version = str(max((int(one.version) for one in found), default=0))
    if version:
        return str(client.get_model_version(name, version).run_id)
    name, _, alias = name.partition("@")
    return str(client.get_model_version_by_alias(name, alias).run_id)


def write_validation_page(record: RunRecord, path: Path) -> list[Path]:
    """Write the page and its figures (``images/<its name>`` beside it); return the files.

    Of a run on a single cohort the page is its model card, with the figures.
    """
    images = path.parent / "images" / path.stem
    single = main_scheme(record.metrics) == "nested"
    figures = record.all_figures if single else record.figures
    written = []
    for figure in figures.values():
        with replaced_when_done(images / figure.name) as temporary:
            temporary.write_bytes(figure.read_bytes())
        written.append(images / figure.name)
    folder = f"images/{path.stem}"
    text = single_page(record, images=folder) if single else validation_page(record, images=folder)
    write_text(text, path)
    return [path, *written]


def single_page(record: RunRecord, *, images: str) -> str:
    """Return the model card of a run on a single cohort, and its figures, in Markdown."""
    card = (record.folder / "model_card.md").read_text(encoding="utf-8")
    listed = [
        f"![{name.replace('_', ' ')}]({images}/{file.name})"
        for name, file in record.all_figures.items()
    ]
    return "\n\n".join([card.rstrip(), "## Figures", *listed]) + "\n"


def validation_page(record: RunRecord, *, images: str = "images/validation") -> str:
    """Return the page in Markdown; the same run gives the same bytes.

    ``images`` is the folder that its links to figures start with.
    """
    environment = page_environment(html=False)
    text = environment.get_template("validation.md.j2").render(
        record=record,
        images=images,
        config=record.config,
        metrics=record.metrics,
        tags=record.tags,
        arms=_ARMS,
        named_predictor=predictor_name,
        named_timepoint=timepoint_name,
        figures={stem: file.relative_to(record.folder) for stem, file in record.figures.items()},
        rows=_rows,
        table=record.table,
        named=_named,
        shift=_shift_rows(record.table("shift")),
        cohorts=_cohort_rows(record),
        criteria=_criteria(record),
    )
    return text.rstrip() + "\n"


def _rows(table: pd.DataFrame, **values: str) -> list[dict[Any, Any]]:
    """Return the rows of a table that have these values in these columns."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table.to_dict("records")


def _named(table: pd.DataFrame, name: str) -> dict[str, Any]:
    """Return the row of a table whose ``name`` it is, empty where there is none."""
    found = _rows(table, name=name) if len(table) else []
    return found[0] if found else {}


def _shift_rows(shift: pd.DataFrame) -> list[dict[str, Any]]:
    """Return per set, and per held-out cohort, how many samples are out of scope and why."""
    rows = []
    whole = shift.assign(cohort="")
    both = pd.concat([whole[whole["set"] == name] for name in shift["set"].unique()])
    several = shift.groupby("set")["cohort"].nunique()
    split = shift[shift["set"].map(several) > 1]
    for (name, cohort), part in [
        *both.groupby(["set", "cohort"], sort=False),
        *split.groupby(["set", "cohort"], sort=False),
    ]:
        flagged = part[part["shift_score"] > 1]
        common = flagged["reason"].str.replace(r"[\d.]+%?", "…", regex=True).mode()
        rows.append(
            {
                "set": name,
                "cohort": cohort,
                "n": len(part),
                "flagged": len(flagged),
                "share": len(flagged) / len(part),
                "reason": common.iloc[0] if len(common) else "",
            }
        )
    return rows


def _criteria(record: RunRecord) -> list[dict[str, Any]]:
    """Return each criterion with figure and verdict of both standardisations."""
    coverage = float(record.config["validation"]["coverage"])
    judged = [
        judge(
            record.metrics,
            prefix=f"loco{suffix}",
            shift=record.table("shift"),
            coverage=coverage,
        )
        for suffix in _ARMS.values()
    ]
    return [
        {"text": one.text, "cohort": one, "reference": other}
        for one, other in zip(*judged, strict=True)
    ]


def _cohort_rows(record: RunRecord) -> list[dict[str, Any]]:
    """Return each held-out cohort with what its fold chose and how model and peers ranked."""
    comparison = record.table("comparison")
    loco = comparison[(comparison["scheme"] == "loco") & (comparison["metric"] == "auroc")]
    rows = []
    for cohort in [name for name in loco["cohort"].unique() if name != "mean"]:
        row: dict[str, Any] = {"cohort": cohort, "peers": {}}
        for arm, suffix in _ARMS.items():
            own = loco[(loco["cohort"] == cohort) & (loco["standardisation"] == arm)]
            found = {r["predictor"]: r for r in own.to_dict("records")}
            row[f"{arm}_arm"] = found.pop("model", {})
            row["peers"] = row["peers"] or found
            folds = record.table(f"folds{suffix}")
            chosen = folds[(folds["split"] == cohort) & (folds["scheme"] == "loco")]
            row[f"{arm}_fold"] = dict(chosen.iloc[0]) if len(chosen) else {}
        rows.append(row)
    return rows
