"""Write outputs whole or not at all: to a temporary name beside the target, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

from features.errors import ConfigError

__all__ = ["is_file", "replaced_when_done", "require_folder", "write_table", "write_text"]


def is_file(path: Path) -> bool:
    """Return whether a path is a file that can be looked at; no path at all raises."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def require_folder(path: Path) -> None:
    """Refuse a folder for outputs that cannot be made or written to; nothing is made yet.

    Raises
    ------
    ConfigError
        The path, or the nearest thing above it that exists, is no folder that can be written to.
    """
    folder = path.absolute()
    try:
        while not folder.exists():
            folder = folder.parent
        usable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    except (OSError, ValueError):
        usable = False
    if not usable:
        what = "is not a folder that can be written to"
        raise ConfigError(f"{path} cannot be written: {folder} {what}; choose another output")


@contextmanager
def replaced_when_done(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it when the block ends well, else delete it.

    Raises
    ------
    ConfigError
        The folder cannot be made or written to.
    """
    if not path.name or _is_folder(path):
        raise ConfigError(f"{path} cannot be written: it is a folder; choose another output")
    temporary = path.with_name(f".{path.name}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}; choose another output") from error
    finally:
        with suppress(OSError):  # what could not be made cannot be removed
            temporary.unlink()


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as ``.parquet`` or ``.csv`` (no index), whole or not at all."""
    with replaced_when_done(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def write_text(text: str, path: Path) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replaced_when_done(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
