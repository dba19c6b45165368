"""The peers that a model is compared with, on the same samples and splits."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.errors import CohortError
from features.reference import Standardisation
from models.all_genes import AllGenesClassifier, all_gene_expression
from models.baselines import predict_baseline, predict_signatures
from models.candidates import Candidate, CandidateBuilder
from models.clinical import CLINICAL_SIGNS, clinical_features
from models.learner import Learner
from models.plan import ValidationPlan
from models.tuning import Tuner
from models.validation import predict_out_of_fold
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.validation.selection import threads
from pipelines.validation.tide import tide_available, tide_scores

__all__ = ["predict_peers"]

_LOG = logging.getLogger(__name__)
_CLINICAL = Candidate(
    "clinical",
    "boosted",
    settings={"num_leaves": 2, "n_estimators": 300, "subsample": 0.7, "n_seeds": 5},
)


def predict_peers(
    dataset: Dataset,
    plan: ValidationPlan,
    *,
    config: ExperimentConfig,
    standardisation: Standardisation,
) -> dict[str, pd.DataFrame]:
    """Return leave-one-cohort-out predictions by peer.

    Every published signature and the class prior (``prior``); TIDE (``tide``) where its package
    is installed; where any sample has clinical covariates, a model of these alone (``clinical``)
    and with the markers (``combined``); a plain LightGBM on all genes (``all_genes``).

    Raises
    ------
    ConfigError, CohortError
        TIDE is insisted on and cannot be had.
    """
    splits = plan.schemes["loco"]
    size = config.features.min_cohort_size
    scores = dataset.signature_scores()
    for name, tide in _tide(dataset, config).items():
        scores = scores.assign(**{name: tide.loc[scores.index]})
    peers = predict_signatures(
        plan.samples, splits, scores=scores, standardisation=standardisation, min_cohort_size=size
    )
    peers |= _clinical(dataset, plan, config=config, standardisation=standardisation)
    if config.validation.all_genes:
        peers["all_genes"] = predict_baseline(
            plan.samples,
            splits,
            features_of=lambda cohorts: all_gene_expression(dataset.cohorts, training=cohorts),
            make_classifier=lambda: AllGenesClassifier(
                random_state=config.seed, n_jobs=threads(config)
            ),
            standardisation=standardisation,
            min_cohort_size=size,
        )
    return peers


def _tide(dataset: Dataset, config: ExperimentConfig) -> "dict[str, pd.Series[float]]":
    """Return TIDE's scores as configured: null takes part where it can, true insists.

    Raises
    ------
    ConfigError, CohortError
        It is insisted on, and the package is not installed or does not know the genes.
    """
    asked = config.validation.tide
    if asked is False:
        return {}
    if asked is None and not tide_available():
        _LOG.warning("TIDE takes no part: tidepy is not installed")
        return {}
    try:
        return {"tide": tide_scores(dataset.cohorts)}
    except CohortError as error:
        if asked:
            raise
        _LOG.warning("TIDE takes no part: %s", error)
        return {}


def _clinical(
    dataset: Dataset,
    plan: ValidationPlan,
    *,
    config: ExperimentConfig,
    standardisation: Standardisation,
) -> dict[str, pd.DataFrame]:
    """Return a model of clinical covariates alone, and one of these and the markers.

    Samples of which no covariate is known get no score from the clinical model.
    """
    clinical = clinical_features(plan.samples)
    labelled = plan.samples["resistant"].notna().to_numpy()
    known = clinical.columns[clinical[labelled].notna().any()]
    if known.empty:
        return {}
    clinical = clinical[known]

    def with_markers(cohorts: Sequence[str]) -> pd.DataFrame:
        return dataset.features(cohorts).loc[plan.samples.index].join(clinical)

    signs = {**dataset.catalogue.signs(config.setting), **CLINICAL_SIGNS}
    sources = {"clinical": lambda cohorts: clinical, "combined": with_markers}
    found = {}
    for name, features_of in sources.items():
        columns = tuple(map(str, features_of(list(dataset.cohorts)).columns))
        build = CandidateBuilder(columns, columns, signs, seed=config.seed, n_jobs=None)
        learner = Learner(
            plan.samples, features_of, build, standardisation, config.features.min_cohort_size
        )
        tuner = Tuner((_CLINICAL,))
        found[name] = predict_out_of_fold(learner, plan.schemes["loco"], tuner=tuner).predictions
    unknown = clinical.isna().all(axis=1).reindex(found["clinical"].index)
    found["clinical"].loc[unknown, "score"] = np.nan
    return found
