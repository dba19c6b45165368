"""Effects of several cohorts pooled by random-effects meta-analysis."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from models.metrics import Array

__all__ = ["Pooled", "meta_analysis"]


@dataclass(frozen=True)
class Pooled:
    """A random-effects meta-analysis.

    Attributes
    ----------
    estimate, low, high, standard_error, p_value
        Mean effect over cohorts, its 95% interval and test, from the normal distribution.
    i2
        Share of the variation between cohorts that is not noise, 0 to 1; NaN for one cohort.
    tau2, q
        Variance of the true effects between cohorts; Cochran's Q.
    predicted_low, predicted_high
        95% interval of the effect in a new cohort; NaN below three cohorts.
    count
        Cohorts that entered.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    p_value: float
    i2: float
    tau2: float
    q: float
    predicted_low: float
    predicted_high: float
    count: int


def meta_analysis(values: ArrayLike, standard_errors: ArrayLike) -> Pooled:
    """Return the DerSimonian-Laird random-effects mean of effects (n_cohorts,).

    A cohort whose effect or standard error is not finite, or whose standard error is zero, is
    left out. Where Q lies below its degrees of freedom, the variance between cohorts is zero.

    References
    ----------
    DerSimonian and Laird, Control Clin Trials 1986, doi:10.1016/0197-2456(86)90046-2; prediction
    interval: Higgins et al., J R Stat Soc A 2009, doi:10.1111/j.1467-985X.2008.00552.x.

    Examples
    --------
    >>> pooled = meta_analysis([0.1, 0.3], [0.1, 0.1])
    >>> round(pooled.estimate, 3), round(pooled.i2, 3)
    (0.2, 0.5)
    """
    effects, errors = np.asarray(values, dtype=float), np.asarray(standard_errors, dtype=float)
    usable = np.isfinite(effects) & np.isfinite(errors) & (errors > 0)
    effects, errors = effects[usable], errors[usable]
    if effects.size < 2:
        return _one_study(effects, errors)
    # statsmodels leaves a negative variance between cohorts as it is, and weighs by it.
    with np.errstate(invalid="ignore", divide="ignore"):
        found = combine_effects(effects, errors**2, method_re="dl")
    freedom = effects.size - 1
    apart = found.tau2 > 0
    mean = float(found.mean_effect_re if apart else found.mean_effect_fe)
    error = float(found.sd_eff_w_re if apart else found.sd_eff_w_fe)
    tau2, q = max(float(found.tau2), 0.0), float(found.q)
    reach = np.nan
    if freedom > 1:
        reach = float(stats.t.ppf(0.975, freedom - 1)) * float(np.sqrt(tau2 + error**2))
    return Pooled(
        **_normal_interval(mean, error),
        i2=max(0.0, 1.0 - freedom / q) if q > 0 else 0.0,
        tau2=tau2,
        q=q,
        predicted_low=mean - reach,
        predicted_high=mean + reach,
        count=int(effects.size),
    )


def _one_study(effects: Array, errors: Array) -> Pooled:
    effect, error = (float(effects[0]), float(errors[0])) if effects.size else (np.nan, np.nan)
    unknown = dict.fromkeys(("i2", "tau2", "q", "predicted_low", "predicted_high"), np.nan)
    return Pooled(**_normal_interval(effect, error), **unknown, count=int(effects.size))


def _normal_interval(mean: float, error: float) -> dict[str, float]:
    reach = float(stats.norm.ppf(0.975)) * error
    return {
        "estimate": mean,
        "low": mean - reach,
        "high": mean + reach,
        "standard_error": error,
        "p_value": float(2 * stats.norm.sf(abs(mean / error))) if error > 0 else np.nan,
    }
