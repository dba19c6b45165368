"""Load a model in a process of its own and score tables; run as a script by the gate.

Nothing of OncoResist is imported here but what the model brings with it.
"""

import json
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

__all__ = ["paths_without", "score_in_this_process"]


def paths_without(entries: Sequence[str], *, installation: str) -> list[str]:
    """Return where Python looks for modules, without the folder of this installation.

    Installed from a wheel, that folder is ``site-packages``, which holds MLflow too: it stays. The
    model's own code comes first all the same, as MLflow puts it there, and what was read is told
    (``installed`` of :func:`score_in_this_process`).
    """
    left_out = Path(installation).resolve()
    mlflow = PathFinder.find_spec("mlflow", [installation])
    if mlflow is not None and mlflow.origin is not None:
        return list(entries)
    return [entry for entry in entries if Path(entry).resolve() != left_out]


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
        model's code came from; ``installed``: whether that is a place of this Python's own, not
        one that came with the model.
    """
    own = {Path(entry).resolve() for entry in sys.path}
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model(uri)
    import features

    code = Path(str(features.__file__)).resolve()
    scores: dict[str, object] = {"code": str(code), "installed": code.parents[1] in own}
    for table in sorted(folder.glob("*.parquet")):
        rows = pd.read_parquet(table)
        for arm in _arms(model.unwrap_python_model()):
            found = model.predict(rows, params={"standardisation": arm})
            scores[f"{table.stem}/{arm}"] = found["probability"].tolist()
    return scores


def _arms(served: object) -> tuple[str, ...]:
    """Return the standardisations that a served model has."""
    return tuple(getattr(getattr(served, "model", None), "arms", ("cohort", "reference")))


if __name__ == "__main__":
    uri, folder, installation = sys.argv[1:4]
    sys.path = paths_without(sys.path, installation=installation)
    sys.modules["pipelines"] = None  # type: ignore[assignment]  # a model must do without
    found = score_in_this_process(uri, Path(folder))
    (Path(folder) / "scores.json").write_text(json.dumps(found), encoding="utf-8")
