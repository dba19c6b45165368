"""Agreement of subtypes: figures against references, and the published calls of 46 lines."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from features.catalogue import Catalogue
from features.errors import CohortError
from features.subtype_programmes import FACTORS, PROGRAMMES
from pipelines.subtypes.agreement import agree_on_subtypes
from pipelines.subtypes.page import LinesOfCCLE, hold_against_ccle, sclc_subtypes_page


def made() -> tuple["pd.Series[str]", "pd.Series[str]"]:
    rng = np.random.default_rng(0)
    names = [f"s{i}" for i in range(60)]
    published = pd.Series(rng.choice(list(PROGRAMMES), 60, p=[0.5, 0.2, 0.1, 0.2]), names)
    called = published.where(rng.random(60) < 0.7, "SCLC-A").where(rng.random(60) < 0.9, "unknown")
    return called, published


def test_figures_are_those_of_scikit_learn() -> None:
    called, published = made()
    found = agree_on_subtypes(called, published)
    assert_allclose(found.accuracy.value, accuracy_score(published, called))
    assert_allclose(
        found.balanced_accuracy.value,
        np.mean([(called[published == s] == s).mean() for s in PROGRAMMES]),
    )
    told = called != "unknown"
    only = agree_on_subtypes(called[told], published)
    assert_allclose(
        only.balanced_accuracy.value, balanced_accuracy_score(published[told], called[told])
    )
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high
    assert found.balanced_accuracy.low < found.balanced_accuracy.high
    assert found.confusion.to_numpy().sum() == found.n == 60
    assert found.baseline == "SCLC-A"
    assert found.baseline_right == (published == "SCLC-A").sum()


def test_samples_without_a_published_subtype_are_left_out() -> None:
    called, published = made()
    published.iloc[:10] = None
    assert agree_on_subtypes(called, published).n == 50
    with pytest.raises(CohortError, match="no called sample has a published subtype"):
        agree_on_subtypes(called, published[:10])


def test_a_published_subtype_of_another_name_is_refused() -> None:
    called, published = made()
    with pytest.raises(CohortError, match=r"1 published subtypes are unknown: .*SCLC-I.*map them"):
        agree_on_subtypes(called, published.replace("SCLC-P", "SCLC-I"))


@pytest.fixture(scope="module")
def lines(shared: Path, catalogue: Catalogue) -> LinesOfCCLE:
    return hold_against_ccle(shared / "cohorts", catalogue=catalogue)


@pytest.mark.real_data
def test_the_published_calls_are_met_better_than_by_the_commonest(lines: LinesOfCCLE) -> None:
    found = lines.everyone
    assert (found.n, found.baseline, found.baseline_right) == (46, "SCLC-A", 25)
    assert found.right == 39
    assert found.accuracy.low > found.baseline_right / found.n
    assert found.balanced_accuracy.low > 0.7
    assert found.kappa > 0.7
    assert (lines.sure.n, lines.sure.right) == (42, 36)
    assert lines.by_z.right == 36
    assert lines.bands["n"].sum() == 46


@pytest.mark.real_data
def test_what_the_eighty_genes_lack_is_said_of_every_line(lines: LinesOfCCLE) -> None:
    assert {name: len(genes) for name, genes in lines.genes.items()} == {
        "sclc_a": 2,
        "sclc_n": 1,
        "sclc_p": 3,
        "sclc_y": 2,
        "sclc_inflamed": 0,
    }
    for factor in FACTORS.values():
        assert lines.calls["caveat"].str.contains(f"without {factor}").all()
    assert lines.calls["inflamed"].isna().all()


@pytest.mark.real_data
def test_the_committed_page_is_what_the_files_give(shared: Path, catalogue: Catalogue) -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "sclc_subtypes.md"
    made_now = sclc_subtypes_page(shared / "cohorts", catalogue=catalogue)
    assert page.read_text("utf-8") == made_now
    assert "selected for these very calls, so any caller is flattered" in made_now


def test_without_the_lines_the_page_holds_the_rule_alone(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    page = sclc_subtypes_page(tmp_path, catalogue=catalogue)
    assert "## The rule" in page
    assert "Agreement" not in page
    for name in PROGRAMMES.values():
        assert f"`{name}`" in page
