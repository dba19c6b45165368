"""Estimates as text."""

from models.metrics import Estimate

__all__ = ["interval_text"]


def interval_text(estimate: Estimate) -> str:
    """Return ``value (low to high)`` with three decimals."""
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
