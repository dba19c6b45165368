"""What a patient's section shows, on a report made by hand whose truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from models.gene_reference import normal_quantiles
from models.shift import COMPONENTS
from pipelines.reports.data import ReportData
from pipelines.reports.facts import (
    CalibrationFigure,
    CallFigure,
    CitationFacts,
    FeatureFacts,
    ModelFacts,
    ReportFacts,
    StrategyFacts,
)
from pipelines.reports.gene_strips import gene_strips
from pipelines.reports.pages import ReportPages
from pipelines.reports.patient import view_patients
from pipelines.reports.patient_parts import SampleView
from pipelines.reports.words import calibration_words, call_words, calls_words, set_words

SAMPLES = ("s1", "s2", "s3")
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
SOURCE = CitationFacts(key="doe_2026", citation="Doe J. A title. 2026.", doi="10.1000/example")


def feature(name: str, mechanism: str, **genes: object) -> FeatureFacts:
    made = {"genes": (), "against": (), "by_drug": {}, **genes}
    return FeatureFacts(id=name, name=name.upper(), mechanism=mechanism, sign="+", **made)


def strategy(name: str, *mechanisms: str, evidence: str = "review") -> StrategyFacts:
    return StrategyFacts(
        id=name,
        name=name,
        mechanisms=mechanisms,
        evidence=evidence,
        advantages=(),
        limits=(),
        sources=(SOURCE,),
    )


FEATURES = (
    feature("up", "stroma", genes=("HIGH", "LOW", "GONE"), against=("MINUS",)),
    feature("small", "stroma", genes=("HIGH",)),
    feature("lost", "stroma", genes=("GONE", "ABSENT")),
    feature("drugged", "drug_efflux", by_drug={"T-DM1": (("HIGH",), ("LOW",))}),
    feature("down", "t_cell_state", genes=("LOW",)),
    feature("quiet", "plasticity", genes=("LOW",)),
)
STRATEGIES = (
    strategy("broad", "stroma", "drug_efflux", "plasticity"),
    strategy("weak", "stroma", evidence="class"),
    strategy("narrow", "stroma"),
    strategy("other", "t_cell_state"),
)


def facts(**changes: object) -> ReportFacts:
    model = ModelFacts(
        uri="models:/made/1",
        version="1",
        setting="ici",
        threshold=0.6,
        base_rate_of="training",
        coverage=0.9,
        shift_limits=dict.fromkeys(COMPONENTS, 0.5),
        held_out={},
        calibration={},
        provenance={},
    )
    values = {
        "kind": "scored",
        "cohort": "x",
        "standardisation": "reference",
        "score_kind": "rank",
        "calibration_method": "platt",
        "model": model,
        "warnings": (),
        "in_sample": False,
        "n_genes": 4,
        "unit": "tpm",
        "unit_evidence": "made so",
        "notes": (),
        "files": {},
        "metrics": (),
        "quality": {},
        "drifted": (),
        "gene_coverage": "full",
        "unscored": (),
        "gene_rows": (),
        "groups": dict.fromkeys([one.mechanism for one in FEATURES], "a group"),
        "features": FEATURES,
        "strategies": STRATEGIES,
        "gene_quantiles": dict.fromkeys(["HIGH", "LOW", "MINUS"], QUANTILES),
        "reference_samples": 100,
        "reference_cohorts": 2,
    }
    return ReportFacts(**{**values, **changes})


def report(**changes: object) -> ReportData:
    """Return a report of three samples of two patients: s1 and s3 are of one."""
    values = pd.DataFrame(
        {
            "up": [1.0, 0.0, 0.0],
            "small": [0.05, 0.0, 0.0],
            "lost": [0.2, 0.0, 0.0],
            "drugged": [0.5, 0.5, 0.0],
            "down": [-0.4, 0.3, -1.0],
            "quiet": [0.1, 0.0, 0.0],
        }
    )
    standardised = pd.DataFrame(np.sign(values) * 1.5).assign(lost=np.nan)
    present = values.where(standardised.notna(), 0.0)
    sums = {
        "mechanism.stroma": present[["up", "small", "lost"]].sum(axis=1),
        "mechanism.drug_efflux": present["drugged"],
        "mechanism.t_cell_state": present["down"],
        "mechanism.plasticity": present["quiet"],
        "mechanism.not_measured": values["lost"],
    }
    base = 0.4
    attributions = values.assign(sample_id=SAMPLES, base_value=base, **sums)
    shift = dict.fromkeys(COMPONENTS, 0.1) | {"missing_genes": [0.2, 0.6, 0.2]}
    predictions = pd.DataFrame(
        {
            "sample_id": SAMPLES,
            "patient_id": ["p1", "p2", "p1"],
            "cohort": "x",
            "probability": expit(base + values.sum(axis=1)),
            "call": ["uncertain", "out_of_scope", "uncertain"],
            "shift_score": [0.4, 1.2, 0.4],
        }
    )
    samples = pd.DataFrame(
        {
            "sample_id": SAMPLES,
            "cancer_type": None,
            "drug": ["T-DM1", "other", None],
            "timepoint": ["pre_treatment", None, "on_treatment"],
            "resistant": np.nan,
            "reason": "in words",
            **shift,
        }
    )
    genes = pd.DataFrame(
        {
            "sample_id": SAMPLES,
            "HIGH": [0.95, 0.5, 0.5],
            "LOW": [0.4, 0.4, 0.4],
            "MINUS": [0.02, 0.5, 0.5],
            "GONE": [np.nan, 0.5, 0.5],
        }
    )
    features = standardised.assign(sample_id=SAMPLES)
    order = [one.id for one in FEATURES]
    return ReportData(
        facts(**changes),
        predictions,
        attributions,
        features[["sample_id", *order]],
        samples,
        genes,
    )


@pytest.fixture(scope="module")
def first() -> SampleView:
    return view_patients(report())[0].samples[0]


def test_patients_stand_by_their_highest_probability_with_all_their_samples() -> None:
    patients = view_patients(report())
    assert [(p.number, p.patient_id) for p in patients] == [(1, "p1"), (2, "p2")]
    rows = [sample.row for sample in patients[0].samples]
    assert [(row["sample_id"], row["timepoint"]) for row in rows] == [
        ("s1", "pre_treatment"),
        ("s3", "on_treatment"),
    ]


def test_mechanisms_stand_by_their_push_and_their_points_are_of_the_probability(
    first: SampleView,
) -> None:
    assert [m.name for m in first.mechanisms] == ["Stroma", "Drug efflux", "Plasticity"]
    assert first.response is not None
    assert first.response.name == "T cell state"
    total, base = 0.4 + 1.45, 0.4
    factor = 100 * (expit(total) - expit(base)) / (total - base)
    assert first.mechanisms[0].points == pytest.approx(1.05 * factor)
    assert first.response.points == pytest.approx(-0.4 * factor)


def test_a_feature_that_adds_little_or_was_not_measured_is_told_but_not_shown(
    first: SampleView,
) -> None:
    stroma = first.mechanisms[0]
    assert [one.name for one in stroma.features] == ["UP"]
    assert stroma.further == 1
    assert stroma.unscored == ("LOST",)
    assert stroma.missing == ("GONE", "ABSENT")


def test_genes_stand_by_how_far_they_are_on_the_side_that_explains(first: SampleView) -> None:
    genes = first.mechanisms[0].features[0].genes
    told = [(g.symbol, g.at, g.below, g.explains) for g in genes]
    assert told == [
        ("MINUS", 2.0, "under 5%", True),
        ("HIGH", 95.0, "over 95%", True),
        ("LOW", 40.0, "38%", False),
    ]


def test_a_feature_that_knows_the_drug_shows_the_genes_of_the_samples_own() -> None:
    (one, other), (second,) = (p.samples for p in view_patients(report()))
    efflux = {m.name: m for m in one.mechanisms}["Drug efflux"]
    assert [g.symbol for g in efflux.features[0].genes] == ["HIGH", "LOW"]
    assert [m.name for m in second.mechanisms] == ["Drug efflux", "T cell state"]
    assert second.mechanisms[0].features[0].genes == ()
    assert other.mechanisms == ()


def test_the_component_that_crossed_its_limit_is_named_with_its_value() -> None:
    (one, _), (second,) = (p.samples for p in view_patients(report()))
    assert one.crossed == ()
    assert one.nearest == "background genes missing"
    assert second.crossed == (
        "only 40% of the background genes are measured (1.20 times the limit)",
    )


def test_strategies_are_those_of_the_leading_mechanisms_the_best_founded_first(
    first: SampleView,
) -> None:
    shown = [(c.strategy.id, c.mechanisms) for c in first.strategies]
    assert shown == [("narrow", ("Stroma",)), ("broad", ("Stroma", "Drug efflux", "Plasticity"))]
    assert first.further_strategies == ("weak",)
    assert first.references == (SOURCE,)


def test_strips_hold_the_quantiles_of_training_and_the_median_of_the_cohort() -> None:
    strips = gene_strips(report())
    assert strips["HIGH"].quantiles == (10.0, 30.0, 50.0, 70.0, 90.0)
    assert strips["HIGH"].cohort == 50.0
    assert strips["GONE"].quantiles == ()
    scaled = gene_strips(report(score_kind="mean_z", gene_quantiles={}))
    np.testing.assert_allclose(
        scaled["LOW"].quantiles, 50 + 100 * np.array(normal_quantiles()) / 6, atol=0.06
    )


def test_what_calibration_showed_is_told_as_it_is() -> None:
    def told(low: float, high: float) -> str:
        figures = {"brier_skill": CalibrationFigure(value=0.0, low=low, high=high)}
        made = facts()
        model = made.model.model_copy(update={"calibration": figures})
        return calibration_words(made.model_copy(update={"model": model}))

    assert "they told more than the base rate alone (" in told(0.01, 0.1)
    assert "could not be shown to tell more than the base rate alone" in told(-0.02, 0.03)
    assert "told less than the base rate alone" in told(-0.1, -0.01)
    assert calibration_words(facts()).endswith("no figure is stored.")


def one_sign(sign: str, *, standing: float, **changes: object) -> ReportData:
    """Return a report of features with one sign, whose stroma stands to one side in s1."""
    features = tuple(one.model_copy(update={"sign": sign}) for one in FEATURES)
    made = report(features=features, **changes)
    table = made.features.copy()
    table.loc[0, ["up", "small"]] = standing
    return replace(made, features=table)


@pytest.mark.parametrize(
    ("sign", "standing", "shown"),
    [
        *(("+", 1.5, True), ("+", -1.5, False)),
        *(("-", -1.5, True), ("-", 1.5, False)),
        *(("·", 1.5, True), ("·", -1.5, False)),
    ],
)
def test_strategies_stand_only_where_a_mechanism_pushes_from_the_side_reviews_mean(
    sign: str, standing: float, shown: bool
) -> None:
    # Fixed: LAG-3 blockade stood beside a push towards resistance by low LAG-3.
    sample = view_patients(one_sign(sign, standing=standing))[0].samples[0]
    assert sample.mechanisms[0].name == "Stroma"
    told = {name for choice in sample.strategies for name in choice.mechanisms}
    assert ("Stroma" in told) == shown
    assert any(line.startswith("Stroma pushes here by") for line in sample.withheld) != shown
    assert "narrow" not in sample.further_strategies


def test_what_is_withheld_is_told_with_the_features_and_their_side() -> None:
    made = with_rows(one_sign("·", standing=-1.5, strategies=(STRATEGIES[1],)))
    sample = view_patients(made)[0].samples[0]
    assert sample.strategies == ()
    line = (
        "Stroma pushes here by low UP; the reviews discuss strategies against more of it, so none "
        "is shown."
    )
    assert sample.withheld == (line,)
    page = ReportPages(made).patient(view_patients(made)[0])
    assert line in page
    assert "no sign in the catalogue" in page
    assert "The catalogue names none for them" not in page.partition(line)[0]


def with_rows(data: ReportData, **row: object) -> ReportData:
    """Return a report with the columns that a page needs beside those of the sections."""
    values = {"call_reason": "as made", "prediction_set": "", "gene_coverage": 1.0, **row}
    return replace(data, predictions=data.predictions.assign(**values))


def test_a_call_says_how_often_it_was_right_in_cohorts_held_out() -> None:
    figure = CallFigure(n=45, share=0.378, low=0.251, high=0.524)
    calls = {"responsive": figure}
    model = facts().model.model_copy(update={"calls": calls})
    words = "In held-out cohorts 38% (25% to 52%) of the 45 samples called responsive were"
    assert calls_words(model) == f"{words}."
    assert calls_words(facts().model) == ""
    none = CallFigure(n=0, share=None, low=None, high=None)
    told = call_words("resistant", model.model_copy(update={"calls": {"resistant": none}}))
    assert told == "In held-out cohorts no labelled sample was called resistant"
    for known in (model, facts().model):
        data = with_rows(report(model=known), call="responsive", prediction_set="responsive")
        page = ReportPages(data).patient(view_patients(data)[0])
        assert (words in page) == (known is model)


def test_no_prediction_set_claims_to_exclude_a_label() -> None:
    # Fixed: coverage of each class was told as if the other label could be excluded.
    for labels in ("responsive", "resistant", "resistant|responsive", ""):
        words = set_words(labels, 0.9)
        assert "exclude" not in words
        assert "sets are made to hold the true label of 90% of either class" in words
