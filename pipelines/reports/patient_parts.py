"""The parts of a patient's section: patient, samples, mechanisms, features, genes, strategies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.reports.facts import CitationFacts, StrategyFacts

__all__ = [
    "FeatureView",
    "GeneMark",
    "MechanismView",
    "PatientView",
    "SampleView",
    "StrategyChoice",
]

_SOURCES_EACH = 2


@dataclass(frozen=True)
class GeneMark:
    """One gene of one sample on its strip.

    Attributes
    ----------
    symbol
        Approved symbol.
    at
        Where the sample stands, in hundredths of the strip's width.
    below
        Share of the reference below the sample, in words.
    explains
        Whether the gene stands on the side that the feature's push comes from.
    """

    symbol: str
    at: float
    below: str
    explains: bool


@dataclass(frozen=True)
class FeatureView:
    """A feature of a mechanism: name, push in percentage points, standardised value, genes.

    ``signed`` tells whether the catalogue gives it a direction of resistance.
    """

    name: str
    points: float
    deviation: float
    signed: bool
    genes: tuple[GeneMark, ...]
    further_genes: int


@dataclass(frozen=True)
class MechanismView:
    """A mechanism that pushes a sample one way, in percentage points of the probability.

    ``missing`` are the genes of all its features that the sample lacks, ``unscored`` the features
    that could not be told for it, ``further`` those that are not shown.
    """

    name: str
    group: str
    points: float
    features: tuple[FeatureView, ...]
    further: int
    missing: tuple[str, ...]
    unscored: tuple[str, ...]


@dataclass(frozen=True)
class StrategyChoice:
    """A strategy and the mechanisms of the sample that it is discussed for."""

    strategy: StrategyFacts
    mechanisms: tuple[str, ...]

    @property
    def cited(self) -> tuple[CitationFacts, ...]:
        """Its weightiest sources."""
        return self.strategy.sources[:_SOURCES_EACH]


@dataclass(frozen=True)
class SampleView:
    """One sample of a patient.

    Attributes
    ----------
    row
        Its row of the predictions, with ``cancer_type, drug, timepoint, resistant``.
    mechanisms
        Up to three that push towards resistance, the strongest first.
    response
        The one that pushes most towards response, if any.
    crossed, nearest
        Components of the shift score beyond their limit, in words with value, and the name of the
        one nearest to its limit or furthest beyond it; None where shift cannot be told.
    strategies, further_strategies
        Discussed for those of ``mechanisms`` that push from the side the reviews mean; names of
        those left out for want of room.
    withheld
        Why no strategies are shown for a mechanism that pushes from the other side, a line each.
    """

    row: Mapping[str, Any]
    mechanisms: tuple[MechanismView, ...]
    response: MechanismView | None
    crossed: tuple[str, ...]
    nearest: str | None
    strategies: tuple[StrategyChoice, ...]
    further_strategies: tuple[str, ...]
    withheld: tuple[str, ...]

    @property
    def references(self) -> tuple[CitationFacts, ...]:
        """The sources of ``strategies``, each once."""
        cited = {source.key: source for choice in self.strategies for source in choice.cited}
        return tuple(cited.values())


@dataclass(frozen=True)
class PatientView:
    """A patient: number by the highest probability, id, cohort, and the samples."""

    number: int
    patient_id: str
    cohort: str
    samples: tuple[SampleView, ...]
