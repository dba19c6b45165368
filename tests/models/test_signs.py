import numpy as np
import pandas as pd

from models.signs import sign_agreement


def test_verdicts_follow_the_interval_and_the_sign():
    rng = np.random.default_rng(0)
    y = np.tile([0.0, 1.0], 100)
    features = pd.DataFrame(
        {
            "up": y + rng.normal(size=200),
            "down": y + rng.normal(size=200),
            "noise": rng.normal(size=200),
        }
    )
    features["free"] = features["up"]
    samples = pd.DataFrame(
        {"cohort": np.repeat(["a", "b"], 100), "patient_id": np.arange(200), "resistant": y}
    )
    signs = {"up": 1, "down": -1, "noise": 1, "free": 0}
    table = sign_agreement(features, samples, signs=signs, n_resamples=200, seed=0)
    assert table["verdict"].to_dict() == {
        "up": "agrees",
        "down": "opposes",
        "noise": "unclear",
        "free": "unsigned",
    }
    assert table.loc["up", "auroc"] > 0.6
