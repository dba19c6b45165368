"""The catalogue in other forms: each is read back by what it is written for."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import decoupler as dc
import numpy as np
import pandas as pd
import pytest
import yaml
from jsonschema import Draft202012Validator
from scipy import stats

from features.catalogue import Catalogue, Marker, default_catalogue, load_catalogue
from features.catalogue_entries import SETTINGS
from features.catalogue_export import catalogue_yaml, file_schema, gmt, network
from pipelines.reports.markers import catalogue_page

DOCS = Path(__file__).resolve().parents[2] / "docs"
PACKAGED = Path(default_catalogue.__wrapped__.__code__.co_filename).parent / "catalogue"
OTHER_PARTS = ("genes", "sources", "payload_classes", "payloads", "drugs", "not_in_expression")
OWN: dict[str, Any] = {
    "version": "1",
    "section": "Ours",
    "genes": {"ZYX": {"ensembl_id": "ENSG00000159840", "entrez_id": 7791}},
    "markers": [
        {
            "id": "zyxin",
            "name": "Zyxin",
            "mechanism": "cytoskeleton",
            "genes": ["ZYX", "PTEN"],
            "weights": {"ZYX": 2},
            "score": "weighted",
            "sign": "+",
            "sign_by_setting": {"hcc": "·"},
            "compartment": "malignant",
            "evidence": "field",
            "sources": [{"source": "wang_2025", "paraphrase": "It names the mechanism."}],
        }
    ],
    "drugs": {
        "glumab": {
            "name": "Glumab",
            "drug_class": "antibody",
            "sources": [{"source": "wang_2025", "paraphrase": "It names the drug once."}],
        }
    },
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """The packaged catalogue with a marker that has weights."""
    path = tmp_path_factory.mktemp("own") / "own.yaml"
    path.write_text(yaml.safe_dump(OWN, allow_unicode=True), encoding="utf-8")
    return load_catalogue(path)


def without_section(markers: tuple[Marker, ...]) -> list[dict[str, Any]]:
    return [marker.model_dump(exclude={"section"}) for marker in markers]


def marker_of(catalogue: Catalogue, marker_id: str) -> Marker:
    return next(marker for marker in catalogue.markers if marker.id == marker_id)


# --- YAML


@pytest.fixture(scope="module", params=[None, "ici", "adc", "sclc"], ids=str)
def exported(
    request: pytest.FixtureRequest, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str | None, Catalogue]:
    """A setting (None: all) and its YAML export, loaded again."""
    path = tmp_path_factory.mktemp("export") / "markers.yaml"
    path.write_text(catalogue_yaml(catalogue, setting=request.param), encoding="utf-8")
    return request.param, load_catalogue(path)


def test_an_export_loads_to_the_same_markers(
    exported: tuple[str | None, Catalogue], catalogue: Catalogue
) -> None:
    setting, loaded = exported
    assert without_section(loaded.markers) == without_section(catalogue.markers_of(setting))
    assert len({marker.section for marker in loaded.markers}) == 1


def test_an_export_loads_to_the_same_other_entries(
    exported: tuple[str | None, Catalogue], catalogue: Catalogue
) -> None:
    _, loaded = exported
    assert loaded.version == catalogue.version
    assert {part: getattr(loaded, part) for part in OTHER_PARTS} == {
        part: getattr(catalogue, part) for part in OTHER_PARTS
    }


def test_an_export_keeps_the_signs_and_strategies_of_its_markers(
    exported: tuple[str | None, Catalogue], catalogue: Catalogue
) -> None:
    setting, loaded = exported
    assert setting is None or loaded.signs(setting) == catalogue.signs(setting)
    for mechanism in set(loaded.mechanisms.values()):
        expected = [strategy.id for strategy in catalogue.strategies_for(mechanism)]
        assert [strategy.id for strategy in loaded.strategies_for(mechanism)] == expected


def test_an_export_of_an_own_catalogue_keeps_its_weights(own: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "markers.yaml"
    path.write_text(catalogue_yaml(own), encoding="utf-8")
    loaded = load_catalogue(path)
    assert marker_of(loaded, "zyxin").weights == {"ZYX": 2}
    assert loaded.version == own.version


# --- GMT


def parsed_gmt(text: str) -> dict[str, tuple[str, list[str]]]:
    """Return description and genes by name, as GSEA reads them."""
    lines = [line.split("\t") for line in text.splitlines()]
    assert all(len(fields) >= 3 for fields in lines)
    assert all(field and field == field.strip() for fields in lines for field in fields)
    sets = {name: (description, genes) for name, description, *genes in lines}
    assert len(sets) == len(lines)
    return sets


@pytest.mark.parametrize("setting", [None, *SETTINGS])
def test_gene_sets_hold_every_marker_of_the_setting(
    catalogue: Catalogue, setting: str | None
) -> None:
    sets = parsed_gmt(gmt(catalogue, setting=setting))
    names = {name.removesuffix("_minus").split(".")[0] for name in sets}
    assert names == {marker.id for marker in catalogue.markers_of(setting)}


def test_gene_sets_have_the_genes_of_their_markers(catalogue: Catalogue) -> None:
    sets = parsed_gmt(gmt(catalogue))
    for marker in catalogue.markers:
        if marker.by_drug is None:
            assert tuple(sets[marker.id][1]) == marker.genes
            assert marker.name in sets[marker.id][0]


def test_subtracted_genes_stand_in_a_set_of_their_own(catalogue: Catalogue) -> None:
    sets = {name: genes for name, (_, genes) in parsed_gmt(gmt(catalogue)).items()}
    assert sets["pi3k_akt_minus"] == ["PTEN"]
    assert sets["cd8_treg_ratio_minus"] == ["FOXP3"]
    assert sets["compensatory_checkpoints_minus"] == ["PDCD1"]
    assert "b2m_minus" not in sets


def test_gene_sets_that_the_drug_chooses_are_named_after_it(catalogue: Catalogue) -> None:
    sets = {name: genes for name, (_, genes) in parsed_gmt(gmt(catalogue)).items()}
    assert sets["target_antigen.trastuzumab_emtansine"] == ["ERBB2"]
    assert sets["payload_efflux.trastuzumab_emtansine"] == ["ABCB1", "ABCC1"]
    assert sets["payload_target.sacituzumab_govitecan"] == ["TDP1"]
    assert sets["payload_target.sacituzumab_govitecan_minus"] == ["TOP1", "SLFN11"]
    assert sets["payload_target.gemtuzumab_ozogamicin_minus"] == ["SLFN11"]
    assert "payload_target.gemtuzumab_ozogamicin" not in sets
    assert "payload_efflux.belantamab_mafodotin" not in sets
    assert "target_antigen.nivolumab" not in sets


# --- network


def weights_of(net: pd.DataFrame, name: str) -> dict[str, float]:
    return net[net["source"] == name].set_index("target")["weight"].to_dict()


def test_the_network_weighs_genes_plus_one_and_subtracted_genes_minus_one(
    catalogue: Catalogue,
) -> None:
    net = network(catalogue)
    assert weights_of(net, "b2m") == {"B2M": 1.0}
    assert weights_of(net, "slfn11_parp") == {"PARP1": 1.0, "CHEK1": 1.0, "SLFN11": -1.0}
    assert weights_of(net, "cd8_treg_ratio") == {"CD8A": 1.0, "CD8B": 1.0, "FOXP3": -1.0}
    excess = weights_of(net, "compensatory_checkpoints")
    assert excess.pop("PDCD1") == -1.0
    assert set(excess.values()) == {1.0}
    assert len(excess) == 8


def test_the_network_has_a_set_for_each_drug_that_chooses_genes(catalogue: Catalogue) -> None:
    net = network(catalogue, setting="adc")
    target = {"TDP1": 1.0, "TOP1": -1.0, "SLFN11": -1.0}
    assert weights_of(net, "target_antigen.enfortumab_vedotin") == {"NECTIN4": 1.0}
    assert weights_of(net, "payload_efflux.enfortumab_vedotin") == {"ABCB1": 1.0}
    assert weights_of(net, "payload_target.trastuzumab_deruxtecan") == target
    assert weights_of(net, "payload_target.loncastuximab_tesirine") == {"SLFN11": -1.0}
    assert not weights_of(net, "payload_target.trastuzumab")
    assert not weights_of(net, "payload_target")


def test_the_network_carries_the_weights_of_an_own_marker(own: Catalogue) -> None:
    assert weights_of(network(own), "zyxin") == {"ZYX": 2.0, "PTEN": 1.0}


@pytest.mark.parametrize("setting", [None, *SETTINGS])
def test_the_network_and_the_gene_sets_hold_the_same(
    catalogue: Catalogue, setting: str | None
) -> None:
    net = network(catalogue, setting=setting)
    signed = {(s, t, w > 0) for s, t, w in net.itertuples(index=False)}
    from_sets = {
        (name.removesuffix("_minus"), gene, not name.endswith("_minus"))
        for name, (_, genes) in parsed_gmt(gmt(catalogue, setting=setting)).items()
        for gene in genes
    }
    assert signed == from_sets
    assert not net.duplicated(["source", "target"]).any()


@pytest.mark.slow  # compiles decoupler's code
def test_decoupler_reads_the_network_as_it_is_meant(catalogue: Catalogue) -> None:
    # ULM's score is the t value of the sample's values regressed on the weights of all genes
    net = network(catalogue)
    genes = list(catalogue.gene_symbols)
    samples = pd.DataFrame(
        np.random.default_rng(0).normal(size=(3, len(genes))), index=list("abc"), columns=genes
    )
    scores, _ = dc.mt.ulm(data=samples, net=net, tmin=1)
    assert set(scores.columns) == set(net["source"])
    for name in ("pi3k_akt", "compensatory_checkpoints", "payload_target.trastuzumab_deruxtecan"):
        weights = pd.Series(weights_of(net, name)).reindex(genes, fill_value=0.0)
        fit = stats.linregress(weights, samples.loc["a"])
        assert scores.loc["a", name] == pytest.approx(fit.slope / fit.stderr, rel=1e-6)


# --- schema


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = file_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def faults(validator: Draft202012Validator, content: object) -> list[str]:
    return [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(content)]


@pytest.mark.parametrize("file", sorted(PACKAGED.glob("*.yaml")), ids=lambda file: file.name)
def test_every_packaged_file_keeps_to_the_schema(
    validator: Draft202012Validator, file: Path
) -> None:
    # the schema is that of a user's file; in the packaged folder one file has the version of all
    found = faults(validator, {"version": "1", **yaml.safe_load(file.read_text(encoding="utf-8"))})
    assert not found


def test_an_own_file_keeps_to_the_schema(validator: Draft202012Validator) -> None:
    assert not faults(validator, OWN)
    assert not faults(validator, {**OWN, "extends": "nothing"})
    assert not faults(validator, {**OWN, "version": 1.5})


def test_an_export_keeps_to_the_schema(
    validator: Draft202012Validator, catalogue: Catalogue
) -> None:
    assert not faults(validator, yaml.safe_load(catalogue_yaml(catalogue, setting="sclc")))


def changed(path: str, value: object) -> dict[str, Any]:
    """Return :data:`OWN` with the value at a dotted path changed; None takes it out."""
    content = copy.deepcopy(OWN)
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place: Any = content
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


FAULTY = {
    "part unknown": ("marker", [], r"'marker' was unexpected"),
    "version absent": ("version", None, r"'version' is a required property"),
    "section absent": ("section", None, r"'section' is a dependency of 'markers'"),
    "extends both": ("extends", "both", r"'both' is not one of"),
    "markers mapped": ("markers", {"a": {}}, r"is not of type 'array'"),
    "genes listed": ("genes", ["ZYX"], r"is not of type 'object'"),
    "genes empty": ("genes", {}, r"should be non-empty|does not have enough properties"),
    "field unknown": ("markers.0.surname", "x", r"'surname' was unexpected"),
    "field absent": ("markers.0.evidence", None, r"'evidence' is a required property"),
    "sign unknown": ("markers.0.sign", "?", r"'\?' is not one of"),
    "setting unknown": ("markers.0.sign_by_setting", {"liver": "+"}, r"'liver' is not one of"),
    "rule unknown": ("markers.0.score", "difference", r"'difference' is not one of"),
    "weight a fraction": ("markers.0.weights", {"ZYX": 0.5}, r"0\.5 is not of type 'integer'"),
    "no sources": ("markers.0.sources", [], r"should be non-empty|is too short"),
    "id ill-formed": ("markers.0.id", "T cells", r"'T cells' does not match"),
    "section inside": ("markers.0.section", "Ours", r"'section' was unexpected"),
    "symbol inside": ("genes.ZYX.symbol", "ZYX", r"'symbol' was unexpected"),
    "Ensembl id ill-formed": ("genes.ZYX.ensembl_id", "ENSG1", r"'ENSG1' does not match"),
    "Entrez id zero": ("genes.ZYX.entrez_id", 0, r"0 is less than or equal to the minimum of 0"),
    # Fixed: the pattern of ids was lost where the id is the key of its entry.
    "drug id ill-formed": ("drugs", {"T-DM1": OWN["drugs"]["glumab"]}, r"'T-DM1' does not match"),
}


@pytest.mark.parametrize(("path", "value", "message"), FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_file_breaks_the_schema(
    validator: Draft202012Validator, path: str, value: object, message: str
) -> None:
    found = faults(validator, changed(path, value))
    assert any(re.search(message, fault) for fault in found), found


def property_descriptions(schema: object) -> Iterator[tuple[str, bool]]:
    """Yield every property of a schema and whether it is described."""
    if isinstance(schema, dict):
        for name, entry in schema.get("properties", {}).items():
            yield name, bool(entry.get("description"))
        for entry in schema.values():
            yield from property_descriptions(entry)


def test_the_schema_describes_every_field() -> None:
    assert not [name for name, described in property_descriptions(file_schema()) if not described]


# --- the pages in docs/


def test_the_published_schema_is_fresh() -> None:
    text = (DOCS / "catalogue.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == file_schema(), "run make docs"


def test_the_published_page_is_fresh() -> None:
    text = (DOCS / "catalogue.md").read_text(encoding="utf-8")
    assert text == catalogue_page(default_catalogue()), "run make docs"


def test_the_page_names_every_entry(catalogue: Catalogue) -> None:
    page = catalogue_page(catalogue)
    assert [m.id for m in catalogue.markers if f"### {m.id}\n" not in page] == []
    assert [d.id for d in catalogue.drugs if f"| {d.name} |" not in page] == []
    assert [p.id for p in catalogue.payloads if f"| {p.name} |" not in page] == []
    assert [s.id for s in catalogue.strategies if f"### {s.name}\n" not in page] == []
    assert [e.id for e in catalogue.not_in_expression if f"| {e.name} |" not in page] == []
    assert [s.key for s in catalogue.sources if f"https://doi.org/{s.doi}" not in page] == []


def test_the_tables_of_the_page_have_as_many_cells_in_every_row(catalogue: Catalogue) -> None:
    tables = [
        [line.count(" | ") + line.count("|---") for line in block.splitlines()]
        for block in catalogue_page(catalogue).split("\n\n")
        if block.startswith("| ")
    ]
    assert len(tables) == 5
    for _, _, *rows in tables:
        assert len(set(rows)) == 1
