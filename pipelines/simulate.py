"""Simulate cohorts whose truth is known, as files, and judge what a model makes of them."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import yaml
from scipy import sparse
from scipy.special import expit

from features.catalogue import default_catalogue
from features.errors import ConfigError, ModelError
from pipelines.files import replaced_when_done
from pipelines.settings.cohort import CohortConfig

__all__ = ["Finding", "SimulatedTruth", "judge_demo", "simulate_cohorts"]


@dataclass(frozen=True)
class SimulatedTruth:
    """What was planted.

    Attributes
    ----------
    planted
        Marker id → +1 (more of it causes resistance) or -1; as the catalogue says.
    decoy
        Marker that follows the cohort and, within a cohort, not the response.
    opposed, opposed_sign
        Marker planted against the catalogue's sign, and the sign it was planted with.
    training_cohorts, new_cohort
        Names of the cohorts; each has a ``<name>.yaml``.
    seed
        Of everything random.
    """

    planted: Mapping[str, int]
    decoy: str
    opposed: str
    opposed_sign: int
    training_cohorts: tuple[str, ...]
    new_cohort: str
    seed: int


@dataclass(frozen=True)
class Finding:
    """One comparison of a model with the truth; ``passed`` is None where it is told, not judged."""

    what: str
    expected: str
    seen: str
    passed: bool | None


@dataclass(frozen=True)
class _Plan:
    """How a cohort differs; ``log_odds`` of resistance at average activities, median ``reads``."""

    expression: str
    sample_prefix: str
    log_odds: float
    decoy_shift: float
    reads: float
    second_timepoint: str
    cancer_type: str
    drug: str

    @property
    def name(self) -> str:
        return self.expression.split(".")[0]


@dataclass(frozen=True)
class _Cohort:
    counts: pd.DataFrame  # samples × genes
    clinical: pd.DataFrame
    lengths: "pd.Series[int]"

    def tpm(self) -> pd.DataFrame:
        rate = self.counts.div(self.lengths, axis=1)
        return rate.div(rate.sum(axis=1), axis=0).mul(1e6)


_PLANTED: Mapping[str, int] = {"mhc_class_i": -1, "mdsc": 1, "hypoxia": 1}
_DECOY = "er_stress"
_OPPOSED = ("il17", -1)
_EFFECTS = {m: 2.0 * sign for m, sign in (*_PLANTED.items(), _OPPOSED, (_DECOY, 0))}
"""Log-odds of resistance per standard deviation of an activity."""
_PLANS = (
    _Plan("demo_counts.tsv.gz", "C", -1.5, -3.0, 4e6, "pre", "melanoma", "anti-PD-1"),
    _Plan("demo_log2_tpm.csv.gz", "L", 0.0, 0.0, 1e6, "on", "lung", "anti-PD-L1"),
    _Plan("demo_tpm.csv.gz", "", 1.5, 3.0, 2e6, "pre", "kidney", "anti-PD-1"),
    _Plan("demo_new.h5ad", "N", 0.5, 1.0, 3e6, "pre", "bladder", "anti-PD-1"),
)
_N_PATIENTS, _N_SECOND_SAMPLES, _N_UNLABELLED = 100, 12, 3
_N_BACKGROUND, _N_SILENT = 3000, 200
_SHARED_VARIANCE = 0.85
_LOADING, _BATCH_SD, _DISPERSION, _DEPTH_SD = 1.0, 0.3, 0.15, 0.3
_TOP_FEATURES, _CLEAR_MARGIN = 6, 0.5


def simulate_cohorts(folder: Path, *, seed: int) -> SimulatedTruth:
    """Return the truth behind four simulated cohorts, whose files are written to a folder.

    Parameters
    ----------
    folder
        Made if need be. Receives ``demo_counts`` (featureCounts' layout), ``demo_log2_tpm`` (genes
        × samples, VSIR under its earlier symbol), ``demo_tpm`` (samples × genes, ids with leading
        zeros), ``demo_new`` (h5ad of raw counts, to be scored), clinical tables, a ``<name>.yaml``
        each and ``truth.json``.
    seed
        The same seed gives the same bytes in every text file.

    Raises
    ------
    ConfigError
        The folder cannot be made.

    Notes
    -----
    Activities of markers are standard normal in patients and in samples; a patient's samples share
    85% of the variance. Resistance is Bernoulli with log-odds ``b0(cohort) ± 2 × activity`` of each
    marker planted: ``mhc_class_i`` (low), ``mdsc`` and ``hypoxia`` (high) as the catalogue says,
    and ``il17`` against it (more causes response). The decoy ``er_stress`` rises with b0 over the
    training cohorts; within a cohort it says nothing of the response.

    Counts are negative binomial (dispersion 0.15) around log-normal baseline × offset of gene and
    cohort (platform) × activities (1 log2 unit per SD) × gene length × library size.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"folder {folder} cannot be made: {error}; name another") from error
    rng = np.random.default_rng(seed)
    genome = _draw_genome(rng)
    writers = (_write_counts, _write_log2_tpm, _write_tpm, _write_h5ad)
    for plan, write in zip(_PLANS, writers, strict=True):
        cohort = _draw_cohort(plan, genome, rng=rng)
        write(folder / plan.expression, cohort)
        _write_config(folder, cohort, plan=plan)
    names = tuple(plan.name for plan in _PLANS)
    truth = SimulatedTruth(dict(_PLANTED), _DECOY, *_OPPOSED, names[:-1], names[-1], seed)
    _write_text(folder / "truth.json", json.dumps(asdict(truth), indent=2) + "\n")
    return truth


def _draw_genome(rng: np.random.Generator) -> pd.DataFrame:
    """Return each gene's length, log2 baseline and, a column each, loadings of the activities."""
    catalogue = default_catalogue()
    symbols = [gene.symbol for gene in catalogue.genes]
    symbols += [f"SIM{number:05d}" for number in range(1, _N_BACKGROUND + 1)]
    baseline = rng.normal(0.0, 2.0, len(symbols))
    baseline[-_N_SILENT:] -= 12.0
    length = np.clip(rng.lognormal(7.7, 0.6, len(symbols)), 300, 20_000).astype(int)
    columns = {"length": length, "baseline": baseline} | dict.fromkeys(_EFFECTS, 0.0)
    genome = pd.DataFrame(columns, index=symbols)
    genes_of = {marker.id: list(marker.genes) for marker in catalogue.markers}
    for marker in _EFFECTS:
        genes = genes_of[marker]
        genome.loc[genes, marker] = _LOADING * rng.uniform(0.75, 1.25, len(genes))
    return genome


def _draw_cohort(plan: _Plan, genome: pd.DataFrame, *, rng: np.random.Generator) -> _Cohort:
    effects = np.array(list(_EFFECTS.values()))
    activity = rng.standard_normal((_N_PATIENTS, effects.size))
    resistant = rng.random(_N_PATIENTS) < expit(plan.log_odds + activity @ effects)
    again = np.sort(rng.choice(_N_PATIENTS, _N_SECOND_SAMPLES, replace=False))
    patient = np.concatenate([np.arange(_N_PATIENTS), again])
    own = rng.standard_normal((patient.size, effects.size))
    sampled = np.sqrt(_SHARED_VARIANCE) * activity[patient] + np.sqrt(1 - _SHARED_VARIANCE) * own
    sampled[:, list(_EFFECTS).index(_DECOY)] += plan.decoy_shift
    log2 = genome["baseline"].to_numpy() + rng.normal(0.0, _BATCH_SD, len(genome))
    loadings = genome[list(_EFFECTS)].to_numpy().T
    reads = np.exp2(log2 + sampled @ loadings) * genome["length"].to_numpy()
    depth = plan.reads * rng.lognormal(0.0, _DEPTH_SD, (patient.size, 1))
    mean = depth * reads / reads.sum(axis=1, keepdims=True)
    counts = rng.negative_binomial(1 / _DISPERSION, 1 / (1 + _DISPERSION * mean))
    samples = [f"{plan.sample_prefix}{number:04d}" for number in range(1, patient.size + 1)]
    clinical = _draw_labels(resistant, rng=rng).iloc[patient].set_axis(samples)
    timepoint = ["pre"] * _N_PATIENTS + [plan.second_timepoint] * again.size
    clinical = clinical.assign(timepoint=timepoint, drug=plan.drug, cancer_type=plan.cancer_type)
    return _Cohort(pd.DataFrame(counts, samples, genome.index), clinical, genome["length"])


def _draw_labels(resistant: np.ndarray, *, rng: np.random.Generator) -> pd.DataFrame:
    """Return a row for each patient; a few are unlabelled."""
    milder = rng.random(resistant.size) < 0.35
    recist = np.where(resistant, np.where(milder, "SD", "PD"), np.where(milder, "CR", "PR"))
    response = np.where(resistant, "NR", "R")
    unlabelled = rng.choice(resistant.size, _N_UNLABELLED, replace=False)
    recist[unlabelled] = response[unlabelled] = ""
    patients = [f"P{number:03d}" for number in range(1, resistant.size + 1)]
    return pd.DataFrame({"patient_id": patients, "recist": recist, "response": response})


def _write_config(folder: Path, cohort: _Cohort, *, plan: _Plan) -> None:
    config = {"name": plan.name, "expression": plan.expression, "root": "."}
    if plan.expression.endswith(".h5ad"):
        config |= {"cancer_type": plan.cancer_type, "drug": plan.drug}
    else:
        config["clinical"] = f"{plan.name}.clinical.csv"
        _write_text(folder / config["clinical"], cohort.clinical.to_csv(index_label="sample_id"))
    checked = CohortConfig.model_validate(config).model_dump(exclude_unset=True)
    text = "# Simulated; nothing here is a patient.\n" + yaml.safe_dump(checked, sort_keys=False)
    _write_text(folder / f"{plan.name}.yaml", text)


def _write_counts(path: Path, cohort: _Cohort) -> None:
    columns = {"Chr": "chr0", "Start": 1, "End": cohort.lengths, "Strand": "+"}
    table = pd.DataFrame({**columns, "Length": cohort.lengths}).join(cohort.counts.T)
    text = table.to_csv(sep="\t", index_label="Geneid")
    _write_text(path, "# Simulated read counts in the layout of featureCounts\n" + text)


def _write_log2_tpm(path: Path, cohort: _Cohort) -> None:
    table = cohort.tpm().add(0.001).T.apply(np.log2).rename(index={"VSIR": "C10orf54"})
    _write_text(path, table.to_csv(index_label="gene", float_format="%.6f"))


def _write_tpm(path: Path, cohort: _Cohort) -> None:
    _write_text(path, cohort.tpm().to_csv(index_label="sample", float_format="%.6g"))


def _write_h5ad(path: Path, cohort: _Cohort) -> None:
    adata = ad.AnnData(
        sparse.csr_matrix(cohort.counts.to_numpy(dtype=np.float32)),
        obs=cohort.clinical[["patient_id", "response", "recist"]],
        var=cohort.lengths.to_frame(),
    )
    with replaced_when_done(path) as temporary:
        adata.write_h5ad(temporary, compression="gzip")


def _write_text(path: Path, text: str) -> None:
    raw = text.encode()
    with replaced_when_done(path) as temporary:
        temporary.write_bytes(gzip.compress(raw, 6, mtime=0) if path.suffix == ".gz" else raw)


def judge_demo(
    attributions_mean_abs: "pd.Series[float]", sign_table: pd.DataFrame, *, truth: SimulatedTruth
) -> list[Finding]:
    """Return how a model of the simulated cohorts compares with what was planted.

    Parameters
    ----------
    attributions_mean_abs
        Mean absolute SHAP value by marker id.
    sign_table
        From :func:`models.signs.sign_agreement`.

    Raises
    ------
    ModelError
        A marker of the truth is missing from either table.

    Notes
    -----
    A planted marker passes among the six highest mean absolute SHAP values (room for markers that
    share its genes) if its own AUROC agrees with the catalogue. The decoy and the opposed marker
    pass below half the value of the weakest planted one. The opposed marker's AUROC passes if it
    opposes the catalogue with an interval that excludes 0.5.
    """
    judged = [*truth.planted, truth.decoy, truth.opposed]
    known = attributions_mean_abs.index.intersection(sign_table.index)
    if missing := [marker for marker in judged if marker not in known]:
        raise ModelError(f"attributions or signs lack {missing}: was it trained on the demo?")
    shap, rank = attributions_mean_abs, attributions_mean_abs.rank(ascending=False)
    limit = _CLEAR_MARGIN * float(shap[list(truth.planted)].min())
    verdict = sign_table["verdict"]
    share = {m: f"mean |SHAP| {shap[m]:.3f}, rank {rank[m]:.0f} of {len(shap)}" for m in judged}
    shown = "AUROC {auroc:.2f} ({low:.2f} to {high:.2f}), {verdict}"
    own = {m: shown.format_map(sign_table.loc[m].to_dict()) for m in judged}
    findings = [
        Finding(
            f"planted: {marker} {'high' if sign > 0 else 'low'}",
            f"among the {_TOP_FEATURES} highest mean |SHAP|; own AUROC agrees with the catalogue",
            f"{share[marker]}; {own[marker]}",
            bool(rank[marker] <= _TOP_FEATURES and verdict[marker] == "agrees"),
        )
        for marker, sign in truth.planted.items()
    ]
    expected = f"mean |SHAP| below {limit:.3f}, half of the weakest planted"
    findings += [
        Finding(f"{what}: {marker}", expected, share[marker], bool(shap[marker] < limit))
        for what, marker in (("decoy", truth.decoy), ("held by its sign", truth.opposed))
    ]
    what, opposes = f"reported as opposed: {truth.opposed}", verdict[truth.opposed] == "opposes"
    expected = "own AUROC opposes the catalogue's sign, interval without 0.5"
    return [*findings, Finding(what, expected, own[truth.opposed], bool(opposes))]
