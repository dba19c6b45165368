"""Scored cells come back as tables, pictures and a copy of their file, the original untouched."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from typer.testing import CliRunner

from features.cohort import CohortReport
from features.errors import CohortError, ConfigError
from models.resistance_model import ResistanceModel
from pipelines import report, tracking
from pipelines.cells import outputs
from pipelines.cells.outputs import draw_cells, write_cells
from pipelines.cells.scores import cells_at, dot_table, scores_of_cells, view_table
from pipelines.cli import app
from pipelines.ingest import IngestedCohort, file_hash
from pipelines.report import write_scored
from pipelines.reports.data import read_report
from pipelines.score import PREDICTION_COLUMNS, ScoredCohort, score_cohort
from pipelines.tracking import LoadedModel
from tests.cells import MadeCells
from tests.pipelines.cells.conftest import Read

pytestmark = pytest.mark.slow

FIGURES = {"quality", "composition", "dots", "umap", "cell_beeswarm"}
OBS = [
    "oncoresist_type",
    "oncoresist_type_confidence",
    "oncoresist_sample",
    "oncoresist_resistance",
    "oncoresist_sample_probability",
    "oncoresist_sample_call",
]


def scored_by(loaded: LoadedModel, cohort: IngestedCohort) -> ScoredCohort:
    return score_cohort(
        loaded.model, cohort, standardisation="auto", uri=loaded.uri, version=loaded.version
    )


@dataclass(frozen=True)
class Written:
    """A scored cohort, and the folder that everything of it was written to."""

    folder: Path
    scored: ScoredCohort
    hash_before: str


@pytest.fixture(scope="module")
def kept() -> dict[str, Written]:
    return {}


@pytest.fixture
def written(
    read: Read,
    trained: LoadedModel,
    cells_folder: Path,
    kept: dict[str, Written],
    tmp_path_factory: pytest.TempPathFactory,
) -> Written:
    """Return the made cells scored and written, once; nobody changes them."""
    if "h5ad" not in kept:
        before = file_hash(cells_folder / "cells.h5ad")
        folder = tmp_path_factory.mktemp("scored")
        scored = scored_by(trained, read())
        write_scored(scored, trained, folder)
        write_cells(scored, trained, folder)
        kept["h5ad"] = Written(folder, scored, before)
    return kept["h5ad"]


def test_predictions_have_the_columns_of_the_contract_a_row_a_lesion(
    written: Written, made: MadeCells
) -> None:
    table = pd.read_parquet(written.folder / "predictions.parquet")
    assert list(table.columns) == list(PREDICTION_COLUMNS)
    assert table["sample_id"].tolist() == made.lesions
    assert table["probability"].between(0, 1).all()
    assert (table["standardisation"] == "cohort").all()


def test_the_planted_mechanism_ranks_lesions_that_the_model_has_not_seen(
    written: Written, made: MadeCells
) -> None:
    probability = written.scored.predictions.set_index("sample_id")["probability"]
    resistant = made.resistant.loc[probability.index] == 1
    assert probability[resistant].min() > probability[~resistant].max()


def test_cells_come_as_a_table_a_row_a_cell(written: Written, made: MadeCells) -> None:
    table = pd.read_parquet(written.folder / "cells.parquet")
    assert table["cell_id"].tolist() == list(made.adata.obs_names)
    prepared = written.scored.cohort.cells
    assert prepared is not None
    known = prepared.samples >= 0
    assert (table["sample"].notna() == known).all()
    expected = made.adata.obs["sample_id"].to_numpy()[known]
    assert (table["sample"][known].astype(str).to_numpy() == expected).all()
    assert (table["type"].astype(str).to_numpy() == prepared.type_names).all()
    assert table["resistance"][known].between(0, 1).all()
    assert table["resistance"][~known].isna().all()
    assert table["type_confidence"].between(0, 1).all()
    assert {"total_counts", "n_genes", "exhaustion", "mhc_class_i"} <= set(table)
    assert table["total_counts"].tolist() == np.asarray(made.adata.X.sum(axis=1)).ravel().tolist()


def test_cells_of_the_planted_mechanism_look_resistant(written: Written, made: MadeCells) -> None:
    table = pd.read_parquet(written.folder / "cells.parquet")
    cd8 = made.truth == "cd8_t"
    resistant = (made.adata.obs["response"] == "NR").to_numpy()
    scores = table["resistance"].to_numpy()
    assert np.nanmean(scores[cd8 & resistant]) > np.nanmean(scores[cd8 & ~resistant]) + 0.04


def test_the_copy_holds_what_the_file_held_and_the_scores(
    written: Written, made: MadeCells
) -> None:
    copy = ad.read_h5ad(written.folder / "cells.scored.h5ad")
    np.testing.assert_array_equal(copy.X.toarray(), made.adata.X.toarray())
    assert list(copy.var_names) == list(made.adata.var_names)
    before = copy.obs[list(made.adata.obs)].astype(str)
    pd.testing.assert_frame_equal(before, made.adata.obs.astype(str), check_names=False)
    assert list(copy.obs) == [*made.adata.obs, *OBS]
    table = pd.read_parquet(written.folder / "cells.parquet")
    np.testing.assert_array_equal(copy.obs["oncoresist_resistance"], table["resistance"])
    assert (copy.obs["oncoresist_type"].astype(str).to_numpy() == table["type"].astype(str)).all()
    names = list(copy.uns["oncoresist_scoring"]["score_names"])
    scores = copy.obsm["X_oncoresist"]
    assert scores.shape == (copy.n_obs, len(names))
    np.testing.assert_array_equal(scores, table[names].to_numpy(dtype=np.float32))
    assert copy.obsm["X_umap_oncoresist"].shape == (copy.n_obs, 2)
    assert copy.uns["oncoresist_scoring"]["model_uri"] == "models:/made/1"
    assert "research use only" in copy.uns["oncoresist_scoring"]["words"]


def test_the_copy_gives_each_cell_the_probability_and_call_of_its_lesion(
    written: Written,
) -> None:
    copy = ad.read_h5ad(written.folder / "cells.scored.h5ad").obs
    own = written.scored.predictions.set_index("sample_id")
    known = copy["oncoresist_sample"].notna()
    names = copy.loc[known, "oncoresist_sample"].astype(str)
    expected = own["probability"].loc[names].to_numpy(dtype=np.float32)
    np.testing.assert_array_equal(copy.loc[known, "oncoresist_sample_probability"], expected)
    calls = copy.loc[known, "oncoresist_sample_call"].astype(str)
    assert calls.tolist() == own["call"].loc[names].tolist()
    assert copy.loc[~known, "oncoresist_sample_probability"].isna().all()


def test_scanpy_goes_on_with_the_copy(written: Written) -> None:
    adata = sc.read_h5ad(written.folder / "cells.scored.h5ad")
    scores = sc.get.obs_df(adata, ["oncoresist_type", "oncoresist_resistance", "CD8A"])
    means = scores.groupby("oncoresist_type", observed=True)["CD8A"].mean()
    assert means["cd8_t"] > 5 * max(means["cd4_t"], means["b"])
    sc.pl.embedding(adata, "umap_oncoresist", color="oncoresist_resistance", show=False)
    plt.close("all")
    assert adata[adata.obs["oncoresist_type"] == "b"].copy().n_obs > 50


def test_the_file_that_was_scored_is_untouched(written: Written, cells_folder: Path) -> None:
    assert file_hash(cells_folder / "cells.h5ad") == written.hash_before
    assert sorted(path.name for path in cells_folder.iterdir()) == ["cells.h5ad", "cells.zarr"]


def test_a_file_that_cannot_be_written_to_is_scored(
    read: Read, trained: LoadedModel, cells_folder: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.h5ad"
    shutil.copyfile(cells_folder / "cells.h5ad", locked)
    locked.chmod(0o444)
    found = write_cells(scored_by(trained, read(str(locked))), trained, tmp_path / "out")
    copy = found[1]
    assert copy.stat().st_mode & 0o200
    assert "oncoresist_type" in ad.read_h5ad(copy, backed="r").obs


def test_a_scored_copy_can_be_scored_again(
    written: Written, read: Read, trained: LoadedModel, tmp_path: Path
) -> None:
    again = scored_by(trained, read(str(written.folder / "cells.scored.h5ad")))
    pd.testing.assert_frame_equal(again.predictions, written.scored.predictions)
    table, copy = write_cells(again, trained, tmp_path)
    assert copy.name == "cells.scored.scored.h5ad"
    first = ad.read_h5ad(written.folder / "cells.scored.h5ad")
    second = ad.read_h5ad(copy)
    pd.testing.assert_frame_equal(second.obs, first.obs)
    np.testing.assert_array_equal(second.obsm["X_oncoresist"], first.obsm["X_oncoresist"])
    pd.testing.assert_frame_equal(
        pd.read_parquet(table), pd.read_parquet(written.folder / "cells.parquet")
    )


@pytest.mark.parametrize("failing", ["_write_scores", "_columns"])
def test_a_failure_leaves_nothing_half_written(
    failing: str, written: Written, trained: LoadedModel, tmp_path: Path, monkeypatch: Any
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(outputs, failing, fail)
    with pytest.raises(ConfigError, match=r"cells.scored.h5ad cannot be written: no space left"):
        write_cells(written.scored, trained, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.parquet"]


def test_bulk_has_no_cells_to_write(written: Written, trained: LoadedModel, tmp_path: Path) -> None:
    bulk = replace(written.scored, cohort=replace(written.scored.cohort, cells=None))
    assert write_cells(bulk, trained, tmp_path) == []
    assert draw_cells(bulk, trained.model) == {}
    assert not list(tmp_path.iterdir())


def test_the_report_shows_the_cells(written: Written) -> None:
    assert {path.stem for path in (written.folder / "cells").glob("*.png")} == FIGURES
    page = (written.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= len(FIGURES)


def test_the_report_is_built_again_from_its_files_byte_for_byte(
    written: Written, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(written.folder, copy)
    (copy / "report.html").unlink()
    shutil.rmtree(copy / "patients")
    (copy / "cells.scored.h5ad").unlink()  # cells are not needed for it
    found = CliRunner().invoke(app, ["report", str(copy)])
    assert found.exit_code == 0, found.output
    for page in (written.folder / "report.html", *(written.folder / "patients").iterdir()):
        again = copy / page.relative_to(written.folder)
        assert again.read_bytes() == page.read_bytes(), page.name


@pytest.mark.parametrize("change", ["missing", "other"])
def test_a_picture_of_another_scoring_is_refused(
    change: str, written: Written, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(written.folder, tmp_path / "copy"))
    picture = copy / "cells" / "umap.png"
    if change == "missing":
        picture.unlink()
    else:
        picture.write_bytes(b"another")
    with pytest.raises(ConfigError, match=r"umap.png: it .*score the cohort again"):
        read_report(copy)


def test_a_saved_model_of_cells_is_the_same_when_it_is_loaded(
    written: Written, trained: LoadedModel, tmp_path: Path
) -> None:
    trained.model.save(tmp_path)
    again = ResistanceModel.load(tmp_path)
    assert again.of_cells
    assert again.feature_names == trained.model.feature_names
    cohort = written.scored.cohort
    scored = scored_by(LoadedModel(again, trained.uri, "1"), cohort)
    pd.testing.assert_frame_equal(scored.predictions, written.scored.predictions)
    pd.testing.assert_frame_equal(scored.features, written.scored.features)
    assert cohort.cells is not None
    assert again.cells is not None
    assert trained.model.cells is not None
    np.testing.assert_array_equal(
        scores_of_cells(cohort.cells, again.cells),
        scores_of_cells(cohort.cells, trained.model.cells),
    )


def test_a_model_of_cells_refuses_bulk(
    trained: LoadedModel, make_cohort: Callable[..., ad.AnnData]
) -> None:
    adata = make_cohort(20)
    adata.uns["oncoresist"] = {"unit": "tpm", "unit_meaning": "", "gene_lengths_known": True}
    bulk = IngestedCohort(adata, CohortReport((), ()), {})
    with pytest.raises(CohortError, match="the cohort has none: give an h5ad of cells"):
        scored_by(trained, bulk)


def test_tables_for_view_are_of_the_cells_shown(written: Written, made: MadeCells) -> None:
    prepared = written.scored.cohort.cells
    assert prepared is not None
    view = view_table(
        prepared, response=made.resistant, resistance=None, scores=["exhaustion", "nothing"]
    )
    assert len(view) == len(prepared.positions)
    assert "nothing" not in view
    assert "resistance" not in view
    dots = dot_table(prepared, response=made.resistant, names={}, markers=["exhaustion"])
    cd8 = dots[dots["cell_type"] == "cd8_t"].set_index("response")
    assert cd8.loc[1.0, "mean"] > cd8.loc[0.0, "mean"]
    assert dots["detected_share"].between(0, 1).all()
    cells = cells_at(prepared, np.flatnonzero(prepared.samples >= 0))
    own = cells[(cells["type"].astype(str) == "cd8_t") & cells["sample"].notna()]
    means = own.groupby(own["sample"].astype(str))["exhaustion"].agg(["mean", "size"])
    labels = made.resistant.loc[means.index]
    enough = means["size"] >= 5
    expected = means.loc[enough & (labels == 1).to_numpy(), "mean"].mean()
    assert cd8.loc[1.0, "mean"] == pytest.approx(expected, abs=1e-5)
    assert cd8["n_lesions"].sum() == enough.sum()


def test_the_command_scores_cells_and_can_leave_the_copy_out(
    trained: LoadedModel, cells_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "open_store", lambda store: None)
    monkeypatch.setattr(tracking, "load_model", lambda uri: trained)
    monkeypatch.setattr(report, "write_scored", lambda *told: None)  # the report is looked at above
    file = str(cells_folder / "cells.h5ad")
    for flags, files in (([], ["cells.parquet", "cells.scored.h5ad"]), (["--no-cells"], [])):
        output = tmp_path / str(len(flags))
        found = CliRunner().invoke(app, ["score", file, "--output", str(output), *flags])
        assert found.exit_code == 0, found.output
        assert "10 samples scored, cohort-relative" in found.output
        assert sorted(path.name for path in output.glob("*")) == files
        assert all(str(output / name) in found.output for name in files)
    scored = set(pd.read_parquet(tmp_path / "0" / "cells.parquet"))
    # Entries of the model's catalogue that are read from samples are no scores of a cell.
    assert "exhaustion" in scored
    assert not {"b_cells_share", "exhaustion_in_t_cell", "cell_type_entropy"} & scored
