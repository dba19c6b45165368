"""The catalogue's entries: genes, sources, markers, drugs, strategies, each checked by itself."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "SETTINGS",
    "SIGN_VALUE",
    "Citation",
    "Drug",
    "Gene",
    "Marker",
    "NotInExpression",
    "Payload",
    "PayloadClass",
    "Setting",
    "Sign",
    "Source",
    "Strategy",
]

Sign = Literal["+", "-", "·"]
Setting = Literal["ici", "adc", "hcc", "sclc"]
Compartment = Literal["malignant", "t_cell", "b_cell", "nk_cell", "myeloid", "stroma", "any"]
Evidence = Literal["review", "class", "field"]
ScoreRule = Literal["mean", "single", "weighted", "lower_of_two", "excess", "ratio"]
DrugRule = Literal["target_antigen", "payload_efflux", "payload_target"]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

SETTINGS: tuple[Setting, ...] = ("ici", "adc", "hcc", "sclc")
_RESERVED = ("sample_id", "patient_id", "cohort", "base_value", "not_measured")
SIGN_VALUE: Mapping[str, int] = {"+": 1, "-": -1, "·": 0}


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Gene(_Entry):
    """Identifiers of one gene."""

    symbol: str
    """Approved HGNC symbol."""
    ensembl_id: str = Field(pattern=r"^ENSG\d{11}$")
    """Stable Ensembl gene id without version."""
    entrez_id: int = Field(gt=0)
    """NCBI Gene id."""
    aliases: tuple[str, ...] = ()
    """Earlier and alias symbols that mean this gene alone."""
    ambiguous_aliases: tuple[str, ...] = ()
    """Symbols that may mean this gene or another: reported where they stand, never translated."""


class Source(_Entry):
    """One publication of the bibliography."""

    key: Identifier
    """Name by which entries cite it."""
    citation: str = Field(min_length=10)
    """Authors, title, journal, year."""
    doi: str = Field(pattern=r"^10\.\d{4,9}/\S+$")
    """Digital object identifier."""
    found_in: str = Field(min_length=3)
    """Where the DOI stands: a review of the project, or the address and date of the look-up."""


class Citation(_Entry):
    """What one source says about an entry, in our own words."""

    source: str
    """Key of a source."""
    paraphrase: str = Field(min_length=15)
    """What it says, in our own words."""


class Marker(_Entry):
    """One documented feature: genes, how they are scored, what more of it means."""

    id: Identifier
    """Name of the feature."""
    name: str = Field(min_length=3)
    """Name in the field's terms."""
    section: str
    """Heading it stands under."""
    mechanism: Identifier
    """Mechanism class; SHAP attributions are summed over it."""
    settings: tuple[Setting, ...] = Field(default=SETTINGS, min_length=1)
    """Therapy settings whose models take the feature."""
    genes: tuple[str, ...] = ()
    """Approved symbols whose score is taken; none where the drug chooses them."""
    minus_genes: tuple[str, ...] = ()
    """Approved symbols that count against (rules ``weighted`` and ``ratio``)."""
    weights: dict[str, Annotated[int, Field(ge=1, le=100)]] = {}
    """Gene → whole-number weight (rule ``weighted``); 1 where not named."""
    over: Identifier | None = None
    """Marker whose score is subtracted (rule ``excess``)."""
    by_drug: DrugRule | None = None
    """What the sample's drug chooses the genes by: its antigen, the transporters that carry its
    payload, or the target of its payload; None for fixed genes."""
    score: ScoreRule = "mean"
    """``mean`` of the genes; ``single``: of one gene; ``weighted``: weighted mean of the genes
    minus that of ``minus_genes``; ``lower_of_two``: the lower of two genes (co-expression);
    ``excess``: mean of the genes minus the score of the marker ``over``; ``ratio``: log2 of the
    mean rank of the genes over that of ``minus_genes`` (of z-scores, the difference)."""
    sign: Sign
    """``+`` more of it goes with resistance, ``-`` with response, ``·`` not fixed."""
    sign_by_setting: dict[Setting, Sign] = {}
    """Sign in a setting where it differs from ``sign``."""
    sign_by_therapy: dict[str, Sign] = {}
    """Sign under a drug, a payload or a payload class (by id) where it differs."""
    sign_single_cell: Sign | None = None
    """Sign where it differs in single cells, else None."""
    compartment: Compartment
    """Cells in which the review places it."""
    evidence: Evidence
    """``review``: named in a review; ``class``: the review names the mechanism, the genes are the
    field's standard members; ``field``: not in the reviews, used by published predictors."""
    sources: tuple[Citation, ...] = Field(min_length=1)
    """Who says so."""
    note: str = ""
    """What a reader should know."""

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        if self.id in _RESERVED:
            raise ValueError(f"the outputs have a column '{self.id}'; name the marker otherwise")
        return self

    @model_validator(mode="after")
    def _rule_fits_genes(self) -> Self:
        if bool(self.genes) == bool(self.by_drug):
            raise ValueError("give either genes or by_drug")
        if self.by_drug and self.score != "mean":
            raise ValueError("by_drug goes with score 'mean': the drug table says the rest")
        if bool(self.minus_genes) and self.score not in ("weighted", "ratio"):
            raise ValueError(f"score '{self.score}' and minus_genes do not fit together")
        if self.score == "ratio" and not self.minus_genes:
            raise ValueError("score 'ratio' needs minus_genes")
        if self.score == "weighted" and not (self.minus_genes or self.weights):
            raise ValueError("score 'weighted' needs minus_genes or weights; else it is a mean")
        if (self.score == "excess") != (self.over is not None):
            raise ValueError("score 'excess' and the marker it is 'over' go together")
        if self.score == "lower_of_two" and len(self.genes) != 2:
            raise ValueError("score 'lower_of_two' takes exactly two genes")
        if not self.by_drug and (len(self.genes) == 1 and self.score == "mean"):
            raise ValueError("a marker of one gene has score 'single'")
        if self.score == "single" and len(self.genes) != 1:
            raise ValueError("score 'single' takes exactly one gene")
        return self._genes_once()

    def _genes_once(self) -> Self:
        elsewhere = [name for name in self.sign_by_setting if name not in self.settings]
        if elsewhere:
            raise ValueError(f"sign_by_setting names '{elsewhere[0]}', not one of its settings")
        named = self.genes + self.minus_genes
        if len(set(named)) != len(named):
            raise ValueError("a gene is named twice")
        strangers = [gene for gene in self.weights if gene not in named]
        if strangers:
            raise ValueError(f"weights names '{strangers[0]}', which is not one of its genes")
        if self.weights and self.score != "weighted":
            raise ValueError("weights go with score 'weighted'")
        return self

    def sign_in(self, setting: str) -> Sign:
        """Return the sign in ``setting`` (bulk)."""
        return self.sign_by_setting.get(setting, self.sign)  # type: ignore[call-overload, no-any-return]

    def signed(self, setting: str) -> int:
        """Return +1, -1 or 0: the direction of resistance in ``setting`` (bulk)."""
        return SIGN_VALUE[self.sign_in(setting)]


class PayloadClass(_Entry):
    """What a class of payloads acts on, and which genes tell that it no longer does."""

    id: Identifier
    """Name by which payloads name it."""
    name: str = Field(min_length=3)
    """Name in the field's terms."""
    resistance_genes: tuple[str, ...] = ()
    """Approved symbols, more of which goes with resistance to the payload."""
    sensitivity_genes: tuple[str, ...] = ()
    """Approved symbols, more of which goes with response to the payload."""
    sources: tuple[Citation, ...] = Field(min_length=1)
    """Who says so."""
    note: str = ""
    """What a reader should know."""


class Payload(_Entry):
    """A cytotoxic molecule, carried by a conjugate or given by itself."""

    id: Identifier
    """Name by which drugs name it."""
    name: str = Field(min_length=2)
    """Name in the field's terms."""
    payload_class: Identifier
    """Id of a payload class."""
    transporters: tuple[str, ...] = ()
    """Approved symbols of the efflux transporters that carry it; none where it is carried poorly
    or where nothing was found (the note says which)."""
    sources: tuple[Citation, ...] = Field(min_length=1)
    """Who says so."""
    note: str = ""
    """What a reader should know."""


class Drug(_Entry):
    """A drug by its names, and what it binds, carries and releases."""

    id: Identifier
    """Name by which the catalogue names it."""
    name: str = Field(min_length=2)
    """International non-proprietary name."""
    synonyms: tuple[str, ...] = ()
    """Brand names, codes and spellings, any case; none may mean another drug."""
    drug_class: Identifier
    """Class, such as ``antibody_drug_conjugate`` or ``pd1_inhibitor``."""
    target_antigens: tuple[str, ...] = ()
    """Approved symbols of what its antibody binds on tumour cells."""
    payload: Identifier | None = None
    """Id of its payload; for a cytotoxic drug the molecule that acts; None for others."""
    linker: str = ""
    """Linker in words."""
    linker_cleavable: bool | None = None
    """Whether the linker is cleaved to free the payload; None without a linker."""
    sources: tuple[Citation, ...] = Field(min_length=1)
    """Who says so."""
    note: str = ""
    """What a reader should know."""


class Strategy(_Entry):
    """What the reviews discuss against mechanisms; never advice."""

    id: Identifier
    """Name of the strategy."""
    name: str = Field(min_length=3)
    """Name in the field's terms."""
    mechanisms: tuple[Identifier, ...] = Field(min_length=1)
    """Mechanism classes it is discussed for."""
    settings: tuple[Setting, ...] = Field(min_length=1)
    """Therapy settings it is discussed in."""
    evidence: Evidence
    """As for markers."""
    advantages: tuple[str, ...] = ()
    """Advantages that the source names."""
    limits: tuple[str, ...] = ()
    """Limits that the source names."""
    sources: tuple[Citation, ...] = Field(min_length=1)
    """Who says so."""
    note: str = ""
    """What a reader should know."""


class NotInExpression(_Entry):
    """What the reviews name and expression data do not show, so that nobody looks for it."""

    id: Identifier
    """Name of the mechanism."""
    name: str = Field(min_length=3)
    """Name in the field's terms."""
    reason: str = Field(min_length=15)
    """Why it cannot be read from expression, and what would show it."""
    sources: tuple[Citation, ...] = Field(min_length=1)
    """Who names it."""
