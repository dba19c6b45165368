"""Each check of the gate on records made up for it: what passes, what is refused, and how."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from features.catalogue import default_catalogue
from features.fingerprint import Fingerprints
from models.calibration_metrics import calibration_estimates
from models.plan import make_plan
from pipelines.registry.catalogue_difference import catalogue_differences
from pipelines.registry.gate_catalogue import catalogue_check
from pipelines.registry.gate_figures import figure_checks
from pipelines.registry.gate_leak import leak_checks
from pipelines.registry.standing import Check, GateRecord, read_record, standing_notes
from pipelines.registry.version_record import VersionRecord
from pipelines.settings.gate import GateConfig
from pipelines.tracking import estimate_metrics

LIMITS = GateConfig()
GOOD = {
    **{"auroc": 0.7, "auroc_low": 0.6, "auroc_high": 0.8, "difference_pairs.gep_18": -0.01},
    **{"brier": 0.20, "ece": 0.05, "ece_floor_high": 0.07, "calibration_slope": 0.9},
}


@dataclass(frozen=True)
class Record(VersionRecord):
    """A version whose artifacts are at hand."""

    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    documents: Mapping[str, dict[str, object]] = field(default_factory=dict)
    made_from: VersionRecord | None = None

    @property
    def origin(self) -> VersionRecord:
        return self.made_from or self

    def table(self, path: str) -> pd.DataFrame | None:
        return self.tables.get(path)

    def document(self, path: str) -> dict[str, object] | None:
        return self.documents.get(path)


def make_record(metrics: Mapping[str, float] | None = None, **more: object) -> Record:
    return Record(
        **{
            **{"name": "m", "version": "2", "tags": {}, "created": pd.Timestamp(0), "run_id": "r"},
            **{"experiment_id": "1", "run_tags": {}, "metrics": metrics or {}, "cohorts": ()},
            **more,
        }
    )


def coverage(resistant: tuple[float, float, float] = (0.9, 0.85, 0.94)) -> pd.DataFrame:
    rows = [("pooled", "resistant", *resistant, 0.9), ("pooled", "responsive", 0.9, 0.8, 0.95, 0.9)]
    return pd.DataFrame(rows, columns=["cohort", "label", "coverage", "low", "high", "nominal"])


def judged(
    table: pd.DataFrame | None = None, *, limits: GateConfig = LIMITS, **figures: float | None
) -> dict[str, Check]:
    """Return the cohort-relative checks of a good model with some figures changed, by name."""
    named = {f"loco.{k}": v for k, v in (GOOD | figures).items() if v is not None}
    tables = {"tables/coverage.parquet": coverage() if table is None else table}
    record = make_record({**named, "baseline.prior.loco.brier": 0.21}, tables=tables)
    return {c.what: c for c in figure_checks(record, "cohort", limits=limits)}


def refused(found: Mapping[str, Check]) -> list[str]:
    return [check.line() for check in found.values() if check.status == "failed"]


def test_a_model_that_holds_what_is_asked_passes_every_check():
    assert {check.status for check in judged().values()} == {"passed"}


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        (
            {"auroc": 0.56, "auroc_low": 0.49, "auroc_high": 0.64},
            "beats the baselines: AUROC, cohort-relative: 0.560 (0.490 to 0.640) (limit: 95% "
            "interval above 0.5); on cohorts held out it ranks no better than chance",
        ),
        ({"auroc_low": 0.5}, "AUROC, cohort-relative: 0.700 (0.500 to 0.800) (limit: 95%"),
        (
            {"difference_pairs.gep_18": -0.021, "difference.gep_18": 0.1},
            "AUROC over pairs within cohorts minus that of gep_18, cohort-relative: -0.021 (limit: "
            "at least -0.02); a published",
        ),
        (
            {"difference_pairs.gep_18": None, "difference.gep_18": 0.1},
            "gep_18, cohort-relative: not determined, or not in the run (limit: at least -0.02); "
            "train again",
        ),
        (
            {"brier": 0.2101},
            "Brier score, cohort-relative: 0.2101 (limit: at most 0.2100, of the s",
        ),
        (
            {"ece": 0.0801},
            "calibrated: expected calibration error, cohort-relative: 0.0801 (limit: at",
        ),
        (
            {"calibration_slope": 0.0},
            "calibration slope, cohort-relative: 0.000 (limit: above 0); a higher probability does",
        ),
        ({"calibration_slope": None}, "calibration slope, cohort-relative: not determined, or not"),
        ({"auroc": None, "auroc_low": None}, "AUROC, cohort-relative: not determined, or not in"),
    ],
)
def test_one_figure_that_misses_its_limit_is_refused_by_name_value_limit_and_mend(figures, told):
    (line,) = refused(judged(**figures))
    assert told in line


def test_a_calibration_error_that_noise_explains_passes():
    found = judged(ece=0.11, ece_floor_high=0.12)["expected calibration error, cohort-relative"]
    assert (found.status, found.limit) == (
        "passed",
        "at most 0.1200, which at this size could be noise",
    )


def test_coverage_is_refused_only_where_its_interval_leaves_the_margin():
    assert refused(judged(coverage((0.80, 0.72, 0.86)))) == []
    (line,) = refused(judged(coverage((0.80, 0.76, 0.84))))
    assert "sets, resistant, cohort-relative: 80.0% (76.0% to 84.0%) (limit: 85% to 95%" in line
    (line,) = refused(judged(coverage((1.0, 0.99, 1.0))))
    assert "100.0%" in line


def test_a_run_without_the_baseline_is_not_judged_by_it():
    what = "AUROC over pairs within cohorts minus that of gep_18, cohort-relative"
    found = judged(**{"difference_pairs.gep_18": None})[what]
    assert (found.status, found.value) == ("not applicable", "the run holds no such baseline")


def test_a_slope_whose_interval_holds_0_passes_and_says_what_is_not_shown():
    figures = {"calibration_slope_low": -0.2, "calibration_slope_high": 1.6}
    found = judged(**figures)["calibration slope, cohort-relative"]
    told = "0.900 (-0.200 to 1.600), not shown to be above 0"
    assert (found.status, found.value) == ("passed", told)
    figures["calibration_slope_low"] = 0.2
    found = judged(**figures)["calibration slope, cohort-relative"]
    assert found.value == "0.900 (0.200 to 1.600)"


def test_limits_are_what_the_configuration_says():
    strict = GateConfig(least_auroc=0.65, most_ece=0.01, least_slope=0.95)
    assert len(refused(judged(limits=strict, ece_floor_high=0.02))) == 3


def wrongly_calibrated(rng: np.random.Generator) -> dict[str, float]:
    """Return the calibration metrics of a ranking that is good and probabilities turned round."""
    p = rng.uniform(0.2, 0.8, 400)
    y = (rng.random(400) < p).astype(float)
    table = pd.DataFrame({"cohort": "a", "resistant": y, "probability": 1 - p})
    table["patient_id"] = [f"p{i}" for i in table.index]
    return estimate_metrics(calibration_estimates(table, n_resamples=50, seed=0), prefix="loco")


def test_a_calibrator_that_turns_probabilities_round_is_refused_with_both_figures():
    metrics = wrongly_calibrated(np.random.default_rng(0))
    figures = {name.removeprefix("loco."): value for name, value in metrics.items()}
    lines = refused(judged(**figures))
    assert [line.split(":")[0] for line in lines] == ["beats the baselines", *2 * ["calibrated"]]
    assert "calibration slope, cohort-relative: -1.0" in lines[2]


def test_a_recalibrated_version_is_judged_by_its_origin_and_by_the_cohort_it_was_fitted_to():
    origin = make_record(
        {f"loco.{k}": v for k, v in (GOOD | {"ece": 0.3}).items()}
        | {"baseline.prior.loco.brier": 0.21},
        tables={"tables/coverage.parquet": coverage()},
        version="1",
    )
    own = {"brier": 0.18, "brier_of_base_rate": 0.19, "ece": 0.06, "calibration_slope": -1.0}
    tags = {"recalibrated_standardisation": "cohort", "recalibrated_on": "ours"}
    metrics = {f"evaluate.recalibrated.{k}": v for k, v in own.items()}
    record = make_record(metrics, tags=tags, made_from=origin)
    found = {
        c.what.removesuffix(", cohort-relative"): c
        for c in figure_checks(record, "cohort", limits=LIMITS)
    }
    assert found["AUROC"].value.endswith(", of version 1, whose ranking it keeps")
    assert found["expected calibration error"].value == "0.0600, on cohort 'ours'"
    assert found["expected calibration error"].status == "passed"
    assert [name for name, check in found.items() if check.status == "failed"] == [
        "calibration slope"
    ]


@pytest.fixture(scope="module")
def planned() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the samples of three cohorts and the logged table of their plan."""
    names = [f"{cohort}/s{i}" for cohort in "abc" for i in range(12)]
    samples = pd.DataFrame({"cohort": [n[0] for n in names]}, index=names)
    samples["patient_id"] = [f"p{n.split('/s')[1]}" for n in names]
    samples["cancer_type"] = "x"
    samples["resistant"] = np.arange(len(names)) % 2
    return samples, make_plan(samples, n_splits=2, n_repeats=1, seed=0).table()


@dataclass(frozen=True)
class Trained:
    fingerprints: Fingerprints

    @property
    def training(self) -> "Trained":
        return self


def leaks(planned, *, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda t: t, **more):
    """Return the failed leak checks of a plan, perhaps changed, and of further tables."""
    samples, plan = planned
    held_out = pd.DataFrame({"sample": samples.index, "split": samples["cohort"].to_numpy()})
    tables = {"splits/plan.parquet": change(plan), "predictions/loco.parquet": held_out}
    bits = np.random.default_rng(0).integers(0, 2, (len(samples), 400)).astype(np.int8)
    bits[13] = bits[1]
    alike = more.pop("alike", False)
    names = tuple(samples.index) if alike else tuple(f"other{i}" for i in range(len(samples)))
    pairs = tuple((f"g{i}", f"h{i}") for i in range(400))
    model = Trained(Fingerprints(pairs, names, bits))
    found = leak_checks(make_record(tables=tables | more.get("tables", {})), "cohort", model=model)
    return {check.what: check for check in found}


def test_a_sound_plan_passes_and_a_null_that_was_not_measured_does_not_apply(planned):
    found = leaks(planned)
    assert [check.status for check in found.values()] == ["passed", "passed", "not applicable"]
    assert "not measured" in found["AUROC on shuffled labels, cohort-relative"].value


def test_a_patient_on_both_sides_is_named(planned):
    def leak(plan: pd.DataFrame) -> pd.DataFrame:
        changed = plan.copy()
        place = changed.index[(changed["scheme"] == "loco") & (changed["side"] == "test")][0]
        changed.loc[place, "side"] = "train"
        extra = changed[(changed["sample"] == changed.loc[place, "sample"])].head(1)
        return pd.concat([changed, extra.assign(side="test", split="a", scheme="loco", inner="")])

    (line,) = refused({"x": leaks(planned, change=leak)["splits, cohort-relative"]})
    assert "has 1 patients on both sides: a/p" in line
    assert "do not use this version" in line


def test_the_same_tissue_on_both_sides_is_named(planned):
    (line,) = refused({"x": leaks(planned, alike=True)["splits, cohort-relative"]})
    assert "1 samples on both sides under two names" in line
    assert "a/s1 = b/s1" in line


def test_a_prediction_of_a_split_that_trained_on_its_sample_is_named(planned):
    samples, _ = planned
    table = pd.DataFrame({"sample": samples.index, "split": "a"})
    found = leaks(planned, tables={"predictions/loco.parquet": table})
    (line,) = refused(found)
    assert "predictions, cohort-relative: 24 of others: b/s0 (loco, a)" in line


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ([0.49, 0.52, 0.5, 0.51], "passed"),
        ([0.56, 0.57, 0.58], "failed"),
        ([0.42, 0.43, 0.44], "passed"),  # below chance: no leak
        ([0.51, 0.53, 0.52, 0.52], "passed"),  # the 95% interval of before refused it
    ],
)
def test_shuffled_labels_must_not_give_more_than_chance(planned, values, status):
    table = pd.DataFrame({"permutation": range(len(values)), "auroc": values})
    found = leaks(planned, tables={"tables/null.parquet": table})
    check = found["AUROC on shuffled labels, cohort-relative"]
    assert check.status == status
    assert check.limit == (
        "one-sided 99.5% bound not above 0.5; a sound model fails this once in 200"
    )


@pytest.mark.parametrize("table", [None, pd.DataFrame({"sample": ["a/s0"]})])
def test_a_run_without_predictions_left_one_cohort_out_is_refused(planned, table):
    samples, _ = planned
    nested = pd.DataFrame({"sample": samples.index, "split": samples["cohort"].to_numpy()})
    tables = {"predictions/loco.parquet": table, "predictions/nested.parquet": nested.head(0)}
    (line,) = refused(leaks(planned, tables=tables))
    assert "predictions, cohort-relative: loco not in the run (limit: logged); train again" in line


def test_a_run_without_splits_is_refused():
    found = leak_checks(make_record(), "reference", model=None)
    assert "splits, reference-relative: not in the run (limit: logged)" in next(found).line()


def test_a_catalogue_edited_after_training_is_refused_with_both_hashes_and_the_markers(tmp_path):
    exported = default_catalogue()
    first = exported.markers[0]
    changed = exported.model_copy(
        update={"markers": (first.model_copy(update={"note": "edited"}), *exported.markers[1:])}
    )
    record = make_record(documents={"config/resolved.yaml": {"features": {"catalogue": None}}})
    check = catalogue_check(record, changed, project=tmp_path)
    assert check.status == "failed"
    assert changed.content_hash() in check.value
    assert default_catalogue().content_hash() in check.limit
    assert f"markers changed: {first.id} (note)" in check.line()
    assert catalogue_check(record, exported, project=tmp_path).status == "passed"


def test_an_own_catalogue_that_is_gone_is_refused(tmp_path):
    record = make_record(
        documents={"config/resolved.yaml": {"features": {"catalogue": "own.yaml"}}}
    )
    check = catalogue_check(record, default_catalogue(), project=tmp_path)
    assert "with own.yaml" in check.what
    assert "put the file back" in check.line()


def test_differences_of_catalogues_name_what_came_went_and_changed():
    now = default_catalogue()
    fewer = now.model_copy(update={"markers": now.markers[1:], "version": "x"})
    lines = catalogue_differences(fewer, now)
    assert lines[0] == f"markers added: {now.markers[0].id}"
    assert f"version x → {now.version}" in lines
    assert catalogue_differences(now, fewer)[0].startswith("markers removed")


def test_the_record_survives_its_tag_and_notes_say_what_is_held_against_a_version():
    checks = tuple(judged(ece=0.2, brier=0.3).values())
    record = GateRecord("forced", checks, ("cohort",), "2026-01-01", "0.1", "ann", "for a trial")
    tags = {"gate.record": record.to_json()}
    assert read_record(tags) == record
    (note,) = standing_notes(tags)
    assert "let through by force (for a trial); the gate refused it: Brier score, cohort-r" in note
    assert standing_notes({}) == ()
    assert read_record({"gate.record": "[1, 2]"}) is None
