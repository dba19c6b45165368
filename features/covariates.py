"""Clinical covariates: what a clinical table says of the patient, read once and never guessed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from features.errors import CohortError, ConfigError, examples

__all__ = [
    "BIOPSY_SITES",
    "COVARIATES",
    "Covariate",
    "CovariateRule",
    "read_covariates",
]

BIOPSY_SITES = (
    "skin_subcutaneous",
    "lymph_node",
    "lung",
    "liver_visceral",
    "brain",
    "bone",
    "primary",
    "other",
)
"""Where a specimen was taken; soft tissue counts with the skin, organs of the abdomen with the
liver."""
_MISSING = (
    *("", "NA", "N/A", "NAN", "NONE", "NULL", "<NA>", "#N/A", "-", "."),
    *("UNK", "UNKNOWN", "NE", "ND", "NOT STATED", "NOT STATED IN FILE", "NOT AVAILABLE"),
    *("NOT EVALUABLE", "NOT DONE", "MISSING"),
)
_YES_NO: Mapping[str, float] = dict.fromkeys(("TRUE", "T", "YES", "Y", "VRAI"), 1.0) | (
    dict.fromkeys(("FALSE", "F", "NO", "N", "FAUX"), 0.0)
)
_HIGH: Mapping[str, float] = {"ELEVATED": 1.0, "HIGH": 1.0, "NORMAL": 0.0, "LOW": 0.0}
_STAGES: Mapping[str, float] = {
    roman + letter: float(number)
    for number, roman in enumerate(("I", "II", "III", "IV"), start=1)
    for letter in ("", "A", "B", "C", "D")
} | {"M1A": 4.0, "M1B": 4.25, "M1C": 4.5, "M1D": 4.75}
_PDL1: Mapping[str, float] = {
    f"{cells}{level}{sign}": float(level)
    for cells in ("IC", "TC")
    for level in range(4)
    for sign in ("", "+")
} | {"NEGATIVE": 0.0, "POSITIVE": 1.0}
_SITES: Mapping[str, str] = {site.upper(): site for site in BIOPSY_SITES} | {
    spelling: site
    for site, spellings in {
        "skin_subcutaneous": ("SKIN", "CUTANEOUS", "SUBCUTANEOUS", "SUBCUTIS", "SOFT TISSUE"),
        "lymph_node": ("LYMPH NODE", "LYMPH NODES", "LYMPHOID", "NODE", "LN"),
        "liver_visceral": ("LIVER", "VISCERAL", "LIVER/VISCERAL", "ADRENAL", "ADRENAL GLAND"),
        "brain": ("CNS", "CNS/BRAIN"),
        "primary": ("PRIMARY TUMOUR", "PRIMARY TUMOR"),
    }.items()
    for spelling in spellings
}
_SEXES: Mapping[str, str] = dict.fromkeys(("F", "FEMALE", "WOMAN"), "female") | (
    dict.fromkeys(("M", "MALE", "MAN"), "male")
)


@dataclass(frozen=True)
class Covariate:
    """What a column of ``obs`` holds.

    Attributes
    ----------
    meaning
        What it is, with unit.
    spellings
        Spelling (upper case) → value.
    bounds
        Least and greatest number, or None where the value is a word.
    whole
        Whether numbers are whole.
    """

    meaning: str
    spellings: Mapping[str, float] | Mapping[str, str] = field(default_factory=dict)
    bounds: tuple[float, float] | None = None
    whole: bool = False

    @property
    def is_number(self) -> bool:
        """Whether values are numbers; else they are words."""
        return self.bounds is not None

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.bounds is None:
            return f"one of {', '.join(dict.fromkeys(map(str, self.spellings.values())))}"
        low, high = self.bounds
        kind = "a whole number" if self.whole else "a number"
        spelled = f", or {examples(self.spellings, most=8)}" if self.spellings else ""
        return f"{kind} from {low:g}" + (f" to {high:g}" if np.isfinite(high) else "") + spelled


_FLAG = (0.0, 1.0)
COVARIATES: Mapping[str, Covariate] = {
    "tmb": Covariate(
        "tumour mutational burden as the cohort states it, mutations or mutations per megabase: "
        "one unit within a cohort, not between them",
        bounds=(0.0, np.inf),
    ),
    "pdl1_ihc": Covariate(
        "PD-L1 by immunohistochemistry on the cohort's own scale: level 0 to 3, per cent of "
        "cells, or negative 0 and positive 1",
        _PDL1,
        (0.0, 100.0),
    ),
    "ecog": Covariate("ECOG performance status, 0 to 4", bounds=(0.0, 4.0), whole=True),
    "stage": Covariate(
        "stage, 1 to 4; within stage IV, where it is stated, M1a 4.0, M1b 4.25, M1c 4.5, M1d 4.75",
        _STAGES,
        (1.0, 4.75),
    ),
    "prior_lines": Covariate(
        "number of earlier systemic therapies", bounds=(0.0, 30.0), whole=True
    ),
    "ldh_high": Covariate(
        "lactate dehydrogenase above the upper limit of normal: 1, else 0",
        {**_YES_NO, **_HIGH},
        _FLAG,
        whole=True,
    ),
    "liver_metastasis": Covariate("metastasis in the liver: 1, else 0", _YES_NO, _FLAG, whole=True),
    "age": Covariate("age at the start of therapy in years", bounds=(0.0, 120.0)),
    "purity": Covariate("share of tumour cells as measured on DNA, 0 to 1", bounds=(0.0, 1.0)),
    "sex": Covariate("female or male", _SEXES),
    "biopsy_site": Covariate("where the specimen was taken", _SITES),
}
"""Column of ``obs`` → what it holds; a missing value is NaN (numbers) or None (words)."""


@dataclass(frozen=True)
class CovariateRule:
    """Which column of a clinical table is a covariate, and how it spells the values.

    Attributes
    ----------
    column
        Column of the clinical table.
    values
        The file's spelling, any case → value or known spelling; it wins over the known ones.
    missing
        Further spellings of no value, any case.
    """

    column: str
    values: Mapping[str, float | str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def read_covariates(
    clinical: pd.DataFrame, *, rules: Mapping[str, CovariateRule], where: str
) -> pd.DataFrame:
    """Return the covariates of a clinical table (n_samples, n_rules), columns as the rules.

    Parameters
    ----------
    clinical
        Clinical table as text, a row per sample.
    rules
        Covariate (a key of :data:`COVARIATES`) → its column and spellings.
    where
        What the messages call the cohort.

    Raises
    ------
    CohortError
        A column is missing, or holds what is neither a value nor known as missing; all faults at
        once, with values, samples and the mend.
    ConfigError
        A rule names an unknown covariate, or gives a spelling a value that there is not.

    Examples
    --------
    >>> table = pd.DataFrame({"Sex": ["M", "female", "unknown"]}, index=["s1", "s2", "s3"])
    >>> read_covariates(table, rules={"sex": CovariateRule("Sex")}, where="cohort 'x'")["sex"]
    s1      male
    s2    female
    s3      None
    Name: sex, dtype: object
    """
    columns: dict[str, pd.Series[float] | pd.Series[str]] = {}
    faults: list[str] = []
    for name, rule in rules.items():
        meaning = _spellings(name, rule, where)
        if rule.column not in clinical:
            faults.append(
                f"the clinical table has no column '{rule.column}' (covariates.{name}); its "
                f"columns: {examples(clinical.columns, most=10)}"
            )
            continue
        read, unknown = _read(clinical[rule.column], COVARIATES[name], meaning)
        columns[name] = read
        if len(unknown):
            faults.append(_fault(name, rule, unknown))
    if faults:
        raise CohortError(f"{where}: {'; '.join(faults)}")
    return pd.DataFrame(columns, index=clinical.index)


def _spellings(name: str, rule: CovariateRule, where: str) -> dict[str, float | str | None]:
    """Return every spelling's value, None for missing; the cohort's own spellings win."""
    covariate = COVARIATES.get(name)
    if covariate is None:
        raise ConfigError(
            f"{where}: there is no covariate '{name}'; known: {examples(COVARIATES, most=20)}"
        )
    meaning: dict[str, float | str | None] = dict.fromkeys(_MISSING)
    meaning |= covariate.spellings
    own: dict[str, float | str | None] = {}
    for spelling, given in rule.values.items():
        stated = given if isinstance(given, str) else f"{given:g}"
        value = _value(stated.strip().upper(), covariate, covariate.spellings)
        if value is None:
            raise ConfigError(
                f"{where}: covariates.{name}.values gives '{spelling}' the value '{stated}'; "
                f"allowed: {covariate.allowed}"
            )
        own[spelling.strip().upper()] = value
    missing = dict.fromkeys(spelling.strip().upper() for spelling in rule.missing)
    return meaning | missing | own


def _read(
    stated: "pd.Series[str]", covariate: Covariate, meaning: Mapping[str, float | str | None]
) -> tuple["pd.Series[float] | pd.Series[str]", "pd.Series[str]"]:
    """Return the values, and what of the column was not understood."""
    text = stated.astype("string").fillna("").str.strip().str.upper().astype(str)
    values = {spelled: _value(spelled, covariate, meaning) for spelled in text.unique()}
    read = pd.Series([values[spelled] for spelled in text], index=stated.index, dtype=object)
    known = text.isin([spelled for spelled in meaning if meaning[spelled] is None])
    unknown = stated[read.isna() & ~known]
    return (read.astype(float) if covariate.is_number else read), unknown


def _value(
    spelled: str, covariate: Covariate, meaning: Mapping[str, float | str | None]
) -> float | str | None:
    """Return the value of an upper-case spelling, or None where it is missing or unknown."""
    if spelled in meaning:
        return meaning[spelled]
    if covariate.bounds is None:
        return None
    try:
        number = float(spelled)
    except ValueError:
        return None
    low, high = covariate.bounds
    fits = low <= number <= high and np.isfinite(number)
    return number if fits and (not covariate.whole or number.is_integer()) else None


def _fault(name: str, rule: CovariateRule, unknown: "pd.Series[str]") -> str:
    distinct = [f"'{value}'" for value in dict.fromkeys(unknown)]
    return (
        f"column '{rule.column}' (covariates.{name}) holds {len(distinct)} values that are no "
        f"{name}: {examples(distinct)} (samples {examples(unknown.index)}); allowed: "
        f"{COVARIATES[name].allowed}. Map them under covariates.{name}.values in the cohort's "
        f"YAML, or list them under covariates.{name}.missing"
    )
