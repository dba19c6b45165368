"""Fingerprints of samples: the same sample is known again whatever its unit, and never shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import default_catalogue
from features.cohort import dense_expression, is_gene_scaled_cohort
from features.errors import ConfigError

__all__ = [
    "DUPLICATE_DISTANCE",
    "FEWEST_KNOWN_BITS",
    "Fingerprints",
    "choose_pairs",
    "default_pairs",
    "find_duplicates",
    "fingerprint",
]

Pairs = tuple[tuple[str, str], ...]
Bits = NDArray[np.int8]

DUPLICATE_DISTANCE = 0.04
"""Share of differing bits up to which two samples are one: copies with 10% noise lie below it in 99
of 100 cases, the nearest biopsies of one patient at 0.05, of different patients at 0.09."""
FEWEST_KNOWN_BITS = 128
"""Bits that two samples must both have to be compared at all; single cells mostly do not."""
_DEFAULT_PAIRS = Path(__file__).parent / "fingerprint_pairs.txt"
_MOST_PAIRS_OF_A_GENE = 16
_ALIKE_LENGTHS = 0.3
_UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Which gene of each pair is the higher one, by sample.

    Attributes
    ----------
    pairs
        The gene pairs, by approved symbol.
    samples
        Name of each sample.
    bits
        (n_samples, n_pairs): 1 where the first gene is higher, 0 where the second is, -1 where
        they tie or one is not measured.
    """

    pairs: Pairs
    samples: tuple[str, ...]
    bits: Bits

    def to_json(self) -> dict[str, Any]:
        """Return the fingerprints as plain values; bits as hexadecimal text, two a sample."""
        return {
            "pairs": [list(pair) for pair in self.pairs],
            "samples": list(self.samples),
            "higher": [_to_hex(row == 1) for row in self.bits],
            "known": [_to_hex(row != _UNKNOWN) for row in self.bits],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Return the fingerprints of :meth:`to_json`."""
        pairs = tuple((str(first), str(second)) for first, second in plain["pairs"])
        higher = [_from_hex(text, len(pairs)) for text in plain["higher"]]
        known = [_from_hex(text, len(pairs)) for text in plain["known"]]
        bits = np.full((len(known), len(pairs)), _UNKNOWN, dtype=np.int8)
        for row, (above, told) in enumerate(zip(higher, known, strict=True)):
            bits[row, told] = above[told]
        return cls(pairs, tuple(plain["samples"]), bits)

    @classmethod
    def concat(cls, parts: Sequence["Fingerprints"]) -> Self:
        """Return the fingerprints of several cohorts as one.

        Raises
        ------
        ConfigError
            There is none, or they are taken over different pairs.
        """
        if not parts:
            raise ConfigError("no fingerprints to put together; give those of one cohort at least")
        for part in parts:
            _refuse_other_pairs(parts[0], part)
        samples = tuple(name for part in parts for name in part.samples)
        return cls(parts[0].pairs, samples, np.vstack([part.bits for part in parts]))


@lru_cache(maxsize=1)
def default_pairs() -> Pairs:
    """Return the 1,024 gene pairs that come with OncoResist, so that all fingerprints compare.

    :func:`choose_pairs` gave them, with gene lengths, from nine cohorts of tumours; they hold the
    catalogue's genes only.

    Examples
    --------
    >>> len(default_pairs())
    1024
    """
    lines = _DEFAULT_PAIRS.read_text(encoding="utf-8").splitlines()
    return tuple((first, second) for first, second in (line.split() for line in lines))


def choose_pairs(
    profiles: NDArray[np.float32],
    *,
    genes: Sequence[str],
    cohorts: Sequence[str],
    candidates: Sequence[str] | None = None,
    lengths: "pd.Series[float] | None" = None,
    n_pairs: int = 1024,
) -> Pairs:
    """Return gene pairs that tell samples apart, learned without labels.

    Parameters
    ----------
    profiles
        Rank profiles (n_samples, n_genes), see :func:`features.profile.rank_profile`.
    genes
        Gene of each column.
    cohorts
        Cohort of each sample; each counts the same.
    candidates
        Genes that pairs may take; None takes those of the packaged catalogue, which panels have,
        too.
    lengths
        Gene lengths in bases by symbol. Pairs are then of alike length (within 2^0.3), so that a
        sample in counts is known again in TPM; genes without a length are left out.
    n_pairs
        Most pairs; fewer where the candidates do not give them.

    Notes
    -----
    Pairs are taken by balance (4p(1-p), p being how often the first gene is higher in a cohort)
    times mean distance of their ranks, averaged over the cohorts, best first, no gene in more than
    16. Balanced pairs vary from sample to sample; distant ranks withstand noise.
    """
    allowed = pd.Index(default_catalogue().gene_symbols if candidates is None else candidates)
    index = pd.Index(genes)
    columns = np.flatnonzero(index.isin(allowed) & np.isfinite(profiles).any(axis=0))
    chosen = profiles[:, columns].astype(np.float64)
    labels = np.asarray(cohorts, dtype=str)
    score = np.mean([_pair_scores(chosen[labels == name]) for name in np.unique(labels)], axis=0)
    if lengths is not None:
        length = np.log2(lengths.reindex(index[columns]).to_numpy(dtype=float))
        alike = np.abs(length[:, None] - length[None, :]) <= _ALIKE_LENGTHS
        score = np.where(alike, score, 0.0)
    return _best_pairs(np.triu(score, 1), [str(gene) for gene in index[columns]], n_pairs)


def fingerprint(
    adata: ad.AnnData, *, pairs: Pairs | None = None, names: Iterable[object] | None = None
) -> Fingerprints:
    """Return the fingerprints of a cohort's samples.

    Parameters
    ----------
    adata
        Expression (n_samples, n_genes) on any scale that keeps the order of a sample's genes.
        Values centred or scaled per gene do not: all their bits are unknown.
    pairs
        What to compare; None takes :func:`default_pairs`.
    names
        Name of each sample; None takes ``obs_names``.

    Examples
    --------
    >>> sample = ad.AnnData(np.array([[2.0, 1.0, 1.0]]), var=pd.DataFrame(index=["A", "B", "C"]))
    >>> fingerprint(sample, pairs=(("A", "B"), ("C", "A"), ("B", "C"), ("A", "D"))).bits.tolist()
    [[1, 0, -1, -1]]
    """
    pairs = default_pairs() if pairs is None else pairs
    samples = tuple(str(name) for name in (adata.obs_names if names is None else names))
    bits = np.full((adata.n_obs, len(pairs)), _UNKNOWN, dtype=np.int8)
    wanted = pd.Index(dict.fromkeys(gene for pair in pairs for gene in pair))
    found = adata[:, adata.var_names.isin(wanted)]
    if is_gene_scaled_cohort(adata) or not found.n_vars:
        return Fingerprints(pairs, samples, bits)
    values = np.column_stack([dense_expression(found), np.full(adata.n_obs, np.nan)])
    column = found.var_names.get_indexer(pd.Index([gene for pair in pairs for gene in pair]))
    first, second = values[:, column[0::2]], values[:, column[1::2]]
    bits[first > second] = 1
    bits[first < second] = 0
    return Fingerprints(pairs, samples, bits)


def find_duplicates(
    first: Fingerprints,
    second: Fingerprints | None = None,
    *,
    threshold: float = DUPLICATE_DISTANCE,
    min_known: int = FEWEST_KNOWN_BITS,
) -> pd.DataFrame:
    """Return the pairs of samples that are one and the same.

    Parameters
    ----------
    first, second
        Fingerprints to compare with each other; without ``second``, those of ``first`` among
        themselves.
    threshold
        Largest share of differing bits.
    min_known
        Fewest bits that both samples have. Samples with fewer (single cells, small panels) are
        not compared.

    Returns
    -------
    duplicates
        ``sample, other, distance``, nearest first; empty if there is none.

    Raises
    ------
    ConfigError
        The fingerprints are taken over different pairs.
    """
    other = first if second is None else second
    _refuse_other_pairs(first, other)
    distance, known = _distances(first.bits, other.bits)
    near = (known >= min_known) & (distance <= threshold)
    if second is None:
        near = np.triu(near, 1)
    rows, columns = np.nonzero(near)
    found = pd.DataFrame(
        {
            "sample": np.asarray(first.samples, dtype=object)[rows],
            "other": np.asarray(other.samples, dtype=object)[columns],
            "distance": distance[rows, columns],
        }
    )
    return found.sort_values("distance", kind="stable", ignore_index=True)


def _distances(first: Bits, second: Bits) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of differing bits, and how many bits both know (n_first, n_second)."""
    high = (first == 1).astype(np.float32), (second == 1).astype(np.float32)
    low = (first == 0).astype(np.float32), (second == 0).astype(np.float32)
    differing = (high[0] @ low[1].T + low[0] @ high[1].T).astype(np.float64)
    known = ((high[0] + low[0]) @ (high[1] + low[1]).T).astype(np.float64)
    return differing / np.maximum(known, 1.0), known


def _pair_scores(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return balance times distance of every pair (n_genes, n_genes) in one cohort's ranks."""
    n_genes = ranks.shape[1]
    scores = np.zeros((n_genes, n_genes))
    for gene in range(n_genes):
        difference = ranks[:, gene : gene + 1] - ranks
        told = np.maximum(np.isfinite(difference).sum(axis=0), 1)
        higher = (difference > 0).sum(axis=0) / told
        lower = (difference < 0).sum(axis=0) / told
        scores[gene] = 4 * higher * lower * np.nansum(np.abs(difference), axis=0) / told
    return scores


def _best_pairs(score: NDArray[np.float64], genes: Sequence[str], n_pairs: int) -> Pairs:
    """Return the best pairs of positive score, no gene in more than its share of them."""
    used = np.zeros(len(genes), dtype=int)
    pairs: list[tuple[str, str]] = []
    for place in np.argsort(-score, axis=None, kind="stable"):
        first, second = divmod(int(place), len(genes))
        if len(pairs) == n_pairs or score[first, second] <= 0:
            break
        if max(used[first], used[second]) < _MOST_PAIRS_OF_A_GENE:
            pairs.append((genes[first], genes[second]))
            used[[first, second]] += 1
    return tuple(pairs)


def _refuse_other_pairs(first: Fingerprints, second: Fingerprints) -> None:
    if first.pairs != second.pairs:
        raise ConfigError(
            f"fingerprints over {len(first.pairs)} and {len(second.pairs)} gene pairs that are not "
            "the same cannot be compared; take both over the pairs that the model was trained with"
        )


def _to_hex(flags: NDArray[np.bool_]) -> str:
    return np.packbits(flags).tobytes().hex()


def _from_hex(text: str, count: int) -> NDArray[np.bool_]:
    packed = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    return np.unpackbits(packed, count=count).astype(bool)
