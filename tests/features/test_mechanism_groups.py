from collections import Counter

from features.mechanism_groups import MECHANISM_GROUPS, OTHER_GROUP, group_of, mechanism_groups


def test_every_mechanism_of_the_catalogue_belongs_to_exactly_one_named_group(catalogue):
    grouped = Counter(name for names in MECHANISM_GROUPS.values() for name in names)
    assert set(grouped) == set(catalogue.mechanisms.values())
    assert set(grouped.values()) == {1}


def test_every_marker_has_the_group_of_its_mechanism(catalogue):
    groups = mechanism_groups(catalogue)
    assert tuple(groups) == catalogue.marker_ids
    assert set(groups.values()) == set(MECHANISM_GROUPS)
    assert groups["b2m"] == group_of("antigen_presentation") == "tumour recognition"


def test_a_mechanism_of_a_users_own_stands_among_the_others():
    assert group_of("my_own_mechanism") == OTHER_GROUP
    assert OTHER_GROUP not in MECHANISM_GROUPS
