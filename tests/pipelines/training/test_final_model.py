"""What a final model knows of itself: how often calls were right in cohorts held out."""

import numpy as np
import pandas as pd
import pytest

from pipelines.training.final_model import calls_held_out

PREDICTIONS = pd.DataFrame(
    {
        "resistant": [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, np.nan],
        "in_responsive": [False, False, False, True, True, False, True],
        "in_resistant": [True, True, True, False, True, False, False],
    }
)


def test_a_call_counts_labelled_samples_whose_set_holds_one_label() -> None:
    found = calls_held_out(PREDICTIONS)
    assert {call: figures["n"] for call, figures in found.items()} == {
        "resistant": 3,
        "responsive": 1,
    }
    assert found["resistant"]["share"] == pytest.approx(2 / 3)
    assert found["responsive"]["share"] == 1.0


def test_the_interval_is_wilsons() -> None:
    z, n, share = 1.959963984540054, 3, 2 / 3
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    found = calls_held_out(PREDICTIONS)["resistant"]
    assert (found["low"], found["high"]) == pytest.approx((middle - half, middle + half))


def test_none_called_has_no_share_and_no_sets_no_figure() -> None:
    nobody = {"n": 0, "share": None, "low": None, "high": None}
    assert calls_held_out(PREDICTIONS.iloc[4:]) == {"resistant": nobody, "responsive": nobody}
    assert calls_held_out(PREDICTIONS[["resistant"]]) == {}
