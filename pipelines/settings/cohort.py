"""Configuration of one cohort: what ``conf/cohorts/*.yaml`` may say."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.settings.drug_response import DrugResponseConfig
from pipelines.settings.section import PathText, Section, Words

__all__ = [
    "CellsConfig",
    "CohortConfig",
    "ColumnNames",
    "CovariateColumn",
    "CovariatesConfig",
    "LabelsConfig",
    "SurvivalColumn",
    "SurvivalConfig",
    "TimepointsConfig",
]


class ColumnNames(Section):
    """Columns of the clinical table; those left at their default may be absent."""

    sample_id: str | None = None
    """Null: ``sample_id`` where there is such a column, else the one that shares most values with
    the expression file's samples; the column used is noted."""
    patient_id: str = "patient_id"
    response: str = "response"
    recist: str = "recist"
    timepoint: str = "timepoint"
    therapy: str = "treatment_class"
    drug: str = "drug"
    cancer_type: str = "cancer_type"


class LabelsConfig(Section):
    """How published response becomes resistant or responsive."""

    stable_disease: Literal["resistant", "responsive", "exclude", "pfs6"] = "resistant"
    """What RECIST SD means; pfs6: responsive when progression-free for six months or more."""
    responsive: tuple[str, ...] = ()
    """Further spellings of responsive."""
    resistant: tuple[str, ...] = ()
    """Further spellings of resistant."""
    missing: tuple[str, ...] = ()
    """Further spellings of no label."""


class TimepointsConfig(Section):
    """Spellings of each timepoint, any case."""

    pre_treatment: tuple[str, ...] = ("pre", "pre-treatment", "pretreatment", "baseline", "before")
    on_treatment: tuple[str, ...] = ("on", "on-treatment", "edt", "during")
    post_treatment: tuple[str, ...] = ("post", "post-treatment", "progression", "after")
    unstated: tuple[str, ...] = ("not stated in file", "unknown", "na", "nan")


class SurvivalColumn(Section):
    """One survival endpoint in the clinical table."""

    time: str
    """Column of the time."""
    event: str
    """Column of the event; 1, Dead, TRUE and VRAI are events."""
    unit: Literal["day", "week", "month", "year"] = "month"
    """Unit of the time."""


class SurvivalConfig(Section):
    """Endpoints the cohort has."""

    pfs: SurvivalColumn | None = None
    """Progression-free survival."""
    os: SurvivalColumn | None = None
    """Overall survival."""


class CovariateColumn(Section):
    """One clinical covariate in the clinical table."""

    column: str
    """Column that holds it."""
    values: dict[str, float | str] = Field(default={})
    """The file's spelling, any case → a number, or a known spelling."""
    missing: tuple[str, ...] = ()
    """Further spellings of no value; empty cells, NA, unknown and the like need none."""


class CovariatesConfig(Section):
    """Clinical covariates the cohort has; those left out are missing for all its samples."""

    tmb: CovariateColumn | None = None
    """Tumour mutational burden, any unit that holds for the whole cohort."""
    pdl1_ihc: CovariateColumn | None = None
    """PD-L1 by immunohistochemistry: IC0 to IC3, TC0 to TC3, per cent, or negative and positive."""
    ecog: CovariateColumn | None = None
    """ECOG performance status, 0 to 4."""
    stage: CovariateColumn | None = None
    """Stage I to IV, with or without letter, or M1a to M1d."""
    prior_lines: CovariateColumn | None = None
    """Number of earlier systemic therapies."""
    ldh_high: CovariateColumn | None = None
    """Lactate dehydrogenase above the upper limit of normal, yes or no."""
    liver_metastasis: CovariateColumn | None = None
    """Metastasis in the liver, yes or no."""
    age: CovariateColumn | None = None
    """Years."""
    purity: CovariateColumn | None = None
    """Share of tumour cells as measured on DNA, 0 to 1."""
    sex: CovariateColumn | None = None
    """Female or male."""
    biopsy_site: CovariateColumn | None = None
    """skin_subcutaneous, lymph_node, lung, liver_visceral, brain, bone, primary or other."""


class CellsConfig(Section):
    """How a file of single cells becomes samples."""

    rows: Literal["sample", "cell"] = "sample"
    """What is predicted: samples made of their cells, or each cell by itself (labels a cell)."""
    sample: str | None = None
    """Column of ``obs`` that names the sample (lesion, biopsy); null: sample_id, sample,
    lesion_sample, library_id or the patient, else all cells are one sample."""
    cell_type: str | None = None
    """Column of ``obs`` with cell types to use; null: cells are annotated by markers."""
    malignant: str | None = None
    """Column of ``obs`` that says which cells are malignant (copy number): true, yes, 1, aneuploid,
    malignant or tumor; wins over the annotation."""
    pseudobulk: PathText | None = None
    """An h5ad of the samples' pseudobulk (a row a sample, same names) that is used in place of the
    sum of these cells, as where the cells hold a panel of genes; as paths above."""
    absent: tuple[
        Literal["malignant", "t_cell", "b_cell", "nk_cell", "myeloid", "stroma"], ...
    ] = ()
    """Compartments that the preparation took away (cells sorted by CD45 hold no malignant ones)."""
    min_cells: int = Field(default=10, ge=1)
    """Fewest cells of a sample's compartment; with fewer its features are missing."""
    drop: tuple[Literal["low_quality", "doublet"], ...] = ("low_quality", "doublet")
    """Cells left out, where that can be told; doublets are searched for (about a millisecond a
    cell) only where they are."""
    batch: str | None = None
    """Column of ``obs`` that the view is integrated over; never the features."""
    sketch: int = Field(default=10_000, ge=500)
    """Most cells that clusters and the view are made of; the others take the nearest cluster."""
    memory_mb: int = Field(default=1024, ge=64)
    """Memory for chunks of cells, in MB."""


class CohortConfig(Section):
    """One cohort: what conf/cohorts/*.yaml may say."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name in metrics and tables."""
    expression: PathText
    """CSV, TSV (plain or gz), h5ad or zarr; relative to data.root or to ``root``."""
    clinical: PathText | None = None
    """CSV or TSV with a row per sample; null: none, or the obs of an h5ad."""
    root: PathText | None = None
    """Folder of this cohort's files instead of data.root, relative to this YAML file."""
    modality: Literal["auto", "bulk", "single_cell"] = "auto"
    """What the rows are; auto tells single cells in an h5ad or zarr by their look, and notes it."""
    cells: CellsConfig = CellsConfig()
    unit: Literal[
        "auto", "counts", "tpm", "log2_tpm", "ln_tpm", "log2_intensity", "gene_scaled"
    ] = "auto"
    """Unit of the expression; auto finds it out and reports the evidence."""
    pseudocount: float | None = Field(default=None, ge=0)
    """Constant under the logarithm of log2_tpm when the unit is stated."""
    orientation: Literal["auto", "genes_in_rows", "samples_in_rows"] = "auto"
    """Which way the matrix stands."""
    renamed: dict[str, Words] = Field(default={})
    """Sample as the expression file names it → the sample whose expression stands there, where a
    file is known to have mixed them up."""
    gene_lengths: PathText | None = None
    """Table of gene lengths for raw counts (columns symbol, effective_length), as paths above."""
    gene_table: PathText | None = None
    """Table of gene ids (columns symbol, and ensembl_id or entrez_id), as paths above: symbols
    of the genes that the catalogue does not hold. The catalogue's own genes need none."""
    cancer_type: str | None = None
    """Tumour type where the clinical table has no column for it."""
    drug: str | None = None
    """Drug where the clinical table has no column for it."""
    columns: ColumnNames = ColumnNames()
    labels: LabelsConfig = LabelsConfig()
    drug_response: DrugResponseConfig | None = None
    """A long table of drug responses that gives samples, drugs, tissues and labels; null: none."""
    timepoints: TimepointsConfig = TimepointsConfig()
    survival: SurvivalConfig = SurvivalConfig()
    covariates: CovariatesConfig = CovariatesConfig()

    @model_validator(mode="after")
    def _settings_fit_together(self) -> Self:
        if self.pseudocount is not None and self.unit != "log2_tpm":
            raise ValueError("pseudocount goes with unit: log2_tpm")
        if self.labels.stable_disease == "pfs6" and self.survival.pfs is None:
            raise ValueError("labels.stable_disease: pfs6 needs the columns under survival.pfs")
        if self.drug_response is not None and self.clinical is not None:
            raise ValueError("clinical and drug_response both give the samples' labels; name one")
        return self
