"""docs/cell_types.md: every type with its markers and sources; agreement where files are there."""

from pathlib import Path

from features.catalogue import Catalogue
from features.cells.cell_types import CELL_TYPES, cell_type_catalogue
from pipelines.cells.annotation_page import cell_types_page


def test_every_type_stands_on_the_page_with_its_markers_and_sources(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    page = cell_types_page(tmp_path, catalogue=catalogue)
    known = cell_type_catalogue()
    for name in CELL_TYPES:
        assert f"| `{name}` " in page
    for found in known.types:
        for genes in found.signatures.values():
            assert " ".join(genes) in page
        for citation in found.sources:
            assert f"doi:{known.sources[citation.source].doi}" in page
    assert "Agreement" not in page
    assert not any(line.endswith(" ") for line in page.splitlines())
