"""Everything a report is made of: written beside the predictions, read back, rendered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from features.errors import ConfigError, examples
from models.explanation import NOT_MEASURED, Attributions
from models.shift import COMPONENTS
from pipelines.files import replaced_when_done, write_table, write_text
from pipelines.ingest import file_hash
from pipelines.reports.facts import REPORT_FORMAT, ReportFacts
from pipelines.scoring.scored_cohort import PREDICTION_COLUMNS

__all__ = ["SAMPLE_COLUMNS", "TABLES", "ReportData", "find_report", "read_report"]

_FACTS_FILE = "report.json"
_PREFIX = "mechanism."
_PICTURES = "cells"
TABLES = ("predictions", "attributions", "features", "samples", "genes")
"""Parquet files that a report is made of, a row per sample, beside ``report.json``."""
SAMPLE_COLUMNS = ("sample_id", "cancer_type", "drug", "timepoint", "resistant")
"""Columns of ``samples`` beside the reason and the components of the shift score."""


@dataclass(frozen=True)
class ReportData:
    """A cohort's report before it is a page: facts and five tables, a row per sample each.

    Attributes
    ----------
    facts
        What is said of cohort, model and catalogue.
    predictions
        :data:`pipelines.scoring.scored_cohort.PREDICTION_COLUMNS`.
    attributions
        ``sample_id, cohort, base_value``, SHAP per feature and ``mechanism.<class>`` sums, in
        calibrated log-odds.
    features
        ``sample_id`` and the standardised features that the model saw.
    samples
        :data:`SAMPLE_COLUMNS`, ``reason`` and the components of the shift score.
    genes
        ``sample_id`` and a column per gene: rank within the sample as a fraction, or z-score.
    pictures
        Name → PNG of the single cells that the samples were made from; empty of bulk.
    """

    facts: ReportFacts
    predictions: pd.DataFrame = field(repr=False)
    attributions: pd.DataFrame = field(repr=False)
    features: pd.DataFrame = field(repr=False)
    samples: pd.DataFrame = field(repr=False)
    genes: pd.DataFrame = field(repr=False)
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @cached_property
    def attributed(self) -> Attributions:
        """Attributions by sample id."""
        table = self.attributions.set_index("sample_id")
        features = self.features.set_index("sample_id")
        return Attributions(table[list(features.columns)], table["base_value"], features)

    @cached_property
    def mechanism_sums(self) -> pd.DataFrame:
        """Sums over mechanism classes and ``not_measured`` (n_samples, n_mechanisms)."""
        table = self.attributions.set_index("sample_id")
        own = [str(name) for name in table if str(name).startswith(_PREFIX)]
        return table[own].rename(columns=lambda name: str(name).removeprefix(_PREFIX))

    def write(self, folder: Path) -> None:
        """Write the tables and pictures, then ``report.json`` with their hashes."""
        hashes = {}
        for name in TABLES:
            path = folder / f"{name}.parquet"
            write_table(getattr(self, name), path)
            hashes[path.name] = file_hash(path)
        for name, image in self.pictures.items():
            path = folder / _PICTURES / f"{name}.png"
            with replaced_when_done(path) as temporary:
                temporary.write_bytes(image)
            hashes[f"{_PICTURES}/{path.name}"] = file_hash(path)
        facts = self.facts.with_tables(hashes).to_json()
        text = json.dumps(facts, ensure_ascii=False, indent=1, allow_nan=False)
        write_text(text + "\n", folder / _FACTS_FILE)


def find_report(place: Path) -> Path | None:
    """Return the folder of a report that a path names (the folder, or a file in it), else None."""
    try:
        if place.is_dir():
            return place
        return place.parent if place.is_file() else None
    except (OSError, ValueError):
        return None


def read_report(folder: Path) -> ReportData:
    """Return the report that ``oncoresist score`` wrote to a folder.

    Raises
    ------
    ConfigError
        The folder holds no such report, or a file is missing, damaged, or not of the same scoring.
    """
    facts = _read_facts(folder)
    tables = {name: _read_table(folder / f"{name}.parquet", facts.tables) for name in TABLES}
    data = ReportData(facts, **tables, pictures=_read_pictures(folder, facts.tables))
    _check(data, folder)
    return data


def _read_facts(folder: Path) -> ReportFacts:
    path = folder / _FACTS_FILE
    if not path.is_file():
        raise ConfigError(
            f"{folder} holds no report ({_FACTS_FILE} is missing): name a folder that `oncoresist "
            "score` wrote, or its predictions.parquet; a run is named by its id or models:/ URI"
        )
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        found = stored.get("format_version") if isinstance(stored, dict) else "unknown"
        if found != REPORT_FORMAT:
            raise _damaged(
                path, f"its format is {found}, this version of OncoResist reads {REPORT_FORMAT}"
            )
        return ReportFacts.model_validate_json(json.dumps(stored))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _damaged(path, f"{where}: {first['msg']}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"it cannot be read ({error})") from error


def _read_table(path: Path, hashes: Mapping[str, str]) -> pd.DataFrame:
    try:
        if file_hash(path) != hashes.get(path.name):
            raise _damaged(path, f"it is not the file that {_FACTS_FILE} was written with")
        return pd.read_parquet(path)
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({error})") from error


def _read_pictures(folder: Path, hashes: Mapping[str, str]) -> dict[str, bytes]:
    """Return the pictures that a report was written with."""
    found = {}
    for name in hashes:
        if name.startswith(f"{_PICTURES}/"):
            path = folder / name
            try:
                if file_hash(path) != hashes[name]:
                    raise _damaged(path, f"it is not the file that {_FACTS_FILE} was written with")
                found[path.stem] = path.read_bytes()
            except OSError as error:
                raise _damaged(path, f"it cannot be read ({error})") from error
    return found


def _check(data: ReportData, folder: Path) -> None:
    """Refuse tables that lack columns or are not of the same samples."""
    needed = {
        "predictions": PREDICTION_COLUMNS,
        "attributions": ("base_value", f"{_PREFIX}{NOT_MEASURED}", *data.features.columns),
        "features": [feature.id for feature in data.facts.features],
        "samples": (*SAMPLE_COLUMNS, "reason", *COMPONENTS),
        "genes": (),
    }
    samples = data.predictions.get("sample_id", pd.Series(dtype=object)).to_numpy()
    for name, columns in needed.items():
        table, path = getattr(data, name), folder / f"{name}.parquet"
        absent = [column for column in ("sample_id", *columns) if column not in table]
        if absent:
            raise _damaged(path, f"it lacks the columns {examples(absent)}")
        if not np.array_equal(table["sample_id"].to_numpy(), samples):
            raise _damaged(path, "its samples are not those of predictions.parquet")


def _damaged(path: Path, what: str) -> ConfigError:
    return ConfigError(f"{path}: {what}; score the cohort again with `oncoresist score`")
