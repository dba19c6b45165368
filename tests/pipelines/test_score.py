import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.cohort import CohortReport
from features.errors import CohortError
from pipelines.ingest import IngestedCohort
from pipelines.score import _calls, choose_standardisation


def cohort(n_samples: int, *, lengths_known: bool = True) -> IngestedCohort:
    adata = ad.AnnData(
        np.ones((n_samples, 2)),
        obs=pd.DataFrame({"cohort": "x"}, index=[f"s{i}" for i in range(n_samples)]),
    )
    adata.uns["oncoresist"] = {"gene_lengths_known": lengths_known}
    return IngestedCohort(adata, CohortReport((), ()), {})


def chosen(n_samples: int, *, asked: str = "auto", lengths_known: bool = True) -> str:
    return choose_standardisation(
        cohort(n_samples, lengths_known=lengths_known), asked=asked, min_cohort_size=15
    )


def test_a_large_cohort_is_its_own_reference_and_a_small_one_is_not():
    assert chosen(15) == "cohort"
    assert chosen(14) == "reference"
    assert chosen(40, asked="reference") == "reference"


def test_what_means_nothing_is_refused_with_the_mend():
    with pytest.raises(CohortError, match=r"has 3 samples.*use --standardisation reference"):
        chosen(3, asked="cohort")
    with pytest.raises(CohortError, match=r"raw counts without gene lengths.*Length column"):
        chosen(3, lengths_known=False)
    with pytest.raises(CohortError, match="raw counts without gene lengths"):
        chosen(40, asked="reference", lengths_known=False)


def test_calls_follow_threshold_and_coverage():
    table = pd.DataFrame(
        {"probability": [0.7, 0.65, 0.2, 0.9], "gene_coverage": [1.0, 1.0, 0.8, 0.3]}
    )
    calls = _calls(table, threshold=0.65, background=None)
    assert calls["call"].tolist() == ["resistant", "resistant", "responsive", "uncertain"]
    assert "0.700 is at least 0.650" in calls["call_reason"].iloc[0]
    assert "only 30% of the catalogue's genes" in calls["call_reason"].iloc[3]
    panel = _calls(table, threshold=0.65, background=0.04)
    assert panel["call"].eq("uncertain").all()
    assert "only 4% of the background genes" in panel["call_reason"].iloc[0]
