"""Limits of the gate that a model version passes before it becomes champion."""

from typing import Literal

from pydantic import Field

from pipelines.settings.section import Section

__all__ = ["GateConfig"]


class GateConfig(Section):
    """What a model version must show before an alias moves to it by itself.

    The limits are conventions, set without regard to any model's figures: an interval that leaves
    chance out, a margin of two points of AUROC to the published signature, a calibration error
    that would stand out against noise. A model that misses one can be promoted by hand, with a
    reason, which is recorded.
    """

    standardisations: tuple[Literal["cohort", "reference"], ...] = Field(
        default=("cohort", "reference"), min_length=1
    )
    """Which standardisations are judged; a champion serves both, so both must hold."""
    least_auroc: float = Field(default=0.5, ge=0.5, lt=1)
    """The 95% interval of the AUROC on cohorts held out must lie above it."""
    peer: str | None = "gep_18"
    """Baseline whose AUROC the model must reach, on the same samples; null: none. Where a run holds
    no such baseline, the check does not apply."""
    peer_margin: float = Field(default=0.02, ge=0, le=0.5)
    """How far the AUROC over pairs within cohorts may lie below the baseline's."""
    most_ece: float = Field(default=0.08, gt=0, le=1)
    """Expected calibration error, pooled over the cohorts held out; more is allowed where a
    perfectly calibrated model of as many samples could show it (upper end of the run's floor)."""
    least_slope: float = 0.0
    """The calibration slope must lie above it: at zero or below, a higher probability does not go
    with more resistance."""
    coverage_margin: float = Field(default=0.05, gt=0, lt=0.5)
    """How far each class's coverage by the prediction sets may lie from validation.coverage; what
    its 95% interval does not tell apart from that passes."""
    score_tolerance: float = Field(default=1e-9, ge=0, le=0.01)
    """Largest difference of a probability between here, a fresh process, and training."""
