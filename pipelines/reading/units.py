"""The unit of a cohort's values: as its file says, where they can be that, or as they show."""

import numpy as np

from features.errors import CohortError
from features.units import Unit, UnitFinding, detect_unit
from pipelines.settings.cohort import CohortConfig

__all__ = ["unit_of"]

_HIGHEST_LOGARITHM = 50.0
_ROUNDING = 0.01
"""How far below log2 of the pseudo-count a file may round the values of undetected genes."""


def unit_of(values: np.ndarray, config: CohortConfig) -> UnitFinding:
    """Return the unit that the configuration states, checked, or the one that values show.

    Raises
    ------
    CohortError
        The unit cannot be told, or the values contradict the one stated.
    """
    if config.unit == "auto":
        try:
            return detect_unit(values)
        except CohortError as error:
            raise CohortError(f"cohort '{config.name}': {error}") from error
    stated: Unit = config.unit
    pseudocount = 1.0 if config.pseudocount is None else config.pseudocount
    finding = UnitFinding(
        stated,
        pseudocount if stated == "log2_tpm" else 0.0,
        "stated in the configuration",
        stated=True,
    )
    _refuse_contradiction(values[np.isfinite(values)], finding, config.name)
    return finding


def _refuse_contradiction(finite: np.ndarray, finding: UnitFinding, name: str) -> None:
    """Refuse a stated logarithm that the values cannot be."""
    where = f"cohort '{name}': unit {finding.unit} is stated, but the"
    if finding.unit in ("counts", "tpm", "gene_scaled"):
        return
    if finite.max() > _HIGHEST_LOGARITHM:
        raise CohortError(
            f"{where} highest value is {finite.max():.4g}, which no logarithm reaches; state the "
            "unit the values are in, or auto"
        )
    floor = 0.0
    if finding.unit == "log2_intensity" or (
        finding.unit == "log2_tpm" and finding.pseudocount == 0
    ):
        return
    if finding.unit == "log2_tpm":
        floor = float(np.log2(finding.pseudocount))
    if finite.min() < floor - _ROUNDING:
        raise CohortError(
            f"{where} lowest value is {finite.min():.4g}, below the {floor:.4g} of a gene without "
            "expression; state the pseudocount that was added, or log2_intensity for values "
            "corrected after the logarithm"
        )
