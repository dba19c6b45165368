"""Saved views of an experiment's list of runs: the columns that a reviewer needs."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["VIEWS", "saved_views", "view_link"]

_TAG = "mlflow.sharedViewState."
_MADE = 1_767_225_600_000
"""When the views were made (milliseconds): fixed, so that the same code writes the same views."""

VIEWS: Mapping[str, str] = {
    "oncoresist_trainings": "Trainings: the headline",
    "oncoresist_held_out": "Cohorts held out",
    "oncoresist_one_cohort": "Trainings on one cohort",
}
"""Key of each view and its name in the list under *Views*."""

_COLUMNS: Mapping[str, Sequence[str]] = {
    "oncoresist_trainings": (
        "tags.`gate`",
        "tags.`sufficiency`",
        "tags.`beats_prior`",
        "tags.`beats_gep_18`",
        "metrics.`loco.auroc`",
        "metrics.`baseline.gep_18.loco.auroc`",
        "metrics.`loco.brier`",
        "metrics.`baseline.prior.loco.brier`",
        "metrics.`loco.ece`",
        "metrics.`loco_reference.auroc`",
        "attributes.`Models`",
    ),
    "oncoresist_held_out": (
        "params.`cancer_type`",
        "params.`drug`",
        "params.`labelled`",
        "params.`resistant_share`",
        "metrics.`loco.auroc`",
        "metrics.`baseline.gep_18.loco.auroc`",
        "metrics.`loco.brier`",
        "metrics.`loco.ece`",
        "metrics.`loco_reference.auroc`",
    ),
    "oncoresist_one_cohort": (
        "tags.`cohorts`",
        "tags.`gate`",
        "tags.`sufficiency`",
        "tags.`demonstration`",
        "metrics.`nested.auroc`",
        "metrics.`nested.pre_treatment.auroc`",
        "metrics.`nested.null_auroc`",
        "metrics.`baseline.cells.nested.auroc`",
        "metrics.`nested.brier`",
        "metrics.`baseline.prior.nested.brier`",
        "attributes.`Models`",
    ),
}
_FILTERS = {
    "oncoresist_trainings": "tags.role = 'training'",
    "oncoresist_held_out": "tags.role = 'held_out'",
    "oncoresist_one_cohort": "tags.role = 'training' and tags.scheme = 'nested'",
}
_ORDERS = {
    "oncoresist_trainings": "attributes.start_time",
    # By a metric, the list is flat: by time, children stand folded under their parent.
    "oncoresist_held_out": "metrics.`loco.auroc`",
    "oncoresist_one_cohort": "attributes.start_time",
}
_WIDTH = 130


def view_link(view: str, *, experiment: str) -> str:
    """Return the route of a saved view in MLflow's UI."""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={view}"


def saved_views() -> dict[str, str]:
    """Return the tags of an experiment that hold its saved views, as MLflow's UI writes them.

    The UI of another release that keeps views elsewhere shows none, and loses nothing.
    """
    tags = {}
    for view, name in VIEWS.items():
        text = json.dumps(_state(view), separators=(",", ":"))
        packed = base64.b64encode(zlib.compress(text.encode())).decode("ascii")
        document = {"name": name, "createdAt": _MADE, "updatedAt": _MADE}
        tags[f"{_TAG}{view}"] = json.dumps({**document, "state": f"deflate;{packed}"})
    return tags


def _state(view: str) -> dict[str, Any]:
    columns = list(_COLUMNS[view])
    return {
        "searchFilter": _FILTERS[view],
        "orderByKey": _ORDERS[view],
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": dict.fromkeys(columns, _WIDTH),
        "viewMaximized": False,
        "runListHidden": False,
        "groupBy": None,
        "groupsExpanded": {},
    }
