"""Calls: what the prediction set, the shift score and doubts about the cohort make of a sample."""

import numpy as np
import pandas as pd

from pipelines.scoring.calls import make_calls

TABLE = pd.DataFrame(
    {
        "probability": [0.7, 0.2, 0.5, 0.5, 0.9, 0.8],
        "prediction_set": [
            "resistant",
            "responsive",
            "resistant|responsive",
            "",
            "resistant",
            "resistant",
        ],
        "shift_score": [0.4, 1.0, 0.9, 0.2, 1.01, np.nan],
    },
    index=list("abcdef"),
)
REASONS = pd.Series("only 40% of the marker genes are measured", index=TABLE.index)


def test_a_set_of_one_label_is_called_and_a_sample_unlike_training_is_not() -> None:
    calls = make_calls(TABLE, REASONS, coverage=0.9, doubts=())
    assert calls["call"].to_dict() == {
        "a": "resistant",
        "b": "responsive",
        "c": "uncertain",
        "d": "uncertain",
        "e": "out_of_scope",
        "f": "resistant",
    }


def test_the_reason_names_probability_set_and_what_is_unlike() -> None:
    reasons = make_calls(TABLE, REASONS, coverage=0.9, doubts=())["call_reason"]
    says = "the prediction set at 90% coverage of either class holds"
    assert reasons["a"] == f"probability 0.700; {says} resistant alone"
    assert reasons["c"] == f"probability 0.500; {says} both labels"
    assert reasons["d"] == f"probability 0.500; {says} neither label"
    assert reasons["e"] == (
        "unlike the training samples: only 40% of the marker genes are measured"
    )


def test_a_doubt_about_the_cohort_leaves_no_call_and_the_first_is_its_reason() -> None:
    calls = make_calls(TABLE, REASONS, coverage=0.9, doubts=("the weightiest", "another"))
    assert calls["call"].eq("out_of_scope").all()
    assert calls["call_reason"].eq("the weightiest").all()
