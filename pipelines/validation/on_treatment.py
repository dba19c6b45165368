"""On-treatment samples against those before therapy, and their change, where patients have both.

A sample drawn after the therapy began cannot decide on it: these figures tell what response
looks like, not whom to treat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from models.change import feature_sets, predict_feature_set, predict_scores
from models.comparison import compare_with_peers
from models.splits import Split, grouped_splits, patient_keys
from models.type_splits import LEAST_PATIENTS, too_few_patients
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset, build_dataset
from pipelines.ingest import IngestedCohort
from pipelines.validation.validate import mean_of_repeats

__all__ = ["Pairs", "find_pairs", "on_treatment_table", "on_treatment_tables"]

PRE, ON = "pre_treatment", "on_treatment"
NAIVE_SCORES = ("gep_18", "cytolytic")
"""Published scores looked at before, on and in their change."""
REPEATS = 10
"""Of the folds: pairs are few, and how they fall into folds moves a figure."""
_FIGURES = (
    *("auroc", "low", "high", "brier", "brier_low", "brier_high"),
    *("difference", "difference_low", "difference_high"),
)


@dataclass(frozen=True)
class Pairs:
    """Patients with a sample from before and one from on therapy.

    Attributes
    ----------
    counts
        ``cohort, pre, on, patients, labelled, resistant, note``: samples of each timepoint,
        patients with both, those of them with a label; ``note`` says why a cohort takes no part.
    patients
        Those with both and a label, of cohorts with enough of each class; index
        ``cohort/patient``: ``cohort, patient_id, resistant``.
    pre, on
        Their unstandardised features (n_patients, n_features); the mean where a patient has
        several samples of a timepoint.
    scores
        ``<signature>_pre``, ``_on`` and ``_change`` (n_patients, n_scores); higher is resistant.
    everyone, everyone_pre
        All labelled patients of these cohorts with a sample from before therapy, its features.
    """

    counts: pd.DataFrame
    patients: pd.DataFrame
    pre: pd.DataFrame
    on: pd.DataFrame
    scores: pd.DataFrame
    everyone: pd.DataFrame
    everyone_pre: pd.DataFrame


def on_treatment_tables(
    ingested: Sequence[IngestedCohort], *, config: ExperimentConfig, catalogue: Catalogue
) -> dict[str, pd.DataFrame]:
    """Return the tables ``on_treatment_pairs`` and ``on_treatment``, where there are pairs.

    Parameters
    ----------
    ingested
        Cohorts with samples of all timepoints; the training's ``samples.timepoints`` do not
        apply here.
    config
        The experiment; nothing is done where ``validation.on_treatment`` is off.
    catalogue
        Whose features and signs.

    Returns
    -------
    tables
        None without a pair; the counts alone (:attr:`Pairs.counts`) where no cohort has enough.
    """
    pairs = find_pairs(ingested, config, catalogue) if config.validation.on_treatment else None
    if pairs is None:
        return {}
    tables = {"on_treatment_pairs": pairs.counts}
    if len(pairs.patients):
        tables["on_treatment"] = on_treatment_table(
            pairs,
            signs=catalogue.signs(config.setting),
            n_splits=config.validation.n_splits,
            n_resamples=config.validation.n_resamples,
            seed=config.seed,
        )
    return tables


def find_pairs(
    ingested: Sequence[IngestedCohort], config: ExperimentConfig, catalogue: Catalogue
) -> Pairs | None:
    """Return the patients with both timepoints; None where there are none."""
    chosen = [cohort for cohort in ingested if _has_pairs(cohort, config.samples.exclude)]
    if not chosen:
        return None
    dataset = build_dataset(
        chosen,
        timepoints=(PRE, ON),
        catalogue=catalogue,
        min_coverage=config.features.min_coverage,
        setting=config.setting,
    )
    dataset = dataset.without([n for n in config.samples.exclude if n in dataset.samples.index])
    both, everyone = _patients(dataset.samples)
    counts = _counts(dataset.samples, both)
    used = list(counts["cohort"][counts["note"] == ""])
    both, everyone = (t[t["cohort"].isin(used)].dropna() for t in (both, everyone))
    features = _by_patient(dataset.features(list(dataset.cohorts)), dataset)
    signatures = _by_patient(dataset.signature_scores()[list(NAIVE_SCORES)], dataset)
    before, during = (signatures[when].reindex(both.index) for when in (PRE, ON))
    named = {"pre": before, "on": during, "change": during - before}
    return Pairs(
        counts=counts,
        patients=both,
        pre=features[PRE].reindex(both.index),
        on=features[ON].reindex(both.index),
        scores=pd.concat([table.add_suffix(f"_{end}") for end, table in named.items()], axis=1),
        everyone=everyone,
        everyone_pre=features[PRE].reindex(everyone.index),
    )


def _has_pairs(cohort: IngestedCohort, exclude: Sequence[str]) -> bool:
    obs = cohort.adata.obs
    obs = obs[~(f"{cohort.name}/" + obs["sample_id"].astype(str)).isin(list(exclude))]
    patients = [set(obs["patient_id"][obs["timepoint"] == when]) for when in (PRE, ON)]
    return bool(patients[0] & patients[1])


def _patients(samples: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return patients with both timepoints, and all with a sample from before therapy.

    A patient whose samples are labelled differently has no label.
    """
    keys = patient_keys(samples)
    table = samples.groupby(keys).agg(
        cohort=("cohort", "first"),
        patient_id=("patient_id", "first"),
        resistant=("resistant", lambda labels: _only(labels)),
    )
    before, during = (set(keys[samples["timepoint"] == when]) for when in (PRE, ON))
    return table[table.index.isin(before & during)], table[table.index.isin(before)]


def _only(labels: "pd.Series[float]") -> float:
    known = labels.dropna().unique()
    return float(known[0]) if len(known) == 1 else np.nan


def _counts(samples: pd.DataFrame, both: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for cohort in sorted(set(samples["cohort"])):
        own, part = samples[samples["cohort"] == cohort], both[both["cohort"] == cohort]
        few = too_few_patients(part)
        rows.append(
            {
                "cohort": cohort,
                "pre": int((own["timepoint"] == PRE).sum()),
                "on": int((own["timepoint"] == ON).sum()),
                "patients": len(part),
                "labelled": int(part["resistant"].notna().sum()),
                "resistant": int(part["resistant"].sum()),
                "note": f"cannot be told: {few}" if few else "",
            }
        )
    return pd.DataFrame(rows)


def _by_patient(table: pd.DataFrame, dataset: Dataset) -> dict[str, pd.DataFrame]:
    """Return a table of samples by timepoint, a row a patient."""
    keys, times = patient_keys(dataset.samples), dataset.samples["timepoint"]
    return {
        when: table[(times == when).to_numpy()].groupby(keys[times == when]).mean()
        for when in (PRE, ON)
    }


def on_treatment_table(
    pairs: Pairs, *, signs: Mapping[str, int], n_splits: int, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Return how well pre-treatment, on-treatment and change features rank the same patients.

    Parameters
    ----------
    pairs
        From :func:`find_pairs`, with patients.
    signs
        Of the catalogue, by feature; held for features of one timepoint, never for a change.
    n_splits
        Patient-grouped folds, fewer where a class has fewer patients; ten repeats.
    n_resamples, seed
        Of the bootstrap over patients within cohorts; the seed, too, of the folds.

    Returns
    -------
    table
        ``predictor, n, resistant, cohorts``, ``auroc, low, high`` (mean over cohorts, mean over
        repeats), ``brier`` likewise, and ``difference``: the predictor's AUROC minus that of
        ``pre``, paired on patients and folds (not of ``pre_all_patients``, which is of others).
        Predictors: the sets of :func:`models.change.feature_sets`, published scores at each
        timepoint and in their change, the class ``prior``, and ``pre_all_patients``.
    """
    size = 2 * LEAST_PATIENTS
    splits = _folds(pairs.patients, n_splits=n_splits, seed=seed)
    sets = feature_sets(pairs.pre, pairs.on, signs=signs)
    frames = {
        name: predict_feature_set(pairs.patients, found, splits=splits, min_cohort_size=size)
        for name, found in sets.items()
    }
    frames |= predict_scores(pairs.patients, pairs.scores, splits=splits, min_cohort_size=size)
    noise = {"n_resamples": n_resamples, "seed": seed}
    rows = [
        _row(name, frame, noise) | _against(frame, frames["pre"], noise)
        for name, frame in frames.items()
    ]
    whole = predict_feature_set(
        pairs.everyone,
        replace(sets["pre"], features=pairs.everyone_pre),
        splits=_folds(pairs.everyone, n_splits=n_splits, seed=seed),
        min_cohort_size=size,
    )
    rows.append(_row("pre_all_patients", whole, noise))
    return pd.DataFrame(rows, columns=["predictor", "n", "resistant", "cohorts", *_FIGURES])


def _folds(patients: pd.DataFrame, *, n_splits: int, seed: int) -> list[Split]:
    fewest = int(patients["resistant"].value_counts().min())
    return grouped_splits(patients, n_splits=min(n_splits, fewest), n_repeats=REPEATS, seed=seed)


def _row(name: str, frame: pd.DataFrame, noise: Mapping[str, int]) -> dict[str, object]:
    found = mean_of_repeats(frame, n_resamples=noise["n_resamples"], seed=noise["seed"])
    auroc, brier = found["auroc"], found["brier"]
    once = frame[~frame.index.duplicated()]
    return {
        "predictor": name,
        "n": len(once),
        "resistant": int(once["resistant"].sum()),
        "cohorts": int(once["cohort"].nunique()),
        **{"auroc": auroc.value, "low": auroc.low, "high": auroc.high},
        **{"brier": brier.value, "brier_low": brier.low, "brier_high": brier.high},
    }


def _against(frame: pd.DataFrame, pre: pd.DataFrame, noise: Mapping[str, int]) -> dict[str, float]:
    """Return the AUROC minus that of features before therapy: the mean over the repeats."""
    if frame is pre:
        return {}
    repeats = frame["split"].str.split(".").str[0].to_numpy()
    of_pre = dict(list(pre.groupby(pre["split"].str.split(".").str[0].to_numpy())))
    found = pd.concat(
        [
            compare_with_peers(part, {"pre": of_pre[repeat]}, n_permutations=1, **noise)
            for repeat, part in frame.groupby(repeats)
        ]
    )
    mean = found[found["cohort"] == "mean"][["difference", "low", "high"]].mean()
    return {
        "difference": float(mean["difference"]),
        "difference_low": float(mean["low"]),
        "difference_high": float(mean["high"]),
    }
