"""What every group of drugs is looked at with: features, trees, folds, noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from features.catalogue import Catalogue
from pipelines.config import ExperimentConfig
from pipelines.settings.screens import ScreensConfig

__all__ = ["ScreenOptions", "tree_settings"]


@dataclass(frozen=True)
class ScreenOptions:
    """The same for all groups and transfers of an experiment.

    Attributes
    ----------
    catalogue, setting, min_coverage
        Of the features, as for :class:`features.MarkerFeatures`.
    trees
        Settings of regression and classification: one configuration, nothing is chosen.
    folds
        Folds of lines, shuffles, tissues to hold out.
    n_resamples, seed
        Of the intervals; the seed also of folds and shuffles.
    """

    catalogue: Catalogue
    setting: str
    min_coverage: float
    trees: Mapping[str, Any]
    folds: ScreensConfig
    n_resamples: int
    seed: int

    @classmethod
    def of(cls, config: ExperimentConfig, screens: ScreensConfig, *, catalogue: Catalogue) -> Self:
        """Return the options of an experiment."""
        return cls(
            catalogue=catalogue,
            setting=config.setting,
            min_coverage=config.features.min_coverage,
            trees=tree_settings(config),
            folds=screens,
            n_resamples=config.validation.n_resamples,
            seed=config.seed,
        )

    @property
    def signs(self) -> dict[str, int]:
        """Signs of the setting by feature."""
        return self.catalogue.signs(self.setting)

    @property
    def noise(self) -> dict[str, int]:
        """Resamples and seed of an interval."""
        return {"n_resamples": self.n_resamples, "seed": self.seed}

    @property
    def features(self) -> dict[str, Any]:
        """Setting and coverage of the features."""
        return {"setting": self.setting, "min_coverage": self.min_coverage}


def tree_settings(config: ExperimentConfig) -> dict[str, float | int]:
    """Return the settings of the trees of an experiment, for regression and classification."""
    settings = config.classifier.model_dump(exclude={"monotone"})
    return {**settings, "n_jobs": 2, "random_state": config.seed}
