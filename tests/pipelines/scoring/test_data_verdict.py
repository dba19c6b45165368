"""Calls below the bar: taken back, or made against the verdict and saying so."""

import pandas as pd
import pytest

from models.sufficiency import DataVerdict, Sufficiency
from pipelines.scoring.data_verdict import apply_verdict, data_warning

CALLS = pd.DataFrame(
    {
        "call": ["resistant", "responsive", "uncertain", "out_of_scope"],
        "call_reason": ["a", "b", "c", "d"],
    },
    index=list("wxyz"),
)
FIGURE = "the AUROC on patients held out is 0.560 (95% interval 0.360 to 0.740)"


def verdict(name: DataVerdict = "not enough data") -> Sufficiency:
    return Sufficiency(name, (FIGURE, "26 labelled samples are fewer than 30"), "reference")


def test_below_the_bar_who_would_be_called_is_uncertain_and_the_reason_names_the_figure() -> None:
    found = apply_verdict(CALLS, verdict(), call_anyway=False)
    assert found["call"].tolist() == ["uncertain", "uncertain", "uncertain", "out_of_scope"]
    reason = (
        f"no call: the model's data do not suffice ({FIGURE}; 26 labelled samples are fewer "
        "than 30)"
    )
    assert found["call_reason"].tolist() == [reason, reason, "c", "d"]
    assert CALLS["call"].iloc[0] == "resistant"  # not changed in place


def test_called_anyway_each_call_says_against_what() -> None:
    found = apply_verdict(CALLS, verdict(), call_anyway=True)
    assert found["call"].equals(CALLS["call"])
    assert found["call_reason"].tolist()[2:] == ["c", "d"]
    told = "; called against the verdict on the model's data, 'not enough data', reference-relative"
    for before, reason in zip("ab", found["call_reason"], strict=False):
        assert reason.startswith(f"{before}{told}")
        assert FIGURE in reason


@pytest.mark.parametrize("found", [verdict("exploratory"), verdict("usable for ranking"), None])
@pytest.mark.parametrize("call_anyway", [True, False])
def test_from_the_bar_on_and_without_a_verdict_nothing_changes(
    found: Sufficiency | None, call_anyway: bool
) -> None:
    assert apply_verdict(CALLS, found, call_anyway=call_anyway).equals(CALLS)
    assert data_warning(found, called_anyway=call_anyway) is None


def test_the_warning_says_what_was_done_and_names_the_mend() -> None:
    held = data_warning(verdict(), called_anyway=False) or ""
    assert held.startswith("no sample is called resistant or responsive")
    assert FIGURE in held
    assert "--call-anyway" in held
    made = data_warning(verdict(), called_anyway=True) or ""
    assert made.startswith("calls were made against the verdict on the model's data")
    assert "--call-anyway" not in made
