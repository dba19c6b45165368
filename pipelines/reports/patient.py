"""What a patient's section of a report shows: mechanisms, the genes behind them, strategies."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from models.explanation import NOT_MEASURED
from models.gene_reference import SHARES
from models.shift import COMPONENTS
from pipelines.reports.data import ReportData
from pipelines.reports.facts import FeatureFacts, StrategyFacts
from pipelines.reports.gene_strips import gene_quantiles, median_of, place_on_strip
from pipelines.reports.patient_parts import (
    FeatureView,
    GeneMark,
    MechanismView,
    PatientView,
    SampleView,
    StrategyChoice,
)
from pipelines.reports.words import mechanism_name

__all__ = ["view_patients"]

_MOST_FEATURES, _MOST_GENES = 3, 3
_LEAST_SHARE = 0.1
"""Of what a mechanism's features push its way: a feature that adds less is not shown."""
_STRATEGIES_EACH = 2
_SHIFT_NAMES = {
    "missing_genes": "background genes missing",
    "missing_marker_genes": "marker genes missing",
    "undetected_genes": "genes undetected",
    "rank_distance": "order of the genes",
    "feature_distance": "marker features",
    "tissue_distance": "genes of stroma, vessels and leucocytes",
}
_GRADES = ("review", "class", "field")


def view_patients(data: ReportData) -> list[PatientView]:
    """Return the patients of a report, the one with the highest probability first.

    The samples of a patient stand in the order of the predictions.
    """
    viewer = _Viewer(data)
    predictions = data.predictions
    patients = predictions.groupby(["cohort", "patient_id"], sort=False).indices
    highest = {
        key: float(predictions["probability"].to_numpy()[rows].max())
        for key, rows in patients.items()
    }
    ordered = sorted(patients, key=lambda key: -highest[key])
    return [
        PatientView(
            number,
            str(key[1]),  # type: ignore[index]
            str(key[0]),  # type: ignore[index]
            tuple(viewer.sample(int(row)) for row in sorted(patients[key])),
        )
        for number, key in enumerate(ordered, start=1)
    ]


class _Viewer:
    """Looks samples up by their row; everything a sample needs is made ready once."""

    def __init__(self, data: ReportData) -> None:
        self.facts = data.facts
        self.features = {feature.id: feature for feature in data.facts.features}
        self.names = list(self.features)
        self.log_odds = data.attributed.values[self.names].to_numpy()
        percent = 100.0 * data.attributed.in_probability().values[self.names]
        self.points = percent.to_numpy()
        self.standardised = data.features[self.names].to_numpy(dtype=float)
        self.sums = data.mechanism_sums.drop(columns=NOT_MEASURED)
        self.sum_values = self.sums.to_numpy()
        known = data.samples.drop(columns=["sample_id", "reason", *COMPONENTS])
        self.rows = pd.concat([data.predictions, known], axis=1).to_dict("records")
        self.shift = data.samples[list(COMPONENTS)].to_dict("records")
        self.reasons = data.samples["reason"].tolist()
        genes = data.genes.drop(columns="sample_id")
        self.genes = {str(name): genes[name].to_numpy(dtype=float) for name in genes}
        self.medians = {name: median_of(values) for name, values in self.genes.items()}
        self.ranked = data.facts.score_kind == "rank"

    def sample(self, row: int) -> SampleView:
        sums = self.sum_values[row]
        order = np.argsort(-sums, kind="stable")
        up = [str(self.sums.columns[i]) for i in order[:3] if sums[i] > 0]
        down = [str(self.sums.columns[i]) for i in order[::-1][:1] if sums[i] < 0]
        mechanisms = tuple(self._mechanism(row, name, towards=1) for name in up)
        crossed, nearest = self._shift(row)
        against = {name: self._pushes_against_reviews(row, name) for name in up}
        meant = [name for name in up if not against[name]]
        chosen, further = _choose_strategies(self.facts.strategies, meant)
        discussed = {name for strategy in self.facts.strategies for name in strategy.mechanisms}
        withheld = (against[name] for name in up if against[name] and name in discussed)
        return SampleView(
            {str(key): value for key, value in self.rows[row].items()},
            mechanisms,
            self._mechanism(row, down[0], towards=-1) if down else None,
            crossed,
            nearest,
            chosen,
            further,
            tuple(withheld),
        )

    def _pushes_against_reviews(self, row: int, mechanism: str) -> str:
        """Return why a mechanism's strategies do not fit a sample; empty where they do.

        They fit where the feature that pushes most stands on the side that the reviews mean: below
        the reference where less of it goes with resistance, above it for every other sign.
        """
        strong = self._strongest(row, mechanism, towards=1)
        if not strong:
            return ""
        low, sign = self._is_low(row, strong[0]), self.features[self.names[strong[0]]].sign
        if low == (sign == "-"):
            return ""
        same = [
            self.features[self.names[i]]
            for i in strong
            if self._is_low(row, i) == low and (self.features[self.names[i]].sign == "-") != low
        ]
        names = " and ".join(feature.name for feature in same)
        side, meant = ("low", "more") if low else ("high", "less")
        return (
            f"{mechanism_name(mechanism)} pushes here by {side} {names}; the reviews discuss "
            f"strategies against {meant} of it, so none is shown."
        )

    def _is_low(self, row: int, column: int) -> bool:
        return bool(self.standardised[row, column] < 0)

    def _strongest(self, row: int, mechanism: str, *, towards: int) -> list[int]:
        """Return the columns of the features that push a mechanism's way most, as shown."""
        own = [i for i, n in enumerate(self.names) if self.features[n].mechanism == mechanism]
        pushes = {
            i: push
            for i in own
            if np.isfinite(self.standardised[row, i])
            and (push := towards * self.log_odds[row, i]) > 0
        }
        total = sum(pushes.values())
        strong = sorted(pushes, key=lambda i: -pushes[i])[:_MOST_FEATURES]
        return [i for i in strong if pushes[i] >= _LEAST_SHARE * total]

    def _mechanism(self, row: int, mechanism: str, *, towards: int) -> MechanismView:
        own = [i for i, n in enumerate(self.names) if self.features[n].mechanism == mechanism]
        measured = [i for i in own if np.isfinite(self.standardised[row, i])]
        shown = self._strongest(row, mechanism, towards=towards)
        genes = [gene for i in own for side in self._sides(row, i) for gene in side]
        missing = [gene for gene in dict.fromkeys(genes) if not self._measured(row, gene)]
        return MechanismView(
            mechanism_name(mechanism),
            self.facts.groups.get(mechanism, ""),
            float(sum(self.points[row, i] for i in measured)),
            tuple(self._feature(row, i) for i in shown),
            sum(self.log_odds[row, i] != 0 for i in measured) - len(shown),
            tuple(missing),
            tuple(self.features[self.names[i]].name for i in own if i not in measured),
        )

    def _feature(self, row: int, column: int) -> FeatureView:
        deviation = float(self.standardised[row, column])
        plus, minus = self._sides(row, column)
        side = 1.0 if deviation >= 0 else -1.0
        marks = [
            self._mark(row, gene, side=side * sign)
            for sign, genes in ((1, plus), (-1, minus))
            for gene in genes
            if self._measured(row, gene)
        ]
        ordered = [mark for _, mark in sorted(marks, key=lambda pair: -pair[0])]
        return FeatureView(
            self.features[self.names[column]].name,
            float(self.points[row, column]),
            deviation,
            self.features[self.names[column]].sign != "·",
            tuple(ordered[:_MOST_GENES]),
            max(len(ordered) - _MOST_GENES, 0),
        )

    def _sides(self, row: int, column: int) -> tuple[Sequence[str], Sequence[str]]:
        """Return the genes that raise, and that lower, a feature's score in a sample."""
        feature: FeatureFacts = self.features[self.names[column]]
        if not feature.by_drug:
            return feature.genes, feature.against
        return feature.by_drug.get(str(self.rows[row]["drug"]), ((), ()))

    def _measured(self, row: int, gene: str) -> bool:
        return gene in self.genes and bool(np.isfinite(self.genes[gene][row]))

    def _mark(self, row: int, gene: str, *, side: float) -> tuple[float, GeneMark]:
        """Return how far a gene stands to the side that explains, and its mark."""
        value, cohort = float(self.genes[gene][row]), self.medians[gene]
        found = gene_quantiles(self.facts, gene)
        middle, spread = (found[2], found[3] - found[1]) if found else (cohort, 1.0)
        if self.facts.standardisation == "cohort":
            middle = cohort  # what the model compares a sample with
        away = side * (value - middle) / max(spread, 0.01)
        return away, GeneMark(
            gene,
            place_on_strip(value, ranked=self.ranked),
            self._share_below(value, found),
            away > 0,
        )

    def _share_below(self, value: float, quantiles: Sequence[float]) -> str:
        if not quantiles:
            return "not told"
        if value < quantiles[0]:
            return "under 5%"
        if value > quantiles[-1]:
            return "over 95%"
        share = np.interp(value, quantiles, SHARES) if self.ranked else stats.norm.cdf(value)
        return f"{share:.0%}"

    def _shift(self, row: int) -> tuple[tuple[str, ...], str | None]:
        limits, score = self.facts.model.shift_limits, float(self.rows[row]["shift_score"])
        if not limits:
            return ((str(self.reasons[row]),) if score > 1 else ()), None
        shares = {
            str(name): value / limits[str(name)]
            for name, value in self.shift[row].items()
            if np.isfinite(value) and limits.get(str(name))
        }
        order = sorted(shares, key=lambda name: -shares[name])
        crossed = tuple(
            f"{COMPONENTS[name](self.shift[row][name])} ({shares[name]:.2f} times the limit)"
            for name in order
            if shares[name] > 1
        )
        return crossed, _SHIFT_NAMES[order[0]] if order else None


def _choose_strategies(
    strategies: Iterable[StrategyFacts], mechanisms: Sequence[str]
) -> tuple[tuple[StrategyChoice, ...], tuple[str, ...]]:
    """Return the first strategies of each mechanism, and the names of the others.

    Those that a review discusses stand first, then those that are about few mechanisms.
    """
    ordered = sorted(strategies, key=lambda s: (_GRADES.index(s.evidence), len(s.mechanisms)))
    chosen: dict[str, StrategyFacts] = {}
    for mechanism in mechanisms:
        own = [s for s in ordered if mechanism in s.mechanisms and s.id not in chosen]
        chosen |= {strategy.id: strategy for strategy in own[:_STRATEGIES_EACH]}
    shown = []
    for strategy in chosen.values():
        names = (mechanism_name(name) for name in mechanisms if name in strategy.mechanisms)
        shown.append(StrategyChoice(strategy, tuple(names)))
    further = (
        strategy.name
        for strategy in ordered
        if strategy.id not in chosen and set(mechanisms) & set(strategy.mechanisms)
    )
    return tuple(shown), tuple(further)
