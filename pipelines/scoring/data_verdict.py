"""What the verdict on a model's data does to calls: below the bar none is made unless asked for."""

import pandas as pd

from models.sufficiency import Sufficiency

__all__ = ["CALL_ANYWAY", "NO_VERDICT", "apply_verdict", "data_warning"]

CALL_ANYWAY = "--call-anyway"
"""Option of ``oncoresist score`` that makes calls against the verdict."""
NO_VERDICT = "no data sufficiency verdict is stored with this model version"
_CALLED = ("resistant", "responsive")


def apply_verdict(
    calls: pd.DataFrame, sufficiency: Sufficiency | None, *, call_anyway: bool
) -> pd.DataFrame:
    """Return ``call`` and ``call_reason``, those that the model's data do not bear taken back.

    Below the bar, samples that would be called are ``uncertain``, or with ``call_anyway`` are
    called with a reason that says against what. All others stay as they are, and so does
    everything where the verdict suffices or there is none.
    """
    if sufficiency is None or sufficiency.suffices:
        return calls
    called = calls["call"].isin(_CALLED)
    held = calls.copy()
    if call_anyway:
        against = f"; called against the verdict on the model's data, {_told(sufficiency)}"
        held.loc[called, "call_reason"] += against
        return held
    held.loc[called, "call"] = "uncertain"
    held.loc[called, "call_reason"] = (
        f"no call: the model's data do not suffice ({sufficiency.why})"
    )
    return held


def data_warning(sufficiency: Sufficiency | None, *, called_anyway: bool) -> str | None:
    """Return what to know before anything else of a cohort scored below the bar; None above."""
    if sufficiency is None or sufficiency.suffices:
        return None
    told = _told(sufficiency)
    if called_anyway:
        return f"calls were made against the verdict on the model's data, {told}"
    return (
        f"no sample is called resistant or responsive: the verdict on the model's data is {told}. "
        f"Probabilities are given all the same; oncoresist score {CALL_ANYWAY} makes the calls, "
        "and says so with each"
    )


def _told(sufficiency: Sufficiency) -> str:
    return f"'{sufficiency.verdict}', {sufficiency.standardisation}-relative ({sufficiency.why})"
