"""From a report's data to HTML: the cohort's page with every patient inside, and a patient's."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from pipelines.figures.style import png_text
from pipelines.reports.data import ReportData
from pipelines.reports.figures import draw_report
from pipelines.reports.gene_strips import GeneStrip, gene_strips
from pipelines.reports.patient import view_patients
from pipelines.reports.patient_parts import PatientView
from pipelines.reports.subtypes import subtype_notes
from pipelines.reports.templates import TEMPLATES, page_environment
from pipelines.reports.words import (
    CALLS,
    calibration_words,
    call_words,
    calls_words,
    data_verdict_words,
    data_words,
    file_name,
    listed,
    meaning_words,
    mechanism_name,
    reference_words,
    set_words,
    sheet_notes,
)

__all__ = ["ReportPages"]

_MOST_LEADING = 3
_PUBLISHED = {1.0: "resistant", 0.0: "responsive"}


class ReportPages:
    """The pages of one report.

    All text is escaped; style and script are ours alone, and the page's own policy lets no other
    script run, nor anything be loaded.

    Attributes
    ----------
    patients
        The patients, the one with the highest probability first.
    """

    def __init__(self, data: ReportData) -> None:
        self.data = data
        self.patients: Sequence[PatientView] = view_patients(data)
        self._strips = gene_strips(data)
        self._shared = {
            "f": data.facts,
            "css": Markup(_own_text("report.css")),
            "calls": CALLS,
            "cohort_median": data.facts.standardisation == "cohort",
            "calibration_words": calibration_words(data.facts),
            "call_words": call_words,
            "calls_words": calls_words(data.facts.model),
            "data_verdict_words": data_verdict_words(data.facts),
            "data_words": data_words(data.facts),
            "reference_words": reference_words(data.facts),
            "listed": listed,
            "meaning_words": meaning_words,
            "set_words": set_words,
            "sheet_notes": sheet_notes(data.facts),
            "strips": self._strips,
        }

    def cohort(self, *, pages: Sequence[str] = ()) -> str:
        """Return the cohort's page; ``pages`` names each patient's in ``patients/`` beside it."""
        data, facts = self.data, self.data.facts
        script = _own_text("report.js")
        rows = _table_rows(self.patients)
        return self._page(
            "report.html.j2",
            script=Markup(script),
            script_hash=_content_hash(script),
            patients=self.patients,
            used=self._used(self.patients),
            pages=pages,
            rows=rows,
            shown=[name for name in ("timepoint", "drug") if _tells_apart(data, name)],
            labelled=bool(data.samples["resistant"].notna().any()),
            n_samples=len(rows),
            counts=Counter(data.predictions["call"]),
            median=float(data.predictions["probability"].median()),
            leading=_leading(data),
            held_out_auroc=facts.model.held_out.get("model", {}).get("auroc", "not stored"),
            out_of_scope=_reasons_out_of_scope(data.predictions),
            subtype_notes=subtype_notes(facts.subtypes),
            figures=self._figures,
            pictures={name: png_text(image) for name, image in data.pictures.items()},
        )

    def patient(self, patient: PatientView) -> str:
        """Return a patient's page, an A4 sheet for each sample."""
        return self._page("patient.html.j2", patient=patient, used=self._used([patient]))

    @cached_property
    def _figures(self) -> dict[str, str]:
        return draw_report(self.data)

    def _used(self, patients: Sequence[PatientView]) -> list[GeneStrip]:
        """Return the strips that patients' sections refer to."""
        symbols = {
            gene.symbol
            for patient in patients
            for sample in patient.samples
            for mechanism in (*sample.mechanisms, *filter(None, [sample.response]))
            for feature in mechanism.features
            for gene in feature.genes
        }
        return [strip for symbol, strip in self._strips.items() if symbol in symbols]

    def _page(self, template: str, **values: Any) -> str:
        return _environment().get_template(template).render(**self._shared, **values)


@cache
def _environment() -> jinja2.Environment:
    """Return what renders the templates, which it compiles once."""
    environment = page_environment(html=True)
    environment.filters |= {"mechanism_name": mechanism_name, "file_name": file_name}
    return environment


def _own_text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _content_hash(script: str) -> str:
    """Return the hash by which the page's policy allows its one script."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _table_rows(patients: Sequence[PatientView]) -> list[dict[str, Any]]:
    """Return a row for each sample, the highest probability first."""
    rows = [
        {
            **sample.row,
            "number": patient.number,
            "published": _PUBLISHED.get(sample.row["resistant"], ""),
            "shift": _two_decimals(sample.row["shift_score"]),
            "mechanisms": ", ".join(mechanism.name for mechanism in sample.mechanisms),
        }
        for patient in patients
        for sample in patient.samples
    ]
    return sorted(rows, key=lambda row: -float(row["probability"]))


def _two_decimals(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.2f}"


def _tells_apart(data: ReportData, name: str) -> bool:
    return data.samples[name].nunique(dropna=False) > 1


def _leading(data: ReportData) -> list[tuple[str, int]]:
    """Return the mechanisms that stand first most often, with the number of samples."""
    first = data.predictions["mechanism_1"].dropna()
    counts = Counter(mechanism_name(str(name)) for name in first)
    return counts.most_common(_MOST_LEADING)


def _reasons_out_of_scope(predictions: pd.DataFrame) -> list[str]:
    """Return why samples are out of scope, a line for each kind of reason."""
    declined = predictions[predictions["call"] == "out_of_scope"]
    kinds = declined["call_reason"].str.replace(r"-?[\d.]+%?", "…", regex=True)
    lines = []
    for _, part in declined.groupby(kinds, sort=False):
        what = "1 sample," if len(part) == 1 else f"{len(part)} samples, such as"
        lines.append(f"{what} {part['sample_id'].iloc[0]}: {part['call_reason'].iloc[0]}")
    return lines
