"""The programmes that tell the subtypes of small-cell lung cancer, and which of them are there."""

from collections.abc import Mapping, Sequence

import pandas as pd

from features.catalogue import Catalogue, default_catalogue

__all__ = [
    "FACTORS",
    "INFLAMED",
    "LEAST_COVERAGE",
    "PROGRAMMES",
    "UNKNOWN",
    "programme_genes",
    "subtype_caveats",
]

PROGRAMMES = {"SCLC-A": "sclc_a", "SCLC-N": "sclc_n", "SCLC-P": "sclc_p", "SCLC-Y": "sclc_y"}
"""Subtype → the marker of the catalogue that holds its programme."""
FACTORS = {"sclc_a": "ASCL1", "sclc_n": "NEUROD1", "sclc_p": "POU2F3", "sclc_y": "YAP1"}
"""Programme → the factor that defines its subtype (doi:10.1038/s41568-019-0133-9)."""
INFLAMED = "sclc_inflamed"
"""Marker of the inflamed state, which is laid over the four subtypes."""
UNKNOWN = "unknown"
"""In the place of a subtype where none is told."""
LEAST_COVERAGE = 0.5
"""Least share of the inflamed state's genes for it to be told."""


def programme_genes(catalogue: Catalogue | None = None) -> dict[str, tuple[str, ...]]:
    """Return programme → genes, of the four subtypes and the inflamed state.

    A catalogue of one's own that lacks a programme gives it no genes.

    Examples
    --------
    >>> programme_genes()["sclc_a"]
    ('ASCL1', 'DLL3', 'GRP', 'SOX1')
    """
    genes = {marker.id: marker.genes for marker in (catalogue or default_catalogue()).markers}
    return {name: genes.get(name, ()) for name in (*PROGRAMMES.values(), INFLAMED)}


def subtype_caveats(
    measured: pd.DataFrame, *, programmes: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return for each sample what its call does not rest on.

    Parameters
    ----------
    measured
        (n_samples, n_genes), true or false; a column for every gene of the programmes.
    programmes
        Programme → genes, as :func:`programme_genes` gives.
    """
    patterns = [tuple(row) for row in measured.to_numpy()]
    known = {
        pattern: _caveat(
            {str(gene) for gene, there in zip(measured, pattern, strict=True) if there}, programmes
        )
        for pattern in dict.fromkeys(patterns)
    }
    return [known[pattern] for pattern in patterns]


def _caveat(found: set[str], programmes: Mapping[str, Sequence[str]]) -> str:
    parts = []
    for subtype, name in PROGRAMMES.items():
        own = programmes[name]
        there = sum(gene in found for gene in own)
        if not there:
            parts.append(f"{subtype} can neither win nor lose: no gene of {name} is measured")
        elif FACTORS[name] not in found:
            parts.append(f"{subtype} without {FACTORS[name]}, by {there} of {len(own)} genes")
        elif there < LEAST_COVERAGE * len(own):
            parts.append(f"{subtype} by {there} of {len(own)} genes")
    inflamed = programmes[INFLAMED]
    if sum(gene in found for gene in inflamed) < LEAST_COVERAGE * len(inflamed) or not inflamed:
        parts.append("inflamed not told: fewer than half of its genes are measured")
    return "; ".join(parts)
