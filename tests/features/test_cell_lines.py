"""One identity for a cell line, however a data set spells it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from features.cell_lines import SAME_DONOR, line_identity, unite_by_cosmic


@pytest.mark.parametrize(
    "spellings",
    [
        ("BR:MCF7", "MCF7", "MCF-7", "mcf 7", " MCF_7 "),
        ("LC:NCI_H23", "NCI-H23", "H23", "nci h23"),
        ("LC:A549", "A549/ATCC", "A-549"),
        ("BR:MDA_MB_231", "MDA-MB-231/ATCC", "MDAMB231"),
        ("OV:NCI_ADR_RES", "NCI/ADR-RES", "OVCAR-8", "OV:OVCAR_8"),
        ("ME:M14", "ME:MDA_N", "MDA-MB-435S", "MDA_MB_435"),
        ("CNS:SNB_19", "U251", "U251-MG"),
        ("T-T", "T.T"),
    ],
)
def test_spellings_of_a_line_and_lines_of_one_donor_are_one(spellings):
    assert len({line_identity(name) for name in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("T-T", "TT"),  # oesophagus and thyroid, both in GDSC
        ("KM-H2", "KMH-2"),  # Hodgkin lymphoma and thyroid
        ("NCI-H23", "NCI-H226"),
        ("OVCAR-5", "OVCAR-8"),
        ("HS578T", "HS578"),
        ("A549", "A54"),
    ],
)
def test_lines_of_different_tumours_stay_two(one, other):
    assert line_identity(one) != line_identity(other)


@given(st.text(alphabet="ABH0123-_ /:", max_size=10))
def test_an_identity_is_its_own_identity_and_case_is_nothing(name):
    found = line_identity(name)
    assert line_identity(found) == found
    if any(letter.isalnum() for letter in found):
        assert line_identity(name.lower()) == found


def test_a_name_of_signs_alone_is_kept():
    assert line_identity("-?-") == "-?-"


def test_donors_are_named_by_identities_that_no_other_donor_has():
    for name, donor in SAME_DONOR.items():
        assert line_identity(name) == line_identity(donor) == donor


IDS = st.lists(
    st.tuples(st.sampled_from("ABCDEFGH"), st.sampled_from(["", "", "1", "2", "3", "4"])),
    min_size=1,
    max_size=20,
)


@settings(max_examples=30, deadline=None)
@given(IDS)
def test_lines_are_the_connected_parts_of_names_and_cosmic_ids(pairs):
    lines = pd.DataFrame(pairs, columns=["line", "cosmic_id"])
    found = unite_by_cosmic(lines)
    known = lines[lines["cosmic_id"] != ""]
    nodes = sorted({*lines["line"], *known["cosmic_id"]})
    edges = (
        [nodes.index(name) for name in known["line"]],
        [nodes.index(cosmic) for cosmic in known["cosmic_id"]],
    )
    graph = coo_matrix((np.ones(len(known)), edges), shape=(len(nodes), len(nodes)))
    part = connected_components(graph, directed=False)[1]
    parts = lines["line"].map(lambda name: part[nodes.index(name)])
    first = lines["line"].groupby(parts.to_numpy()).transform("min")
    pd.testing.assert_series_equal(found, first, check_names=False)


@settings(max_examples=30, deadline=None)
@given(IDS, st.randoms())
def test_the_order_of_rows_is_nothing(pairs, random):
    lines = pd.DataFrame(pairs, columns=["line", "cosmic_id"])
    order = list(range(len(lines)))
    random.shuffle(order)
    moved = unite_by_cosmic(lines.iloc[order])
    pd.testing.assert_series_equal(moved.sort_index(), unite_by_cosmic(lines))
