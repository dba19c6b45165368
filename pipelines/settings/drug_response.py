"""Configuration of a drug screen: what ``drug_response`` of a cohort's YAML may say."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.settings.section import PathText, Section, Words

__all__ = ["DrugGroup", "DrugResponseConfig", "ResponseColumns", "ResponseLabelConfig"]


GroupName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class ResponseColumns(Section):
    """Columns of the long table."""

    sample: str = "sample_id"
    """Sample, as the expression file names it."""
    line: str = "patient_id"
    """Name of the cell line; where absent, the sample is the line."""
    cosmic: str | None = None
    """COSMIC id of the line, by which spellings of other sets are matched."""
    drug: str = "drug"
    """Drug."""
    response: str = "response"
    """The number measured."""
    measure: str = "response_type"
    """What was measured; where absent, ``measure`` must be stated."""
    protocol: tuple[str, ...] = ("dataset", "nsc", "gdsc_drug_id")
    """Columns that part experiments of one drug; those that there are count."""
    tissue: str = "cancer_type"
    """Tissue of the line."""


class DrugGroup(Section):
    """A drug, or drugs of one class, whose response is taken as one."""

    drugs: tuple[str, ...] = Field(min_length=1)
    """Names as in the table, compared without case and signs."""
    drug: str | None = None
    """Drug of the catalogue that stands for the group in drug-aware features; null: the first."""


class ResponseLabelConfig(Section):
    """How continuous resistance becomes a label."""

    rule: Literal["quantile", "threshold", "waterfall"] = "quantile"
    """quantile: the least and the most resistant ``share`` of the lines; threshold; waterfall:
    the farthest point from the straight line (Barretina 2012)."""
    share: float = Field(default=1 / 3, gt=0, le=0.5)
    """Of the lines, at each end; those between have no label."""
    threshold: float | None = None
    """In the table's unit where the group is one experiment, else in standard deviations of
    resistance."""

    @model_validator(mode="after")
    def _threshold_given(self) -> Self:
        if (self.rule == "threshold") != (self.threshold is not None):
            raise ValueError("threshold goes with rule: threshold, and that needs it")
        return self


class DrugResponseConfig(Section):
    """A long table of drug responses, a row a sample and drug."""

    table: PathText
    """CSV or TSV, as paths of the cohort."""
    groups: dict[GroupName, DrugGroup] = Field(min_length=1)
    """Group → drugs; its name stands in metrics and files. With several, a line has a row in each:
    ``sample|group``."""
    columns: ResponseColumns = ResponseColumns()
    directions: dict[Words, Literal["higher_resistant", "lower_resistant"]] = Field(default={})
    """Text of the measure → which way it goes, where its name does not tell or tells it wrongly."""
    measure: Words | None = None
    """The measure, where the table has no column for it."""
    where: dict[str, tuple[str, ...]] = Field(default={})
    """Column → values of the rows that are kept, such as one tumour type."""
    exclude: tuple[str, ...] = ()
    """Samples left out, as the expression file names them, such as one that holds the expression
    of another line."""
    label: ResponseLabelConfig = ResponseLabelConfig()
    least_share: float = Field(default=0.5, gt=0, le=1)
    """Share of a group's drugs that a line must have been measured for."""
