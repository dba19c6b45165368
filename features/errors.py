"""The errors OncoResist raises for what a user can mend: input, configuration, model."""

from collections.abc import Iterable

__all__ = [
    "CatalogueError",
    "CohortError",
    "ConfigError",
    "ModelError",
    "OncoResistError",
    "examples",
]

_MOST_EXAMPLES = 5


class OncoResistError(Exception):
    """Base of every error whose message is meant for the user: what, where, value, mend."""


class CohortError(OncoResistError):
    """An expression file, a clinical table or a cohort breaks its contract."""


class ConfigError(OncoResistError):
    """A configuration file or an override is wrong."""


class CatalogueError(OncoResistError):
    """A catalogue file breaks its schema or names a gene that is not in the gene table."""


class ModelError(OncoResistError):
    """A model cannot be found, loaded, trained or applied."""


def examples(values: Iterable[object], *, most: int = _MOST_EXAMPLES) -> str:
    """Return at most ``most`` values as text, then how many more there are.

    Examples
    --------
    >>> examples(["s1", "s2", "s3"], most=2)
    's1, s2 and 1 more'
    """
    items = [str(value) for value in values]
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
