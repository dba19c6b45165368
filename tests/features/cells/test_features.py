"""Features of single cells: entries that hold, and the catalogue that a model of cells carries."""

from pathlib import Path

import pytest

from features.catalogue import Catalogue
from features.catalogue_entries import SETTINGS
from features.cells.cell_types import COMPARTMENTS
from features.cells.features import (
    ALL_CELLS,
    CELL_SECTION,
    CellFeature,
    cell_catalogue,
    default_cell_features,
    in_compartment,
    load_cell_features,
)
from features.errors import CatalogueError

ENTRY = """
features:
  - id: made_share
    name: A made-up share
    measure: composition
    compartment: b_cell
    genes: [MS4A1]
    mechanism: effector_lymphocytes
    sign: "-"
    evidence: class
    sources: [{source: wang_2025, paraphrase: Nothing but a test says so at all.}]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "features.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_feature_names_what_the_catalogue_knows(catalogue: Catalogue) -> None:
    features = default_cell_features()
    assert len({feature.id for feature in features}) == len(features)
    compartments, markers = {*COMPARTMENTS, ALL_CELLS}, set(catalogue.marker_ids)
    genes = set(catalogue.gene_symbols)
    for feature in features:
        assert {feature.compartment, feature.among} <= compartments
        assert feature.mechanism in catalogue.mechanisms.values()
        assert feature.marker is None or feature.marker in markers
        assert feature.id not in markers
        assert set(feature.genes) <= genes


def test_each_source_is_one_of_the_catalogue_and_says_what_it_says(catalogue: Catalogue) -> None:
    known = {source.key for source in catalogue.sources}
    for feature in default_cell_features():
        for citation in feature.sources:
            assert citation.source in known
            assert len(citation.paraphrase) > 20


def test_no_sign_rests_on_the_cohort_that_models_are_validated_on() -> None:
    for feature in default_cell_features():
        if {citation.source for citation in feature.sources} == {"sade_feldman_2018"}:
            assert feature.sign == "·"
            assert not feature.sign_by_setting


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_catalogue_of_cells_has_an_entry_for_everything_that_is_read(
    setting: str, catalogue: Catalogue
) -> None:
    features = default_cell_features()
    found = cell_catalogue(catalogue, setting=setting, cell_features=features)
    entries = {marker.id: marker for marker in found.markers}
    assert set(catalogue.marker_ids) <= set(entries)
    for feature in features:
        assert entries[feature.id].section == CELL_SECTION
        assert entries[feature.id].genes
    for marker in catalogue.markers_of(setting):
        placed = in_compartment(marker.id, marker.compartment)
        inside = marker.compartment in COMPARTMENTS and marker.by_drug is None
        assert (placed in entries) == inside


def test_a_sign_that_holds_in_single_cells_is_that_of_the_compartment(
    catalogue: Catalogue,
) -> None:
    found = cell_catalogue(catalogue, setting="ici", cell_features=default_cell_features())
    signs = found.signs("ici")
    assert signs["exhaustion"] == 0
    assert signs["exhaustion_in_t_cell"] == signs["exhaustion_in_cd8_t"] == 1
    assert signs["b_cells_share"] == signs["mhc_class_i_in_malignant"] == -1
    assert signs["tcf7"] == signs["tcf7_cd8_share"] == 0


@pytest.mark.parametrize(("setting", "sign"), [("ici", 0), ("adc", 1), ("hcc", 1), ("sclc", 0)])
def test_a_sign_may_hold_in_one_setting_alone(
    setting: str, sign: int, catalogue: Catalogue
) -> None:
    found = cell_catalogue(catalogue, setting=setting, cell_features=default_cell_features())
    assert found.signs(setting)["abc_high_malignant_share"] == sign


def test_features_of_a_file_come_as_they_stand(tmp_path: Path) -> None:
    (feature,) = load_cell_features(written(tmp_path, ENTRY))
    assert feature == CellFeature.model_validate(feature.model_dump())
    assert (feature.id, feature.measure, feature.among) == ("made_share", "composition", ALL_CELLS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ENTRY.replace("composition", "spread"), "measure 'spread' needs a marker"),
        (ENTRY.replace("composition", "low"), "measure 'low' needs a marker"),
        (
            ENTRY.replace("composition", "expression\n    marker: tim3"),
            "takes either a marker or genes",
        ),
        (
            ENTRY.replace("composition", "detected").replace("    genes: [MS4A1]\n", ""),
            "measure 'detected' needs genes",
        ),
        (ENTRY.replace("made_share", "Made Share"), "features.yaml: id: "),
        (ENTRY + "    colour: red\n", "colour: Extra inputs are not permitted"),
        ("features: 3", "give a list under features"),
        ("elsewhere: []", "give a list under features"),
        ("features: [", "give a list under features"),
    ],
)
def test_a_faulty_file_of_features_is_named_with_the_fault(
    text: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(CatalogueError, match=words):
        load_cell_features(written(tmp_path, text))


def test_a_missing_file_of_features_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"nowhere\.yaml"):
        load_cell_features(tmp_path / "nowhere.yaml")
