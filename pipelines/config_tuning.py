"""Configuration of the classifier and of the candidates that compete inside the folds."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.config_section import Section

__all__ = ["CandidateConfig", "ClassifierConfig", "RangeConfig", "TuningConfig"]


class ClassifierConfig(Section):
    """The gradient-boosted trees without tuning, and what boosted candidates start from."""

    n_estimators: int = Field(default=200, ge=1)
    """Trees."""
    num_leaves: int = Field(default=5, ge=2)
    """Leaves a tree."""
    learning_rate: float = Field(default=0.03, gt=0)
    """Shrinkage of each tree."""
    colsample_bytree: float = Field(default=0.3, gt=0, le=1)
    """Share of features a tree may use."""
    min_child_samples: int = Field(default=20, ge=1)
    """Fewest samples in a leaf."""
    reg_lambda: float = Field(default=10.0, ge=0)
    """L2 penalty on leaf values."""
    subsample: float = Field(default=1.0, gt=0, le=1)
    """Share of samples drawn anew for each tree."""
    n_seeds: int = Field(default=3, ge=1)
    """Models with different seeds that are averaged."""
    monotone: bool = True
    """Hold the catalogue's signs as monotone constraints."""


class RangeConfig(Section):
    """Values between which a setting is searched."""

    low: int | float
    """Least value; with ``high`` whole, whole numbers are searched."""
    high: int | float
    """Greatest value."""
    log: bool = False
    """Search on a logarithmic scale."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must lie below high ({self.high})")
        return self


Setting = int | float | tuple[int | float, ...] | RangeConfig


class CandidateConfig(Section):
    """One configuration that competes inside the folds."""

    family: Literal["boosted", "linear", "average"] = "boosted"
    """LightGBM, elastic-net logistic regression, or the average of other candidates."""
    features: Literal["all", "mechanisms"] = "all"
    """All markers, or those that several genes make up (mechanisms) alone."""
    signs: bool = True
    """Hold the catalogue's signs."""
    weights: Literal["patients", "cohorts"] = "patients"
    """What weighs the same in training."""
    settings: dict[str, Setting] = Field(default={})
    """Settings of the family; a list or a range (low, high, log) is searched. Boosted ones start
    from the section ``classifier``; linear ones know ``alpha`` and ``l1_ratio``."""
    members: tuple[str, ...] = ()
    """Candidates that are averaged."""

    @model_validator(mode="after")
    def _known_settings(self) -> Self:
        known = {
            "boosted": sorted(set(ClassifierConfig.model_fields) - {"monotone"}),
            "linear": ["alpha", "l1_ratio"],
            "average": [],
        }[self.family]
        unknown = sorted(set(self.settings) - set(known))
        if unknown:
            raise ValueError(f"settings {unknown} are unknown to {self.family}; known: {known}")
        if bool(self.members) != (self.family == "average"):
            raise ValueError("members go with family: average, and that needs them")
        return self


class TuningConfig(Section):
    """The choice of a configuration, made inside each fold, never on what is reported."""

    candidates: dict[str, CandidateConfig] = Field(default={}, max_length=8)
    """At most eight, written down before the run; none: the section ``classifier`` as it is."""
    trials: int = Field(default=8, ge=1)
    """Most trials a fold."""
    minutes: float | None = Field(default=None, gt=0)
    """Most minutes for all trials of a run; null: no limit. Figures may then depend on the
    machine."""

    @model_validator(mode="after")
    def _members_exist(self) -> Self:
        for name, candidate in self.candidates.items():
            single = [n for n, c in self.candidates.items() if c.family != "average"]
            unknown = [member for member in candidate.members if member not in single]
            if unknown:
                raise ValueError(
                    f"members {unknown} of candidate '{name}' are no single candidates; "
                    f"known: {single}"
                )
        return self
