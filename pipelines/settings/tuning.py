"""Configuration of the classifier and of the candidates that compete inside the folds."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from pipelines.settings.section import Section

__all__ = ["CandidateConfig", "ClassifierConfig", "LinearConfig", "RangeConfig", "TuningConfig"]

_MOST_CANDIDATES = 8


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


class LinearConfig(Section):
    """Elastic-net logistic regression."""

    alpha: float = Field(default=0.3, ge=0)
    """Weight of the penalty."""
    l1_ratio: float = Field(default=0.1, ge=0, le=1)
    """Share of it that is absolute values, which set coefficients to zero."""


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a number, got {value!r}")
    return value


Number = Annotated[int | float, PlainValidator(_number)]


class RangeConfig(Section):
    """Values between which a setting is searched."""

    low: Number
    """Least value; with ``high`` whole, whole numbers are searched."""
    high: Number
    """Greatest value."""
    log: bool = False
    """Search on a logarithmic scale."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must lie below high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}; log: true needs it above 0")
        return self


def _kind(value: Any) -> str:
    if isinstance(value, dict | RangeConfig):
        return "(range)"
    return "(list)" if isinstance(value, list | tuple) else "(number)"


_Choices = Annotated[tuple[Number, ...], Field(min_length=1)]
Setting = Annotated[
    Annotated[Number, Tag("(number)")]
    | Annotated[_Choices, Tag("(list)")]
    | Annotated[RangeConfig, Tag("(range)")],
    Discriminator(_kind),
]
_FAMILIES: dict[str, type[Section]] = {"boosted": ClassifierConfig, "linear": LinearConfig}


def _values(setting: int | float | tuple[int | float, ...] | RangeConfig) -> list[int | float]:
    """Return the values that decide whether a setting is allowed."""
    if isinstance(setting, RangeConfig):
        return [setting.low, setting.high]
    return list(setting) if isinstance(setting, tuple) else [setting]


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
        family = _FAMILIES.get(self.family)
        known = sorted(set(family.model_fields) - {"monotone"}) if family else []
        unknown = sorted(set(self.settings) - set(known))
        if unknown:
            raise ValueError(f"settings {unknown} are unknown to {self.family}; known: {known}")
        if bool(self.members) != (self.family == "average"):
            raise ValueError("members go with family: average, and that needs them")
        if family:
            self._refuse_wrong_values(family)
        return self

    def _refuse_wrong_values(self, family: type[Section]) -> None:
        for name, setting in self.settings.items():
            for value in _values(setting):
                try:
                    family.model_validate({name: value}, strict=True)
                except ValidationError as error:
                    raise ValueError(
                        f"settings.{name} is {value}: {error.errors()[0]['msg']}"
                    ) from error

    @property
    def searches(self) -> bool:
        """Whether any setting is searched."""
        return any(isinstance(value, tuple | RangeConfig) for value in self.settings.values())


class TuningConfig(Section):
    """The choice of a configuration, made inside each fold, never on what is reported."""

    candidates: dict[str, CandidateConfig] = Field(default={})
    """At most eight, written down before the run; none: the section ``classifier`` as it is."""
    trials: int = Field(default=8, ge=1)
    """Most trials a fold."""
    minutes: float | None = Field(default=None, gt=0)
    """Most minutes for all trials of a run; null: no limit. Figures may then depend on the
    machine."""

    @field_validator("candidates")
    @classmethod
    def _at_most_eight(cls, candidates: dict[str, CandidateConfig]) -> dict[str, CandidateConfig]:
        if len(candidates) > _MOST_CANDIDATES:
            raise ValueError(
                f"{len(candidates)} candidates ({', '.join(candidates)}); at most "
                f"{_MOST_CANDIDATES} may compete: take some out"
            )
        return candidates

    @model_validator(mode="after")
    def _members_exist(self) -> Self:
        single = [name for name, c in self.candidates.items() if c.family != "average"]
        for name, candidate in self.candidates.items():
            unknown = [member for member in candidate.members if member not in single]
            if unknown:
                raise ValueError(
                    f"members {unknown} of candidate '{name}' are no single candidates; "
                    f"known: {single}"
                )
            searched = [member for member in candidate.members if self.candidates[member].searches]
            if searched:
                raise ValueError(
                    f"members {searched} of candidate '{name}' have settings that are searched; "
                    "an average takes members with one value a setting"
                )
        return self
