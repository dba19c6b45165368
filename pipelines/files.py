"""Write outputs whole or not at all: to a temporary name beside the target, then renamed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from features.errors import ConfigError

__all__ = ["replaced_when_done", "write_table", "write_text"]


@contextmanager
def replaced_when_done(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it when the block ends well, else delete it.

    Raises
    ------
    ConfigError
        The folder cannot be made or written to.
    """
    temporary = path.with_name(f".{path.name}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}; choose another output") from error
    finally:
        temporary.unlink(missing_ok=True)


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
