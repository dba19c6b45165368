"""The catalogue as pages to read: rows for a list, a page for a marker, docs/catalogue.md."""

import difflib
from collections.abc import Iterator, Sequence

from features.catalogue import Catalogue, Citation, Drug, Marker
from features.catalogue_entries import SETTINGS
from features.errors import CohortError, ConfigError, examples
from features.genes import translate_genes
from features.therapy import DrugGenes, DrugTable, Therapy
from pipelines.reports.templates import page_environment

__all__ = ["catalogue_page", "marker_page", "marker_rows", "require_mechanism"]

_RULES = {
    "mean": "mean of the genes",
    "single": "the gene alone",
    "weighted": "mean of the genes minus mean of the minus genes",
    "lower_of_two": "the lower of the two genes",
    "excess": "mean of the genes minus the score of {over}",
    "ratio": "log2 of the genes over the minus genes",
}
_BY_DRUG = {
    "target_antigen": "mean of the antigens that the drug binds",
    "payload_efflux": "mean of the transporters that carry the drug's payload",
    "payload_target": "genes of resistance minus genes of sensitivity to the drug's payload class",
}
_GRADES = {
    "review": "named in a review",
    "class": "the review names the mechanism, the genes are the field's standard members",
    "field": "not in the reviews, used by published predictors",
}


def marker_rows(
    catalogue: Catalogue,
    *,
    setting: str | None = None,
    mechanism: str | None = None,
    grade: str | None = None,
) -> list[tuple[str, ...]]:
    """Return id, mechanism class, score rule, sign, evidence and genes of the markers asked for."""
    return [
        (
            marker.id,
            marker.mechanism,
            marker.by_drug or marker.score,
            marker.sign_in(setting) if setting else marker.sign,
            marker.evidence,
            _genes(marker),
        )
        for marker in catalogue.markers_of(setting)
        if mechanism in (None, marker.mechanism) and grade in (None, marker.evidence)
    ]


def require_mechanism(catalogue: Catalogue, mechanism: str | None) -> None:
    """Refuse a mechanism class that no marker has.

    Raises
    ------
    ConfigError
        Names the classes there are.
    """
    known = sorted(set(catalogue.mechanisms.values()))
    if mechanism is not None and mechanism not in known:
        raise ConfigError(f"no marker is of class '{mechanism}'; classes: {', '.join(known)}")


def marker_page(catalogue: Catalogue, marker_id: str) -> str:
    """Return one marker as text: genes, signs, sources with paraphrase, strategies.

    Raises
    ------
    ConfigError
        There is no such marker; the message names the nearest.
    """
    marker = next((entry for entry in catalogue.markers if entry.id == marker_id), None)
    if marker is None:
        mend = _mend(catalogue, marker_id)
        raise ConfigError(f"there is no marker '{marker_id}'; {mend}")
    return (
        page_environment(html=False, keep_trailing_newline=True)
        .get_template("marker.txt.j2")
        .render(**_context(catalogue, marker))
    )


def _mend(catalogue: Catalogue, asked: str) -> str:
    """Return what an id that no marker has may have meant: a gene's markers, or a near id."""
    try:
        gene = translate_genes([asked], catalogue=catalogue).symbols[0]
    except CohortError:  # it looks like a gene of another species
        gene = asked
    holding = [m.id for m in catalogue.markers if gene in m.genes + m.minus_genes]
    holding += [m.id for m in catalogue.markers if m.over in holding]
    by_drug = [
        f"{rule} under {drug.name}"
        for rule, drug, genes in _drug_genes(catalogue)
        if gene in genes.plus + genes.minus
    ]
    if holding or by_drug:
        return f"gene {gene} is read by {examples([*holding, *by_drug])}"
    drug = DrugTable(catalogue).find(asked).drug
    if drug is not None:
        rules = [rule for rule, other, genes in _drug_genes(catalogue) if other is drug]
        return f"drug {drug.name} chooses the genes of {', '.join(rules) or 'no feature'}"
    near = difflib.get_close_matches(asked, catalogue.marker_ids, n=3)
    return f"did you mean {', '.join(near)}?" if near else "oncoresist markers list has them all"


def catalogue_page(catalogue: Catalogue) -> str:
    """Return the whole catalogue as Markdown: what ``docs/catalogue.md`` holds."""
    sections = dict.fromkeys(marker.section for marker in catalogue.markers)
    return (
        page_environment(html=False, keep_trailing_newline=True)
        .get_template("catalogue.md.j2")
        .render(
            catalogue=catalogue,
            sections=[
                (name, [_context(catalogue, m) for m in catalogue.markers if m.section == name])
                for name in sections
            ],
            payloads={payload.id: payload for payload in catalogue.payloads},
            dois=_dois(catalogue),
            grades=_GRADES,
            mechanisms=sorted(set(catalogue.mechanisms.values())),
        )
    )


def _context(catalogue: Catalogue, marker: Marker) -> dict[str, object]:
    symbols = dict.fromkeys(marker.genes + marker.minus_genes)
    genes = {gene.symbol: gene for gene in catalogue.genes if gene.symbol in symbols}
    rule = _BY_DRUG[marker.by_drug] if marker.by_drug else _RULES[marker.score]
    signs = {name: marker.sign_in(name) for name in marker.settings}
    return {
        "marker": marker,
        "genes": [genes[symbol] for symbol in symbols],
        "rule": rule.format(over=marker.over),
        "signs": signs,
        "signs_under": _signs_under(catalogue, marker),
        "settings": [name for name in SETTINGS if name in marker.settings],
        "grade": _GRADES[marker.evidence],
        "sources": _cited(catalogue, marker.sources),
        "drugs": _drug_rows(catalogue, marker),
        "strategies": [
            (strategy, _cited(catalogue, strategy.sources))
            for strategy in catalogue.strategies_for(marker.mechanism)
        ],
    }


def _drug_genes(catalogue: Catalogue) -> Iterator[tuple[str, Drug, DrugGenes]]:
    """Yield marker, drug and the genes that the drug chooses for it, where it chooses any."""
    table = DrugTable(catalogue)
    for marker in catalogue.markers:
        for drug in catalogue.drugs if marker.by_drug else ():
            genes = table.genes(marker.by_drug, Therapy(drug.name, drug))  # type: ignore[arg-type]
            if genes.plus or genes.minus:
                yield marker.id, drug, genes


def _drug_rows(catalogue: Catalogue, marker: Marker) -> list[tuple[str, str]]:
    """Return drug and chosen genes, for a marker whose genes the drug chooses."""
    rows = []
    for name, drug, genes in _drug_genes(catalogue):
        if name == marker.id:
            minus = f" minus {' '.join(genes.minus)}" if genes.minus else ""
            rows.append((drug.name, f"{' '.join(genes.plus)}{minus}".strip()))
    return rows


def _signs_under(catalogue: Catalogue, marker: Marker) -> dict[str, list[str]]:
    """Return the drugs under which a marker has another sign than its setting, by that sign."""
    text = {1: "+", -1: "-", 0: "·"}
    found: dict[str, list[str]] = {}
    for setting in marker.settings:
        for drug in catalogue.drugs:
            sign = catalogue.sign_under(marker, setting=setting, drug=drug)
            if sign != marker.signed(setting):
                found.setdefault(f"{setting} {text[sign]}", []).append(drug.name)
    return found


def _cited(catalogue: Catalogue, citations: Sequence[Citation]) -> list[tuple[str, str, str]]:
    """Return key, DOI and paraphrase of each citation."""
    dois = _dois(catalogue)
    return [(entry.source, dois[entry.source], entry.paraphrase) for entry in citations]


def _dois(catalogue: Catalogue) -> dict[str, str]:
    return {source.key: source.doi for source in catalogue.sources}


def _genes(marker: Marker) -> str:
    if marker.by_drug:
        return "(by drug)"
    minus = f" minus {' '.join(marker.minus_genes)}" if marker.minus_genes else ""
    return f"{' '.join(marker.genes)}{minus}{f' over {marker.over}' if marker.over else ''}"
