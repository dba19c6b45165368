"""TIDE, a published score of resistance to checkpoint inhibitors, by its authors' package."""

import importlib.util
import io
import logging
import re
import warnings
from collections.abc import Collection, Mapping
from contextlib import redirect_stdout
from typing import Any, Literal

import anndata as ad
import numpy as np
import pandas as pd

from features.cohort import dense_expression
from features.errors import CohortError, ConfigError, examples

__all__ = ["TideCancer", "tide_available", "tide_cancer", "tide_scores", "tide_table"]

TideCancer = Literal["Melanoma", "NSCLC", "Other"]
"""The tumour types that the package knows."""
_NSCLC = re.compile(
    r"nsclc|non[ -]small[ -]cell|\blu(ad|sc)\b|lung (adeno|squamous)", re.IGNORECASE
)
_LEAST_KNOWN = 0.5
_COLUMNS = {
    "TIDE": "tide",
    "Dysfunction": "dysfunction",
    "Exclusion": "exclusion",
    "CTL.flag": "cytotoxic",
}
_LOGGER = logging.getLogger(__name__)


def tide_available() -> bool:
    """Return whether the package ``tidepy`` is installed."""
    return importlib.util.find_spec("tidepy") is not None


def tide_cancer(cancer_type: object) -> TideCancer:
    """Return what the package calls a tumour type; ``Other`` is scored by the melanoma rule.

    Examples
    --------
    >>> tide_cancer("Uveal melanoma"), tide_cancer("lung adenocarcinoma"), tide_cancer(None)
    ('Melanoma', 'NSCLC', 'Other')
    """
    text = str(cancer_type)
    if "melanoma" in text.lower() or text.upper() == "SKCM":
        return "Melanoma"
    return "NSCLC" if _NSCLC.search(text) else "Other"


def tide_scores(
    cohorts: Mapping[str, ad.AnnData], *, pretreated: Collection[str] = ()
) -> "pd.Series[float]":
    """Return TIDE's score of *resistance* (n_samples,) for the samples of all cohorts.

    Parameters, errors and method are those of :func:`tide_table`, of which it is one column.
    """
    return tide_table(cohorts, pretreated=pretreated)["tide"]


def tide_table(
    cohorts: Mapping[str, ad.AnnData], *, pretreated: Collection[str] = ()
) -> pd.DataFrame:
    """Return TIDE's score of *resistance* and its parts for the samples of all cohorts.

    Parameters
    ----------
    cohorts
        Name → cohort: ``X`` (n_samples, n_genes) log1p of TPM or CPM, or centred per gene where
        it came so; ``var`` index HGNC symbols, ``var['original_id']`` the file's own names where
        known; ``obs['cancer_type']`` where known. Each is centred per gene on its own mean, as
        the authors ask: a sample's score depends on the others of its cohort.
    pretreated
        Samples (``cohort/sample``) whose patient had an earlier immunotherapy: the package then
        takes exclusion, whatever the T cells.

    Returns
    -------
    pandas.DataFrame
        Index ``cohort/sample``, columns ``tide`` (higher = resistant), ``dysfunction``,
        ``exclusion``, and ``cytotoxic`` (1 where all genes of cytotoxic lymphocytes lie above the
        cohort's mean, else 0). NaN in a cohort of one sample.

    Raises
    ------
    ConfigError
        ``tidepy`` is not installed.
    CohortError
        TIDE knows fewer than half of a cohort's genes, its own genes are missing, or
        ``pretreated`` names an unknown sample.

    Notes
    -----
    TIDE is dysfunction in samples with cytotoxic lymphocytes, exclusion in the others: the
    correlation of the sample's centred log2(TPM + 1) with a frozen gene profile, in units of its
    spread in TCGA. Genes are matched by Entrez id through the package's own table (gencode v27);
    a symbol that it does not know is looked up by the name the file had. Source:
    10.1038/s41591-018-0136-1 (method), 10.1186/s13073-020-0721-z (package).
    """
    package = _import_package()
    names = {f"{name}/{sample}" for name, adata in cohorts.items() for sample in adata.obs_names}
    unknown = sorted(set(pretreated) - names)
    if unknown:
        raise CohortError(
            f"pretreated names {len(unknown)} unknown samples: {examples(unknown)}; "
            f"write them as cohort/sample, such as {examples(sorted(names), most=1)}"
        )
    tables = [
        _cohort_scores(name, adata, pretreated=frozenset(pretreated), package=package)
        for name, adata in cohorts.items()
    ]
    return pd.concat(tables).rename_axis("sample")


def _import_package() -> Any:
    """Return the module ``tidepy.pred``.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    if not tide_available():
        raise ConfigError(
            "TIDE needs the package 'tidepy' (GPL), which is not installed; "
            "run `uv sync --group benchmark`, or leave TIDE out of the comparison"
        )
    from tidepy import pred

    return pred


def _cohort_scores(
    name: str, adata: ad.AnnData, *, pretreated: frozenset[str], package: Any
) -> pd.DataFrame:
    """Return the scores of one cohort, each tumour type and history by its own rule."""
    expression = _centred_by_entrez(name, adata, package)
    samples = pd.Index([f"{name}/{sample}" for sample in adata.obs_names])
    expression.columns = samples
    types = adata.obs["cancer_type"] if "cancer_type" in adata.obs else [None] * adata.n_obs
    rules = pd.MultiIndex.from_arrays(
        [[tide_cancer(text) for text in types], samples.isin(list(pretreated))]
    )
    parts = []
    for cancer, earlier in rules.unique():
        chosen = expression.loc[:, rules == (cancer, earlier)]
        parts.append(_run(name, chosen, cancer=cancer, pretreat=bool(earlier), package=package))
    return pd.concat(parts).loc[samples]


def _run(
    name: str, expression: pd.DataFrame, *, cancer: str, pretreat: bool, package: Any
) -> pd.DataFrame:
    """Return the package's scores of centred expression (n_genes, n_samples), without its prints.

    Its own normalisation is off: it would leave centred values as they are, after a check that
    takes nearly all of its time.
    """
    said = io.StringIO()
    try:
        with redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = package.TIDE(expression, cancer=cancer, pretreat=pretreat, ignore_norm=True)
    except ValueError as error:
        raise CohortError(
            f"cohort '{name}': TIDE cannot be computed ({error}); leave the cohort out of it"
        ) from error
    for line in said.getvalue().splitlines():
        _LOGGER.debug("cohort '%s': tidepy: %s", name, line)
    table: pd.DataFrame = found[list(_COLUMNS)].rename(columns=_COLUMNS)
    return table.astype(float)


def _centred_by_entrez(name: str, adata: ad.AnnData, package: Any) -> pd.DataFrame:
    """Return centred log2(TPM + 1) by Entrez id (n_known_genes, n_samples), sorted by symbol.

    Raises
    ------
    CohortError
        The package's table knows fewer than half of the genes.
    """
    entrez = _entrez_ids(adata, package)
    known = entrez.notna().to_numpy()
    if known.mean() < _LEAST_KNOWN:
        raise CohortError(
            f"cohort '{name}': TIDE knows {known.sum()} of {adata.n_vars} genes, unknown are "
            f"{examples(adata.var_names[~known])}; it needs half of them as symbols"
        )
    log2 = dense_expression(adata[:, known]) / np.log(2.0)
    table = pd.DataFrame(log2.T, index=adata.var_names[known])
    table = table.sub(table.mean(axis=1), axis=0)
    ids = entrez[known].astype(np.int64).to_numpy()
    order = np.argsort(adata.var_names[known].to_numpy(), kind="stable")
    return table.set_axis(ids, axis=0).iloc[order]


def _entrez_ids(adata: ad.AnnData, package: Any) -> "pd.Series[float]":
    """Return the Entrez id of each gene by its symbol, else by the file's own name, else NaN."""
    table = package.utils.read_data_object("Gene_Ref.pkl")["Symbol"]
    symbols = pd.Series(adata.var_names.str.upper(), index=adata.var_names)
    found: pd.Series[float] = symbols.map(table)
    if "original_id" not in adata.var:
        return found
    return found.fillna(adata.var["original_id"].astype(str).str.upper().map(table))
