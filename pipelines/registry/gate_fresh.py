"""Load a model in a process of its own and score tables; run as a script by the gate.

Nothing of OncoResist is imported here but what the model brings with it.
"""

import json
import sys
from pathlib import Path

__all__ = ["score_in_this_process"]


def score_in_this_process(uri: str, folder: Path) -> dict[str, object]:
    """Return each table's probabilities under both standardisations.

    Parameters
    ----------
    uri
        MLflow URI of the model, in the store that MLFLOW_TRACKING_URI names.
    folder
        Holds the tables, ``<name>.parquet`` with the model's features and ``cohort``.

    Returns
    -------
    scores
        ``<name>/<standardisation>`` → probabilities, in the order of the rows; ``code``: where the
        model's code came from.
    """
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model(uri)
    import features

    scores: dict[str, object] = {"code": features.__file__}
    for table in sorted(folder.glob("*.parquet")):
        rows = pd.read_parquet(table)
        for arm in ("cohort", "reference"):
            found = model.predict(rows, params={"standardisation": arm})
            scores[f"{table.stem}/{arm}"] = found["probability"].tolist()
    return scores


if __name__ == "__main__":
    uri, folder, checkout = sys.argv[1:4]
    sys.path = [entry for entry in sys.path if entry != checkout]
    found = score_in_this_process(uri, Path(folder))
    (Path(folder) / "scores.json").write_text(json.dumps(found), encoding="utf-8")
