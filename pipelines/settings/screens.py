"""Configuration of what is done with drug screens beside training a model."""

from pydantic import Field

from pipelines.settings.section import Section

__all__ = ["ScreensConfig", "TransferConfig"]


class TransferConfig(Section):
    """A model of one group of drugs, asked about another; lines of both are left out of training.

    A group is named ``cohort/group``; a cohort without groups by its name alone.
    """

    train: str
    """Where it is learned."""
    test: str
    """Where it is asked."""


class ScreensConfig(Section):
    """Regression on drug response, within tissues and across data sets."""

    apart: tuple[str, ...] = ()
    """Cohorts that are validated by themselves and never enter the model: another unit, a panel,
    or patients beside cell lines."""
    transfers: tuple[TransferConfig, ...] = ()
    """What is learned on one group and measured on another."""
    genes: tuple[str, ...] = ()
    """Genes whose expression is held against the response to each single drug."""
    tissues: tuple[str, ...] = ()
    """Tissues, as the tables name them, that the card shows apart: those the setting is about."""
    n_splits: int = Field(default=5, ge=2)
    """Folds of lines."""
    n_repeats: int = Field(default=5, ge=1)
    """Their repeats."""
    permutations: int = Field(default=20, ge=0)
    """Shuffles of the response over the lines of each group: what no signal would show."""
    least_tissue: int = Field(default=5, ge=3)
    """Fewest lines of a tissue to be held out by itself."""
