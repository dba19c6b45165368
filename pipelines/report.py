"""Write a cohort's report: one page with every patient inside, and a page a patient beside it."""

import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from features.errors import ConfigError
from pipelines.cells.outputs import draw_cells
from pipelines.files import write_table, write_text
from pipelines.reports.build import build_report
from pipelines.reports.data import ReportData
from pipelines.reports.mechanism_table import mechanism_table
from pipelines.reports.pages import ReportPages
from pipelines.reports.patient_parts import PatientView
from pipelines.scoring.scored_cohort import ScoredCohort
from pipelines.tracking import LoadedModel

__all__ = ["driver_table", "page_names", "render_report", "write_report", "write_scored"]

_PAGE = re.compile(r"\d{4,}(-[a-z0-9-]+)?\.html")
_MOST_LETTERS = 40


def write_scored(scored: ScoredCohort, loaded: LoadedModel, folder: Path) -> None:
    """Write everything of a scored cohort: tables, what its report is made of, and its pages."""
    pictures = draw_cells(scored, loaded.model)
    scored.write(folder)
    data = build_report(scored, loaded, pictures=pictures)
    data.write(folder)
    table = driver_table(data)
    for suffix in ("parquet", "csv"):
        write_table(table, folder / f"mechanisms.{suffix}")
    write_report(data, folder)


def driver_table(data: ReportData) -> pd.DataFrame:
    """Return what drives each sample.

    See :func:`pipelines.reports.mechanism_table.mechanism_table`.
    """
    classes = {feature.id: feature.mechanism for feature in data.facts.features}
    groups = {name: data.facts.groups[mechanism] for name, mechanism in classes.items()}
    return mechanism_table(data.attributed, mechanisms=classes, groups=groups)


def write_report(data: ReportData, folder: Path) -> int:
    """Write ``report.html`` and ``patients/``, and return the number of patients.

    Pages of patients that are no longer there are removed.
    """
    _refuse_wrong_kinds(folder)
    pages = ReportPages(data)
    names = page_names(pages.patients)
    for patient, name in zip(pages.patients, names, strict=True):
        write_text(pages.patient(patient), folder / "patients" / name)
    for page in (folder / "patients").glob("*.html"):
        if page.name not in names and _PAGE.fullmatch(page.name):
            with suppress(OSError):
                page.unlink()
    write_text(pages.cohort(pages=names), folder / "report.html")
    return len(names)


def _refuse_wrong_kinds(folder: Path) -> None:
    """Refuse a folder in the place of the page, or a file in that of the patients' folder."""
    page, patients = folder / "report.html", folder / "patients"
    if page.is_dir():
        raise ConfigError(f"{page} is a folder; the report is to be written there: move it away")
    if patients.exists() and not patients.is_dir():
        raise ConfigError(f"{patients} is a file; a folder is to be made there: move it away")


def render_report(data: ReportData) -> str:
    """Return a cohort's report as one page, every patient inside, that needs no other file."""
    return ReportPages(data).cohort()


def page_names(patients: Sequence[PatientView]) -> list[str]:
    """Return a file name for each patient: a number, and what of the id is safe in a file name.

    Examples
    --------
    >>> page_names([PatientView(1, "../Patient Ä 7", "x", ()), PatientView(2, "<>", "x", ())])
    ['0001-patient-a-7.html', '0002.html']
    """
    names = []
    for patient in patients:
        plain = unicodedata.normalize("NFKD", patient.patient_id).encode("ascii", "ignore").decode()
        letters = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:_MOST_LETTERS].strip("-")
        names.append(f"{patient.number:04d}{'-' if letters else ''}{letters}.html")
    return names
