"""MarkerFeatures: from a cohort's expression to a table of named, documented features."""

from collections.abc import Mapping, Sequence
from typing import Self

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from features.catalogue import Catalogue, Marker, default_catalogue, genes_of, genes_read
from features.cohort import dense_expression, is_sparse
from features.errors import ConfigError
from features.gene_order import GeneOrder
from features.gene_report import GeneReport, build_gene_report
from features.gene_scores import ScoreKind, rank_genes, z_score_genes
from features.scoring import MarkerScores, score_markers
from features.therapy import DrugGenes, DrugTable, Therapy

__all__ = ["MarkerFeatures", "measured_genes"]


class MarkerFeatures(TransformerMixin, BaseEstimator):
    """Scores of the catalogue's markers, a column each.

    With ``score_kind="rank"`` a gene's score is its mid-rank among a fixed background within the
    sample, as a fraction. So any monotone transformation of a sample (TPM, log TPM with any
    pseudo-count, scaling) gives exactly the same features, the order of samples and genes is
    nothing, and one sample alone gives what it gives in a batch. With ``"mean_z"`` it is the
    z-score within the sample's cohort (``obs['cohort']``, else all samples), for values that come
    centred or scaled per gene; ranks are refused for those. Features that know the drug take their
    genes by ``obs['drug']``; of an unknown drug they are NaN. Unlike other scikit-learn
    transformers this one takes an AnnData. ``X`` may be sparse and is then never made dense for
    ranks; the scores are dense, since an unexpressed gene's rank is not zero.

    Parameters
    ----------
    catalogue
        The markers; None takes the packaged catalogue.
    min_coverage
        Least share of a marker's genes that must be measured; below it the feature is NaN.
    setting
        ``ici``, ``adc``, ``hcc`` or ``sclc``: the markers of that setting; None: all.
    score_kind
        ``rank`` or ``mean_z``.

    Attributes
    ----------
    background_
        Symbols of the background: the genes of the cohort it was fitted on.
    feature_names_
        Marker ids, in catalogue order.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd
    >>> genes = [*default_catalogue().gene_symbols]
    >>> values = np.random.default_rng(0).gamma(1.0, 5.0, (4, len(genes)))
    >>> cohort = ad.AnnData(np.log1p(values), var=pd.DataFrame(index=genes))
    >>> MarkerFeatures().fit(cohort).transform(cohort).loc["0", "b2m"].round(3) <= 1
    np.True_
    """

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        min_coverage: float = 0.5,
        setting: str | None = None,
        score_kind: ScoreKind = "rank",
    ) -> None:
        self.catalogue = catalogue
        self.min_coverage = min_coverage
        self.setting = setting
        self.score_kind = score_kind

    def fit(self, X: ad.AnnData, y: None = None) -> Self:
        """Freeze the background: the genes of ``X`` that are measured in every sample.

        Raises
        ------
        ConfigError
            The setting has no markers, ``score_kind`` is unknown, or ``min_coverage`` no share.
        """
        self._check_parameters()
        return self.freeze(measured_genes(X))

    def freeze(self, background: Sequence[str]) -> Self:
        """Take a background as it is, as one that was stored with a model.

        Raises
        ------
        ConfigError
            As :meth:`fit` does.
        """
        self._check_parameters()
        self.background_ = tuple(background)
        self.feature_names_ = tuple(marker.id for marker in self._markers())
        if not self.feature_names_:
            raise ConfigError(f"no marker of the catalogue is of setting '{self.setting}'")
        return self

    def with_score_kind(self, score_kind: ScoreKind) -> "MarkerFeatures":
        """Return the same features, fitted on the same background, scored another way."""
        check_is_fitted(self)
        other = MarkerFeatures(self.catalogue, self.min_coverage, self.setting, score_kind)
        return other.freeze(self.background_)

    def transform(self, X: ad.AnnData, *, order: GeneOrder | None = None) -> pd.DataFrame:
        """Return the features (n_samples, n_markers) of a cohort.

        ``order`` is that of the cohort's own expression, where it is transformed on several
        backgrounds; the features are the same.

        Raises
        ------
        CohortError
            Too few background genes are measured for ranks to mean anything, the values are
            centred or scaled per gene and ranks were asked for, or a cohort has too few samples
            for z-scores.
        """
        return self._table(self._score(X, order=order).scores, X)

    def coverage(self, X: ad.AnnData) -> pd.DataFrame:
        """Return the share of each marker's genes that is measured (n_samples, n_markers)."""
        return self._table(self._score(X).coverage, X)

    def gene_coverage(self, X: ad.AnnData) -> "pd.Series[float]":
        """Return the share of the features' genes that is measured in each sample.

        Of the features that know the drug, the genes of the sample's own drug count.
        """
        fixed = genes_of(self._markers())
        own: list[tuple[str, ...]] = [()] * X.n_obs
        for chosen in self._chosen_by_drug(X).values():
            own = [
                (*genes, *drug.plus, *drug.minus) for genes, drug in zip(own, chosen, strict=True)
            ]
        share = np.empty(X.n_obs)
        for further in dict.fromkeys(own):
            rows = np.array([genes == further for genes in own])
            needed = pd.Index(dict.fromkeys((*fixed, *further)))
            found = X[rows, X.var_names.isin(needed)]
            share[rows] = np.isfinite(dense_expression(found)).sum(axis=1) / len(needed)
        return pd.Series(share, index=X.obs_names, name="gene_coverage")

    def background_coverage(self, X: ad.AnnData) -> float:
        """Return the share of the background's genes that the cohort's file has."""
        check_is_fitted(self)
        return float(pd.Index(self.background_).isin(X.var_names).mean())

    def gene_report(self, X: ad.AnnData) -> GeneReport:
        """Return which genes a cohort has, under which name, and which features it can give."""
        scores = self._table(self._score(X).scores, X)
        wanted = X[:, X.var_names.isin(pd.Index(self._genes_needed(X)))]
        wanted = wanted[:, np.isfinite(dense_expression(wanted)).any(axis=0)]
        named = wanted.var.get("original_id", pd.Series(wanted.var_names, index=wanted.var_names))
        markers = {marker.id: marker for marker in self._markers()}
        chosen = self._chosen_by_drug(X)
        needed, notes = {}, {}
        for marker in markers.values():
            own = chosen.get(marker.id)
            if own is None:
                needed[marker.id] = genes_read(marker, markers)
            else:
                genes = (gene for drug in own for gene in drug.plus + drug.minus)
                needed[marker.id] = tuple(dict.fromkeys(genes))
                notes[marker.id] = "; ".join(dict.fromkeys(d.note for d in own if d.note))
        return build_gene_report(
            list(markers.values()),
            needed=needed,
            originals=dict(zip(wanted.var_names.astype(str), named.astype(str), strict=True)),
            scored={str(name): bool(scores[name].notna().any()) for name in scores},
            notes=notes,
            min_coverage=self.min_coverage,
        )

    @property
    def knows_drugs(self) -> bool:
        """Whether any of the features takes its genes by the drug."""
        return any(marker.by_drug for marker in self._markers())

    def therapies(self, X: ad.AnnData) -> dict[object, Therapy]:
        """Return what each distinct text of ``obs['drug']`` is taken for."""
        return DrugTable(self._catalogue()).find_all(_drug_texts(X))

    def get_feature_names_out(self, input_features: None = None) -> NDArray[np.object_]:
        """Return the marker ids."""
        check_is_fitted(self)
        return np.asarray(self.feature_names_, dtype=object)

    def _check_parameters(self) -> None:
        if self.score_kind not in ("rank", "mean_z"):
            raise ConfigError(f"score_kind is '{self.score_kind}'; allowed: rank, mean_z")
        if not 0 <= self.min_coverage <= 1:
            raise ConfigError(f"min_coverage is {self.min_coverage}; allowed: 0 to 1")

    def _catalogue(self) -> Catalogue:
        return self.catalogue or default_catalogue()

    def _markers(self) -> tuple[Marker, ...]:
        return self._catalogue().markers_of(self.setting)

    def _chosen_by_drug(self, X: ad.AnnData) -> Mapping[str, list[DrugGenes]]:
        """Return the genes of every sample for each feature that knows the drug."""
        rules = {marker.id: marker.by_drug for marker in self._markers() if marker.by_drug}
        if not rules:
            return {}
        table, therapies, texts = DrugTable(self._catalogue()), self.therapies(X), _drug_texts(X)
        chosen = {}
        for name, rule in rules.items():
            genes = {text: table.genes(rule, therapy) for text, therapy in therapies.items()}
            chosen[name] = [genes[text] for text in texts]
        return chosen

    def _genes_needed(self, X: ad.AnnData) -> list[str]:
        """Return the genes that the features read in a cohort, its drugs considered."""
        by_drug = (
            gene
            for own in self._chosen_by_drug(X).values()
            for drug in dict.fromkeys(own)
            for gene in drug.plus + drug.minus
        )
        return list(dict.fromkeys([*genes_of(self._markers()), *by_drug]))

    def _score(self, X: ad.AnnData, *, order: GeneOrder | None = None) -> MarkerScores:
        check_is_fitted(self)
        wanted = self._genes_needed(X)
        if self.score_kind == "rank":
            genes = rank_genes(X, background=self.background_, genes=wanted, order=order)
        else:
            genes = z_score_genes(X, genes=wanted)
        return score_markers(
            genes,
            markers=self._markers(),
            min_coverage=self.min_coverage,
            by_drug=self._chosen_by_drug(X),
        )

    def _table(self, values: NDArray[np.float64], X: ad.AnnData) -> pd.DataFrame:
        columns = [marker.id for marker in self._markers()]
        return pd.DataFrame(values, index=X.obs_names.copy(), columns=columns)


def measured_genes(adata: ad.AnnData) -> list[str]:
    """Return the genes of a cohort that are measured in every sample, in its order."""
    measured = np.ones(adata.n_vars, dtype=bool)
    if not is_sparse(adata):
        measured = np.isfinite(dense_expression(adata)).all(axis=0)
    return [str(gene) for gene in adata.var_names[measured]]


def _drug_texts(X: ad.AnnData) -> list[object]:
    """Return the text for each sample's drug, None where the cohort has none."""
    return X.obs["drug"].tolist() if "drug" in X.obs else [None] * X.n_obs
