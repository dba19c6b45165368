"""Score a cohort with a frozen model: which way, with which calls, notes and files."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue, genes_of
from features.cohort import CohortReport
from features.errors import CohortError
from features.gene_scores import gene_z_scores
from models.calibration import PlattCalibrator
from models.resistance_model import ResistanceModel
from models.sufficiency import Sufficiency
from pipelines.ingest import IngestedCohort
from pipelines.report import render_report
from pipelines.reports.build import build_report
from pipelines.score import (
    PREDICTION_COLUMNS,
    ScoredCohort,
    choose_standardisation,
    score_cohort,
)
from pipelines.tracking import LoadedModel

MakeCohort = Callable[..., ad.AnnData]
HELD_OUT = {"auroc": "0.60 (0.55 to 0.65)", "brier": "0.24", "ece": "0.05"}


# --- which standardisation


def cohort(n_samples: int, *, lengths_known: bool = True, unit: str = "log2_tpm") -> IngestedCohort:
    adata = ad.AnnData(
        np.ones((n_samples, 2)),
        obs=pd.DataFrame({"cohort": "x"}, index=[f"s{i}" for i in range(n_samples)]),
    )
    adata.uns["oncoresist"] = {"gene_lengths_known": lengths_known, "unit": unit}
    return IngestedCohort(adata, CohortReport((), ()), {})


def chosen(
    n_samples: int, *, asked: str = "auto", lengths_known: bool = True, unit: str = "log2_tpm"
) -> str:
    return choose_standardisation(
        cohort(n_samples, lengths_known=lengths_known, unit=unit),
        asked=asked,  # type: ignore[arg-type]
        min_cohort_size=15,
    )


def test_a_large_cohort_is_its_own_reference_and_a_small_one_is_not() -> None:
    assert chosen(15) == "cohort"
    assert chosen(14) == "reference"
    assert chosen(40, asked="reference") == "reference"


def test_what_means_nothing_is_refused_with_the_mend() -> None:
    with pytest.raises(CohortError, match=r"has 3 samples.*use --standardisation reference"):
        chosen(3, asked="cohort")
    with pytest.raises(CohortError, match=r"raw counts without gene lengths.*Length column"):
        chosen(3, lengths_known=False)
    with pytest.raises(CohortError, match="raw counts without gene lengths"):
        chosen(40, asked="reference", lengths_known=False)


def test_values_scaled_per_gene_are_only_compared_within_their_cohort() -> None:
    assert chosen(15, unit="gene_scaled") == "cohort"
    assert chosen(15, asked="cohort", unit="gene_scaled") == "cohort"
    with pytest.raises(
        CohortError,
        match=r"centred or scaled per gene: they mean something only within a cohort of at least "
        r"15 samples \(it has 40\); use --standardisation cohort, or give the values before",
    ):
        chosen(40, asked="reference", unit="gene_scaled")
    with pytest.raises(CohortError, match=r"at least 15 samples \(it has 14\).*before scaling"):
        chosen(14, unit="gene_scaled")


@pytest.mark.parametrize("asked", ["auto", "cohort", "reference"])
@pytest.mark.parametrize("unmendable", [{"unit": "gene_scaled"}, {"lengths_known": False}])
def test_the_mend_named_for_a_small_cohort_is_not_refused_in_its_turn(
    asked: str, unmendable: dict[str, object]
) -> None:
    # Fixed: the message for cohort sends to reference, that for reference and auto of scaled
    # values back to 'cohort'; with 5 samples neither is possible.
    with pytest.raises(CohortError) as refused:
        chosen(5, asked=asked, **unmendable)  # type: ignore[arg-type]
    mend = re.search(r"use --standardisation (cohort|reference)", str(refused.value))
    assert mend is None, str(refused.value)


# --- a small model


Model = Callable[[str], ResistanceModel]


@pytest.fixture(scope="module")
def models() -> dict[str, ResistanceModel]:
    return {}


@pytest.fixture
def model_of(
    make_cohort: MakeCohort,
    catalogue: Catalogue,
    models: dict[str, ResistanceModel],
    train_small_model: Callable[..., ResistanceModel],
) -> Model:
    """Return a giver of small models of a setting, trained on noise, each made once."""
    facts = {
        "training_cohorts": ["train"],
        "training_files": {"train": "0123"},
        "held_out": {
            arm: {"model": HELD_OUT, "class prior": HELD_OUT} for arm in ("cohort", "reference")
        },
        "sufficiency": {
            arm: Sufficiency("exploratory", ("made up",), arm).to_json()
            for arm in ("cohort", "reference")
        },
    }

    def model(setting: str) -> ResistanceModel:
        if setting not in models:
            training = make_cohort(60, seed=3, name="train")
            training.obs["drug"] = ["T-DM1", "Trodelvy", "enfortumab vedotin"] * 20
            models[setting] = train_small_model(training, catalogue, setting=setting, facts=facts)
        return models[setting]

    return model


def ingested(adata: ad.AnnData, *, unit: str = "tpm") -> IngestedCohort:
    """Return a cohort as it is after ingestion."""
    adata.uns["oncoresist"] = {
        "unit": unit,
        "unit_meaning": unit,
        "unit_evidence": "made so",
        "gene_lengths_known": True,
    }
    return IngestedCohort(adata, CohortReport((), ()), {"made.csv": "4567"})


def scaled(adata: ad.AnnData) -> IngestedCohort:
    """Return a cohort's z-scores per gene, as ingested."""
    adata.X = gene_z_scores(adata.X)
    return ingested(adata, unit="gene_scaled")


def scored(
    model: ResistanceModel, new: IngestedCohort, *, asked: str = "auto", force: bool = False
) -> ScoredCohort:
    return score_cohort(
        model,
        new,
        standardisation=asked,  # type: ignore[arg-type]
        uri="models:/made/1",
        version="1",
        force=force,
    )


def calls_follow(predictions: pd.DataFrame) -> bool:
    """Return whether each call is what the shift score and the prediction set say."""
    expected = predictions["prediction_set"].where(
        predictions["prediction_set"].isin(["resistant", "responsive"]), "uncertain"
    )
    expected = expected.where(~(predictions["shift_score"] > 1), "out_of_scope")
    return bool(predictions["call"].eq(expected).all())


def keeping(adata: ad.AnnData, catalogue: Catalogue, share: float) -> ad.AnnData:
    """Return a cohort with the background and a share of the genes of the ici features."""
    own = genes_of(catalogue.markers_of("ici"))
    kept = [*own[: round(share * len(own))], *(g for g in adata.var_names if g.startswith("BG"))]
    return adata[:, kept].copy()


def test_a_cohort_with_every_gene_is_scored_by_ranks_without_a_note(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    found = scored(model_of("ici"), ingested(make_cohort(20)))
    predictions = found.predictions
    assert tuple(predictions.columns) == PREDICTION_COLUMNS
    assert predictions["score_kind"].eq("rank").all()
    assert predictions["standardisation"].eq("cohort").all()
    assert predictions["gene_coverage"].eq(1.0).all()
    assert calls_follow(predictions)
    assert set(predictions["call"]) & {"resistant", "responsive", "uncertain"}
    assert found.notes == ()
    assert found.genes.grade == "full"
    assert list(found.features.columns) == model_of("ici").feature_names


# --- values scaled per gene


def test_values_scaled_per_gene_are_scored_by_mean_z_and_get_no_call(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    model, new = model_of("ici"), make_cohort(20)
    expected = model.transformer.with_score_kind("mean_z").transform(new)
    found = scored(model, scaled(new))
    predictions = found.predictions
    np.testing.assert_allclose(found.features, expected, rtol=1e-9, atol=1e-9)
    assert predictions["score_kind"].eq("mean_z").all()
    assert predictions["standardisation"].eq("cohort").all()
    assert predictions["probability"].between(0, 1).all()
    assert predictions["call"].eq("out_of_scope").all()
    assert predictions["shift_score"].isna().all()
    reason = (
        "the values are centred or scaled per gene and scored by mean z; the model was trained and "
        "validated on ranks"
    )
    assert set(predictions["call_reason"]) == {reason}
    assert reason in found.notes
    again = model.predict(
        found.features,
        standardisation="cohort",
        cohorts=pd.Series("x", index=found.features.index),
    )
    np.testing.assert_array_equal(predictions["probability"], again["probability"])


def test_the_reference_means_nothing_for_values_scaled_per_gene(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    with pytest.raises(CohortError, match=r"\(it has 20\); use --standardisation cohort, or give"):
        scored(model_of("ici"), scaled(make_cohort(20)), asked="reference")
    with pytest.raises(CohortError, match=r"only within a cohort of at least 15 .*\(it has 14\)"):
        scored(model_of("ici"), scaled(make_cohort(14)))


def test_a_model_trained_on_mean_z_calls_values_scaled_per_gene(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    ranks = model_of("ici")
    other = replace(ranks, transformer=ranks.transformer.with_score_kind("mean_z"))
    found = scored(other, scaled(make_cohort(20)))
    assert set(found.predictions["call"]) <= {"resistant", "responsive", "uncertain"}
    assert found.predictions["shift_score"].isna().all()
    assert found.notes == ()


# --- few genes


def test_a_cohort_with_too_little_is_refused_with_every_missing_gene(
    model_of: Model, make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    few = keeping(make_cohort(20), catalogue, 0.3)
    own = genes_of(catalogue.markers_of("ici"))
    missing = own[round(0.3 * len(own)) :]
    with pytest.raises(CohortError) as refused:
        scored(model_of("ici"), ingested(few))
    message = str(refused.value)
    assert message.startswith("cohort 'synthetic' ")
    found = f"too little: {len(own) - len(missing)} of {len(own)} catalogue genes (30%)"
    assert found in message
    assert "at least 33% of the genes are needed" in message
    assert "--force scores it all the same, without calls" in message
    assert set(message.split("Missing: ")[1].split()) == set(missing)


def test_a_cohort_with_too_little_is_scored_by_force_without_a_call(
    model_of: Model, make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    few = keeping(make_cohort(20), catalogue, 0.3)
    for asked in ("cohort", "reference"):
        found = scored(model_of("ici"), ingested(few), asked=asked, force=True)
        assert found.predictions["call"].eq("out_of_scope").all()
        reason = "scored by force: only 30% of the catalogue's genes are in the file"
        assert found.predictions["call_reason"].str.startswith(reason).all()
        assert found.predictions["probability"].between(0, 1).all()
        assert found.notes[0].startswith(reason)
        assert found.notes[-1].startswith("gene coverage is too little: ")


def test_force_changes_nothing_where_there_is_enough(
    model_of: Model, make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    enough = ingested(keeping(make_cohort(20), catalogue, 0.6))
    plain, forced = (scored(model_of("ici"), enough, force=force) for force in (False, True))
    pd.testing.assert_frame_equal(plain.predictions, forced.predictions)
    assert plain.notes == forced.notes
    assert plain.notes[0].startswith("gene coverage is partial: ")
    assert plain.notes[0].endswith("; see gene_report.csv")
    assert calls_follow(plain.predictions)


def test_between_a_third_and_a_half_of_the_genes_every_sample_is_out_of_scope(
    model_of: Model, make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    found = scored(model_of("ici"), ingested(keeping(make_cohort(20), catalogue, 0.4)))
    assert found.predictions["call"].eq("out_of_scope").all()
    reason = "unlike the training samples: only 40% of the marker genes are measured"
    assert (found.predictions["call_reason"] == reason).mean() > 0.5
    np.testing.assert_allclose(found.shift["missing_marker_genes"], 0.6, atol=0.005)


def test_a_small_background_puts_every_sample_out_of_scope(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    adata = make_cohort(20)
    own = genes_of(model_of("ici").catalogue.markers_of("ici"))
    adata = adata[:, list(own[:270])].copy()
    for asked in ("cohort", "reference"):
        found = scored(model_of("ici"), ingested(adata), asked=asked)
        assert found.predictions["call"].eq("out_of_scope").all()
        assert (found.shift["missing_genes"] > 0.5).all()
        reasons = found.predictions["call_reason"]
        assert reasons.str.startswith("unlike the training samples: ").all()


def test_the_reason_of_a_forced_cohort_scaled_per_gene_is_the_weightiest(
    model_of: Model, make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    found = scored(model_of("ici"), scaled(keeping(make_cohort(20), catalogue, 0.3)), force=True)
    assert found.predictions["call_reason"].str.startswith("scored by force").all()
    assert any("scored by mean z" in note for note in found.notes)


# --- drugs


def with_drugs(adata: ad.AnnData, drugs: Iterable[str | None]) -> IngestedCohort:
    listed = list(drugs)
    adata.obs["drug"] = [listed[i % len(listed)] for i in range(adata.n_obs)]
    return ingested(adata)


def test_a_drug_that_is_not_known_is_noted_once_and_its_features_are_missing(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    found = scored(model_of("adc"), with_drugs(make_cohort(20), ["T-DM1", "wonderumab", None]))
    assert [note for note in found.notes if "drug" in note] == [
        "drug 'wonderumab' is not in the drug table",
        "no drug is stated",
    ]
    missing = found.features["target_antigen"].isna()
    assert missing.tolist() == [i % 3 != 0 for i in range(20)]
    assert found.predictions["probability"].notna().all()
    notes = found.genes.features.loc["target_antigen", "note"]
    assert notes == "drug 'wonderumab' is not in the drug table; no drug is stated"


def test_a_cohort_without_a_drug_is_told_so_where_the_model_knows_drugs(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    assert "no drug is stated" in scored(model_of("adc"), ingested(make_cohort(20))).notes
    assert scored(model_of("ici"), ingested(make_cohort(20))).notes == ()


def test_known_drugs_are_not_noted_and_a_combination_is(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    assert scored(model_of("adc"), with_drugs(make_cohort(20), ["T-DM1", "Trodelvy"])).notes == ()
    found = scored(model_of("adc"), with_drugs(make_cohort(20), ["T-DM1 + wonderumab"]))
    assert found.notes == (
        "'T-DM1 + wonderumab' is taken as Trastuzumab emtansine; not in the drug table: wonderumab",
    )


# --- what is written


def test_the_gene_report_is_written_beside_the_predictions(
    model_of: Model, make_cohort: MakeCohort, catalogue: Catalogue, tmp_path: Path
) -> None:
    found = scored(model_of("ici"), ingested(keeping(make_cohort(20), catalogue, 0.6)))
    found.write(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "attributions.parquet",
        "drift.csv",
        "gene_report.csv",
        "predictions.csv",
        "predictions.parquet",
        "shift.csv",
    ]
    table = pd.read_csv(tmp_path / "gene_report.csv", index_col="feature", keep_default_na=False)
    assert list(table.index) == [marker.id for marker in catalogue.markers_of("ici")]
    for marker in catalogue.markers_of("ici"):
        missing = table.loc[marker.id, "missing"].split()
        assert set(missing) <= set(found.genes.missing)
        assert table.loc[marker.id, "found"] == table.loc[marker.id, "genes"] - len(missing)
    assert not table["scored"].all()
    assert set(table.index[~table["scored"]]) == set(found.genes.unscored)


def test_shift_and_drift_are_written_for_every_sample_and_feature(
    model_of: Model, make_cohort: MakeCohort, tmp_path: Path
) -> None:
    found = scored(model_of("ici"), ingested(make_cohort(20)))
    found.write(tmp_path)
    shift, drift = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("shift", "drift"))
    assert shift["sample_id"].tolist() == found.predictions["sample_id"].tolist()
    np.testing.assert_allclose(shift["shift_score"], found.predictions["shift_score"])
    assert set(drift["feature"]) == set(found.features.columns)


def test_values_scaled_per_gene_leave_shift_without_scores_and_drift_without_rows(
    model_of: Model, make_cohort: MakeCohort, tmp_path: Path
) -> None:
    # Fixed: drift.csv was written without even a header, which no reader takes for a table.
    plain = scored(model_of("ici"), ingested(make_cohort(20)))
    scored(model_of("ici"), scaled(make_cohort(20))).write(tmp_path)
    shift, drift = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("shift", "drift"))
    assert len(shift) == 20
    assert shift["shift_score"].isna().all()
    assert len(drift) == 0
    assert list(drift.columns) == list(plain.drift.columns)


# --- seen in training


def test_a_renamed_rescaled_copy_of_a_training_cohort_is_recognised(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    copy = make_cohort(60, seed=3, name="train")
    copy.X = np.log1p(3.7 * np.expm1(copy.X) + 0.01)
    order = np.random.default_rng(0).permutation(copy.n_vars)
    copy = copy[20:50, order].copy()
    copy.obs_names = [f"anon{i}" for i in range(copy.n_obs)]
    copy.obs = copy.obs.assign(sample_id=list(copy.obs_names), cohort="renamed")
    found = scored(model_of("ici"), ingested(copy))
    assert found.in_sample
    told = found.notes[0]
    assert told.startswith(
        "the model was trained on 30 samples of this cohort (anon0 = train_s20, anon1 = train_s21, "
    )
    assert "and 25 more): its predictions fit too well" in told


def test_a_flat_calibration_is_told(model_of: Model, make_cohort: MakeCohort) -> None:
    model, adata = model_of("ici"), ingested(make_cohort(40, seed=5))
    assert not [note for note in scored(model, adata).notes if "flat" in note]
    flat = PlattCalibrator()
    flat.slope_, flat.intercept_ = 1e-3, 0.8
    arms = {name: replace(arm, calibrator=flat) for name, arm in model.arms.items()}
    (told,) = [n for n in scored(replace(model, arms=arms), adata).notes if "flat" in n]
    assert told.startswith("the calibration is flat: every probability lies between 0.6")


def test_a_new_cohort_is_not_taken_for_a_training_cohort(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    assert not scored(model_of("ici"), ingested(make_cohort(60, seed=4))).in_sample


@pytest.mark.slow
def test_the_report_shows_which_genes_were_found(
    model_of: Model, make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    model = model_of("ici")
    few = ingested(keeping(make_cohort(20), catalogue, 0.3))
    found = scored(model, few, force=True)
    few.adata.obs[["library_size", "genes_detected", "qc_outlier"]] = 0.0
    page = render_report(build_report(found, LoadedModel(model, "models:/made/1", "1")))
    assert "<summary>Which genes were found</summary>" in page
    assert f"<td>{found.genes.sentence()}</td>" in page
    assert "out of scope: 20 samples, such as synthetic_s0: scored by force" in page
    assert found.genes.unscored
    for feature, row in found.genes.features.iterrows():
        shown = f'<td>{feature}</td><td class="number">{row["found"]} of {row["genes"]}</td>'
        assert (f"{shown}<td>{row['missing']}</td>" in page) == bool(row["missing"])


@pytest.mark.slow
def test_the_report_of_values_scaled_per_gene_has_no_quality_figures(
    model_of: Model, make_cohort: MakeCohort
) -> None:
    model = model_of("ici")
    found = scored(model, scaled(make_cohort(20)))
    page = render_report(build_report(found, LoadedModel(model, "models:/made/1", "1")))
    assert "Every gene of every feature is in the file." in page
    assert "Library size" not in page
    assert "the model was trained and" in page
