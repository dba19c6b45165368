"""Values centred or scaled per gene, and files with few genes, through the command line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from scipy.stats import spearmanr
from typer.testing import CliRunner

from features.catalogue import Catalogue, genes_of
from pipelines.cli import app
from pipelines.demo import DemoResult
from pipelines.score import PREDICTION_COLUMNS

Score = Callable[..., Result]
MODEL = "models:/oncoresist-demo@champion"
OUTPUTS = {
    *(f"{name}.csv" for name in ("drift", "gene_report", "mechanisms", "predictions", "shift")),
    *(f"{name}.parquet" for name in ("attributions", "features", "genes", "mechanisms")),
    *("patients", "predictions.parquet", "report.html", "report.json", "samples.parquet"),
}


@pytest.fixture(scope="module")
def log2_tpm(demo_run: DemoResult) -> pd.DataFrame:
    """A cohort of the demo, log2(TPM + 0.001), genes × samples."""
    return pd.read_csv(demo_run.folder / "demo_log2_tpm.csv.gz", index_col="gene")


@pytest.fixture
def score(
    demo_run: DemoResult,
    session_store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Score:
    """Return a scorer of a genes × samples table by the demo's model."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", session_store)
    monkeypatch.chdir(tmp_path)

    def run(table: pd.DataFrame, *arguments: str) -> Result:
        table.to_csv(tmp_path / "new.csv")
        clinical = str(demo_run.folder / "demo_log2_tpm.clinical.csv")
        named = ["--expression", "new.csv", "--clinical", clinical, "--output", "out"]
        return CliRunner().invoke(app, ["score", "--model", MODEL, *named, *arguments])

    return run


def scaled(table: pd.DataFrame) -> pd.DataFrame:
    """Return z-scores per gene; genes that do not vary are zero."""
    spread = table.std(axis=1, ddof=0)
    return table.sub(table.mean(axis=1), axis=0).div(spread.where(spread > 0, 1.0), axis=0)


def read(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "predictions.parquet")


@pytest.mark.slow
def test_a_cohort_scaled_per_gene_is_scored_by_mean_z_without_calls(
    score: Score, log2_tpm: pd.DataFrame, tmp_path: Path
) -> None:
    result = score(scaled(log2_tpm))
    assert result.exit_code == 0, (result.output, result.exception)
    predictions = read(tmp_path / "out")
    assert tuple(predictions.columns) == PREDICTION_COLUMNS
    assert {file.name for file in (tmp_path / "out").iterdir()} == OUTPUTS
    assert predictions["score_kind"].eq("mean_z").all()
    assert predictions["standardisation"].eq("cohort").all()
    assert predictions["call"].eq("out_of_scope").all()
    assert predictions["call_reason"].nunique() == 1
    reason = predictions["call_reason"].iloc[0]
    assert "scored by mean z; the model was trained and validated on ranks" in reason
    assert f"out of scope: {reason}" in result.stdout
    assert f"note: {reason}" in result.stderr
    assert "112 samples scored, cohort-relative: 112 out_of_scope" in result.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<summary>Which genes were found</summary>" in page
    assert reason in page


@pytest.mark.slow
def test_the_report_tells_genes_taken_under_another_name(
    score: Score, log2_tpm: pd.DataFrame, tmp_path: Path
) -> None:
    # Fixed: _gene_rows leaves out features whose genes are all there, some by an earlier name.
    assert "C10orf54" in log2_tpm.index
    assert score(log2_tpm).exit_code == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "VSIR(C10orf54)" in page


@pytest.mark.slow
def test_mean_z_puts_the_samples_in_nearly_the_order_of_ranks(
    score: Score, log2_tpm: pd.DataFrame, tmp_path: Path
) -> None:
    assert score(log2_tpm).exit_code == 0
    by_rank = read(tmp_path / "out")["probability"]
    assert score(scaled(log2_tpm)).exit_code == 0
    by_mean_z = read(tmp_path / "out")["probability"]
    assert spearmanr(by_rank, by_mean_z).statistic > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "arguments", "message"),
    [
        (112, ["--standardisation", "reference"], r"use --standardisation cohort, or give the"),
        (14, [], r"only within a cohort of at least 15 samples \(it has 14\)"),
    ],
)
def test_the_reference_is_refused_to_values_scaled_per_gene_and_nothing_is_written(
    score: Score,
    log2_tpm: pd.DataFrame,
    tmp_path: Path,
    samples: int,
    arguments: list[str],
    message: str,
) -> None:
    result = score(scaled(log2_tpm).iloc[:, :samples], *arguments)
    refused(result, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_samples_stated_to_be_scaled_per_gene_are_not_called_against_the_reference(
    score: Score, log2_tpm: pd.DataFrame, tmp_path: Path
) -> None:
    # So few samples do not always show that they are scaled, so their unit is stated here.
    scaled(log2_tpm).iloc[:, :2].to_csv(tmp_path / "two.csv")
    (tmp_path / "new.yaml").write_text(
        "name: new\nexpression: two.csv\nroot: .\nunit: gene_scaled\n"
    )
    named = ["--cohort", str(tmp_path / "new.yaml"), "--output", "out"]
    result = CliRunner().invoke(app, ["score", "--model", MODEL, *named])
    refused(result, r"only within a cohort of at least 15 samples \(it has 2\)")
    assert not (tmp_path / "out").exists()


def refused(result: Result, message: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: cohort 'new' ")
    assert pd.Series([result.stderr]).str.contains(message).item(), result.stderr


def few_genes(table: pd.DataFrame, catalogue: Catalogue) -> tuple[pd.DataFrame, set[str]]:
    """Return the table with a quarter of the ici features' genes, and which of them it lacks."""
    own = genes_of(catalogue.markers_of("ici"))
    missing = set(own[len(own) // 4 :])
    return table[~table.index.isin([*missing, "C10orf54"])], missing


@pytest.mark.slow
@pytest.mark.parametrize("change", [pd.DataFrame.copy, scaled], ids=["as it is", "z-scores"])
def test_too_few_genes_are_refused_with_every_missing_one_and_nothing_is_written(
    score: Score,
    log2_tpm: pd.DataFrame,
    catalogue: Catalogue,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    table, missing = few_genes(change(log2_tpm), catalogue)
    result = score(table)
    refused(result, r"too little: 77 of 311 catalogue genes \(25%\).*--force scores it all the")
    assert set(result.stderr.split("Missing: ")[1].split()) == missing
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("standardisation", ["cohort", "reference"])
def test_too_few_genes_are_scored_by_force_without_calls(
    score: Score,
    log2_tpm: pd.DataFrame,
    catalogue: Catalogue,
    tmp_path: Path,
    standardisation: str,
) -> None:
    table, missing = few_genes(log2_tpm, catalogue)
    result = score(table, "--force", "--standardisation", standardisation)
    assert result.exit_code == 0, (result.output, result.exception)
    predictions = read(tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == OUTPUTS
    assert predictions["call"].eq("out_of_scope").all()
    assert predictions["call_reason"].str.startswith("scored by force: only 25% of the").all()
    assert predictions["probability"].between(0, 1).all()
    report = pd.read_csv(tmp_path / "out" / "gene_report.csv", keep_default_na=False)
    assert set(" ".join(report["missing"]).split()) == missing
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "too little: 77 of 311 catalogue genes (25%)" in page
    assert ": scored by force" in page


# --- without a model


@pytest.fixture
def z_table(catalogue: Catalogue, tmp_path: Path) -> Path:
    """A file of z-scores of every catalogue gene."""
    genes = [*catalogue.gene_symbols, *(f"OTHER{i}" for i in range(40))]
    values = np.random.default_rng(0).normal(5, 2, (len(genes), 12))
    table = pd.DataFrame(values, index=genes, columns=[f"s{i}" for i in range(12)])
    scaled(table).to_csv(tmp_path / "z.csv")
    return tmp_path / "z.csv"


def test_the_check_tells_values_scaled_per_gene(z_table: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(z_table), "--setting", "ici"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "gene coverage (ici): full: 311 of 311 catalogue genes (100%), 67 of 67" in result.stdout
    assert "centred or scaled per gene" in result.stdout
    assert "scored by mean z within the cohort, not by ranks" in result.stdout


def test_the_check_of_two_samples_scaled_per_gene_says_what_they_lack(
    z_table: Path, tmp_path: Path
) -> None:
    pd.read_csv(z_table, index_col=0).iloc[:, :2].to_csv(tmp_path / "two.csv")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "two.csv")])
    assert result.exit_code == 2
    assert "cohort 'two' has 2 samples: z-scores per gene need at least 3" in result.stderr
