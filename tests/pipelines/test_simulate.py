import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from features.catalogue import default_catalogue
from features.errors import ConfigError, ModelError
from models.candidates import Candidate, CandidateBuilder
from models.learner import Learner, shuffle_labels
from models.signs import sign_agreement
from models.splits import leave_one_cohort_out_splits
from models.tuning import Tuner
from models.validation import predict_out_of_fold
from pipelines.config import load_cohort
from pipelines.dataset import Dataset, build_dataset
from pipelines.ingest import IngestedCohort, ingest_cohort
from pipelines.simulate import Finding, SimulatedTruth, judge_demo, simulate_cohorts
from tests.fixtures import Simulated

pytestmark = pytest.mark.slow

SEED = 7
SIGNS = default_catalogue().signs("ici")


@pytest.fixture(scope="module")
def folder(simulated: Simulated) -> Path:
    return simulated.folder


@pytest.fixture(scope="module")
def truth(simulated: Simulated) -> SimulatedTruth:
    return simulated.truth


@pytest.fixture(scope="module")
def cohorts(folder: Path, truth: SimulatedTruth) -> dict[str, IngestedCohort]:
    ingested = {}
    for name in (*truth.training_cohorts, truth.new_cohort):
        config, path = load_cohort(str(folder / f"{name}.yaml"), conf=folder)
        root = path.parent / (config.root or "missing")
        ingested[name] = ingest_cohort(config, root=root, labels_required=True)
    return ingested


@pytest.fixture(scope="module")
def dataset(cohorts: dict[str, IngestedCohort], truth: SimulatedTruth) -> Dataset:
    return build_dataset(
        [cohorts[name] for name in truth.training_cohorts],
        timepoints=["pre_treatment", "unstated"],
        catalogue=default_catalogue(),
        min_coverage=0.5,
        setting="ici",
    )


@pytest.fixture(scope="module")
def features(dataset: Dataset, truth: SimulatedTruth) -> pd.DataFrame:
    return dataset.features(truth.training_cohorts)


def own_auroc(features: pd.DataFrame, samples: pd.DataFrame, marker: str) -> dict[str, float]:
    labelled = samples[samples["resistant"].notna()]
    return {
        str(cohort): roc_auc_score(part["resistant"], features.loc[part.index, marker])
        for cohort, part in labelled.groupby("cohort")
    }


@pytest.mark.parametrize(
    ("name", "unit", "pseudocount"),
    [
        ("demo_counts", "counts", 0.0),
        ("demo_log2_tpm", "log2_tpm", 0.001),
        ("demo_tpm", "tpm", 0.0),
        ("demo_new", "counts", 0.0),
    ],
)
def test_every_cohort_is_ingested_and_its_unit_found(cohorts, name, unit, pseudocount):
    facts = cohorts[name].adata.uns["oncoresist"]
    assert facts["unit"] == unit
    assert not facts["unit_stated"]
    assert facts["pseudocount"] == pytest.approx(pseudocount, abs=1e-7)
    assert cohorts[name].reference_offered
    assert set(default_catalogue().gene_symbols) <= set(cohorts[name].adata.var_names)
    assert not cohorts[name].adata.obs["qc_outlier"].all()


def test_one_cohort_stands_the_other_way_round(cohorts):
    notes = {name: " ".join(cohort.report.notes) for name, cohort in cohorts.items()}
    assert "genes_in_rows" in notes["demo_counts"]
    assert "genes_in_rows" in notes["demo_log2_tpm"]
    assert "samples_in_rows" in notes["demo_tpm"]


def test_the_earlier_symbol_of_vsir_is_rescued(cohorts):
    assert cohorts["demo_log2_tpm"].adata.uns["oncoresist"]["renamed_genes"] == {"C10orf54": "VSIR"}
    assert cohorts["demo_tpm"].adata.uns["oncoresist"]["renamed_genes"] == {}


def test_sample_ids_keep_their_leading_zeros(cohorts):
    names = cohorts["demo_tpm"].adata.obs_names
    assert names[0] == "0001"
    assert names.str.fullmatch(r"0\d{3}").all()


def test_a_patients_two_samples_share_the_label(cohorts):
    for cohort in cohorts.values():
        obs = cohort.adata.obs
        sizes = obs.groupby("patient_id").size()
        assert sizes.value_counts().to_dict() == {1: 88, 2: 12}
        assert (obs.groupby("patient_id")["resistant"].nunique() <= 1).all()
        assert 3 <= obs["resistant"].isna().sum() <= 6


def test_a_patients_two_samples_resemble_each_other(dataset, features, truth):
    keys = dataset.samples["cohort"] + "/" + dataset.samples["patient_id"]
    pairs = keys[keys.duplicated(keep=False)]
    for marker in truth.planted:
        values = features.loc[pairs.index, marker].groupby(pairs.to_numpy())
        assert np.corrcoef(values.first(), values.last())[0, 1] > 0.5


def test_only_one_cohort_has_samples_on_treatment(cohorts, dataset):
    found = {name: set(c.adata.obs["timepoint"]) for name, c in cohorts.items()}
    assert found["demo_log2_tpm"] == {"pre_treatment", "on_treatment"}
    assert found["demo_counts"] == found["demo_tpm"] == {"pre_treatment"}
    assert found["demo_new"] == {"unstated"}
    assert dataset.left_out["demo_log2_tpm"] == {"on_treatment": 12}


def test_recist_and_response_do_not_contradict(folder, truth):
    for name in truth.training_cohorts:
        clinical = pd.read_csv(folder / f"{name}.clinical.csv", dtype=str, keep_default_na=False)
        meaning = {"CR": "R", "PR": "R", "SD": "NR", "PD": "NR", "": ""}
        assert (clinical["recist"].map(meaning) == clinical["response"]).all()
        assert set(clinical["recist"]) == set(meaning)


def test_a_seed_gives_the_same_bytes_and_another_seed_others(folder, truth, tmp_path):
    assert simulate_cohorts(tmp_path / "again", seed=SEED) == truth
    simulate_cohorts(tmp_path / "other", seed=SEED + 1)
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    assert not [name for name in names if "partial" in name]
    for name in names:
        if not name.endswith(".h5ad"):
            first = (folder / name).read_bytes()
            assert first == (tmp_path / "again" / name).read_bytes(), name
            if not name.endswith(".yaml"):
                assert first != (tmp_path / "other" / name).read_bytes(), name


def test_the_truth_stands_in_a_file(folder, truth):
    assert json.loads((folder / "truth.json").read_text()) == json.loads(json.dumps(asdict(truth)))


def test_planted_signs_are_the_catalogues_and_the_opposed_one_is_not(truth):
    assert {marker: SIGNS[marker] for marker in truth.planted} == truth.planted
    assert SIGNS[truth.opposed] == -truth.opposed_sign
    assert SIGNS[truth.decoy] == 1


def test_the_planted_and_opposed_markers_share_no_gene(truth):
    markers = {marker.id: marker for marker in default_catalogue().markers}
    genes = [g for m in (*truth.planted, truth.decoy, truth.opposed) for g in markers[m].genes]
    assert len(genes) == len(set(genes))
    opposed = set(markers.pop(truth.opposed).genes)
    assert not any(opposed & {*m.genes, *m.minus_genes} for m in markers.values())


def test_planted_markers_go_the_planted_way_within_every_cohort(dataset, features, truth):
    planted = {**truth.planted, truth.opposed: truth.opposed_sign}
    for marker, sign in planted.items():
        found = own_auroc(features * sign, dataset.samples, marker)
        assert min(found.values()) > 0.5, (marker, found)
        assert np.mean(list(found.values())) > 0.58, (marker, found)


def test_the_decoy_says_nothing_within_cohorts_but_follows_them(dataset, features, truth):
    samples = dataset.samples
    assert np.mean(list(own_auroc(features, samples, truth.decoy).values())) == pytest.approx(
        0.5, abs=0.08
    )
    by_cohort = features[truth.decoy].groupby(samples["cohort"].to_numpy())
    steps = by_cohort.mean()[list(truth.training_cohorts)].diff().dropna()
    assert (steps > by_cohort.std().max()).all()
    prevalence = samples.groupby("cohort")["resistant"].mean()[list(truth.training_cohorts)]
    assert prevalence.is_monotonic_increasing
    pooled = own_auroc(features, samples.assign(cohort="all"), truth.decoy)["all"]
    assert pooled > 0.6


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file cannot be made"):
        simulate_cohorts(tmp_path / "file", seed=SEED)


def judged(
    dataset: Dataset,
    truth: SimulatedTruth,
    *,
    samples: pd.DataFrame | None = None,
    signs: dict[str, int] | None = None,
    standardisation: str = "cohort",
) -> list[Finding]:
    samples = dataset.samples if samples is None else samples
    names = tuple(SIGNS)
    build = CandidateBuilder(names, names, SIGNS, seed=0)
    trees = Candidate("trees", "boosted", signs=signs is not None, settings={"n_seeds": 1})
    learner = Learner(samples, dataset.features, build, standardisation, 15)
    found = predict_out_of_fold(
        learner,
        leave_one_cohort_out_splits(samples),
        tuner=Tuner((trees,)),
        with_attributions=True,
    )
    table = sign_agreement(
        dataset.features(truth.training_cohorts), samples, signs=SIGNS, n_resamples=100, seed=0
    )
    return judge_demo(found.attributions.values.abs().mean(), table, truth=truth)


def test_the_model_finds_what_was_planted(dataset, truth):
    findings = judged(dataset, truth, signs=SIGNS)
    assert len(findings) == 6
    assert [finding for finding in findings if not finding.passed] == []


def test_shuffled_labels_are_judged_as_finding_nothing(dataset, truth):
    samples = shuffle_labels(dataset.samples, rng=np.random.default_rng(0))
    findings = judged(dataset, truth, samples=samples, signs=SIGNS)
    assert not any(f.passed for f in findings if f.what.startswith(("planted", "reported")))


def test_without_constraints_the_opposed_marker_is_used_and_judged_so(dataset, truth):
    findings = judged(dataset, truth, signs=None)
    assert [f.what for f in findings if not f.passed] == ["held by its sign: il17"]


def test_without_cohort_standardisation_the_decoy_is_used_far_more(dataset, truth):
    shap = {
        arm: next(
            float(finding.seen.split()[2].rstrip(","))
            for finding in judged(dataset, truth, signs=SIGNS, standardisation=arm)
            if finding.what == "decoy: er_stress"
        )
        for arm in ("cohort", "reference")
    }
    assert shap["reference"] > 5 * shap["cohort"]


def clear_result(truth: SimulatedTruth) -> tuple["pd.Series[float]", pd.DataFrame]:
    shap = pd.Series(0.001, index=list(SIGNS))
    shap[list(truth.planted)] = [0.3, 0.2, 0.1]
    table = pd.DataFrame(
        {"sign": SIGNS, "auroc": 0.5, "low": 0.4, "high": 0.6, "verdict": "unclear"}
    )
    table.loc[list(truth.planted), "verdict"] = "agrees"
    table.loc[truth.opposed, ["auroc", "low", "high", "verdict"]] = [0.3, 0.2, 0.4, "opposes"]
    return shap, table


def test_a_clear_result_passes_and_says_what_was_seen(truth):
    findings = judge_demo(*clear_result(truth), truth=truth)
    assert all(finding.passed for finding in findings)
    assert findings[0].seen == (
        f"mean |SHAP| 0.300, rank 1 of {len(SIGNS)}; AUROC 0.50 (0.40 to 0.60), agrees"
    )
    assert findings[3].expected == "mean |SHAP| below 0.050, half of the weakest planted"
    assert findings[5].seen == "AUROC 0.30 (0.20 to 0.40), opposes"


@pytest.mark.parametrize(
    ("marker", "shap", "verdict", "failing"),
    [
        ("mdsc", 0.3, "unclear", "planted: mdsc high"),
        ("er_stress", 0.06, "unclear", "decoy: er_stress"),
        ("er_stress", np.nan, "unclear", "decoy: er_stress"),
        ("il17", 0.06, "opposes", "held by its sign: il17"),
        ("il17", 0.0, "unclear", "reported as opposed: il17"),
    ],
)
def test_each_rule_fails_by_itself(truth, marker, shap, verdict, failing):
    attributions, table = clear_result(truth)
    attributions[marker] = shap
    table.loc[marker, "verdict"] = verdict
    findings = judge_demo(attributions, table, truth=truth)
    assert [f.what for f in findings if not f.passed] == [failing]


def test_a_planted_marker_below_the_sixth_rank_fails(truth):
    attributions, table = clear_result(truth)
    others = [m for m in SIGNS if m not in (*truth.planted, truth.decoy, truth.opposed)]
    attributions[others[:4]] = 0.15
    failing = [f for f in judge_demo(attributions, table, truth=truth) if not f.passed]
    assert [f.what for f in failing] == ["planted: hypoxia high"]
    assert f"rank 7 of {len(SIGNS)}" in failing[0].seen


def test_a_marker_of_the_truth_that_the_model_lacks_is_named(truth):
    attributions, table = clear_result(truth)
    with pytest.raises(ModelError, match="il17"):
        judge_demo(attributions.drop("il17"), table, truth=truth)
    with pytest.raises(ModelError, match="other"):
        judge_demo(attributions, table, truth=replace(truth, decoy="other"))
