"""Artifacts of the active run: figures, tables, texts, sent one by one or gathered as a whole."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import yaml
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException

from pipelines.figures.palette import DPI

__all__ = ["gathered_artifacts", "log_document", "log_figure", "log_table", "log_text"]

_GATHERED: ContextVar[Path | None] = ContextVar("gathered", default=None)


@contextmanager
def gathered_artifacts() -> Iterator[Path]:
    """Yield the folder that holds what is logged meanwhile; it goes to the active run as a whole.

    A remote server is asked once for what would be a question a file, and the run's own pages are
    made from the folder without reading it back. Where the block fails, what there is is logged.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        token = _GATHERED.set(folder)
        try:
            yield folder
        except Exception:
            with suppress(MlflowException, OSError):
                mlflow.log_artifacts(name)
            raise
        finally:
            _GATHERED.reset(token)
        mlflow.log_artifacts(name)


@contextmanager
def _artifact(path: str) -> Iterator[Path]:
    """Yield the file to write an artifact of the active run to."""
    gathered = _GATHERED.get()
    if gathered is not None:
        target = gathered / path
        target.parent.mkdir(parents=True, exist_ok=True)
        yield target
        return
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / Path(path).name
        yield target
        parent = Path(path).parent.as_posix()
        mlflow.log_artifact(str(target), None if parent == "." else parent)


def log_figure(figure: Figure, path: str) -> None:
    """Log a figure as PNG."""
    with _artifact(path) as target:
        figure.savefig(target, format="png", dpi=DPI)


def log_table(table: pd.DataFrame, path: str) -> None:
    """Log a table as parquet; an index with a name becomes a column."""
    flat = table.reset_index() if table.index.name else table
    with _artifact(path) as target:
        flat.to_parquet(target, index=False)


def log_text(text: str, path: str) -> None:
    """Log a text file, UTF-8."""
    with _artifact(path) as target:
        target.write_text(text, encoding="utf-8")


def log_document(document: Mapping[str, Any], path: str) -> None:
    """Log a document as JSON, or as YAML where the name ends in ``.yaml``."""
    if path.endswith(".yaml"):
        text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    else:
        text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    log_text(text + "\n", path)
