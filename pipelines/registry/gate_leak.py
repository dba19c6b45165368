"""Gate, leaks: no split, and no prediction, lets a model see what it is tested on."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from features.errors import CohortError, examples
from features.fingerprint import find_duplicates
from features.reference import Standardisation
from models.resistance_model import ResistanceModel
from models.splits import Split, check_splits
from pipelines.registry.standing import Check
from pipelines.registry.version_record import VersionRecord
from pipelines.validation.validate import ARM_SUFFIX

__all__ = ["leak_checks", "splits_of_plan"]

_GROUP = "no leak"
_SCHEMES = ("loco", "nested", "tumour_type", "per_type")
_NULL_BOUND = 0.995
_FEWEST_SHUFFLES = {"loco": 2, "nested": 5}
"""Fewest shuffles that are judged: on one cohort few AUROCs are possible, and may be the same."""
_MOST_MISSED = "a sound model fails this once in 200"
_TRAIN_AGAIN = "train again, and do not use this version: its figures are too good"


def leak_checks(
    record: VersionRecord, arm: Standardisation, *, model: ResistanceModel | None
) -> Iterator[Check]:
    """Give the checks of one standardisation's logged splits, predictions and permutation null.

    The splits go through the guard that made them (:func:`models.splits.check_splits`): no patient
    on both sides, and no sample under two names, by the fingerprints that ``model`` carries.
    Without a model patients alone are looked at.
    """
    origin, suffix = record.origin, ARM_SUFFIX[arm]
    plan = origin.table(f"splits/plan{suffix}.parquet")
    what = f"splits, {arm}-relative"
    if plan is None:
        mend = "train again: nothing tells what was held out"
        yield Check(_GROUP, what, "failed", "not in the run", "logged", mend)
    else:
        yield _both_sides(plan, what, model)
        yield _held_out(plan, origin, arm)
    yield _null(origin, arm)


def _both_sides(plan: pd.DataFrame, what: str, model: ResistanceModel | None) -> Check:
    duplicates = None if model is None else find_duplicates(model.training.fingerprints)
    limit = "no patient, and no sample under two names, on both sides"
    count = 0
    try:
        for samples, splits in splits_of_plan(plan).values():
            check_splits(samples, splits, duplicates=duplicates)
            count += len(splits)
    except CohortError as error:
        return Check(_GROUP, what, "failed", str(error), limit, _TRAIN_AGAIN)
    return Check(_GROUP, what, "passed", f"{count} checked", limit)


def splits_of_plan(plan: pd.DataFrame) -> Mapping[str, tuple[pd.DataFrame, list[Split]]]:
    """Return the splits of a logged plan (:meth:`models.plan.ValidationPlan.table`).

    Returns
    -------
    schemes
        Scheme → its samples (``cohort, patient_id`` by sample) and splits, outer and inner.
    """
    schemes = {}
    for scheme, part in plan.groupby("scheme", sort=False):
        samples = part.drop_duplicates("sample").set_index("sample")[["cohort", "patient_id"]]
        position = pd.Series(np.arange(len(samples)), index=samples.index)
        splits = []
        for (outer, inner), rows in part.groupby(["split", "inner"], sort=False):
            places = position.loc[rows["sample"]].to_numpy()
            train = (rows["side"] == "train").to_numpy()
            name = f"{scheme}/{outer}/{inner}".rstrip("/")
            splits.append(Split(name, places[train], places[~train]))
        schemes[str(scheme)] = (samples, splits)
    return schemes


def _held_out(plan: pd.DataFrame, origin: VersionRecord, arm: Standardisation) -> Check:
    """Check that each logged prediction is of a split that held its sample out."""
    what = f"predictions, {arm}-relative"
    tested = plan[(plan["inner"] == "") & (plan["side"] == "test")]
    known = set(zip(tested["scheme"], tested["split"], tested["sample"], strict=True))
    wrong, count = [], 0
    for scheme in _SCHEMES:
        table = origin.table(f"predictions/{scheme}{ARM_SUFFIX[arm]}.parquet")
        if table is None or "split" not in table:
            if scheme == origin.scheme:
                mend = "train again: nothing tells of which split its predictions are"
                return Check(_GROUP, what, "failed", f"{scheme} not in the run", "logged", mend)
            continue
        count += len(table)
        for sample, split in zip(table["sample"], table["split"], strict=True):
            if (scheme, split, sample) not in known:
                wrong.append(f"{sample} ({scheme}, {split})")
    limit = "each of a split that held its sample out"
    if wrong or not count:
        value = f"{len(wrong)} of others: {examples(wrong)}" if wrong else "none in the run"
        return Check(_GROUP, what, "failed", value, limit, _TRAIN_AGAIN)
    return Check(_GROUP, what, "passed", f"{count} checked", limit)


def _null(origin: VersionRecord, arm: Standardisation) -> Check:
    """Check that the pipeline finds nothing where labels were shuffled (one-sided t bound).

    Only an AUROC above 0.5 tells of labels that were seen. The bound is wide, as every training
    is judged by it in each standardisation.
    """
    what = f"AUROC on shuffled labels, {arm}-relative"
    table = origin.table(f"tables/null{ARM_SUFFIX[arm]}.parquet")
    values = np.array([]) if table is None else table["auroc"].dropna().to_numpy(float)
    if values.size < _FEWEST_SHUFFLES[origin.scheme]:
        told = "not measured (validation.permutations)"
        return Check(_GROUP, what, "not applicable", told, "")
    mean, error = float(values.mean()), float(stats.sem(values))
    low = mean - float(stats.t.ppf(_NULL_BOUND, values.size - 1)) * error
    value = f"{mean:.3f} (at least {low:.3f}, {values.size} shuffles)"
    limit = f"one-sided {_NULL_BOUND:.1%} bound not above 0.5; {_MOST_MISSED}"
    if low <= 0.5:
        return Check(_GROUP, what, "passed", value, limit)
    mend = "the pipeline sees labels that it should not, or is biased upwards: find out why first"
    return Check(_GROUP, what, "failed", value, limit, mend)
