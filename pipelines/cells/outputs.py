"""What scoring gives back of single cells: pictures, a table, and a copy of the file with them."""

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray

from features.errors import ConfigError
from models.resistance_model import ResistanceModel
from pipelines.cells.figures import CellPicture, cell_figures
from pipelines.cells.prepared import PreparedCells
from pipelines.cells.scores import cells_at, score_parts, scores_of_cells
from pipelines.figures.style import png_bytes
from pipelines.files import replaced_when_done
from pipelines.scoring.scored_cohort import ScoredCohort
from pipelines.tracking import LoadedModel

__all__ = ["draw_cells", "write_cells"]

_TABLE = "cells.parquet"
_SCORES_KEY = "X_oncoresist"
_UMAP_KEY = "X_umap_oncoresist"
_FACTS_KEY = "oncoresist_scoring"
_EXPLAINED = 1000
_WORDS = (
    "Scores of single cells, research use only. oncoresist_resistance: how much a cell looks like "
    "those of resistant samples, in (0, 1), uncalibrated; 0.5 says nothing either way. "
    f"obsm['{_SCORES_KEY}']: marker scores, columns in score_names."
)


def draw_cells(scored: ScoredCohort, model: ResistanceModel) -> dict[str, bytes]:
    """Return name → PNG of the single cells behind a scored cohort; empty of bulk."""
    prepared = scored.cohort.cells
    if prepared is None:
        return {}
    resistance, words, attributions = None, "", None
    if model.cells is not None:
        resistance = scores_of_cells(prepared, model.cells)
        seen = " It was trained on these samples." if scored.in_sample else ""
        words = f"Resistance: by the cell-level model, uncalibrated.{seen}"
        kept = np.flatnonzero(prepared.samples >= 0)
        rng = np.random.default_rng(0)
        chosen = np.sort(rng.permutation(kept)[:_EXPLAINED])
        table = cells_at(prepared, chosen).set_index("cell_id")
        wanted = table.reindex(columns=list(model.cells.feature_names)).astype(float)
        attributions = model.cells.explain(wanted)
    labels = scored.resistant.astype(float)
    explained = words.replace("Resistance: by the", "The")
    picture = CellPicture(prepared, labels, resistance, words, attributions, explained)
    figures = cell_figures(picture, catalogue=model.catalogue, setting=model.setting)
    return {name: png_bytes(figure) for name, figure in figures.items()}


def write_cells(scored: ScoredCohort, loaded: LoadedModel, folder: Path) -> list[Path]:
    """Write ``cells.parquet`` and a copy of the cells' file with the scores in it.

    The copy (``<name>.scored.h5ad`` or ``.zarr``) holds all that the file held, and in ``obs`` the
    cell's type with its confidence, sample, resistance, and the probability and call of its
    sample; in ``obsm`` the marker scores and the map; in ``uns`` what they are. Both are written in
    parts.

    Returns
    -------
    paths
        What was written; nothing of bulk.

    Raises
    ------
    ConfigError
        A file cannot be written.
    """
    prepared = scored.cohort.cells
    if prepared is None:
        return []
    model = loaded.model
    resistance = None if model.cells is None else scores_of_cells(prepared, model.cells)
    table = folder / _TABLE
    with replaced_when_done(table) as temporary:
        _write_table(prepared, resistance, temporary)
    return [table, _write_copy(prepared, scored, loaded, resistance, folder)]


def _confidence(prepared: PreparedCells) -> NDArray[np.float32]:
    if prepared.annotation is None:
        return np.full(len(prepared.samples), np.nan, dtype=np.float32)
    return np.asarray(prepared.annotation.confidence, dtype=np.float32)


def _write_table(
    prepared: PreparedCells, resistance: NDArray[np.float32] | None, path: Path
) -> None:
    confidence = _confidence(prepared)
    writer: pq.ParquetWriter | None = None
    try:
        for start, part in score_parts(prepared):
            rows = slice(start, start + len(part))
            part.insert(3, "type_confidence", confidence[rows])
            if resistance is not None:
                part.insert(4, "resistance", resistance[rows])
            found = pa.Table.from_pandas(part, preserve_index=False)
            if writer is None:
                writer = pq.ParquetWriter(path, found.schema, compression="zstd")
            writer.write_table(found.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()


def _write_copy(
    prepared: PreparedCells,
    scored: ScoredCohort,
    loaded: LoadedModel,
    resistance: NDArray[np.float32] | None,
    folder: Path,
) -> Path:
    source = prepared.path
    target = folder / f"{source.stem}.scored{source.suffix}"
    if target.resolve() == source.resolve():
        raise ConfigError(f"{target} is the file that was scored; choose another output")
    if source.is_dir():
        temporary = target.with_name(f".{target.name}.part")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(source, temporary, copy_function=shutil.copyfile)
            for folder in (temporary, *(path for path in temporary.rglob("*") if path.is_dir())):
                folder.chmod(_new_file_mode(folder=True))
            store = zarr.open_group(temporary, mode="r+", use_consolidated=False)
            _add_scores(store, prepared, scored, loaded, resistance)
            zarr.consolidate_metadata(temporary)
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
        except OSError as error:
            raise ConfigError(
                f"{target} cannot be written: {error}; choose another output"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target
    with replaced_when_done(target) as temporary:
        shutil.copyfile(source, temporary)
        temporary.chmod(_new_file_mode())
        with h5py.File(temporary, "r+") as file:
            _add_scores(file, prepared, scored, loaded, resistance)
    return target


def _new_file_mode(*, folder: bool = False) -> int:
    """Return the mode that a new file gets: the copy of a file is no more open than others."""
    mask = os.umask(0)
    os.umask(mask)
    return (0o777 if folder else 0o666) & ~mask


def _add_scores(
    file: Any,
    prepared: PreparedCells,
    scored: ScoredCohort,
    loaded: LoadedModel,
    resistance: NDArray[np.float32] | None,
) -> None:
    """Write the cells' columns, scores and map into an open store, over those of an earlier one."""
    if "column-order" not in getattr(file["obs"], "attrs", {}):
        _rewrite_obs(file)
    obs = file["obs"]
    order = [str(name) for name in obs.attrs["column-order"]]
    for name, values in _columns(prepared, scored, resistance):
        if name in obs:
            del obs[name]
        ad.io.write_elem(obs, name, values)
        if name not in order:
            order.append(name)
    obs.attrs["column-order"] = order
    for key in ("obsm", "uns"):
        if key not in file:
            ad.io.write_elem(file, key, {})
    markers = prepared.measured_markers
    _write_scores(file["obsm"], prepared, markers)
    if prepared.view is not None:
        umap = np.full((len(prepared.samples), 2), np.nan, dtype=np.float32)
        umap[prepared.positions] = prepared.view.umap
        _replace(file["obsm"], _UMAP_KEY, umap)
    facts = {
        "model_uri": loaded.uri,
        "model_version": str(loaded.version or ""),
        "score_names": np.asarray(markers, dtype=object),
        "words": _WORDS,
    }
    _replace(file["uns"], _FACTS_KEY, facts)


def _rewrite_obs(file: Any) -> None:
    """Write ``obs`` in the present layout, where an earlier anndata wrote it as one array."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = ad.io.read_elem(file["obs"])
    if isinstance(whole, np.ndarray):
        whole = pd.DataFrame.from_records(whole, index=whole.dtype.names[0])
        whole.index = pd.Index([_as_text(name) for name in whole.index])
        for name in whole:
            if whole[name].dtype == object:
                whole[name] = [_as_text(value) for value in whole[name]]
    _replace(file, "obs", whole)


def _as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _replace(group: Any, key: str, value: Any) -> None:
    if key in group:
        del group[key]
    ad.io.write_elem(group, key, value)


def _columns(
    prepared: PreparedCells, scored: ScoredCohort, resistance: NDArray[np.float32] | None
) -> Iterator[tuple[str, Any]]:
    """Give the columns of ``obs``: name and values (n_cells,)."""
    samples = prepared.samples
    predictions = scored.predictions.set_index("sample_id")
    own = predictions.reindex(list(prepared.sample_names))
    yield "oncoresist_type", pd.Categorical(prepared.type_names)
    yield "oncoresist_type_confidence", _confidence(prepared)
    yield (
        "oncoresist_sample",
        pd.Categorical(np.asarray([*prepared.sample_names, None], dtype=object)[samples]),
    )
    if resistance is not None:
        yield "oncoresist_resistance", resistance
    probability = own["probability"].to_numpy(dtype=np.float32)
    yield (
        "oncoresist_sample_probability",
        np.where(samples >= 0, probability[samples], np.nan).astype(np.float32),
    )
    calls = np.asarray([*own["call"].astype(object), None], dtype=object)
    yield "oncoresist_sample_call", pd.Categorical(calls[samples])


def _write_scores(group: Any, prepared: PreparedCells, markers: list[str]) -> None:
    """Write the marker scores (n_cells, n_markers) part by part."""
    shape = (len(prepared.samples), len(markers))
    empty = np.empty((0, len(markers)), dtype=np.float32)
    _replace(group, _SCORES_KEY, empty)
    attributes = dict(group[_SCORES_KEY].attrs)
    del group[_SCORES_KEY]
    made = {"shape": shape, "dtype": np.float32, "chunks": (min(4096, shape[0]), shape[1])}
    maker = group.create_dataset if isinstance(group, h5py.Group) else group.create_array
    dataset = maker(_SCORES_KEY, **made)
    dataset.attrs.update(attributes)
    for start, part in score_parts(prepared):
        dataset[start : start + len(part)] = part[markers].to_numpy(dtype=np.float32)
