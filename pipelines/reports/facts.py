"""What a report says of a cohort, its model and the catalogue, as plain values: report.json."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.catalogue_entries import Evidence, Sign
from models.sufficiency import DataVerdict, Sufficiency

__all__ = [
    "REPORT_FORMAT",
    "CalibrationFigure",
    "CallFigure",
    "CitationFacts",
    "FeatureFacts",
    "GeneRow",
    "ModelFacts",
    "ReportFacts",
    "StrategyFacts",
    "SubtypeRow",
    "SufficiencyFacts",
]

REPORT_FORMAT: Literal[1] = 1


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CitationFacts(_Facts):
    """One publication, as the catalogue cites it."""

    key: str
    """Name by which the catalogue cites it."""
    citation: str
    """Authors, title, journal, year."""
    doi: str
    """Digital object identifier."""


class StrategyFacts(_Facts):
    """What the reviews discuss against mechanisms; never advice."""

    id: str
    """Name in the catalogue."""
    name: str
    """Name in the field's terms."""
    mechanisms: tuple[str, ...]
    """Mechanism classes it is discussed for."""
    evidence: Evidence
    """``review``, ``class`` or ``field``, as in the catalogue."""
    advantages: tuple[str, ...]
    """Advantages that the source names."""
    limits: tuple[str, ...]
    """Limits that the source names."""
    sources: tuple[CitationFacts, ...]
    """Who says so, the first the weightiest."""


class FeatureFacts(_Facts):
    """A feature of the model: what it is and which genes it reads."""

    id: str
    """Marker id, the feature's column."""
    name: str
    """Name in the field's terms."""
    mechanism: str
    """Mechanism class."""
    sign: Sign
    """Direction of resistance in the model's setting."""
    genes: tuple[str, ...]
    """Genes that raise its score; none where the drug chooses them."""
    against: tuple[str, ...]
    """Genes that lower its score."""
    by_drug: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    """Text of the drug → both kinds of genes, of a feature that takes them by the drug."""


class CalibrationFigure(_Facts):
    """A figure of the calibration in cohorts held out, with its 95% interval."""

    value: float | None
    """None where it cannot be determined."""
    low: float | None
    """Lower end."""
    high: float | None
    """Upper end."""


class CallFigure(_Facts):
    """How often a call was right in cohorts held out, with its 95% interval."""

    n: int = Field(ge=0)
    """Labelled samples that would be called so."""
    share: float | None
    """Share of them whose published response is the call's; None where none was called."""
    low: float | None
    """Lower end."""
    high: float | None
    """Upper end."""


class SufficiencyFacts(_Facts):
    """What the data of a model can bear, see :mod:`models.sufficiency`."""

    verdict: DataVerdict
    """``usable for ranking``, ``exploratory`` or ``not enough data``."""
    reasons: tuple[str, ...]
    """Sentences with the numbers."""
    suffices: bool
    """Whether patients may be called."""

    @classmethod
    def of(cls, found: Sufficiency | None) -> Self | None:
        """Return the facts of a verdict; None of none."""
        if found is None:
            return None
        return cls(verdict=found.verdict, reasons=found.reasons, suffices=found.suffices)


class ModelFacts(_Facts):
    """The model that gave the predictions."""

    uri: str
    """As asked for."""
    version: str | None
    """Registered version, if any."""
    setting: str
    """ici, adc, hcc or sclc."""
    threshold: float
    """Base rate of resistance of this standardisation."""
    base_rate_of: str
    """Whose base rate: ``training``, or a cohort that the model was recalibrated to."""
    coverage: float
    """Nominal coverage of the prediction sets."""
    shift_limits: Mapping[str, float]
    """Component of the shift score → the value from which a sample is out of scope; none of
    cohorts held out, whose limits are those of their folds."""
    held_out_of: str = "cohorts"
    """What its figures held out: ``cohorts``, or the ``patients`` of its one training cohort."""
    held_out: Mapping[str, Mapping[str, str]]
    """Predictor → metric → value with interval, in cohorts held out."""
    calibration: Mapping[str, CalibrationFigure]
    """Name of :func:`models.calibration_metrics.calibration_estimates` → figure, held out."""
    calls: Mapping[str, CallFigure] = {}
    """Call (``resistant``, ``responsive``) → how often it was right in cohorts held out; none
    where no such figure is stored, or the sets are no longer those it was measured of."""
    sufficiency: SufficiencyFacts | None = None
    """What its data can bear in this standardisation; None where no verdict is stored."""
    provenance: Mapping[str, str]
    """Versions, hashes, training cohorts."""


class GeneRow(_Facts):
    """What a cohort's file holds of a feature's genes."""

    feature: str
    """Marker id."""
    genes: int
    """Genes needed."""
    found: int
    """Genes in the file."""
    missing: str
    """Symbols of the others."""
    found_as: str
    """Symbols found, with the file's name where it differs."""
    note: str
    """Why it is not scored, or what its drug chose."""


class SubtypeRow(_Facts):
    """The subtype of a sample of small-cell lung cancer."""

    sample_id: str
    """Sample."""
    subtype: str
    """SCLC-A, SCLC-N, SCLC-P, SCLC-Y or unknown."""
    confidence: float | None
    """0 to 1; None where unknown."""
    inflamed: bool | None
    """None where too few of its genes are measured."""
    scores: tuple[float | None, ...]
    """Scores of the four programmes and the inflamed state; None where nothing is measured."""
    reason: str
    """Why it is unknown."""
    caveat: str
    """What the call does not rest on."""


class ReportFacts(_Facts):
    """Everything of a report that is not a row a sample."""

    format_version: Literal[1] = REPORT_FORMAT
    """Format of report.json."""
    kind: Literal["scored", "held_out"]
    """Whether a frozen model scored a cohort, or a training predicted one it had held out."""
    cohort: str
    """Name of the cohort."""
    standardisation: Literal["cohort", "reference"]
    """Of the features."""
    score_kind: Literal["rank", "mean_z"]
    """Of the genes: ranks within the sample, or z-scores within the cohort."""
    calibration_method: str
    """How probabilities were calibrated."""
    model: ModelFacts
    """The model."""
    warnings: tuple[str, ...]
    """What to know of this cohort under this model."""
    called_anyway: bool = False
    """Whether calls were to be made whatever the verdict on the model's data."""
    in_sample: bool
    """Whether the model was trained on it."""
    n_genes: int = Field(ge=0)
    """Genes in the file."""
    unit: str
    """Unit found, in words."""
    unit_evidence: str
    """What it was told by."""
    notes: tuple[str, ...]
    """What the check of the cohort found."""
    files: Mapping[str, str]
    """File → SHA-256."""
    metrics: tuple[tuple[str, str], ...]
    """Figures against the cohort's own labels: name, value with interval."""
    quality: Mapping[str, str]
    """Quality of the data: name → value."""
    drifted: tuple[str, ...]
    """Features that moved further than training cohorts do, furthest first."""
    gene_coverage: str
    """Coverage in a sentence."""
    unscored: tuple[str, ...]
    """Features that no sample has."""
    gene_rows: tuple[GeneRow, ...]
    """Features that lack genes, take them under another name, or depend on the drug."""
    groups: Mapping[str, str]
    """Mechanism class → broad group of mechanisms."""
    features: tuple[FeatureFacts, ...]
    """The model's features, in catalogue order."""
    strategies: tuple[StrategyFacts, ...]
    """Strategies for the model's mechanisms in its setting."""
    gene_quantiles: Mapping[str, tuple[float, float, float, float, float]]
    """Gene → quantiles (5, 25, 50, 75, 95%) in the training samples; none for z-scores."""
    reference_samples: int
    """Training samples that the quantiles are of."""
    reference_cohorts: int
    """Training cohorts that the quantiles are of."""
    subtypes: tuple[SubtypeRow, ...] = ()
    """A row a sample, of a model of small-cell lung cancer."""
    tables: Mapping[str, str] = {}
    """Table of the report → SHA-256 of the file written with it."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        classes = {feature.mechanism for feature in self.features}
        lost = sorted(classes - set(self.groups))
        if lost:
            raise ValueError(f"groups lacks the mechanism {lost[0]}")
        return self

    def with_tables(self, tables: Mapping[str, str]) -> "ReportFacts":
        """Return the same facts with the hashes of the tables written with them."""
        return self.model_copy(update={"tables": dict(tables)})

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return self.model_dump(mode="json")
