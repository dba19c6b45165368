"""The model card of a training run, after TRIPOD+AI, rendered from the run alone."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from models.sufficiency import RULES
from pipelines.figures.names import predictor_name
from pipelines.reports.markdown import interval
from pipelines.reports.notes import render_note
from pipelines.reports.templates import page_environment
from pipelines.reports.validation import RunRecord
from pipelines.reports.words import SETTING_NAMES
from pipelines.validation.headline import headline_rows, verdict

__all__ = ["model_card", "short_model_card"]

_ARMS = {"cohort": "", "reference": "_reference"}
_LEAST_LEVEL = 10
_MOST_DRIVERS = 10
_FAIRNESS = ("sex", "age")


def model_card(record: RunRecord) -> str:
    """Return the card in Markdown; the same run gives the same bytes.

    Nothing in it is typed by hand but what holds for every model of this code: intended use,
    limits and the meaning of the columns. It needs the tables that a training logs
    (``tables/cohorts``, ``data/facts.json``).

    References
    ----------
    Collins et al., TRIPOD+AI statement, BMJ 2024, doi:10.1136/bmj-2023-078378.
    """
    environment = page_environment(html=False)
    text = environment.get_template("model_card.md.j2").render(**_facts(record))
    return text.rstrip() + "\n"


def short_model_card(record: RunRecord) -> str:
    """Return the card as a registered version's description: verdict, figures, use, limits."""
    return render_note("model_card_short.md.j2", **_facts(record))


def _facts(record: RunRecord) -> dict[str, Any]:
    comparison, cohorts = record.table("comparison"), record.table("cohorts")
    headline = headline_rows(comparison)
    return {
        "arms": _ARMS,
        "calls": _calls(record),
        "by_cohort": _by_cohort(comparison),
        "catalogue": _catalogue(record),
        "chosen": _chosen(record),
        "cohorts": cohorts.to_dict("records"),
        "config": record.config,
        "drivers": {arm: _drivers(record, suffix) for arm, suffix in _ARMS.items()},
        "fairness": _fairness(record),
        "facts": _json(record, "data/facts.json"),
        "headline": [[predictor_name(row[0]), *row[1:]] for row in headline],
        "labels": _label_rules(cohorts),
        "metrics": record.metrics,
        "rules": RULES,
        "setting": SETTING_NAMES.get(record.config["setting"], record.config["setting"]),
        "shortfalls": _shortfalls(record.metrics),
        "shift": _shift(record.table("shift")),
        "sufficiency": record.sufficiency,
        "subgroups": {arm: _subgroups(record, suffix) for arm, suffix in _ARMS.items()},
        "table": record.table,
        "tags": record.tags,
        "totals": _totals(cohorts),
        "verdict": verdict(comparison),
    }


def _json(record: RunRecord, path: str) -> dict[str, Any]:
    file = record.folder / path
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _totals(cohorts: pd.DataFrame) -> dict[str, float]:
    counted = ("n", "patients", "labelled", "resistant", "sex_known", "female", "age_known")
    return {name: int(cohorts[name].sum()) for name in (*counted, "pfs_known", "os_known")}


def _label_rules(cohorts: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each label rule in use with its cohorts, in words."""
    rules = []
    for rule, part in cohorts.groupby("label_rule", sort=False):
        order, _, settings = str(rule).partition("; ")
        known = json.loads(settings) if settings.startswith("{") else {}
        words = [f"stable disease: {known.pop('stable_disease', 'as published')}"]
        words += [f"{name}: {', '.join(map(str, said))}" for name, said in known.items() if said]
        rules.append(
            {"order": order, "words": "; ".join(words), "cohorts": ", ".join(part["cohort"])}
        )
    return rules


def _catalogue(record: RunRecord) -> dict[str, int]:
    """Return how many features, mechanisms, genes and sources the model reads."""
    catalogue = _json(record, "data/catalogue.json")
    features = set(record.table("features").columns) - {"sample"}
    markers = [marker for marker in catalogue["markers"] if marker["id"] in features]
    signs = record.table("feature_signs")
    return {
        "features": len(features),
        "mechanisms": len({marker["mechanism"] for marker in markers}),
        "genes": len({gene for m in markers for gene in (*m["genes"], *m["minus_genes"])}),
        "signed": int((signs["sign"] != 0).sum()),
        "sources": len({source["source"] for m in markers for source in m["sources"]}),
    }


def _chosen(record: RunRecord) -> dict[str, dict[str, Any]]:
    """Return per standardisation what the final model is, and what the folds chose."""
    final = _json(record, "data/facts.json").get("chosen", {})
    found = {}
    for arm, suffix in _ARMS.items():
        folds = record.table(f"folds{suffix}")
        loco = folds[folds["scheme"] == "loco"]
        counts = loco["candidate"].value_counts(sort=False).sort_index()
        calibrations = loco["calibration"].value_counts(sort=False).sort_index()
        found[arm] = {
            "final": str(final.get(arm, "–")).partition("|")[0],
            "folds": ", ".join(f"{name} {count}×" for name, count in counts.items()),
            "calibration": ", ".join(f"{name} {count}×" for name, count in calibrations.items()),
        }
    return found


def _calls(record: RunRecord) -> list[dict[str, Any]]:
    """Return how often each call was right in cohorts held out; empty of a run without it."""
    found = _json(record, "data/facts.json").get("held_out_calls", {})
    return [
        {"arm": arm, "call": call, **figures}
        for arm, calls in found.items()
        for call, figures in calls.items()
    ]


def _shortfalls(metrics: Mapping[str, float]) -> list[str]:
    """Return where a standardisation did worse than the base rate, or its slope is below 0."""
    told = []
    for arm, suffix in _ARMS.items():
        skill, slope = f"loco{suffix}.brier_skill", f"loco{suffix}.calibration_slope"
        if metrics.get(skill, 0.0) < 0:
            sure = metrics.get(f"{skill}_high", 0.0) < 0
            told.append(
                f"{arm.capitalize()}-relative, the probabilities did worse than the base rate on "
                f"cohorts held out: skill {_estimate(metrics, skill)}"
                f"{'.' if sure else '; the interval reaches 0.'}"
            )
        if metrics.get(slope, 0.0) < 0:
            sure = metrics.get(f"{slope}_high", 0.0) < 0
            told.append(
                f"{arm.capitalize()}-relative, the calibration slope on cohorts held out is below "
                f"0, {_estimate(metrics, slope)}: a higher probability went with fewer resistant "
                f"tumours{'.' if sure else '; the interval reaches 0.'}"
            )
    return told


def _estimate(metrics: Mapping[str, float], name: str) -> str:
    row = {"value": metrics[name], "low": metrics.get(f"{name}_low")}
    return interval({**row, "high": metrics.get(f"{name}_high")})


def _subgroups(record: RunRecord, suffix: str) -> list[dict[str, Any]]:
    """Return the levels with figures, and how each one's interval lies to the whole and chance."""
    whole = record.metrics.get(f"loco{suffix}.within_cohort_auroc", float("nan"))
    rows = []
    for row in record.table(f"subgroups{suffix}").to_dict("records"):
        if row["n"] < _LEAST_LEVEL:
            continue
        rows.append(
            {**{str(key): value for key, value in row.items()}, "stands": _stands(row, whole)}
        )
    return rows


def _stands(row: Mapping[Any, Any], whole: float) -> str:
    if pd.isna(row["auroc"]):
        return "not defined"
    words = []
    if row["high"] < whole:
        words.append("**below the whole**")
    if row["low"] > whole:
        words.append("**above the whole**")
    if row["low"] <= 0.5:
        words.append("below chance" if row["high"] < 0.5 else "chance not excluded")
    return ", ".join(words)


def _fairness(record: RunRecord) -> dict[str, list[dict[str, Any]]]:
    """Return the levels of sex and age per standardisation, with both classes' counts."""
    return {
        arm: [row for row in _subgroups(record, suffix) if row["group"] in _FAIRNESS]
        for arm, suffix in _ARMS.items()
    }


def _shift(shift: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {"set": name, "n": len(part), "share": float((part["shift_score"] > 1).mean())}
        for name, part in shift.groupby("set", sort=False)
    ]


def _drivers(record: RunRecord, suffix: str) -> dict[str, Any]:
    """Return the leading mechanisms, how sure their places are, and how far folds agree."""
    table = record.folder / "shap" / f"mechanism_table{suffix}.parquet"
    agreement = _json(record, f"shap/agreement{suffix}.json")
    if not table.is_file():
        return {"rows": [], "agreement": {}}
    found = pd.read_parquet(table)
    found = found.sort_values("rank", kind="stable").head(_MOST_DRIVERS)
    rows = found.rename(columns={"mechanism": "name"}).to_dict("records")
    return {"rows": rows, "agreement": agreement.get("mechanism", {})}


def _by_cohort(comparison: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the AUROC of model and GEP-18 on each held-out cohort, by standardisation."""
    loco = comparison[(comparison["scheme"] == "loco") & (comparison["metric"] == "auroc")]
    rows: dict[str, dict[str, Any]] = {}
    for found in loco[loco["cohort"] != "mean"].to_dict("records"):
        row = rows.setdefault(found["cohort"], {"cohort": found["cohort"]})
        row[f"{found['predictor']}_{found['standardisation']}"] = found
    blank: dict[str, Any] = {"model_cohort": {}, "model_reference": {}, "gep_18_cohort": {}}
    return [{**blank, **row} for row in rows.values()]
