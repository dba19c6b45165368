"""Peers on a single cohort: published scores, single markers, what is known without expression."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.reference import Standardisation
from models.baselines import predict_baseline, predict_signatures
from models.linear import SignedLogisticRegression
from models.plan import ValidationPlan
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset

__all__ = ["SINGLE_MARKERS", "naive_peers"]

SINGLE_MARKERS: Mapping[str, Mapping[str, int]] = {
    "ici": {
        "tcf7": -1,
        "ccr7": -1,
        "b_cells_tls": -1,
        "b_cells_share": -1,
        "cd38": 1,
        "tim3": 1,
        "exhaustion": 1,
        "exhaustion_in_t_cell": 1,
    },
    "adc": {"payload_efflux": 1, "payload_target": 1, "abcb1": 1, "abcc1": 1, "abcg2": 1},
    "hcc": {"abc_transporters": 1, "abcb1": 1, "kinase_bypass": 1, "ferroptosis_defence": 1},
    "sclc": {"slfn11_parp": 1, "neuroendocrine": 1, "abcg2": 1, "proliferation": -1},
}
"""Setting → features that the field reads alone, with the direction of resistance that it expects.
In the Sade-Feldman cohort some directions were found on the cohort itself: figures there are no
test."""


def naive_peers(
    dataset: Dataset,
    plan: ValidationPlan,
    *,
    config: ExperimentConfig,
    standardisation: Standardisation,
) -> dict[str, pd.DataFrame]:
    """Return the peers' predictions on the same splits (a row a sample and repeat).

    ``marker_<feature>``: a single feature in its expected direction; published signatures where
    expression can be ranked; ``clinical``: timepoint, therapy, tumour type and number of cells
    without any expression; ``prior``: the share of resistant samples.
    """
    size = config.features.min_cohort_size
    splits = plan.schemes["nested"]
    features = dataset.features(list(dataset.cohorts)).loc[plan.samples.index]
    scores = pd.DataFrame(
        {
            f"marker_{name}": sign * features[name]
            for name, sign in SINGLE_MARKERS[config.setting].items()
            if name in features and features[name].notna().any()
        },
        index=plan.samples.index,
    )
    if dataset.score_kind == "rank":
        published = dataset.signature_scores().loc[plan.samples.index]
        scores = scores.join(published.loc[:, published.notna().any()])
    peers = predict_signatures(
        plan.samples, splits, scores=scores, standardisation=standardisation, min_cohort_size=size
    )
    # The share alone ranks nobody; that of the folds' training parts would.
    peers["prior"]["score"] = 0.0
    for name in scores:
        # Nothing is fitted but the curve: folds must not shift the ranks against one another.
        found = peers[str(name)]
        found["score"] = scores[name].reindex(found.index).to_numpy()
    described = _described(dataset, plan.samples)
    if described.shape[1]:
        peers["clinical"] = predict_baseline(
            plan.samples,
            splits,
            features_of=lambda cohorts: described,
            make_classifier=lambda: SignedLogisticRegression(alpha=0.3, l1_ratio=0.0),
            standardisation=standardisation,
            min_cohort_size=size,
        )
    return peers


def _described(dataset: Dataset, samples: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of samples without expression (n_samples, n_columns), varying alone."""
    obs = pd.concat([adata.obs for adata in dataset.cohorts.values()])
    obs = obs.set_axis(dataset.samples.index, axis=0).reindex(samples.index)
    columns: dict[str, pd.Series[float]] = {}
    for name in ("timepoint", "therapy", "drug", "cancer_type"):
        if name in obs:
            for level in sorted(set(obs[name].dropna().astype(str)))[1:]:
                columns[f"{name}={level}"] = (obs[name].astype(str) == level).astype(float)
    if "n_cells" in obs:
        columns["log_n_cells"] = np.log1p(obs["n_cells"].astype(float))
    table = pd.DataFrame(columns, index=samples.index)
    return table.loc[:, table.nunique() > 1]
