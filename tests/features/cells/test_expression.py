"""Blocks of cells reach one scale from every unit, sparse where zeros stay zeros."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from features.cells.expression import is_sparse, linear_block, log_block, log_columns
from features.units import Unit, UnitFinding

COUNTS = np.array([[0.0, 3.0, 7.0, 90.0], [0.0, 0.0, 0.0, 0.0], [5.0, 5.0, 0.0, 0.0]])
WANTED = np.log1p(1e4 * COUNTS / np.maximum(COUNTS.sum(axis=1, keepdims=True), 1))
UNITS = [
    (UnitFinding("counts", 0.0, "made"), COUNTS),
    (UnitFinding("tpm", 0.0, "made"), COUNTS),
    (UnitFinding("log2_tpm", 1.0, "made"), np.log2(COUNTS + 1)),
    (UnitFinding("log2_tpm", 0.25, "made"), np.log2(COUNTS + 0.25)),
    (UnitFinding("ln_tpm", 1.0, "made"), np.log1p(COUNTS)),
]


@pytest.mark.parametrize(("finding", "values"), UNITS)
@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
def test_every_linear_unit_reaches_the_same_logarithm(
    finding: UnitFinding, values: NDArray[np.float64], form: Callable[[Any], Any]
) -> None:
    block = form(values)
    kept = block.copy()
    logged = log_block(block, finding)
    dense = logged.toarray() if is_sparse(logged) else logged
    np.testing.assert_allclose(dense, WANTED, atol=1e-9)
    assert (block != kept).sum() == 0


@pytest.mark.parametrize(("finding", "values"), UNITS)
@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
def test_columns_are_those_of_the_whole_block(
    finding: UnitFinding, values: NDArray[np.float64], form: Callable[[Any], Any]
) -> None:
    found = log_columns(form(values), finding, columns=np.array([3, 1]))
    dense = found.toarray() if is_sparse(found) else found
    np.testing.assert_allclose(dense, WANTED[:, [3, 1]], atol=1e-9)


@pytest.mark.parametrize("unit", ["gene_scaled", "log2_intensity"])
def test_values_without_a_linear_scale_come_as_they_are(unit: Unit) -> None:
    finding = UnitFinding(unit, 0.0, "made")
    np.testing.assert_array_equal(linear_block(COUNTS - 3, finding), COUNTS - 3)
    np.testing.assert_array_equal(log_block(COUNTS - 3, finding), COUNTS - 3)


def test_what_was_not_measured_counts_as_nothing() -> None:
    values = COUNTS.copy()
    values[0, 3] = np.nan
    finding = UnitFinding("counts", 0.0, "made")
    wanted = log_block(np.nan_to_num(values), finding)
    np.testing.assert_allclose(log_block(values, finding), wanted)
    np.testing.assert_allclose(log_columns(values, finding, columns=np.arange(4)), wanted)


def test_a_zero_of_a_logarithm_without_a_pseudo_count_of_one_makes_the_block_dense() -> None:
    finding = UnitFinding("log2_tpm", 0.25, "made")
    assert not is_sparse(linear_block(sparse.csr_matrix(COUNTS), finding))
    assert is_sparse(linear_block(sparse.csr_matrix(COUNTS), UnitFinding("counts", 0.0, "made")))
