"""What a report says in words: what a probability means, how far to trust it, why a call."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import PureWindowsPath
from typing import Any

from features.errors import examples
from pipelines.figures.style import readable
from pipelines.reports.facts import ModelFacts, ReportFacts
from pipelines.scoring.notes import IN_SAMPLE

__all__ = [
    "CALLS",
    "SETTING_NAMES",
    "calibration_words",
    "call_words",
    "calls_words",
    "data_verdict_words",
    "data_words",
    "file_name",
    "listed",
    "meaning_words",
    "mechanism_name",
    "reference_words",
    "set_words",
    "sheet_notes",
]

_LONGEST, _LONGEST_NOTE = 80, 260

CALLS: Mapping[str, str] = {
    "resistant": "resistant",
    "responsive": "responsive",
    "uncertain": "uncertain",
    "out_of_scope": "out of scope",
}
"""Call → how it is written."""

SETTING_NAMES: Mapping[str, str] = {
    "ici": "immune checkpoint inhibitors in solid tumours",
    "adc": "antibody-drug conjugates",
    "hcc": "systemic therapy of liver cancer",
    "sclc": "therapy of small-cell lung cancer",
}
"""Therapy setting → what it is."""


def mechanism_name(mechanism: str) -> str:
    """Return a mechanism class as figures and reports write it.

    Examples
    --------
    >>> mechanism_name("t_cell_state")
    'T cell state'
    """
    return readable(mechanism, most=_LONGEST)


def listed(names: Sequence[str], *, most: int) -> str:
    """Return names in a row, and how many more there are.

    Examples
    --------
    >>> listed(["A", "B", "C"], most=2)
    'A, B and 1 more'
    """
    return examples(names, most=most)


def meaning_words(row: Mapping[str, Any], model: ModelFacts) -> str:
    """Return what a sample's probability means, beside the base rate.

    Examples
    --------
    >>> model = ModelFacts.model_construct(threshold=0.66, base_rate_of="training")
    >>> meaning_words({"probability": 0.724, "call": "uncertain"}, model)
    'Of 100 such tumours about 72 would be expected to resist, if the probability holds; of 100 \
training samples 66 did (the base rate).'
    """
    whose = "training samples"
    if model.base_rate_of != "training":
        whose = f"samples of {model.base_rate_of}"
    base = f"of 100 {whose} {100 * model.threshold:.0f} did (the base rate)"
    if row["call"] == "out_of_scope":
        return f"The model was not made for such a sample: read no meaning into the number; {base}."
    expected = f"{100 * row['probability']:.0f}"
    return (
        f"Of 100 such tumours about {expected} would be expected to resist, if the probability "
        f"holds; {base}."
    )


def calibration_words(facts: ReportFacts) -> str:
    """Return how well such probabilities held in cohorts that the model had not seen."""
    model = facts.model
    before = "" if model.base_rate_of == "training" else " (before recalibration)"
    skill = model.calibration.get("brier_skill")
    if skill is None or skill.value is None or skill.low is None or skill.high is None:
        figures = [
            f"{name} {found['brier']}" for name, found in model.held_out.items() if "brier" in found
        ]
        told = f"Brier score: {', '.join(figures)}" if figures else "no figure is stored"
        return f"Do such probabilities hold? In {facts.model.held_out_of} held out{before}: {told}."
    if skill.low > 0:
        verdict = "told more than the base rate alone"
    elif skill.high < 0:
        verdict = "told less than the base rate alone: rank by them, do not read them as such"
    else:
        verdict = "could not be shown to tell more than the base rate alone"
    text = (
        f"Do such probabilities hold? In {facts.model.held_out_of} held out{before} they {verdict} "
        f"(Brier skill {_signed(skill.value)}, {_signed(skill.low)} to {_signed(skill.high)})"
    )
    ece, floor = model.calibration.get("ece"), model.calibration.get("ece_floor")
    if ece is not None and ece.value is not None:
        text += f"; predicted and observed shares lay {ece.value:.3f} apart on average"
        if floor is not None and floor.value is not None:
            text += f" ({floor.value:.3f} by chance alone)"
    return f"{text}."


def call_words(call: str, model: ModelFacts) -> str:
    """Return how often a call was right in cohorts held out; empty where that is not stored.

    Examples
    --------
    >>> from pipelines.reports.facts import CallFigure
    >>> found = CallFigure(n=45, share=0.38, low=0.25, high=0.53)
    >>> call_words("responsive", ModelFacts.model_construct(calls={"responsive": found}))
    'In held-out cohorts 38% (25% to 53%) of the 45 samples called responsive were'
    """
    found = model.calls.get(call)
    if found is None:
        return ""
    if found.share is None or found.low is None or found.high is None:
        return f"In held-out {model.held_out_of} no labelled sample was called {call}"
    return (
        f"In held-out {model.held_out_of} {found.share:.0%} "
        f"({found.low:.0%} to {found.high:.0%}) of the {found.n} samples called {call} were"
    )


def calls_words(model: ModelFacts) -> str:
    """Return how often each call was right in cohorts held out; empty where that is not stored."""
    told = [call_words(call, model) for call in CALLS]
    return " ".join(f"{words}." for words in told if words)


def data_words(facts: ReportFacts) -> str:
    """Return what the model's data can bear, with what that means for calls, and why."""
    found = facts.model.sufficiency
    if found is None:
        return ""
    why = "; ".join(found.reasons)
    return f"{data_verdict_words(facts)} {why[:1].upper()}{why[1:]}."


def data_verdict_words(facts: ReportFacts) -> str:
    """Return what the model's data can bear, and what that means for the calls."""
    found = facts.model.sufficiency
    if found is None:
        return ""
    text = f"{found.verdict.capitalize()}."
    if found.suffices:
        return text
    if facts.kind == "held_out":
        return (
            f"{text} The calls here are there to be held against the responses; new patients are "
            "not called."
        )
    if facts.called_anyway:
        return f"{text} The calls here were made against this verdict: take none at its word."
    return f"{text} So no sample is called resistant or responsive."


def file_name(path: str) -> str:
    r"""Return the name of a file without its folders, whichever system wrote the path.

    Examples
    --------
    >>> file_name("/home/me/x/counts.csv"), file_name("C:\\x\\counts.csv")
    ('counts.csv', 'counts.csv')
    """
    return PureWindowsPath(path).name


def sheet_notes(facts: ReportFacts) -> list[str]:
    """Return what a patient's sheet repeats of the cohort's warnings, each cut to a few lines.

    That the figures are in-sample it says itself.
    """
    told = (note for note in facts.warnings if not note.startswith(IN_SAMPLE))
    return [textwrap.shorten(note, _LONGEST_NOTE, placeholder=" …") for note in told]


def set_words(labels: str | None, coverage: float) -> str:
    """Return what a prediction set holds, and what its coverage promises.

    The coverage is of each class: of truly responsive tumours that share gets a set with
    ``responsive`` in it. How often a set of one label is right is not promised.

    Examples
    --------
    >>> set_words("responsive|resistant", 0.9)
    'responsive or resistant: sets are made to hold the true label of 90% of either class; this \
one leaves it open'
    """
    held = [label for label in str(labels or "").split("|") if label]
    aim = f"sets are made to hold the true label of {coverage:.0%} of either class"
    if len(held) == 1:
        return f"{held[0]} alone: {aim}; how often a single label is right they do not promise"
    if held:
        return f"{' or '.join(held)}: {aim}; this one leaves it open"
    return f"empty: {aim}; this sample is like few of either"


def reference_words(facts: ReportFacts) -> str:
    """Return what the strips of genes hold a sample against."""
    if facts.score_kind == "mean_z":
        return (
            "z-scores within this cohort against a standard normal (values scaled per gene have no "
            "ranks that could be held against training samples)"
        )
    own = "the training samples"
    if facts.kind == "held_out":
        own = "the samples of the other cohorts"
    return (
        f"rank within the sample against {own} ({facts.reference_samples} of "
        f"{facts.reference_cohorts} cohorts, each cohort counting the same)"
    )


def _signed(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")
