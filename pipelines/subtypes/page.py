"""``docs/sclc_subtypes.md``: how subtypes are called, and how that agrees with published calls."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pandas as pd

from features.catalogue import Catalogue
from features.subtype_programmes import FACTORS, PROGRAMMES, UNKNOWN, programme_genes
from features.subtypes import call_subtypes, subtype_genes
from features.transformer import MarkerFeatures
from pipelines.cohorts import read_cohort
from pipelines.reports.templates import page_environment
from pipelines.settings.cohort import CohortConfig
from pipelines.subtypes.agreement import SubtypeAgreement, agree_on_subtypes

__all__ = ["LinesOfCCLE", "hold_against_ccle", "sclc_subtypes_page"]

_FOLDER = "drug_response/CCLE_SCLC_NAPY"
_SURE = 0.5
_BANDS = (0.0, 0.5, 0.7, 0.9, 1.0)
_CITED = ("rudin_2019", "gay_2021", "rudin_2023", "borromeo_2016", "huang_2018", "shue_2022")


@dataclass(frozen=True)
class LinesOfCCLE:
    """Cell lines whose subtypes others have published, and what is called of them.

    The file holds 80 genes that were selected for these very calls: any caller is flattered.

    Attributes
    ----------
    calls
        As :func:`features.subtypes.call_subtypes` gives, by ranks, cohort-relative.
    published
        Published subtype by line, of those that have one.
    everyone, sure, by_z
        Agreement of all lines; of those called with a confidence of at least 0.5; and of all where
        genes are read as z-scores of log2(TPM + 1) instead of ranks within the line.
    genes
        Programme → its genes that the file has.
    bands
        ``confidence`` (a range), ``n`` and ``right``: how often calls of that confidence are right.
    """

    calls: pd.DataFrame
    published: "pd.Series[str]"
    everyone: SubtypeAgreement
    sure: SubtypeAgreement
    by_z: SubtypeAgreement
    genes: dict[str, tuple[str, ...]]
    bands: pd.DataFrame


def hold_against_ccle(root: Path, *, catalogue: Catalogue) -> LinesOfCCLE:
    """Return how calls agree with the published ones of the 46 lines below ``root``.

    Raises
    ------
    CohortError, ConfigError
        The files are not there, or not as they were.
    """
    table = pd.read_csv(root / _FOLDER / "clinical.csv", dtype=str)
    published = table.groupby("sample_id")["subtype"].first().dropna()
    config = CohortConfig(name="ccle_sclc", expression=f"{_FOLDER}/expression.csv.gz")
    adata = read_cohort(config, root=root, labels_required=False, catalogue=catalogue).adata
    ranks = MarkerFeatures(catalogue, setting="sclc").fit(adata)
    calls, by_z = (
        call_subtypes(
            subtype_genes(adata, features=features),
            cohorts=adata.obs["cohort"].astype(str),
            catalogue=catalogue,
        )
        for features in (ranks, ranks.with_score_kind("mean_z"))
    )
    found = calls["subtype"]
    return LinesOfCCLE(
        calls=calls,
        published=published,
        everyone=agree_on_subtypes(found, published),
        sure=agree_on_subtypes(found[calls["confidence"] >= _SURE], published),
        by_z=agree_on_subtypes(by_z["subtype"], published),
        genes={
            name: tuple(gene for gene in genes if gene in adata.var_names)
            for name, genes in programme_genes(catalogue).items()
        },
        bands=_bands(calls, published),
    )


def _bands(calls: pd.DataFrame, published: "pd.Series[str]") -> pd.DataFrame:
    told = calls[(calls["subtype"] != UNKNOWN) & calls.index.isin(published.index)]
    right = told["subtype"] == published.reindex(told.index)
    band = pd.cut(told["confidence"], _BANDS, include_lowest=True)
    counted = right.groupby(band, observed=False).agg(["size", "sum"])
    names = [f"{low} to {high}" for low, high in pairwise(_BANDS)]
    return pd.DataFrame(
        {"confidence": names, "n": counted["size"].to_numpy(), "right": counted["sum"].to_numpy()}
    )


def sclc_subtypes_page(root: Path, *, catalogue: Catalogue) -> str:
    """Return the page in Markdown; agreement is given where the cell lines are below ``root``."""
    there = (root / _FOLDER / "expression.csv.gz").is_file()
    citations = {source.key: source for source in catalogue.sources}
    text = (
        page_environment(html=False)
        .get_template("sclc_subtypes.md.j2")
        .render(
            subtypes=PROGRAMMES,
            factors=FACTORS,
            genes=programme_genes(catalogue),
            sources=[citations[key] for key in _CITED if key in citations],
            lines=hold_against_ccle(root, catalogue=catalogue) if there else None,
        )
    )
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"
