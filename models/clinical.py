"""Clinical covariates as features: what a clinical-only model, or a combined one, is fitted on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["CLINICAL_FEATURES", "CLINICAL_SIGNS", "ClinicalFeature", "clinical_features"]


@dataclass(frozen=True)
class ClinicalFeature:
    """One covariate as a feature.

    Attributes
    ----------
    covariate
        Column of the samples it is taken from.
    sign
        +1 more of it goes with resistance, -1 with response, 0 not fixed.
    source
        DOI of who found the direction, empty where it is not fixed.
    transform
        From the covariate to the number.
    """

    covariate: str
    sign: int = 0
    source: str = ""
    transform: "Callable[[pd.Series[float]], pd.Series[float]] | None" = None


def _is_female(sex: "pd.Series[float]") -> "pd.Series[float]":
    return sex.map({"female": 1.0, "male": 0.0})


CLINICAL_FEATURES: Mapping[str, ClinicalFeature] = {
    "clinical_tmb": ClinicalFeature("tmb", -1, "10.1038/s41588-018-0312-8", np.log1p),
    "clinical_pdl1_ihc": ClinicalFeature("pdl1_ihc", -1, "10.1038/nature14011"),
    "clinical_ecog": ClinicalFeature("ecog", +1, "10.1016/j.lungcan.2020.04.027"),
    "clinical_ldh_high": ClinicalFeature("ldh_high", +1, "10.1038/bjc.2015.467"),
    "clinical_liver_metastasis": ClinicalFeature(
        "liver_metastasis", +1, "10.3389/fonc.2020.546604"
    ),
    "clinical_stage": ClinicalFeature("stage"),
    "clinical_prior_lines": ClinicalFeature("prior_lines"),
    "clinical_age": ClinicalFeature("age"),
    "clinical_female": ClinicalFeature("sex", transform=_is_female),
}
"""Feature → where it comes from. None has a name of the catalogue's markers."""
CLINICAL_SIGNS: Mapping[str, int] = {
    name: feature.sign for name, feature in CLINICAL_FEATURES.items()
}
"""Direction of resistance by clinical feature, held as monotone constraints like the markers'."""


def clinical_features(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the clinical features of samples (n_samples, n_clinical_features), unstandardised.

    Parameters
    ----------
    samples
        Covariates of :data:`features.covariates.COVARIATES` by column; one that is not there is
        missing for every sample.

    Notes
    -----
    What is missing stays NaN. Scales differ between cohorts (mutational burden as mutations or
    per megabase, PD-L1 as a level or a share), so cohort-relative standardisation is the one that
    compares like with like; against a frozen reference such features say less. Mutational burden
    is log1p of its unit. Purity and biopsy site are confounders, not predictors, and left to
    :mod:`models.subgroups`.

    Examples
    --------
    >>> samples = pd.DataFrame({"tmb": [0.0, None], "sex": ["female", None]}, index=["a", "b"])
    >>> clinical_features(samples)[["clinical_tmb", "clinical_female"]].loc["a"].tolist()
    [0.0, 1.0]
    """
    columns = {}
    for name, feature in CLINICAL_FEATURES.items():
        stated = samples.get(feature.covariate, pd.Series(np.nan, index=samples.index))
        values = feature.transform(stated) if feature.transform else stated
        columns[name] = values.astype(float)
    return pd.DataFrame(columns, index=samples.index)
