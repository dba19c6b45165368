"""Broad groups of mechanism classes: what a figure or a report can show at a glance."""

from collections.abc import Mapping
from types import MappingProxyType

from features.catalogue import Catalogue

__all__ = ["MECHANISM_GROUPS", "OTHER_GROUP", "group_of", "mechanism_groups"]

OTHER_GROUP = "other"
"""Group of a mechanism class that the packaged catalogue does not know."""

MECHANISM_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tumour recognition": (
            "antigen_presentation",
            "immunogenic_cell_death",
            "interferon_signalling",
        ),
        "T cells and checkpoints": (
            "costimulation_priming",
            "effector_lymphocytes",
            "inhibitory_checkpoints",
            "t_cell_state",
        ),
        "immunosuppressive microenvironment": (
            "angiogenesis",
            "immunosuppressive_signals",
            "myeloid_suppression",
            "regulatory_t_cells",
            "stroma",
        ),
        # Resistance to conjugates outside target and payload is signalling, cycle and repair.
        "tumour-intrinsic programmes": (
            "cell_death_evasion",
            "dna_damage_response",
            "epigenetic_silencing",
            "hypoxia_metabolism",
            "immune_resistance_marker",
            "noncoding_rna",
            "oncogenic_signalling",
            "other_adc_resistance",
            "plasticity",
            "proliferation",
            "stress_response",
        ),
        "drug target and handling": (
            "decreased_internalization",
            "drug_efflux",
            "lysosomal_dysfunction",
            "payload_sensitivity",
            "surface_targets",
            "target_antigen",
        ),
        "small-cell identity": ("neuroendocrine_state", "sclc_subtype"),
    }
)
"""Mechanism classes of each group; the groups stand in the order in which they are shown."""

_GROUP_OF = {
    mechanism: group for group, mechanisms in MECHANISM_GROUPS.items() for mechanism in mechanisms
}


def group_of(mechanism: str) -> str:
    """Return the group of a mechanism class; ``other`` for one of a user's own catalogue.

    Examples
    --------
    >>> group_of("antigen_presentation")
    'tumour recognition'
    >>> group_of("my_own_mechanism")
    'other'
    """
    return _GROUP_OF.get(mechanism, OTHER_GROUP)


def mechanism_groups(catalogue: Catalogue) -> dict[str, str]:
    """Return the group of every marker id of a catalogue.

    Examples
    --------
    >>> from features.catalogue import default_catalogue
    >>> mechanism_groups(default_catalogue())["pdl1"]
    'T cells and checkpoints'
    """
    return {marker: group_of(mechanism) for marker, mechanism in catalogue.mechanisms.items()}
